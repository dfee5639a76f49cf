-- memory_lt_nested.lua - sort in __lt in sort. Expect: error
return function(m)
  local mt = {}
  mt.__lt = function() table.sort({ setmetatable({}, mt), setmetatable({}, mt) }) return true end
  return setmetatable({}, mt) < setmetatable({}, mt)
end
