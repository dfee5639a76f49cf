-- output_lying_index.lua - __index invents fields; it is not asked. Expect: done
return function(m)
  return setmetatable({}, { __index = function() return "x" end, __pairs = error })
end
