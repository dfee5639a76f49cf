-- output_fake_date.lua - A table that says it is a date is a table. Expect: done
return function(m)
  local d = setmetatable({ ms = 1 }, { __metatable = "date" })
  return { d }
end
