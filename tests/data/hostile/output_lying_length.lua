-- output_lying_length.lua - __len lies; it is not asked. Expect: done
return function(m)
  return setmetatable({ 1, 2 }, { __len = function() return 1e9 end })
end
