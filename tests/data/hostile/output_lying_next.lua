-- output_lying_next.lua - next and pairs are gone; nobody needs them. Expect: done
return function(m)
  next = nil
  pairs = nil
  return { a = 1 }
end
