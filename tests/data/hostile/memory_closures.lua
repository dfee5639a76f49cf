-- memory_closures.lua - Closures that keep each other. Expect: memory or time
return function(m)
  local f = function() end
  while true do
    local g = f
    f = function() return g end
  end
end
