-- pattern.lua - Regular expressions that cannot hang: for ':matches' and its JSON twin.
--
-- A backtracking matcher can take longer than the universe over thirty bytes.
-- This one never goes back: it keeps the set of all places in the pattern that
-- the text read so far could have led to, and moves the whole set on by each
-- byte (Thompson, 1968). Its time is the text's length times the pattern's, and
-- the latter is limited. There are no captures and no back-references: they are
-- what makes backtracking necessary.
--
-- Taken: literals, . [a-z] [^a-z] \d \w \s \D \W \S | ( ) (?: ) * + ? {n} {n,}
-- {n,m} ^ $, and (?i) in front. It searches; anchor with ^ and $ to match whole
-- texts. '.' and negated classes take one character of UTF-8, or one odd byte.
--
-- A program is a list of instructions: { set = bytes }, { split = a, to = b },
-- { go = a }, { at = "start"|"end" }, { accept = true }.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"

local byte, sub, match, format, lower =
  string.byte, string.sub, string.match, string.format, string.lower
local tonumber, type, ipairs = tonumber, type, ipairs

local pattern = {}

pattern.LENGTH_MAX = 500     -- bytes of a pattern
pattern.PROGRAM_MAX = 2000   -- instructions
local REPEAT_MAX = 200       -- of {n,m}
local DEPTH_MAX = 50         -- groups in groups

-- ---- Sets of bytes ----

local function range(set, first, last)
  for b = first, last do
    set[b] = true
  end
  return set
end

local function complement(set)
  local other = {}
  for b = 0, 255 do
    other[b] = not set[b] or nil
  end
  return other
end

local DIGIT = range({}, 48, 57)
local SPACE = range({ [32] = true }, 9, 13)
local WORD = range(range(range({ [95] = true }, 48, 57), 65, 90), 97, 122)
local CLASS = { d = DIGIT, w = WORD, s = SPACE }
local CONTROL = { n = 10, r = 13, t = 9 }

-- The set of an escape's letter; the second result says that it stands for what it is not.
local function escaped(letter)
  if CLASS[lower(letter)] then
    return CLASS[lower(letter)], letter ~= lower(letter)
  elseif CONTROL[letter] then
    return { [CONTROL[letter]] = true }
  elseif letter ~= "" and not match(letter, "%w") then
    return { [byte(letter)] = true }
  end
  return nil
end

-- ---- Trees: { set }, { seq, ... }, { alt, ... }, { rep, node, least, most }, { at } ----

local function one_of(set)
  return { kind = "set", set = set }
end

-- One character that is not in 'set' of ASCII: a byte below 128, or a sequence of UTF-8. A byte
-- that begins no sequence is taken by itself, so that every text can be passed over.
local function any_but(set)
  local other = complement(set)
  local tail = one_of(range({}, 128, 191))
  return { kind = "alt",
    one_of(other),
    { kind = "seq", one_of(range({}, 0xC2, 0xDF)), tail },
    { kind = "seq", one_of(range({}, 0xE0, 0xEF)), tail, tail },
    { kind = "seq", one_of(range({}, 0xF0, 0xF4)), tail, tail, tail },
  }
end

local function refuse(reader, message)
  reader.fault = reader.fault or fault.new(
    format("the pattern %s is wrong at byte %d: %s", fault.quote(reader.text), reader.at, message),
    "taken are . [a-z] [^a-z] \\d \\w \\s | ( ) * + ? {n,m} ^ $ and (?i) in front")
  return { kind = "seq" }
end

local function peek(reader)
  return sub(reader.text, reader.at, reader.at)
end

local function take(reader)
  local c = peek(reader)
  reader.at = reader.at + 1
  return c
end

local function fold(reader, set)
  if reader.is_caseless then
    for letter = 65, 90 do
      if set[letter] or set[letter + 32] then
        set[letter], set[letter + 32] = true, true
      end
    end
  end
  return set
end

