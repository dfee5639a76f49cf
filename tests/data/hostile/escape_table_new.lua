-- escape_table_new.lua - Tables by the compiler's own functions. Expect: contained
return function(m)
  return table.new ~= nil or table.clear ~= nil or table.clone ~= nil
end
