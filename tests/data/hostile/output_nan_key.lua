-- output_nan_key.lua - NaN as a key. Expect: error
return function(m)
  local t = {}
  t[0 / 0] = 1
  return t
end
