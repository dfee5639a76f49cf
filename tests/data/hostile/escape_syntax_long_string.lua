-- escape_syntax_long_string.lua - A text that never ends. Expect: syntax
return [==[ x
