-- escape_format_q_table.lua - %q of a table. Expect: contained
return function(m)
  return string.format("%q", {}) ~= [["table"]]
end
