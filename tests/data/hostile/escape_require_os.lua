-- escape_require_os.lua - All libraries by require. Expect: contained
return function(m)
  for _, name in ipairs({ "os", "io", "debug", "jit", "jit.util", "package", "table.new", "bit", "string", "_G", "" }) do
    if pcall(require, name) then return true end
  end
  return false
end
