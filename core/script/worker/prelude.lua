-- prelude.lua - What a script sees: libraries by an allow-list, and nothing that differs from call to call.
--
-- Run once per Lua state, by environment.c, with the raw functions of LuaJIT.
-- Returns fresh(), which makes the environment of one call: new tables each
-- time, so whatever a script writes into them ends with the call. Functions
-- are shared between calls: they hold nothing, except for the order of 'next',
-- which fresh() forgets.
-- Everything here that a script can call blames the script's line for errors
-- (level 2), and tail-calls the raw function so that it does so, too.
--
-- SPDX-License-Identifier: MIT
local raw, host, strings = ...

local error, next, pcall, rawget, select, setmetatable, tostring, type =
  raw.error, raw.next, raw.pcall, raw.rawget, raw.select, raw.setmetatable, raw.tostring, raw.type
local byte, char, find, format, gmatch, gsub, len, lower, match, rep, reverse, sub, upper =
  raw.string.byte, raw.string.char, raw.string.find, raw.string.format, raw.string.gmatch,
  raw.string.gsub, raw.string.len, raw.string.lower, raw.string.match, raw.string.rep,
  raw.string.reverse, raw.string.sub, raw.string.upper
local concat, insert, maxn, remove, sort =
  raw.table.concat, raw.table.insert, raw.table.maxn, raw.table.remove, raw.table.sort
local floor = raw.math.floor
local pack_date, date_text = host.date, host.date_text

-- ---- A fixed order of keys: numbers, then strings, then false and true ----

local function is_ascending(list, count)
  for i = 2, count do
    if not (list[i - 1] < list[i]) then
      return false
    end
  end
  return true
end

local function keys_of(t)
  local keys, count = {}, 0
  local texts, text_count = {}, 0
  local has_false, has_true = false, false
  for key in next, t do
    local kind = type(key)
    if kind == "string" then
      text_count = text_count + 1
      texts[text_count] = key
    elseif kind == "number" then
      count = count + 1
      keys[count] = key
    elseif key == true then
      has_true = true
    elseif key == false then
      has_false = true
    else
      error("keys that are no text, number or boolean have no fixed order; this table has a " ..
        kind .. " as a key", 3)
    end
  end
  if not is_ascending(keys, count) then
    sort(keys)
  end
  if not is_ascending(texts, text_count) then
    sort(texts)
  end
  for i = 1, text_count do
    keys[count + i] = texts[i]
  end
  count = count + text_count
  if has_false then
    count = count + 1
    keys[count] = false
  end
  if has_true then
    keys[count + 1] = true
  end
  return keys
end

local function step(walk)
  local t, keys, at = walk.t, walk.keys, walk.at
  repeat
    at = at + 1
    local key = keys[at]
    if key == nil then
      return nil
    end
    local value = rawget(t, key)
    if value ~= nil then
      walk.at = at
      return key, value
    end
  until false
end

local function ordered_pairs(t)
  if type(t) ~= "table" then
    error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ")", 2)
  end
  return step, { t = t, keys = keys_of(t), at = 0 }, nil
end

-- The walk that next() is on: it is asked for one key after the other, mostly.
local walked, walked_keys, walked_at

local function seek(key)
  if walked_keys[walked_at] == key then
    return true
  end
  for i = 1, #walked_keys do
    if walked_keys[i] == key then
      walked_at = i
      return true
    end
  end
  return false
end

local function ordered_next(t, key)
  if type(t) ~= "table" then
    error("bad argument #1 to 'next' (table expected, got " .. type(t) .. ")", 2)
  end
  if key == nil then
    if next(t) == nil then
      return nil
    end
    walked, walked_keys, walked_at = t, keys_of(t), 0
  else
    if walked ~= t or not seek(key) then
      walked, walked_keys, walked_at = t, keys_of(t), 0
      if not seek(key) then
        error("bad argument #2 to 'next' (no such key)", 2)
      end
    end
  end
  for i = walked_at + 1, #walked_keys do
    local found = walked_keys[i]
    local value = rawget(t, found)
    if value ~= nil then
      walked_at = i
      return found, value
    end
  end
  return nil
end

-- ---- Texts without addresses ----

local is_plain = { ["nil"] = true, boolean = true, number = true, string = true }

