-- escape_concat_address.lua - Addresses by concat. Expect: contained
return function(m)
  local ok, e = pcall(table.concat, { {} })
  return ok or e:find("0x") ~= nil
end
