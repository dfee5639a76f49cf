-- escape_load.lua - Text to code. Expect: contained
return function(m)
  return rawget(_G, "load") ~= nil or rawget(_G, "loadstring") ~= nil
end
