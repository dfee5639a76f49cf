-- escape_gsub_odd.lua - Patterns that are none. Expect: contained
return function(m)
  return (pcall(string.gsub, "x", "[", "")) or (pcall(string.gsub, "x", "%", "")) or (pcall(string.gsub, "x", "x", "%7"))
end
