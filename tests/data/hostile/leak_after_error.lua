-- leak_after_error.lua - Leaves something and fails. Expect: error: leaves
rawset(_G, "left", true)
return function(m)
  string.left = m.secret
  error("leaves " .. tostring(rawget(_G, "left") and string.left ~= nil))
end
