-- escape_table_foreach.lua - The old walks, in no fixed order. Expect: contained
return function(m)
  return table.foreach ~= nil or table.foreachi ~= nil or table.getn ~= nil
end
