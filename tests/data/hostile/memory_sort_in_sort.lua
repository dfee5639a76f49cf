-- memory_sort_in_sort.lua - sort in sort in sort. Expect: error
return function(m)
  local function f() table.sort({ 1, 2, 3 }, f) return true end
  f()
end
