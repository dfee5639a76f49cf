-- time_at_load_tower.lua - The main chunk recurses in pcall. Expect: time
local function f() pcall(f) return f() end
f()
return function() end
