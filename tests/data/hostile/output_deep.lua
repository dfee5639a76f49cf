-- output_deep.lua - Ten thousand tables deep. Expect: output: nested too deep
return function(m)
  local t = {}
  for i = 1, 10000 do t = { t } end
  return t
end
