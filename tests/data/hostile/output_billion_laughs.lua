-- output_billion_laughs.lua - One text ten thousand times. Expect: output: over
return function(m)
  local s = ("lol"):rep(1000)
  local t = {}
  for i = 1, 1000 do t[i] = s end
  return { t, t, t, t, t, t, t, t, t, t }
end
