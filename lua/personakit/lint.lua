-- lint.lua - What a script's text tells before it runs: globals, locals that nobody reads, odd trait paths.
--
-- A reader of Lua that follows scopes and builds no tree: the text has been
-- compiled before, so what is met here is well-formed. It runs in the jail like
-- any script; 'lint' takes { text, reads, declared, given, known, source } and
-- gives a list of { line, message, hint, is_error }.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"

local find, sub, gsub, gmatch = string.find, string.sub, string.gsub, string.gmatch
local format, sort = string.format, table.sort

local lint = {}

-- ---- What a script has ----

local function set(words)
  local made = {}
  for word in gmatch(words, "%S+") do
    made[word] = true
  end
  return made
end

local GLOBALS = set("_G _VERSION assert bit coroutine error getmetatable ipairs math next pairs pcall "
  .. "rawequal rawget rawset require select setmetatable string table tonumber tostring type unpack xpcall")

local FIELDS = {
  bit = set("arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex"),
  coroutine = set("create isyieldable resume running status wrap yield"),
  math = set("abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 "
    .. "max min modf pi pow rad random randomseed sin sinh sqrt tan tanh"),
  string = set("byte char find format gmatch gsub len lower match rep reverse sub upper"),
  table = set("concat insert maxn remove sort"),
}

-- Why something is not there, and what to do instead.
local INSTEAD = {
  os = "the time is ctx.now; scripts have no files and no environment",
  io = "scripts have no files: what they need comes with their input",
  print = "return what you want to see; 'mapper test' shows what came",
  debug = "scripts do not look into the machine they run on",
  package = "require knows \"personakit\" and the files beside init.lua",
  load = "write the code down: texts are never run",
  loadstring = "write the code down: texts are never run",
  loadfile = "put the file beside init.lua and require it",
  dofile = "put the file beside init.lua and require it",
  collectgarbage = "each call begins with nothing and leaves nothing",
  setfenv = "each script has one environment", getfenv = "each script has one environment",
  jit = "the host decides what is compiled", ffi = "scripts call no C",
  newproxy = "use a table",
}

-- What the mindscape that a script is given has beside its traits.
local PARTS = set("goals beliefs narrative now facts found")
local METHODS = { "age", "changed_within", "confidence", "confident", "each", "fill", "has", "value" }
local METHOD = set(table.concat(METHODS, " "))

-- Of what is given to these, by key: which parameter of a function is the mindscape.
local MANIFEST = set("mapper processor condition section")
local MINDSCAPE_AT = { core = 1, overlay = 1, test = 1, from = 1, process = 2 }
local SECTIONED = set("core overlay")

local KEYWORDS = set("and break do else elseif end false for function if in local nil not or repeat "
  .. "return then true until while")

-- ---- Words ----

local function long_end(text, at)
  local _, last, level = find(text, "^%[(=*)%[", at)
  if not last then
    return nil
  end
  local close = "]" .. level .. "]"
  local first = find(text, close, last + 1, true)
  return first and first + #close or #text + 1, last + 1, (first or #text + 1) - 1
end

local function count_lines(text, from, to)
  local count = 0
  local at = find(text, "\n", from, true)
  while at and at <= to do
    count = count + 1
    at = find(text, "\n", at + 1, true)
  end
  return count
end

local function string_end(text, at)
  local quote = sub(text, at, at)
  local i = at + 1
  while i <= #text do
    local c = sub(text, i, i)
    if c == "\\" then
      i = i + 1
    elseif c == quote then
      return i
    end
    i = i + 1
  end
  return #text
end

local NUMBERS = { "^0[xX][%x.]+[pP]?[+-]?%x*[uUlLiI]*", "^%d[%d.]*[eE][+-]?%d+[iI]?", "^%d[%d.]*[uUlLiI]*",
  "^%.%d+[eE][+-]?%d+", "^%.%d+" }
local OPERATORS = { "...", "..", "==", "~=", "<=", ">=", "::" }

