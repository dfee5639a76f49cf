-- leak_main_count.lua - Counts loads of its main chunk. Expect: contained
local n = rawget(_G, "loads") or 0
rawset(_G, "loads", n + 1)
return function() return n > 0 end
