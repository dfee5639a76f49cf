-- value.lua - Values as documents know them: equality, copies, order, text, durations, dates.
--
-- A value is a string, a finite number, true or false, or a table of values:
-- a list (keys 1 to n) or an object (string keys). Null is the absence of a
-- value. Nothing here depends on the order in which a hash is walked: whatever
-- is walked is sorted first. Instants are milliseconds since 1970, UTC.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local host = require "personakit.host"

local floor, abs, huge = math.floor, math.abs, math.huge
local format, match, gsub = string.format, string.match, string.gsub
local concat, sort = table.concat, table.sort
local type, next, tonumber, tostring, rawget, getmetatable = type, next, tonumber, tostring, rawget,
  getmetatable

local value = {}

value.DEPTH_MAX = 32

-- ---- Tables ----

-- The keys of a table in order: numbers first, then strings by their bytes.
function value.keys(of)
  local keys, n = {}, 0
  for key in next, of do
    n = n + 1
    keys[n] = key
  end
  sort(keys, function(a, b)
    if type(a) ~= type(b) then
      return type(a) == "number"
    end
    return a < b
  end)
  return keys
end

-- Whether a table is a list: keys 1 to n and no other. The empty table is.
function value.is_list(of)
  local n = #of
  local count = 0
  for _ in next, of do
    count = count + 1
  end
  return count == n
end

local function equal(a, b, depth)
  if a == b then
    return true
  end
  if type(a) ~= "table" or type(b) ~= "table" or depth > value.DEPTH_MAX then
    return false
  end
  for key, each in next, a do
    if not equal(each, rawget(b, key), depth + 1) then
      return false
    end
  end
  for key in next, b do
    if rawget(a, key) == nil then
      return false
    end
  end
  return true
end

function value.equal(a, b)
  return equal(a, b, 1)
end

-- Values of the host that are taken as a whole: dates, binary data, large integers.
local function whole_of(of)
  local tag = getmetatable(of)
  if tag == "date" then
    return host.date(of.ms)
  elseif tag == "binary" or tag == "int64" then
    return of
  end
  return nil
end

-- An empty table of the same sort: what the host knows as a list stays one.
local function like(of)
  return getmetatable(of) == "list" and host.list({}) or {}
end

-- A copy that shares nothing with 'of', or nil and a fault if it is no value.
local function copy(of, depth, above)
  local kind = type(of)
  if kind == "string" or kind == "boolean" then
    return of
  elseif kind == "number" then
    if of ~= of or of == huge or of == -huge then
      return nil, fault.new("a number is infinite or not a number", "give a finite number")
    end
    return of
  elseif kind ~= "table" then
    if of ~= nil and of == host.null then
      return of
    end
    return nil, fault.new("a " .. kind .. " is not a value",
      "values are texts, numbers, true, false, and lists and objects of these")
  elseif depth > value.DEPTH_MAX or above[of] then
    return nil, fault.new(above[of] and "a value contains itself"
      or format("a value is nested more than %d deep", value.DEPTH_MAX), "make it flatter")
  end
  above[of] = true
  local whole = whole_of(of)
  if whole then
    above[of] = nil
    return whole
  end
  local made, is_list = like(of), value.is_list(of)
  for key, each in next, of do
    if type(key) ~= "string" and not is_list then
      return nil, fault.new("a key is " .. (type(key) == "number" and "a number beside a gap or names"
        or "a " .. type(key)), "keys are texts, or 1 to n in lists")
    end
    local inner, why = copy(each, depth + 1, above)
    if inner == nil then
      return nil, why
    end
    made[key] = inner
  end
  above[of] = nil
  return made
end

function value.copy(of)
  return copy(of, 1, {})
end

-- Copies what is known to be a value already.
function value.clone(of)
  if type(of) ~= "table" then
    return of
  end
  local made = whole_of(of)
  if made then
    return made
  end
  made = like(of)
  for key, each in next, of do
    made[key] = value.clone(each)
  end
  return made
end

-- ---- Text ----

local function number_text(of)
  if of == floor(of) and abs(of) < 1e15 then
    return format("%d", of)
  end
  return format("%.14g", of)
end

-- How a value reads in a sentence: lists as "a, b", objects as "key: value, key: value".
function value.text(of)
  if type(of) == "string" then
    return of
  elseif type(of) == "number" then
    return number_text(of)
  elseif type(of) ~= "table" or getmetatable(of) == "date" then
    return tostring(of)
  end
  local parts = {}
  for i, key in ipairs(value.keys(of)) do
    local text = value.text(of[key])
    parts[i] = type(key) == "number" and text or key .. ": " .. text
  end
  return concat(parts, ", ")
end

-- What a template's hole becomes: the value, the default, or words that say it is not known.
function value.fill(of, path, default, warn)
  if of ~= nil then
    return value.text(of)
  elseif default then
    return default
  end
  warn("'" .. path .. "' is not known; give a default: {{" .. path .. "|...}}")
  return "(" .. gsub(match(path, "[^.]+$"), "_", " ") .. " unknown)"
