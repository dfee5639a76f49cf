-- output_not_utf8.lua - A text that is not UTF-8. Expect: output: name: the text is not valid UTF-8
return function(m)
  return { name = "\255\254" }
end
