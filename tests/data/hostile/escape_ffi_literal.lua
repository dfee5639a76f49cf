-- escape_ffi_literal.lua - A 64-bit literal opens the FFI. Expect: syntax: 64-bit
return function(m)
  return 1LL
end
