-- memory_strings_interned.lua - Garbage without end. Expect: time or memory
return function(m)
  local n = 0
  while true do n = n + 1 local s = "k" .. n .. ("z"):rep(200) end
end
