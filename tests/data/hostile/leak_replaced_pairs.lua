-- leak_replaced_pairs.lua - pairs for a later script. Expect: contained
return function(m)
  local real, was = pairs, rawget(_G, "marked")
  pairs = function(t) return real({ stolen = m.secret }) end
  rawset(_G, "marked", true)
  return was ~= nil
end
