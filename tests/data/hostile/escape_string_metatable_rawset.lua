-- escape_string_metatable_rawset.lua - The metatable of texts by rawset. Expect: contained
return function(m)
  return (pcall(rawset, getmetatable(""), "__index", {}))
end
