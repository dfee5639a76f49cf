-- escape_coroutine_resume_self.lua - Resumes the thread that runs. Expect: contained
return function(m)
  local co = coroutine.running()
  return co ~= nil and (coroutine.resume(co))
end
