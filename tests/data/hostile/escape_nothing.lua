-- escape_nothing.lua - Gives nothing. Expect: error: gives no function

