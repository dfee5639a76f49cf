-- time_in_index_of_entry.lua - The value that the script gives has a metatable that loops; it is read raw. Expect: error: gives no function
local real = function() return false end
return setmetatable({}, { __call = function() return real() end, __index = function() while true do end end })
