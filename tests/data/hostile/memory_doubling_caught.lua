-- memory_doubling_caught.lua - Doubles a text and catches the error. Expect: memory
return function(m)
  local s = "x"
  while true do pcall(function() s = s .. s end) end
end
