-- output_date_infinite.lua - A date at the end of time. Expect: output: a date must hold
return function(m)
  local d = m.at
  d.ms = math.huge
  return d
end
