-- output_path_long.lua - A path of thousands of letters: cut. Expect: output: k
return function(m)
  local t = { f = error }
  for i = 1, 20 do t = { [("k"):rep(200)] = t } end
  return t
end
