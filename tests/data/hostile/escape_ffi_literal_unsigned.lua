-- escape_ffi_literal_unsigned.lua - An unsigned 64-bit literal opens the FFI. Expect: syntax: 64-bit
return function(m)
  return 0xffffffffffffffffULL
end
