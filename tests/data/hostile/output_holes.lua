-- output_holes.lua - A list with holes. Expect: output: list without holes
return function(m)
  return { 1, nil, 3, nil, nil, nil, nil, 8 }
end
