-- leak_memo.lua - A memo table as a metatable. Expect: contained
local memo = setmetatable({}, { __index = function(t, k) rawset(t, k, true) return false end })
return function(m) return memo.x end
