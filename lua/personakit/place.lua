-- place.lua - The line of a source that a fault of a manifest is about.
--
-- 'return pk.mapper {...}' is a tail call: nothing on the stack knows the line
-- any more, and a rule of JSON never had one. So it is looked for in the text:
-- the rule's id in quotes, and from there the key. Good enough to put a caret.
--
-- SPDX-License-Identifier: MIT
local find, gmatch = string.find, string.gmatch
local type = type

local place = {}

local function lines_of(source)
  local lines = {}
  for line in gmatch(source .. "\n", "([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- The first line from 'from' on for which test(line) holds, or nil.
local function first(lines, from, test)
  for i = from, #lines do
    if test(lines[i]) then
      return i
    end
  end
  return nil
end

local function has_quoted(word)
  return function(line)
    return find(line, "\"" .. word .. "\"", 1, true) or find(line, "'" .. word .. "'", 1, true)
  end
end

local function has_key(key)
  return function(line)
    return find(line, "%f[%w_]" .. key .. "%f[^%w_][\"']?%]?%s*[=:]")
  end
end

-- The line that a fault is about; 1 when nothing of it is found.
function place.line(source, fault)
  if type(source) ~= "string" then
    return nil
  end
  local lines = lines_of(source)
  local from = fault.rule and first(lines, 1, has_quoted(fault.rule))
    or first(lines, 1, function(line)
      return find(line, "pk%.mapper") or find(line, "pk%.processor") or find(line, "pk%.condition")
    end) or 1
  local is_name = type(fault.key) == "string" and find(fault.key, "^[%w_]+$")
  return is_name and first(lines, from, has_key(fault.key)) or from
end

return place
