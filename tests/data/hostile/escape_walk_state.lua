-- escape_walk_state.lua - The state of a walk: its own tables only. Expect: contained
return function(m)
  local _, walk = pairs({ 1 })
  walk.t = _G
  walk.keys = { "x" }
  return type(walk) ~= "table"
end
