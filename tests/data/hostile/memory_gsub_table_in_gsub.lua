-- memory_gsub_table_in_gsub.lua - gsub in __index in gsub. Expect: error
return function(m)
  local t = setmetatable({}, {})
  getmetatable(t).__index = function(_, k) return (k:gsub("x", t)) end
  return (("x"):gsub("x", t))
end
