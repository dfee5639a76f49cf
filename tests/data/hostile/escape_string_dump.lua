-- escape_string_dump.lua - Bytecode of a function. Expect: contained
return function(m)
  return string.dump ~= nil or ("").dump ~= nil
end
