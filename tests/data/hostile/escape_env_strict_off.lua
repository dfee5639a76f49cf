-- escape_env_strict_off.lua - The strictness of the environment. Expect: contained
return function(m)
  local ok = pcall(function() getmetatable(_G).__index = nil end)
  return ok
end
