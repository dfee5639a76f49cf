-- memory_rep_caught.lua - Swallows the error of the cap. Expect: memory
return function(m)
  pcall(string.rep, "x", 1e9)
  return true
end
