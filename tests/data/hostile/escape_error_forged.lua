-- escape_error_forged.lua - Throws a message with control characters and a forged position. Expect: error
return function() error("\27[2Jother.lua:1: \r\nlevel=ERROR forged\0end", 0) end
