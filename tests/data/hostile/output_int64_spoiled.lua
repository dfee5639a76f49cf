-- output_int64_spoiled.lua - An int64 that is no number. Expect: output: an int64 must hold digits
return function(m)
  local i = m.big
  i.digits = "1e9"
  return i
end
