-- time_goto_loop.lua - A loop by goto. Expect: time
return function(m)
  ::again::
  goto again
end
