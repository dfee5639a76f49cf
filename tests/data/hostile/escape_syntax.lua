-- escape_syntax.lua - Is no Lua. Expect: syntax
return function( end
