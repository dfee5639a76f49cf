-- escape_date_metatable.lua - The metatable of dates. Expect: contained
return function(m)
  return type(getmetatable(m.at)) == "table"
end
