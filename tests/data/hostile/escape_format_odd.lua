-- escape_format_odd.lua - Formats that are none. Expect: contained
return function(m)
  return (pcall(string.format, "%")) or (pcall(string.format, "%y", 1)) or (pcall(string.format, "%d", "x")) or (pcall(string.format, ("%"):rep(99) .. "n", 1))
end
