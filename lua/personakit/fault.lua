-- fault.lua - What is wrong, where, what is allowed, and the name that was probably meant.
--
-- A fault is { code, message, hint } with, where they are known, 'rule' (the
-- rule's id), 'key' (the key at fault) and 'section'. The words are those of
-- the C side: lower case, no full stop, the failure first, 'quoted' values.
-- Recoverable faults are returned as nil, fault; misuse by an author is raised
-- with his line by whoever he called.
--
-- SPDX-License-Identifier: MIT
local byte, format, sub = string.byte, string.format, string.sub
local concat, sort = table.concat, table.sort
local min = math.min
local gsub, lower = string.gsub, string.lower
local error, pairs, tostring, type = error, pairs, tostring, type

local fault = {}

-- How much of somebody's value a message shows.
local SHOWN_MAX = 60

-- A value in quotes, cut, its control characters shown as codes.
function fault.quote(value)
  if type(value) == "table" then
    return "a table"
  elseif type(value) ~= "string" then
    return type(value) == "number" and format("%.14g", value) or value == nil and "nothing"
      or type(value) == "boolean" and tostring(value) or "a " .. type(value)
  end
  local shown = #value > SHOWN_MAX and sub(value, 1, SHOWN_MAX) .. "..." or value
  shown = gsub(shown, "[%z\1-\31\127]", function(c) return format("\\%d", byte(c)) end)
  return "'" .. shown .. "'"
end

-- fault.new(message, hint, more): 'more' are further fields of it.
function fault.new(message, hint, more)
  local made = { code = "invalid", message = message, hint = hint }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

-- The same with what it happened in put before it: "rule 'x': ...".
function fault.within(prefix, inner, more)
  local made = fault.new(prefix .. ": " .. inner.message, inner.hint, more)
  for _, key in pairs({ "key", "rule", "section" }) do
    if made[key] == nil then
      made[key] = inner[key]
    end
  end
  return made
end

-- One line for error(): message and hint.
function fault.text(what)
  return what.hint and what.message .. " (" .. what.hint .. ")" or what.message
end

-- Edits (insert, delete, replace, swap neighbours) that lead from one name to the other.
local function distance(a, b)
  local before, row, next_row = {}, {}, {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    next_row[0] = i
    for j = 1, #b do
      local cost = byte(a, i) == byte(b, j) and 0 or 1
      local best = min(row[j] + 1, next_row[j - 1] + 1, row[j - 1] + cost)
      if i > 1 and j > 1 and byte(a, i) == byte(b, j - 1) and byte(a, i - 1) == byte(b, j) then
        best = min(best, before[j - 2] + 1)
      end
      next_row[j] = best
    end
    before, row, next_row = row, next_row, before
  end
  return row[#b]
end

local function spelling(name)
  return (gsub(lower(name), "[-_ ]", ""))
end

-- The known name nearest to 'name', or nil when none is near. 'names' is a list.
function fault.nearest(name, names)
  if type(name) ~= "string" or #name > 64 then
    return nil
  end
  local best, best_distance
  local allowed = #name <= 4 and 1 or #name <= 8 and 2 or 3
  for _, candidate in ipairs(names) do
    local steps = spelling(name) == spelling(candidate) and 0 or distance(name, candidate)
    if steps <= allowed and (not best or steps < best_distance
        or steps == best_distance and candidate < best) then
      best, best_distance = candidate, steps
    end
  end
  return best
end

-- "did you mean 'x'? allowed: a, b, c"
function fault.allowed(name, names)
  local sorted = {}
  for i, each in ipairs(names) do
    sorted[i] = each
  end
  sort(sorted)
  if #sorted == 0 then
    return "there is none of that kind here"
  end
  local near = fault.nearest(name, sorted)
  local list = "allowed: " .. concat(sorted, ", ")
  return near and format("did you mean '%s'? %s", near, list) or list
end

-- A metatable that makes reading a name that a table does not have an error at the author's line.
function fault.strict(what)
  return {
    __metatable = what,
    __index = function(self, name)
      local names = {}
      for each in pairs(self) do
        names[#names + 1] = each
      end
      error(fault.text(fault.unknown(what, name, names)), 2)
    end,
  }
end

-- The name 'name' is none of 'names': message and hint say so.
function fault.unknown(what, name, names, more)
  return fault.new(format("%s %s is not known", what, fault.quote(name)),
    fault.allowed(name, names), more)
end

-- A check that takes these words and no other: (value) -> value, or nil and a fault.
function fault.one_of(...)
  local words = { ... }
  return function(of)
    for _, word in ipairs(words) do
      if word == of then
        return of
      end
    end
    return nil, fault.unknown("value", of, words)
  end
end

return fault
