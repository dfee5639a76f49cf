-- leak_input_written.lua - Writes into its input. Expect: contained
return function(m)
  local was = m.stolen
  m.stolen = m.secret
  m.list[1] = "changed"
  m.deep.a.b = "changed"
  return was ~= nil
end
