-- time_select_varargs.lua - Long argument lists for ever. Expect: time
return function(m)
  local function f(...) return select("#", ...) end
  local t = {}
  for i = 1, 200 do t[i] = i end
  while true do f(unpack(t)) end
end
