-- memory_concat_range.lua - Joins a range that is not there. Expect: error
return function(m)
  return table.concat({}, "x", 1, 1e9)
end
