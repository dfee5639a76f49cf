-- output_date_spoiled.lua - A date whose number is no number. Expect: output: a date must hold
return function(m)
  local d = m.at
  d.ms = "x"
  return d
end
