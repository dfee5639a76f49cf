-- escape_package_loaded.lua - The FFI by package.loaded. Expect: contained
return function(m)
  local ok, p = pcall(function() return package.loaded.ffi end)
  return ok and p ~= nil
end
