-- memory_fragments.lua - Frees most of many blocks, and asks for larger ones that do not fit in the holes. Expect: memory or time or done
return function(m)
  local kept = {}
  for round, r in ipairs({ { 60, 50000, 60 }, { 4500, 1300, 9 }, { 40000, 140, 6 } }) do
    local all, keep, text = {}, {}, ("x"):rep(r[1])
    for i = 1, r[2] do
      all[i] = text .. i
      if i % r[3] == 0 then keep[#keep + 1] = all[i] end
    end
    kept[round], all = keep, nil
    for i = 1, 40000 do local t = { i } end
  end
  return #kept
end
