-- memory_upvalue_chain.lua - A chain of upvalues. Expect: memory or time
return function(m)
  local prev
  for i = 1, 1e9 do
    local p, x = prev, { i }
    prev = function() return p, x end
  end
end
