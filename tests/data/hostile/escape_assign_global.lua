-- escape_assign_global.lua - Makes a global. Expect: error: declare it local
secret = 1
return function() end
