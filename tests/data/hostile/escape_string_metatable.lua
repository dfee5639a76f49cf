-- escape_string_metatable.lua - The metatable of texts. Expect: contained
return function(m)
  local mt = getmetatable("")
  return type(mt) == "table"
end
