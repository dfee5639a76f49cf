-- escape_package_preload.lua - The FFI by package.preload. Expect: contained
return function(m)
  local ok, p = pcall(function() return package.preload.ffi end)
  return ok and p ~= nil
end
