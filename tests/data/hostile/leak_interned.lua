-- leak_interned.lua - An interned text: no clock tells. Expect: contained
return function(m)
  local s = m.secret .. "-interned"
  return #s == 0
end