end

-- The shortest text that is this number again, and no other: 0.4, not 0.40000000000000002.
function value.number(of)
  local text = format("%.15g", of)
  for digits = 16, 17 do
    if tonumber(text) == of then
      break
    end
    text = format("%." .. digits .. "g", of)
  end
  return text
end

-- One text for one value: for messages and for comparing results in tests.
function value.canonical(of)
  if type(of) == "string" then
    return format("%q", of)
  elseif type(of) ~= "table" then
    return type(of) == "number" and value.number(of) or tostring(of)
  end
  local parts, is_list = {}, value.is_list(of)
  for i, key in ipairs(value.keys(of)) do
    parts[i] = (is_list and "" or format("%q:", tostring(key))) .. value.canonical(of[key])
  end
  return (is_list and "[" or "{") .. concat(parts, ",") .. (is_list and "]" or "}")
end

-- ---- Paths ----

value.PATH_MAX = 200

-- The dot path that 'text' means ('/' is taken for '.'), or nil and a fault.
function value.path(text)
  if type(text) ~= "string" then
    return nil, fault.new("a trait's path must be a text, not " .. fault.quote(text),
      "write it as in 'work.chronotype'")
  end
  local path = gsub(text, "/", ".")
  if #path > value.PATH_MAX or path == "" or match(path, "[^%w_.-]") or match(path, "^%.")
      or match(path, "%.%.") or match(path, "%.$") then
    return nil, fault.new(fault.quote(text) .. " is not a trait's path",
      "segments of letters, digits, '_' and '-', joined by dots, as in 'work.chronotype'")
  end
  return path
end

-- ---- Time ----

local UNIT_MS = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, w = 604800000 }

-- Milliseconds of "90s", "7d", or of a number of seconds; or nil and a fault.
function value.duration(of)
  if type(of) == "number" and of >= 0 and of < 1e11 then
    return floor(of * 1000)
  elseif type(of) == "string" then
    local digits, unit = match(of, "^(%d+%.?%d*)(%l+)$")
    if digits and UNIT_MS[unit] and tonumber(digits) * UNIT_MS[unit] < 1e14 then
      return floor(tonumber(digits) * UNIT_MS[unit])
    end
  end
  return nil, fault.new(fault.quote(of) .. " is not a duration",
    "write a number and one of ms, s, m, h, d, w, as in '7d' or '90m'")
end

-- Days since 1970 of a date of the Gregorian calendar; months count from March, so that
-- the leap day is the last of its year.
local function days_of(year, month, day)
  local y = month <= 2 and year - 1 or year
  local era = floor(y / 400)
  local year_of_era = y - era * 400
  local day_of_year = floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  local day_of_era = year_of_era * 365 + floor(year_of_era / 4) - floor(year_of_era / 100)
    + day_of_year
  return era * 146097 + day_of_era - 719468
end

local DATE = "^(%d%d%d%d)-(%d%d)-(%d%d)[Tt](%d%d):(%d%d):(%d%d)(%.?%d*)([Zz+-].*)$"

-- The instant of an ISO 8601 text with its zone, a date of the host, or a number; nil if it is none.
function value.instant(of)
  if type(of) == "number" then
    return of
  elseif type(of) == "table" and type(rawget(of, "ms")) == "number" then
    return of.ms -- A date of the host.
  elseif type(of) ~= "string" then
    return nil
  end
  local year, month, day, hour, minute, second, part, zone = match(of, DATE)
  if not year then
    return nil
  end
  local shift = 0
  if zone ~= "Z" and zone ~= "z" then
    local sign, hours, minutes = match(zone, "^([+-])(%d%d):?(%d%d)$")
    if not sign then
      return nil
    end
    shift = (hours * 60 + minutes) * (sign == "-" and -60000 or 60000)
  end
  local days = days_of(tonumber(year), tonumber(month), tonumber(day))
  return ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000
    + floor((tonumber("0" .. part) or 0) * 1000 + 0.5) - shift
end

local WEEKDAY = { "thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday" }

-- An instant as { year, month, day, hour, minute, second, weekday }, 'offset' minutes east.
function value.date(instant, offset_minutes)
  local ms = instant + (offset_minutes or 0) * 60000
  local days = floor(ms / 86400000)
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local shifted = floor((5 * doy + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  local seconds = floor((ms - days * 86400000) / 1000)
  return {
    year = yoe + era * 400 + (month <= 2 and 1 or 0),
    month = month,
    day = doy - floor((153 * shifted + 2) / 5) + 1,
    hour = floor(seconds / 3600),
    minute = floor(seconds / 60) % 60,
    second = seconds % 60,
    weekday = WEEKDAY[days % 7 + 1],
  }
end

return value
