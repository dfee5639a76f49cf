-- memory_at_load.lua - Takes all memory as it is loaded. Expect: memory
local t = {}
for i = 1, 1e9 do t[i] = {} end
return function() end
