-- leak_replaced_string_len.lua - string.len for a later script. Expect: contained
return function(m)
  local was = ("abc"):len() ~= 3 or string.len("abc") ~= 3
  string.len = function() return 99 end
  return was
end
