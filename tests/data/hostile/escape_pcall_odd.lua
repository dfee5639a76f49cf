-- escape_pcall_odd.lua - Odd arguments for pcall. Expect: contained
return function(m)
  return (pcall(pcall)) or (pcall(xpcall)) or (pcall(xpcall, error))
end
