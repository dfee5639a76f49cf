-- escape_coroutine_resume_dead.lua - Resumes what has ended. Expect: contained
return function(m)
  local co = coroutine.create(function() end)
  coroutine.resume(co)
  return (coroutine.resume(co))
end
