-- escape_error_function.lua - Throws a function. Expect: error: function
return function(m)
  error(function() end)
end
