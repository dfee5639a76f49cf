-- leak_self.lua - A field of the function table it gives. Expect: contained
local api = { n = 0 }
return function(m)
  api.n = api.n + 1
  return api.n > 1
end
