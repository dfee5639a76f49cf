-- escape_number.lua - Gives a number. Expect: error: gives no function
return 42
