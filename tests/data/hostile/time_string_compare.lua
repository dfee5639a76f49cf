-- time_string_compare.lua - Compares long texts for ever. Expect: time
return function(m)
  local a, b = ("x"):rep(1e6) .. "a", ("x"):rep(1e6) .. "b"
  local n = 0
  while true do if a < b then n = n + 1 end end
end
