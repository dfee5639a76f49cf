-- escape_require_ffi.lua - The FFI by require. Expect: contained
return function(m)
  local ok = pcall(require, "ffi")
  return ok
end
