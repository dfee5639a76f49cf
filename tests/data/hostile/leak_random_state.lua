-- leak_random_state.lua - The random state; the witness draws next. Expect: contained
return function(m)
  math.randomseed(#m.secret)
  return math.random() < 0
end
