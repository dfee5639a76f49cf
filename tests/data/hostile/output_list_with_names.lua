-- output_list_with_names.lua - A list with a named field. Expect: output: list
return function(m)
  m.list.x = 1
  return m.list
end
