-- escape_tonumber_bases.lua - Odd numbers. Expect: contained
return function(m)
  return (pcall(tonumber, "1", 99)) or tonumber("1LL") ~= nil or tonumber("2i") ~= nil
end
