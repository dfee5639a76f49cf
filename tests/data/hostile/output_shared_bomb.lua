-- output_shared_bomb.lua - A table of 25 lines that would be gigabytes. Expect: output: over
return function(m)
  local t = { ("x"):rep(100) }
  for i = 1, 25 do t = { t, t } end
  return t
end
