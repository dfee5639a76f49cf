-- escape_sort_address.lua - An order of tables. Expect: contained
return function(m)
  local t = { {}, {} }
  return (pcall(table.sort, t))
end
