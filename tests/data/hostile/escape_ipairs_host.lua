-- escape_ipairs_host.lua - Odd arguments for ipairs. Expect: contained
return function(m)
  return (pcall(ipairs, pairs)) or (pcall(ipairs))
end
