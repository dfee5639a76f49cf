-- leak_coroutine_kept.lua - A coroutine that lives on. Expect: contained
return function(m)
  local was = rawget(_G, "co")
  rawset(_G, "co", coroutine.create(function() while true do coroutine.yield(m.secret) end end))
  return was ~= nil
end
