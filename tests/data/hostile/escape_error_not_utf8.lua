-- escape_error_not_utf8.lua - Throws bytes that are no text. Expect: error
return function(m)
  error("\255\254\0", 0)
end
