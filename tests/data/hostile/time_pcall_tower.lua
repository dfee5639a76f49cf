-- time_pcall_tower.lua - Every level catches what stops the level above. Expect: time
return function(m)
  local function f() pcall(f) return f() end
  f()
end
