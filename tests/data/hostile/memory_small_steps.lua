-- memory_small_steps.lua - Takes memory in small steps, catching each error. Expect: memory
return function(m)
  local t = {}
  while true do
    pcall(function()
      for i = 1, 1000 do t[#t + 1] = { i } end
    end)
  end
end
