-- memory_char_many.lua - Letters from ten million numbers. Expect: error
return function(m)
  return #string.char(unpack({}, 1, 1e7))
end
