-- leak_replaced_require.lua - require for a later script. Expect: contained
return function(m)
  local was = require("personakit").stolen
  require = function() return { stolen = true } end
  return was ~= nil
end
