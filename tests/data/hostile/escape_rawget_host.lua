-- escape_rawget_host.lua - Odd arguments for rawget. Expect: contained
return function(m)
  return (pcall(rawget, pairs, 1)) or (pcall(rawget, "", "len"))
end
