-- leak_replaced_tostring.lua - tostring for a later script. Expect: contained
return function(m)
  local was = tostring(1)
  tostring = function() return "stolen" end
  return was ~= "1"
end
