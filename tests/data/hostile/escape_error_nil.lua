-- escape_error_nil.lua - Throws nothing. Expect: error: nil
return function(m)
  error(nil)
end
