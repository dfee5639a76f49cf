-- escape_compare_address.lua - Which table comes first. Expect: contained
return function(m)
  return (pcall(function() return {} < {} end))
end
