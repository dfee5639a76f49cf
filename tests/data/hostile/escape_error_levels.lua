-- escape_error_levels.lua - Throws with levels that are none. Expect: error
return function(m)
  pcall(error, "x", -5)
  pcall(error, "x", 2 ^ 31)
  error("x", 1e6)
end
