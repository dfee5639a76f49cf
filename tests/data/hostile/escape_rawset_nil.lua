-- escape_rawset_nil.lua - Odd arguments for rawset. Expect: contained
return function(m)
  return (pcall(rawset, {}, nil, 1)) or (pcall(rawset, "", 1, 1)) or (pcall(rawset, nil, 1, 1))
end
