-- escape_tostring_address.lua - Addresses by tostring. Expect: contained
return function(m)
  return tostring({}):find("0x") ~= nil or tostring(pairs):find("0x") ~= nil or tostring(coroutine.create(pairs)):find("0x") ~= nil
end
