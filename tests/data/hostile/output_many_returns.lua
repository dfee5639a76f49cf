-- output_many_returns.lua - Thousands of results; the first counts. Expect: done
return function(m)
  return 1, 2, 3, unpack({}, 1, 7000)
end
