-- escape_select_odd.lua - Odd arguments for select. Expect: contained
return function(m)
  return (pcall(select, 0)) or (pcall(select, -1)) or (pcall(select, "x"))
end
