-- output_table_key.lua - A table as a key. Expect: output: a key that is a table
return function(m)
  return { [{}] = 1 }
end
