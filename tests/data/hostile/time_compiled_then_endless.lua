-- time_compiled_then_endless.lua - Short enough to be compiled, endless at the 1,000th call. Expect: time
return function(m)
  local function step(n) local i = 0 while i < n do i = i + 1 end end
  for i = 1, 1000 do step(10) end
  step(math.huge)
end
