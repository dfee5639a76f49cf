-- time_format_for_ever.lua - Long formats for ever. Expect: error: bad argument
return function(m)
  while true do string.format(("%99.99f"):rep(90), unpack({}, 1, 0)) end
end
