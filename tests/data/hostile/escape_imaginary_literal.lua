-- escape_imaginary_literal.lua - An imaginary literal opens the FFI. Expect: syntax: imaginary
return function(m)
  return 2i
end
