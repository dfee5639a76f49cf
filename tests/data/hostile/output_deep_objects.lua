-- output_deep_objects.lua - Ten thousand objects deep. Expect: output: nested too deep
return function(m)
  local t = {}
  for i = 1, 10000 do t = { n = t } end
  return t
end
