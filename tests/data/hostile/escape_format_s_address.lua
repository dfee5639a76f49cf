-- escape_format_s_address.lua - Addresses by %s. Expect: contained
return function(m)
  return string.format("%s", {}):find("0x") ~= nil or ("%s"):format(pairs):find("0x") ~= nil
end
