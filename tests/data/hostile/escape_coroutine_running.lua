-- escape_coroutine_running.lua - The running coroutine. Expect: contained
return function(m)
  local co = coroutine.running()
  return co ~= nil and getmetatable(co) ~= nil
end
