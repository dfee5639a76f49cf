-- escape_error_address.lua - Addresses in messages. Expect: contained
return function(m)
  local ok, e = pcall(error, {})
  local ok2, e2 = pcall(function() return {} .. "x" end)
  return tostring(e):find("0x") ~= nil or e2:find("0x") ~= nil
end
