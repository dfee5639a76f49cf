-- escape_env_metatable.lua - The metatable of the environment. Expect: contained
return function(m)
  return type(getmetatable(_G)) == "table"
end
