-- memory_tables.lua - Tables in tables. Expect: memory or time
return function(m)
  local t = {}
  while true do t = { t } end
end
