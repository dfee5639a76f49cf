-- memory_gsub_in_gsub.lua - gsub in gsub in gsub. Expect: error
return function(m)
  local function f() return (("x"):gsub("x", f)) end
  return f()
end
