-- memory_free_and_again.lua - Takes all, lets go, takes all. Expect: memory or time
return function(m)
  while true do
    local t = {}
    pcall(function() for i = 1, 1e8 do t[i] = { i } end end)
    t = nil
  end
end
