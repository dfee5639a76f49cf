-- escape_pairs_table_keys.lua - The order of tables as keys. Expect: contained
return function(m)
  return (pcall(pairs, { [{}] = 1, [function() end] = 2 }))
end
