-- time_tail_calls.lua - Calls itself by tail calls, which need no stack. Expect: time
return function(m)
  local function f() return f() end
  f()
end