-- The words of a text: { kind, value, line }; kinds are name, keyword, string, number, op.
local function words_of(text)
  local words, n, at, line = {}, 0, 1, 1
  local function add(kind, value, stop)
    n = n + 1
    words[n] = { kind = kind, value = value, line = line }
    line = line + count_lines(text, at, stop - 1)
    at = stop
  end
  if find(text, "^#") then
    at = find(text, "\n", 1, true) or #text + 1
  end
  while at <= #text do
    local _, blank = find(text, "^%s+", at)
    if blank then
      line = line + count_lines(text, at, blank)
      at = blank + 1
    elseif find(text, "^%-%-", at) then
      local stop = long_end(text, at + 2) or find(text, "\n", at, true) or #text + 1
      line = line + count_lines(text, at, stop - 1)
      at = stop
    elseif find(text, "^[%a_\128-\255]", at) then
      local _, stop = find(text, "^[%w_\128-\255]+", at)
      local name = sub(text, at, stop)
      add(KEYWORDS[name] and "keyword" or "name", name, stop + 1)
    elseif find(text, "^[\"']", at) then
      local stop = string_end(text, at)
      add("string", sub(text, at + 1, stop - 1), stop + 1)
    elseif find(text, "^%[=*%[", at) then
      local stop, first, last = long_end(text, at)
      add("string", sub(text, first, last), stop)
    else
      local stop
      for _, pattern in ipairs(NUMBERS) do
        local _, last = find(text, pattern, at)
        stop = stop or last
      end
      if stop then
        add("number", nil, stop + 1)
      else
        local size = 1
        for _, operator in ipairs(OPERATORS) do
          if size == 1 and sub(text, at, at + #operator - 1) == operator then
            size = #operator
          end
        end
        add("op", sub(text, at, at + size - 1), at + size)
      end
    end
  end
  words[n + 1] = { kind = "end", line = line }
  return words
end

-- ---- Scopes ----

local Reader = {}
Reader.__index = Reader

function Reader:say(line, is_error, message, hint)
  self.found[#self.found + 1] = { line = line, is_error = is_error, message = message, hint = hint }
end

function Reader:open()
  self.scope = { names = {}, list = {}, above = self.scope }
end

function Reader:close()
  for _, each in ipairs(self.scope.list) do
    if not each.is_read and each.what and sub(each.name, 1, 1) ~= "_" then
      self:say(each.line, false, each.is_written
        and format("%s '%s' is set, and nobody reads it", each.what, each.name)
        or format("%s '%s' is never used", each.what, each.name),
        "take it out, or begin its name with '_'")
    end
  end
  self.scope = self.scope.above
end

-- 'what' is nil for parameters and loop variables: those may stay unused.
function Reader:declare(name, line, what)
  name = name or "_" -- a text that ends here
  local made = { name = name, line = line, what = what }
  self.scope.names[name] = made
  self.scope.list[#self.scope.list + 1] = made
  return made
end

function Reader:look_up(name)
  local scope = self.scope
  while scope do
    if scope.names[name] then
      return scope.names[name]
    end
    scope = scope.above
  end
  return nil
end

function Reader:names_in_reach()
  local names, scope = {}, self.scope
  while scope do
    for _, each in ipairs(scope.list) do
      names[#names + 1] = each.name
    end
    scope = scope.above
  end
  for name in pairs(GLOBALS) do
    names[#names + 1] = name
  end
  return names
end

function Reader:read_name(name, line)
  name = name or "_"
  local known = self:look_up(name)
  if known then
    known.is_read = true
  elseif not GLOBALS[name] then
    local near = fault.nearest(name, self:names_in_reach())
    self:say(line, true, format("there is no global '%s' here", name),
      INSTEAD[name] or near and format("did you mean '%s'?", near) or "declare it local before")
  end
end

function Reader:write_name(name, line)
  name = name or "_"
  local known = self:look_up(name)
  if known then
    known.is_written = true
  else
    self:say(line, true, format("global '%s' cannot be made", name), "declare it: local " .. name)
  end
end

-- ---- Grammar ----

function Reader:peek(value)
  local word = self.words[self.at]
  return word.value == value and (word.kind == "op" or word.kind == "keyword")
end

function Reader:take()
  local word = self.words[self.at]
  self.at = math.min(self.at + 1, #self.words)
  return word
end

function Reader:accept(value)
  if self:peek(value) then
    return self:take()
  end
  return nil
end

local BLOCK_ENDS = set("end else elseif until")

function Reader:block()
  while true do
    local word = self.words[self.at]
    if word.kind == "end" or word.kind == "keyword" and BLOCK_ENDS[word.value] then
      return
    end
    self:statement()
  end
end

function Reader:scoped_block()
  self:open()
  self:block()
  self:close()
end

function Reader:expressions()
  repeat
    self:expression()
  until not self:accept(",")
end

-- From the parameters to 'end'.
function Reader:body(has_self)
  self:open()
  if has_self then
    self:declare("self", 0)
  end
  local mindscape_at, count = self.mindscape_at, 0
  self.mindscape_at = nil
  self:accept("(")
  while not self:accept(")") and self.words[self.at].kind ~= "end" do
    local word = self:take()
    if word.kind == "name" then
      count = count + 1
      local made = self:declare(word.value, word.line)
      -- Elsewhere it is one if it is called as in every guide; who knows.
      made.is_mindscape = count == mindscape_at
      made.may_be_mindscape = word.value == "m"
    end
  end
  self:block()
  self:accept("end")
  self:close()
end

local function is_path(text)
  return #text <= 200 and find(text, "^[%w_-]+[./][%w_./-]+$") ~= nil
end

-- 'role' is "manifest", "sections" (of a persona; each may be a function), or nil.
function Reader:table_fields(role)
  while not self:accept("}") and self.words[self.at].kind ~= "end" do
    local word, after = self.words[self.at], self.words[self.at + 1]
    local key
    if self:accept("[") then
      self:expression()
      self:accept("]")
      self:accept("=")
    elseif word.kind == "name" and after and after.kind == "op" and after.value == "=" then
      key = word.value
      self:take()
      self:take()
    end
    if role and self:peek("function") then
      self.mindscape_at = role == "sections" and 1 or MINDSCAPE_AT[key]
    end
    if role == "manifest" and key and SECTIONED[key] and self:accept("{") then
      self:table_fields("sections")
    else
      self:expression()
    end
    if not self:accept(",") then
      self:accept(";")
    end
  end
end

-- "(...)", "{...}" or a text: what is called got the name 'of'.
function Reader:arguments(of)
  local word = self.words[self.at]
  if word.kind == "string" then
    if of == "trait" then
      self:use(self:take())
    else
      self:take()
    end
  elseif self:accept("{") then
    self:table_fields(of and MANIFEST[of] and "manifest")
  elseif self:accept("(") then
    word = self.words[self.at]
    if of == "trait" and word.kind == "string" then
      self:use(word)
    elseif of and MANIFEST[of] and self:accept("{") then
      self:table_fields("manifest")
      self:accept(",")
    end
    if not self:accept(")") then
      self:expressions()
      self:accept(")")
    end
  end
end

function Reader:use(word)
  if is_path(word.value) then
    self.uses[#self.uses + 1] = { path = gsub(word.value, "/", "."), line = word.line }
  end
end

function Reader:check_field(library, field, line)
  if FIELDS[library] and not FIELDS[library][field] and not self:look_up(library) then
    local names = {}
    for name in pairs(FIELDS[library]) do
      names[#names + 1] = name
    end
    sort(names)
    self:say(line, true, format("there is no '%s.%s' here", library, field),
      fault.allowed(field, names))
  end
end

-- 'm.work.chronotype' looks for a trait 'work'; 'm:valeu' for one that can be called.
function Reader:check_mindscape(base, chain, method)
  local known = self:look_up(base.value)
  if not known or not (known.is_mindscape or known.may_be_mindscape) then
    return
  end
  if method and not METHOD[method.value] then
    self:say(method.line, known.is_mindscape, format("there is no '%s:%s'", base.value, method.value or ""),
      fault.allowed(method.value, METHODS))
  elseif chain and #chain > 1 and not PARTS[chain[1]] and not METHOD[chain[1]] then
    self.chains[#self.chains + 1] = { base = base.value, first = chain[1], line = base.line,
      path = table.concat(chain, ".") }
  end
end

-- A name or '(...)' with what follows it. Gives what it ends in: "name", "field" or "call".
function Reader:suffixed(is_statement)
  local word = self:take()
  local ends, last, base = "name", word, word.kind == "name" and word.value or nil
  if word.kind == "op" and word.value == "(" then
    self:expression()
    self:accept(")")
    ends = "call"
  elseif word.kind ~= "name" then
    return "call"
  end
  local is_first, chain = true, base and {} or nil
  while true do
    local next_word = self.words[self.at]
    if chain and #chain > 0 and not (next_word.kind == "op" and next_word.value == ".") then
      self:check_mindscape(word, chain)
      chain = nil
    end
    local is_more = next_word.kind == "string" or next_word.kind == "op"
      and find(".:[({", next_word.value, 1, true) and next_word.value ~= ".."
    if is_first and ends == "name" and (is_more or not is_statement) then
      self:read_name(word.value, word.line)
    end
    if not is_more then
      return ends, last
    end
    if self:accept(".") then
      last = self:take()
      if is_first and base then
        self:check_field(base, last.value, last.line)
      end
      if chain then
        chain[#chain + 1] = last.value
      end
      ends = "field"
    elseif self:accept(":") then
      last = self:take()
      if is_first and base then
        self:check_mindscape(word, nil, last)
      end
      self:arguments(last.value)
      ends = "call"
    elseif self:accept("[") then
      local key = self.words[self.at]
      if is_first and key.kind == "string" and base and self:look_up(base) then
        self:use(key)
      end
      self:expression()
      self:accept("]")
      ends = "field"
    else
      self:arguments(last.value)
      ends = "call"
    end
    is_first = false
    chain = chain and #chain > 0 and chain or nil
  end
end

local UNARY = { ["-"] = true, ["#"] = true, ["not"] = true }
local BINARY = set("+ - * / % ^ .. < <= > >= == ~= and or")

function Reader:expression()
  while true do
    local word = self.words[self.at]
    local is_sign = word.kind == "op" or word.kind == "keyword"
    if is_sign and UNARY[word.value] then
      self:take()
    else
      if word.kind == "name" or word.kind == "op" and word.value == "(" then
        self:suffixed(false)
      elseif self:accept("{") then
        self:table_fields()
      elseif self:accept("function") then
        self:body(false)
      else
        self:take()
      end
      word = self.words[self.at]
      if not ((word.kind == "op" or word.kind == "keyword") and BINARY[word.value]) then
        return
      end
      self:take()
    end
  end
end

-- ---- Statements ----

function Reader:local_statement()
  if self:accept("function") then
    local word = self:take()
    self:declare(word.value, word.line, "local function")
    self:body(false)
    return
  end
  local names = {}
  repeat
    names[#names + 1] = self:take()
  until not self:accept(",")
  if self:accept("=") then
    self:expressions()
  end
  for _, word in ipairs(names) do
    self:declare(word.value, word.line, "local")
  end
end

function Reader:function_statement()
  local word = self:take()
  local has_self, is_field = false, false
  while self:peek(".") or self:peek(":") do
    has_self = self:take().value == ":"
    is_field = true
    self:take()
  end
  if is_field then
    self:read_name(word.value, word.line)
  else
    self:write_name(word.value, word.line)
  end
  self:body(has_self)
end

function Reader:for_statement()
  local names = {}
  repeat
    names[#names + 1] = self:take()
  until not self:accept(",")
  self:take() -- '=' or 'in'
  self:expressions()
  self:accept("do")
  self:open()
  for _, word in ipairs(names) do
    self:declare(word.value, word.line)
  end
  self:block()
  self:accept("end")
  self:close()
end

function Reader:if_statement()
  repeat
    self:expression()
    self:accept("then")
    self:scoped_block()
  until not self:accept("elseif")
  if self:accept("else") then
    self:scoped_block()
  end
  self:accept("end")
end

local STATEMENTS = {
  ["local"] = Reader.local_statement,
  ["function"] = Reader.function_statement,
  ["for"] = Reader.for_statement,
  ["if"] = Reader.if_statement,
  ["while"] = function(self)
    self:expression()
    self:accept("do")
    self:scoped_block()
    self:accept("end")
  end,
  ["repeat"] = function(self)
    self:open()
    self:block()
    self:accept("until")
    self:expression() -- It sees the locals of the block.
    self:close()
  end,
  ["do"] = function(self)
    self:scoped_block()
    self:accept("end")
  end,
  ["return"] = function(self)
    local word = self.words[self.at]
    if word.kind ~= "end" and not self:peek(";")
        and not (word.kind == "keyword" and BLOCK_ENDS[word.value]) then
      self:expressions()
    end
  end,
  ["break"] = function() end,
}

-- Targets are written when '=' follows, else it was a call.
function Reader:plain_statement()
  local targets = {}
  repeat
    local ends, word = self:suffixed(true)
    targets[#targets + 1] = ends == "name" and word or false
  until not self:accept(",")
  if self:accept("=") then
    self:expressions()
    for _, word in ipairs(targets) do
      if word then
        self:write_name(word.value, word.line)
      end
    end
  end
end

function Reader:statement()
  local word, after = self.words[self.at], self.words[self.at + 1]
  if word.kind == "keyword" and STATEMENTS[word.value] then
    self:take()
    STATEMENTS[word.value](self)
  elseif self:accept(";") then
    return
  elseif self:accept("::") then
    self:take()
    self:accept("::")
  elseif word.kind == "name" and word.value == "goto" and after.kind == "name" then
    self:take()
    self:take()
  else
    self:plain_statement()
  end
end

local function read(text)
  local reader = setmetatable({ words = words_of(text), at = 1, found = {}, uses = {}, chains = {} },
    Reader)
  reader:open()
  local last
  while reader.words[reader.at].kind ~= "end" and reader.at ~= last do
    last = reader.at
    reader:block()
  end
  reader:close()
  return reader
end

-- ---- Trait paths ----

local function line_of(source, path)
  local at = find(source, "\"" .. path .. "\"", 1, true) or find(source, "'" .. path .. "'", 1, true)
    or find(source, path, 1, true)
  return at and 1 + count_lines(source, 1, at) or nil
end

local function is_below(path, list)
  for _, each in ipairs(list) do
    local top = string.match(each, "^(.*)%.%*$")
    if each == path or top and (path == top or sub(path, 1, #top + 1) == top .. ".") then
      return true
    end
  end
  return false
end

-- Paths that are read and not known; without a list of those that are, ones that look misspelt.
local function check_paths(input, uses, say)
  local known = {}
  for _, list in ipairs({ input.declared or {}, input.given or {}, input.known or {} }) do
    for _, path in ipairs(list) do
      known[#known + 1] = path
    end
  end
  local told = {}
  for _, use in ipairs(uses) do
    if not told[use.path] and not is_below(use.path, known) then
      told[use.path] = true
      local near = fault.nearest(use.path, known)
      if near or input.known then
        say(use.line, format("trait path '%s' is not known", use.path),
          near and format("did you mean '%s'?", near) or "no trait of that path is known so far")
      end
    end
  end
end

-- A trait that is a table may be looked into; if it is known to be one of its own, nothing is said.
local function check_chains(input, chains, say)
  local known = {}
  for _, list in ipairs({ input.declared or {}, input.given or {}, input.known or {} }) do
    for _, path in ipairs(list) do
      known[path] = true
    end
  end
  for _, chain in ipairs(chains) do
    if not known[chain.first] then
      say(chain.line, format("'%s.%s' looks for a trait '%s', and then into its value", chain.base,
        chain.path, chain.first),
        format("a trait's path is one text: %s[\"%s\"]", chain.base, chain.path))
    end
  end
end

-- { text?, source, reads, declared, given, known? } -> { { line, message, hint, is_error } ... }
function lint.lint(input)
  local list, uses, chains = {}, {}, {}
  if input.text then
    local reader = read(input.text)
    list, uses, chains = reader.found, reader.uses, reader.chains
  end
  local function remark(line, message, hint)
    list[#list + 1] = { line = line, message = message, hint = hint, is_error = false }
  end
  check_chains(input, chains, remark)
  for _, path in ipairs(input.reads or {}) do
    uses[#uses + 1] = { path = path, line = line_of(input.source, path) }
  end
  check_paths(input, uses, remark)
  sort(list, function(a, b)
    if (a.line or 0) ~= (b.line or 0) then
      return (a.line or 0) < (b.line or 0)
    end
    return a.message < b.message
  end)
  return list
end

return lint
