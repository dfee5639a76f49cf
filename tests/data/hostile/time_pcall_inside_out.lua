-- time_pcall_inside_out.lua - A loop in pcall in a loop. Expect: time
return function(m)
  while true do
    pcall(function()
      while true do end
    end)
  end
end
