-- escape_list_metatable.lua - The metatable of lists. Expect: contained
return function(m)
  return type(getmetatable(m.list)) == "table" or pcall(setmetatable, m.list, nil)
end
