-- escape_next_odd.lua - Odd arguments for next. Expect: contained
return function(m)
  return (pcall(next, {}, "absent")) or (pcall(next, "x")) or (pcall(next))
end
