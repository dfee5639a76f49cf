-- output_cycle.lua - Output that contains itself. Expect: output: contains itself
return function(m)
  local t = {}
  t.t = t
  return t
end
