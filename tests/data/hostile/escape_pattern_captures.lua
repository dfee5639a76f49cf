-- escape_pattern_captures.lua - More captures than there are. Expect: contained
return function(m)
  return (pcall(string.find, "x", ("()"):rep(40)))
end
