-- escape_format_address.lua - Addresses by %p. Expect: contained
return function(m)
  return (pcall(string.format, "%p", {})) or (pcall(string.format, "%-20p", "x"))
end
