-- time_modulo_floats.lua - Arithmetic that never comes to an end. Expect: time
return function(m)
  local x = 1
  while x ~= 0 do x = (x * 1.1) % 7 + 1e-9 end
end
