-- output_path_hostile.lua - A path with control characters: shown clean. Expect: output: a function
return function(m)
  return { ["\27[31m\nforged: line"] = { f = error } }
end
