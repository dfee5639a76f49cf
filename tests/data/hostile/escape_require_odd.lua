-- escape_require_odd.lua - Paths by require. Expect: contained
return function(m)
  for _, name in ipairs({ "../secret", "/etc/passwd", "personakit\0x", "a.b.c" }) do
    if pcall(require, name) then return true end
  end
  return pcall(require, {}) or pcall(require)
end
