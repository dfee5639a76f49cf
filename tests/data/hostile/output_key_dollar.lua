-- output_key_dollar.lua - Keys that a database could take for commands: plain data here. Expect: done
return function(m)
  return { ["$where"] = "while(true);", ["a.b"] = 1 }
end
