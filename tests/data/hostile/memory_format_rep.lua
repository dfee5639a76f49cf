-- memory_format_rep.lua - More directives than values. Expect: error
return function(m)
  return #string.format(("%s"):rep(200), unpack({}, 1, 0))
end
