-- time_at_load.lua - The main chunk never returns. Expect: time
while true do end
