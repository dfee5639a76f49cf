-- escape_host_position.lua - Where the host's code lies. Expect: contained
return function(m)
  local ok, e = pcall(pairs, nil)
  return e:find("host:") ~= nil or e:find("prelude") ~= nil
end
