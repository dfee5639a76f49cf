-- escape_undefined_global.lua - Reads a global that is not there. Expect: error: there is no global 'secret'
return function(m)
  return secret
end
