-- prelude.lua - What a script sees: libraries by an allow-list, and nothing that differs from call to call.
--
-- Run once per Lua state, by environment.c, with the raw functions of LuaJIT.
-- Returns fresh(), which makes the environment of one call: new tables each
-- time, so whatever a script writes into them ends with the call. Functions
-- are shared between calls: they hold nothing, except for the order of 'next'
-- and the depth of coroutines, which fresh() forgets.
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
local floor, huge, min = raw.math.floor, raw.math.huge, raw.math.min
local create, isyieldable, resume, running, status, yield =
  raw.coroutine.create, raw.coroutine.isyieldable, raw.coroutine.resume, raw.coroutine.running,
  raw.coroutine.status, raw.coroutine.yield
local date_text = host.date_text

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

-- ---- What would pile up C frames, which no cap counts: callbacks from C, coroutines in coroutines ----

local function replacement_for(text, with, first, last, capture, ...)
  local key = capture
  if key == nil then
    key = sub(text, first, last)
  end
  local value
  if type(with) == "table" then
    value = with[key]
  elseif capture == nil then
    value = with(key)
  else
    value = with(capture, ...)
  end
  if not value then
    return sub(text, first, last)
  end
  if type(value) ~= "string" and type(value) ~= "number" then
    error("invalid replacement value (a " .. type(value) .. ")", 4)
  end
  return value
end

