-- escape_weak_table.lua - When memory is collected. Expect: contained
return function(m)
  return (pcall(setmetatable, {}, { __mode = "k" }))
end
