-- leak_after_memory.lua - Leaves something and hits the cap. Expect: memory
return function(m)
  string.left = m.secret
  return #(m.secret):rep(1e8)
end