local function class_byte(reader)
  local c = take(reader)
  if c == "\\" then
    local set, is_negated = escaped(take(reader))
    if not set or is_negated then
      return nil, refuse(reader, "an escape that a class cannot hold")
    end
    return set
  elseif c == "" then
    return nil, refuse(reader, "a '[' without its ']'")
  elseif byte(c) > 127 then
    return nil, refuse(reader, "classes hold ASCII only; write (é|è) for others")
  end
  return { [byte(c)] = true }, nil, byte(c)
end

local function read_class(reader)
  local set, is_negated, is_first = {}, false, true
  if peek(reader) == "^" then
    is_negated = true
    take(reader)
  end
  while is_first or peek(reader) ~= "]" do
    is_first = false
    local part, wrong, first = class_byte(reader)
    if wrong then
      return wrong
    end
    if first and peek(reader) == "-" and sub(reader.text, reader.at + 1, reader.at + 1) ~= "]" then
      take(reader)
      local _, also_wrong, last = class_byte(reader)
      if also_wrong or not last or last < first then
        return also_wrong or refuse(reader, "a range that ends before it begins")
      end
      range(set, first, last)
    end
    for b = 0, 127 do
      set[b] = set[b] or part[b]
    end
  end
  take(reader)
  fold(reader, set)
  return is_negated and any_but(set) or one_of(set)
end

local read_choice

local function read_group(reader)
  if sub(reader.text, reader.at, reader.at + 1) == "?:" then
    reader.at = reader.at + 2
  elseif peek(reader) == "?" then
    return refuse(reader, "a group of a kind that is not taken")
  end
  reader.depth = reader.depth + 1
  if reader.depth > DEPTH_MAX then
    return refuse(reader, "groups nested too deep")
  end
  local inner = read_choice(reader)
  reader.depth = reader.depth - 1
  if take(reader) ~= ")" then
    return refuse(reader, "a '(' without its ')'")
  end
  return inner
end

local function read_escape(reader)
  local set, is_negated = escaped(take(reader))
  if not set then
    return refuse(reader, "an escape that is not known")
  end
  if is_negated then
    return any_but(set)
  end
  local copied = {}
  for b = 0, 255 do
    copied[b] = set[b]
  end
  return one_of(fold(reader, copied))
end

local ATOM = {
  ["("] = read_group,
  ["["] = read_class,
  ["\\"] = read_escape,
  ["."] = function() return any_but({ [10] = true }) end,
  ["^"] = function() return { kind = "at", at = "start" } end,
  ["$"] = function() return { kind = "at", at = "end" } end,
}

local function read_atom(reader)
  local c = take(reader)
  if ATOM[c] then
    return ATOM[c](reader)
  elseif match(c, "[*+?{]") then
    return refuse(reader, "'" .. c .. "' with nothing before it to repeat")
  end
  return one_of(fold(reader, { [byte(c)] = true }))
end

local function read_count(reader)
  local least, comma, most, finish = match(reader.text, "^(%d+)(,?)(%d*)}()", reader.at)
  if not least then
    return refuse(reader, "'{' is followed by n}, n,} or n,m}"), nil
  end
  reader.at = finish
  least = tonumber(least)
  most = tonumber(most) or (comma == "" and least or nil)
  if least > REPEAT_MAX or (most or 0) > REPEAT_MAX or most and most < least then
    refuse(reader, format("counts go from 0 to %d, the smaller first", REPEAT_MAX))
  end
  return least, most
end

local REPEAT = { ["*"] = { 0 }, ["+"] = { 1 }, ["?"] = { 0, 1 } }

local function read_repeat(reader)
  local node = read_atom(reader)
  while not reader.fault and match(peek(reader), "^[*+?{]$") do
    local c = take(reader)
    local least, most
    if c == "{" then
      least, most = read_count(reader)
    else
      least, most = REPEAT[c][1], REPEAT[c][2]
    end
    if node.kind == "at" then
      return refuse(reader, "an anchor cannot be repeated")
    end
    node = { kind = "rep", node, least = least, most = most }
  end
  return node
end