local function plain_tostring(...)
  local value = ...
  local kind = type(value)
  if is_plain[kind] then
    return tostring(...)
  end
  local text = tostring(value)
  if kind ~= "table" or (type(text) == "string" and find(text, "^table: 0x%x+$")) then
    return value == host.null and "null" or kind
  end
  return text
end

local function plain_args(count, value, ...)
  if count == 0 then
    return
  end
  if not is_plain[type(value)] then
    value = plain_tostring(value)
  end
  return value, plain_args(count - 1, ...)
end

local function plain_format(text, ...)
  if type(text) == "string" and find(text, "p", 1, true) and
      find(gsub(text, "%%%%", ""), "%%[%-+ #0]*%d*%.?%d*p") then
    error("bad argument #1 to 'format' (addresses, %p, are not shown)", 2)
  end
  local count = select("#", ...)
  if count <= 2 then
    local a, b = ...
    if is_plain[type(a)] and is_plain[type(b)] then
      return format(text, ...)
    end
  end
  return format(text, plain_args(count, ...))
end

-- ---- What must not be caught, collected or left to chance ----

-- The handler runs after the error, as any other code: in the error itself nothing could stop it.
local function after(handler, is_ok, ...)
  if is_ok then
    return true, ...
  end
  return false, handler(...)
end

local function tame_xpcall(f, handler, ...)
  if type(handler) ~= "function" then
    error("bad argument #2 to 'xpcall' (function expected, got " .. type(handler) .. ")", 2)
  end
  return after(handler, pcall(f, ...))
end

-- A weak table would show when memory is collected, which depends on earlier calls.
local function tame_setmetatable(t, meta)
  if type(meta) == "table" and rawget(meta, "__mode") ~= nil then
    error("setmetatable: weak tables (__mode) are not available", 2)
  end
  return setmetatable(t, meta)
end

-- ---- Values that Lua has no type for: dates, binary, whole numbers beyond 2^53 ----

local date_meta, binary_meta, int64_meta, list_meta = host.date_meta, host.binary_meta,
  host.int64_meta, host.list_meta

local function new_date(ms)
  if type(ms) ~= "number" or ms ~= floor(ms) or ms < -62167219200000 or ms > 253402300799999 then
    error("date: whole milliseconds since 1970, years 0 to 9999, are expected", 2)
  end
  return setmetatable({ ms = ms }, date_meta)
end

local function both_ms(a, b)
  local x, y = rawget(a, "ms"), rawget(b, "ms")
  if type(x) ~= "number" or type(y) ~= "number" then
    error("a date is expected", 3)
  end
  return x, y
end

date_meta.__metatable = "date"
date_meta.__tostring = function(d) return date_text(rawget(d, "ms")) end
date_meta.__eq = function(a, b) local x, y = both_ms(a, b) return x == y end
date_meta.__lt = function(a, b) local x, y = both_ms(a, b) return x < y end
date_meta.__le = function(a, b) local x, y = both_ms(a, b) return x <= y end
date_meta.__sub = function(a, b)
  if type(b) == "number" then
    return new_date(a.ms - b)
  end
  local x, y = both_ms(a, b)
  return x - y
end
date_meta.__add = function(a, b)
  if type(a) == "number" then
    a, b = b, a
  end
  return new_date(a.ms + b)
end
int64_meta.__metatable = "int64"
int64_meta.__tostring = function(i) return i.digits end
int64_meta.__eq = function(a, b) return a.digits == b.digits end
binary_meta.__metatable = "binary"
binary_meta.__tostring = function() return "binary" end
list_meta.__metatable = "list"

local function new_binary(bytes, subtype)
  if type(bytes) ~= "string" then
    error("binary: a text is expected", 2)
  end
  return setmetatable({ bytes = bytes, subtype = subtype or 0 }, binary_meta)
end

local function as_list(t)
  return setmetatable(t or {}, list_meta)
end

-- ---- The string metatable: out of reach, and its methods, too ----

local function fresh_string()
  return {
    byte = byte, char = char, find = find, format = plain_format, gmatch = gmatch, gsub = gsub,
    len = len, lower = lower, match = match, rep = rep, reverse = reverse, sub = sub,
    upper = upper,
  }
end

strings.__index = fresh_string()
strings.__metatable = "string"

-- ---- The environment of one call ----

local function fresh_table()
  return { concat = concat, insert = insert, maxn = maxn, remove = remove, sort = sort }
