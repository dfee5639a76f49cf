-- escape_env_setmetatable.lua - Another metatable of the environment. Expect: contained
return function(m)
  return (pcall(setmetatable, _G, {}))
end
