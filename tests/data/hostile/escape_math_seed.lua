-- escape_math_seed.lua - The random state: its own only. Expect: contained
return function(m)
  math.randomseed(1)
  local a = math.random()
  math.randomseed(1)
  return a ~= math.random()
end