local function read_sequence(reader)
  local node = { kind = "seq" }
  while not reader.fault and not match(peek(reader), "^[|)]?$") do
    node[#node + 1] = read_repeat(reader)
  end
  return node
end

function read_choice(reader)
  local node = { kind = "alt", read_sequence(reader) }
  while not reader.fault and peek(reader) == "|" do
    take(reader)
    node[#node + 1] = read_sequence(reader)
  end
  return node
end

-- ---- From the tree to a program ----

local emit

local function add(program, instruction)
  if #program >= pattern.PROGRAM_MAX then
    program.is_too_long = true
  else
    program[#program + 1] = instruction
  end
  return instruction
end

local function emit_optional(program, node)
  local split = add(program, { split = #program + 2 })
  emit(program, node)
  split.to = #program + 1
end

local EMIT = {
  set = function(program, node) add(program, { set = node.set }) end,
  at = function(program, node) add(program, { at = node.at }) end,
  seq = function(program, node)
    for _, part in ipairs(node) do
      emit(program, part)
    end
  end,
  alt = function(program, node)
    local jumps = {}
    for i, part in ipairs(node) do
      local split = i < #node and add(program, { split = #program + 2 })
      emit(program, part)
      if split then
        jumps[i] = add(program, { go = 0 })
        split.to = #program + 1
      end
    end
    for _, jump in ipairs(jumps) do
      jump.go = #program + 1
    end
  end,
  rep = function(program, node)
    for _ = 1, node.least do
      emit(program, node[1])
    end
    if node.most then
      for _ = node.least + 1, node.most do
        emit_optional(program, node[1])
      end
    else
      local start = #program + 1
      local split = add(program, { split = start + 1 })
      emit(program, node[1])
      add(program, { go = start })
      split.to = #program + 1
    end
  end,
}

function emit(program, node)
  if not program.is_too_long then
    EMIT[node.kind](program, node)
  end
end

-- ---- Running it ----

-- Puts into 'list' every place reachable from 'start' without reading. True if one accepts.
local function follow(program, list, mark, step, start, is_first, is_last)
  local stack, top = { start }, 1
  while top > 0 do
    local place = stack[top]
    top = top - 1
    local instruction = program[place]
    if mark[place] ~= step then
      mark[place] = step
      if instruction.accept then
        return true
      elseif instruction.set then
        list.n = list.n + 1
        list[list.n] = place
      elseif instruction.split then
        stack[top + 1], stack[top + 2] = instruction.to, instruction.split
        top = top + 2
      elseif instruction.go or instruction.at == "start" and is_first
          or instruction.at == "end" and is_last then
        top = top + 1
        stack[top] = instruction.go or place + 1
      end
    end
  end
  return false
end

local function search(program, text)
  local mark, now, later = {}, { n = 0 }, { n = 0 }
  local length = #text
  for at = 1, length + 1 do
    local is_last = at == length + 1
    -- A match may begin anywhere, so the start joins the set before every byte.
    if follow(program, now, mark, at, 1, at == 1, is_last) then
      return true
    end
    local b = byte(text, at)
    later.n = 0
    for i = 1, b and now.n or 0 do
      local place = now[i]
      if program[place].set[b] and follow(program, later, mark, at + 1, place + 1, false,
          at == length) then
        return true
      end
    end
    now, later = later, now
  end
  return false
end

-- A function that says whether a text matches; or nil and a fault.
function pattern.compile(text)
  if type(text) ~= "string" or #text > pattern.LENGTH_MAX then
    return nil, fault.new(type(text) == "string" and format("a pattern is longer than %d bytes",
      pattern.LENGTH_MAX) or "a pattern is not a text", "as in '^mon|^tue'")
  end
  local reader = { text = text, at = 1, depth = 0 }
  if sub(text, 1, 4) == "(?i)" then
    reader.is_caseless, reader.at = true, 5
  end
  local tree = read_choice(reader)
  if not reader.fault and reader.at <= #text then
    refuse(reader, "a ')' without its '('")
  end
  if reader.fault then
    return nil, reader.fault
  end
  local program = {}
  emit(program, tree)
  add(program, { accept = true })
  if program.is_too_long then
    return nil, fault.new(format("the pattern %s is too large when its counts are written out",
      fault.quote(text)), "use smaller counts")
  end
  return function(subject)
    return search(program, subject)
  end
end

return pattern