end

local yield, resume, create, wrap, status, running, isyieldable =
  raw.coroutine.yield, raw.coroutine.resume, raw.coroutine.create, raw.coroutine.wrap,
  raw.coroutine.status, raw.coroutine.running, raw.coroutine.isyieldable

local function fresh_coroutine()
  return {
    create = create, isyieldable = isyieldable, resume = resume, running = running,
    status = status, wrap = wrap, yield = yield,
  }
end

local arshift, band, bnot, bor, bswap, bxor, lshift, rol, ror, rshift, tobit, tohex =
  raw.bit.arshift, raw.bit.band, raw.bit.bnot, raw.bit.bor, raw.bit.bswap, raw.bit.bxor,
  raw.bit.lshift, raw.bit.rol, raw.bit.ror, raw.bit.rshift, raw.bit.tobit, raw.bit.tohex

local function fresh_bit()
  return {
    arshift = arshift, band = band, bnot = bnot, bor = bor, bswap = bswap, bxor = bxor,
    lshift = lshift, rol = rol, ror = ror, rshift = rshift, tobit = tobit, tohex = tohex,
  }
end

local m = raw.math
local abs, acos, asin, atan, atan2, ceil, cos, cosh, deg, exp, fmod, frexp, huge =
  m.abs, m.acos, m.asin, m.atan, m.atan2, m.ceil, m.cos, m.cosh, m.deg, m.exp, m.fmod, m.frexp,
  m.huge
local ldexp, log, log10, max, min, modf, pi, pow, rad, random, randomseed, sin, sinh, sqrt, tan,
  tanh = m.ldexp, m.log, m.log10, m.max, m.min, m.modf, m.pi, m.pow, m.rad, m.random,
  m.randomseed, m.sin, m.sinh, m.sqrt, m.tan, m.tanh

local function fresh_math()
  return {
    abs = abs, acos = acos, asin = asin, atan = atan, atan2 = atan2, ceil = ceil, cos = cos,
    cosh = cosh, deg = deg, exp = exp, floor = floor, fmod = fmod, frexp = frexp, huge = huge,
    ldexp = ldexp, log = log, log10 = log10, max = max, min = min, modf = modf, pi = pi,
    pow = pow, rad = rad, random = random, randomseed = randomseed, sin = sin, sinh = sinh,
    sqrt = sqrt, tan = tan, tanh = tanh,
  }
end

local strict = {
  __metatable = "environment",
  __index = function(_, name)
    error("there is no global '" .. plain_tostring(name) .. "' here", 2)
  end,
  __newindex = function(_, name)
    error("global '" .. plain_tostring(name) .. "' cannot be made: declare it local", 2)
  end,
}

local assert, getmetatable, ipairs, rawequal, rawset, tonumber, unpack =
  raw.assert, raw.getmetatable, raw.ipairs, raw.rawequal, raw.rawset, raw.tonumber, raw.unpack

-- 'library' is a box that the caller fills with what require "personakit" gives.
local function fresh(seed, library)
  walked, walked_keys, walked_at = nil, nil, nil
  randomseed(seed)
  local env = {
    _VERSION = "Lua 5.1", assert = assert, error = error, getmetatable = getmetatable,
    ipairs = ipairs, next = ordered_next, pairs = ordered_pairs, pcall = pcall,
    rawequal = rawequal, rawget = rawget, rawset = rawset, select = select,
    setmetatable = tame_setmetatable, tonumber = tonumber, tostring = plain_tostring,
    type = type, unpack = unpack, xpcall = tame_xpcall,
    bit = fresh_bit(), coroutine = fresh_coroutine(), math = fresh_math(),
    string = fresh_string(), table = fresh_table(),
  }
  env.require = function(name)
    if name == "personakit" and library[1] ~= nil then
      return library[1]
    end
    error("require: there is no module '" .. plain_tostring(name) ..
      "'; a script is one text, and may use \"personakit\"", 2)
  end
  env._G = env
  return setmetatable(env, strict)
end

-- What the library chunk gets, fresh too: it hands on to scripts what it likes.
local function fresh_host()
  return {
    ask = host.ask, null = host.null, date = new_date, binary = new_binary, list = as_list,
  }
end

host.make_date = function(ms) return setmetatable({ ms = ms }, date_meta) end
return fresh, fresh_host
