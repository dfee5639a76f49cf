-- escape_finalizer.lua - When a table is collected. Expect: contained
return function(m)
  local ran = false
  local t = setmetatable({}, { __gc = function() ran = true end })
  t = nil
  for i = 1, 1e5 do local x = { i } end
  return ran
end