-- One match of gsub: appends what is before it and its replacement; returns where it lies.
local function replace_one(out, text, with, at, first, last, ...)
  if first then
    out[#out + 1] = sub(text, at, first - 1)
    out[#out + 1] = replacement_for(text, with, first, last, ...)
  end
  return first, last
end

local function replace_all(text, pattern, with, most)
  local out, count, at, size = {}, 0, 1, len(text)
  local is_anchored = sub(pattern, 1, 1) == "^"
  while count < most do
    local first, last = replace_one(out, text, with, at, find(text, pattern, at))
    if not first then
      break
    end
    count = count + 1
    if last >= first then
      at = last + 1
    else -- An empty match: one letter goes by.
      at = first + 1
      if first > size then
        break
      end
      out[#out + 1] = sub(text, first, first)
    end
    if is_anchored then
      break
    end
  end
  out[#out + 1] = sub(text, at)
  return concat(out), count
end

local function tame_gsub(...)
  local text, pattern, with, most = ...
  local kind = type(with)
  if kind ~= "function" and kind ~= "table" then
    return gsub(...)
  end
  if type(text) == "number" then
    text = tostring(text)
  end
  if type(text) ~= "string" or type(pattern) ~= "string" or
      not (most == nil or type(most) == "number") then
    return gsub(...) -- Refuses it in its own words.
  end
  return replace_all(text, pattern, with, most or huge)
end

-- By merging: stable, and harmless whatever the comparison says.
local function merge_sort(t, is_less)
  local count, from, to, width = #t, {}, {}, 1
  for i = 1, count do
    from[i] = t[i]
  end
  while width < count do
    for start = 1, count, 2 * width do
      local left, right = start, start + width
      local left_last, last = min(right - 1, count), min(right + width - 1, count)
      for k = start, last do
        if right > last or (left <= left_last and not is_less(from[right], from[left])) then
          to[k] = from[left]
          left = left + 1
        else
          to[k] = from[right]
          right = right + 1
        end
      end
    end
    from, to, width = to, from, 2 * width
  end
  for i = 1, count do
    t[i] = from[i]
  end
end

local function is_below(a, b)
  return a < b
end

local function tame_sort(t, is_less)
  if type(t) ~= "table" or (is_less ~= nil and type(is_less) ~= "function") then
    return sort(t, is_less) -- Refuses it in its own words.
  end
  if is_less == nil and type(rawget(t, 1)) ~= "table" then
    return sort(t)
  end
  merge_sort(t, is_less or is_below)
end

local nested = 0 -- Coroutines that are within each other now.

local function leave(...)
  nested = nested - 1
  return ...
end

local function tame_resume(co, ...)
  if type(co) ~= "thread" then
    return resume(co)
  end
  if nested >= 190 then
    return false, "too many coroutines within each other"
  end
  nested = nested + 1
  return leave(resume(co, ...))
end

local function pass_on(is_ok, ...)
  if not is_ok then
    error((...), 0)
  end
  return ...
end

local function tame_wrap(f)
  local co = create(f)
  return function(...)
    return pass_on(tame_resume(co, ...))
  end
end

-- ---- The string metatable: out of reach, and its methods, too ----

local function fresh_string()
  return {
    byte = byte, char = char, find = find, format = plain_format, gmatch = gmatch, gsub = tame_gsub,
    len = len, lower = lower, match = match, rep = rep, reverse = reverse, sub = sub,
    upper = upper,
  }
end

strings.__index = fresh_string()
strings.__metatable = "string"

-- ---- The environment of one call ----

local function fresh_table()
  return { concat = concat, insert = insert, maxn = maxn, remove = remove, sort = tame_sort }
end

local function fresh_coroutine()
  return {
    create = create, isyieldable = isyieldable, resume = tame_resume, running = running,
    status = status, wrap = tame_wrap, yield = yield,
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
local abs, acos, asin, atan, atan2, ceil, cos, cosh, deg, exp, fmod, frexp =
  m.abs, m.acos, m.asin, m.atan, m.atan2, m.ceil, m.cos, m.cosh, m.deg, m.exp, m.fmod, m.frexp
local ldexp, log, log10, max, modf, pi, pow, rad, random, randomseed, sin, sinh, sqrt, tan, tanh =
  m.ldexp, m.log, m.log10, m.max, m.modf, m.pi, m.pow, m.rad, m.random, m.randomseed, m.sin,
  m.sinh, m.sqrt, m.tan, m.tanh

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

local assert, getmetatable, ipairs, rawequal, rawset, setfenv, tonumber, unpack = raw.assert,
  raw.getmetatable, raw.ipairs, raw.rawequal, raw.rawset, raw.setfenv, raw.tonumber, raw.unpack

local LOADING = {} -- Stands for what a module gives while it runs.

-- Whether there is none of that name, or it is running: then it requires itself.
local function missing(name, modules, value)
  if value == LOADING then
    return "require: module '" .. name .. "' requires itself, or has failed before"
  end
  local names, count = { "\"personakit\"" }, 1
  for each in ordered_pairs(modules or {}) do
    count = count + 1
    names[count] = "\"" .. each .. "\""
  end
  return "require: there is no module '" .. plain_tostring(name) .. "'; this script may use " ..
    concat(names, ", ")
end

-- 'box' is what require gives: at 1 the library, which the caller puts there, at 2 the script's
-- modules by name, or nil.
local function fresh(seed, box)
  walked, walked_keys, walked_at, nested = nil, nil, nil, 0
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
  local loaded = nil
  env.require = function(name)
    if name == "personakit" and box[1] ~= nil then
      return box[1]
    end
    local modules = box[2]
    local value = loaded and loaded[name]
    if value ~= nil and value ~= LOADING then
      return value
    end
    local chunk = modules and name ~= nil and rawget(modules, name)
    if not chunk or value == LOADING then
      error(missing(name, modules, value), 2)
    end
    loaded = loaded or {}
    loaded[name] = LOADING
    value = setfenv(chunk, env)(name)
    if value == nil then
      value = true
    end
    loaded[name] = value
    return value
  end
  env._G = env
  return setmetatable(env, strict)
end

local raw_hold, raw_wanted, raw_fill, raw_entry, raw_all = host.raw.hold, host.raw.wanted,
  host.raw.fill, host.raw.entry, host.raw.all
local raw_form, raw_reads, raw_note, forms_meta = host.raw.form, host.raw.reads, host.raw.note,
  host.raw.forms_meta
local raw_interpret = host.raw.interpret

local function as_forms(t)
  return setmetatable(t, forms_meta)
end

-- What the library chunk gets, fresh too: it hands on to scripts what it likes.
local function fresh_host()
  return {
    ask = host.ask, null = host.null, date = new_date, binary = new_binary, list = as_list,
    raw = {
      hold = raw_hold, wanted = raw_wanted, fill = raw_fill, entry = raw_entry, all = raw_all,
      form = raw_form, forms = as_forms, reads = raw_reads, note = raw_note, interpret = raw_interpret,
    },
  }
end

return fresh, fresh_host
