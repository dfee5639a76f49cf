-- manifest.lua - What a script says of itself: one table of keys for each kind, checked and put in one form.
--
-- Both spellings are taken, that of Lua (requires, context_window) and that of
-- the documents (requiredTraits, contextWindow), at the top or in
-- 'configuration' and 'metadata' as the documents have them. A fault names the
-- key, what is allowed, and the nearest known name.
--
-- If you add a key: its row here; the server's schema of mappers in
-- core/doc/schema_mapper.c if it is stored.
--
-- SPDX-License-Identifier: MIT
local condition = require "personakit.condition"
local fault = require "personakit.fault"
local host = require "personakit.host"
local rule = require "personakit.rule"
local template = require "personakit.template"
local value = require "personakit.value"

local format, gsub, match, upper = string.format, string.gsub, string.match, string.upper

local manifest = {}

manifest.RULES_MAX = 2000
manifest.RULE = "personakit rule" -- the metatable of what pk.rule gives

-- ---- Checks: (value) -> value in its normal form, or nil and a fault ----

local function text(of)
  if type(of) == "string" and of ~= "" and #of <= 65536 then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not a text", "a text of 1 byte to 64 KiB")
end

local function script_id(of)
  if type(of) == "string" and #of <= 64 and match(of, "^[a-z0-9][a-z0-9_-]*$") then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not an id",
    "1 to 64 characters a-z, 0-9, '_' and '-', the first a letter or digit")
end

local function is_number_part(part)
  return #part <= 15 and (part == "0" or match(part, "^[1-9]%d*$") ~= nil)
end

local function are_identifiers(list, is_strict)
  for part in string.gmatch(list .. ".", "([^.]*)%.") do
    if not match(part, "^[%w-]+$") or is_strict and match(part, "^%d+$")
        and not is_number_part(part) then
      return false
    end
  end
  return true
end

local function is_semver(of)
  local core, build = match(of, "^([^+]*)%+?(.*)$")
  if match(of, "%+") and not are_identifiers(build) then
    return false
  end
  local numbers, pre = match(core, "^([^-]*)(.*)$")
  local major, minor, patch = match(numbers, "^(%d+)%.(%d+)%.(%d+)$")
  return major ~= nil and is_number_part(major) and is_number_part(minor)
    and is_number_part(patch) and (pre == "" or are_identifiers(pre:sub(2), true))
end

-- An integer N is N.0.0: so the documents of version 0.2.0 count.
local function version(of)
  if type(of) == "number" and of == math.floor(of) and of >= 0 and of < 1e9 then
    return format("%d.0.0", of)
  elseif type(of) == "string" and is_semver(of) then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not a version", "a semantic version like 1.2.3")
end

local function seconds(of)
  local ms, why = value.duration(of)
  if ms and ms < 1000 then
    return nil, fault.new(fault.quote(of) .. " is shorter than a second", "as in '24h'")
  end
  return ms and math.floor(ms / 1000), why
end

local function step(of)
  local ms, why = value.duration(of)
  if ms and ms < 1000 then
    return nil, fault.new(fault.quote(of) .. " is shorter than a second", "as in '1h'")
  end
  return ms, why
end

local function days(of)
  if type(of) == "number" and of >= 0 and of <= 36500 then
    return of
  elseif type(of) == "string" then
    local ms, why = value.duration(of)
    return ms and ms / 86400000, why
  end
  return nil, fault.new(fault.quote(of) .. " is no stretch of time", "days, or a text like '30d'")
end

local function list_of(check, what)
  return function(of)
    if type(of) ~= "table" or not value.is_list(of) then
      return nil, fault.new(fault.quote(of) .. " is not a list", type(of) == "string"
        and format("put it in braces: { \"%s\" }", gsub(of, "[^%w ._*/-]", "?")) or what)
    end
    local made = host.list({})
    for i, each in ipairs(of) do
      local checked, why = check(each)
      if checked == nil then
        return nil, fault.within(format("item %d", i), why)
      end
      made[i] = checked
    end
    return made
  end
end

local function path_or_prefix(of)
  local top = type(of) == "string" and match(of, "^(.*)[./]%*$")
  if not top then
    local path, why = value.path(of)
    if not path and type(of) == "string" and match(of, "%*") then
      why.hint = "all traits below one are written with '.*' at the end, as in 'work.focus.*'"
    end
    return path, why
  end
  local path, why = value.path(top)
  return path and path .. ".*", why
end

local function object(of)
  if type(of) ~= "table" or #of > 0 then
    return nil, fault.new(fault.quote(of) .. " is not an object", "as in { key = value }")
  end
  return value.copy(of)
end

-- A function, or a table of sections: functions, pk.section and plain values.
local function half(of)
  if type(of) == "function" then
    return of
  elseif type(of) ~= "table" or #of > 0 then
    return nil, fault.new((type(of) == "table" and "a list" or fault.quote(of)) .. " gives no sections",
      "function(m, ctx) return { section = ... } end, or a table of sections")
  end
  for _, name in ipairs(value.keys(of)) do
    local known, why = rule.section_name(name)
    if not known then
      return nil, why
    end
    local each = of[name]
    if type(each) ~= "function" and not (type(each) == "table" and each.is_section) then
      local copied
      copied, why = value.copy(each)
      if copied == nil then
        return nil, fault.within("section '" .. name .. "'", why)
      end
    end
  end
  return of
end

local function a_function(of)
  if type(of) == "function" then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not a function", "as in function(obs, m, t) ... end")
end

local function a_condition(of)
  if condition.is_condition(of) and of.kind ~= "trait" then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not a condition", "as in pk.trait(path):is(value)")
end

local function list_like(hint)
  return function(of)
    if type(of) == "table" and getmetatable(of) ~= manifest.RULE and value.is_list(of) then
      return of
    end
    local shown = type(of) == "table" and "one table" or fault.quote(of)
    return nil, fault.new(shown .. " is not a list", hint)
  end
end

-- 'hot_layer_queries' as the documents write it; what is in 'parameters' and 'filters' is free.
local function camel(of)
  if type(of) ~= "table" then
    return of
  end
  local is_list = getmetatable(of) == "list" or next(of) ~= nil and value.is_list(of)
  local made = is_list and host.list({}) or {}
  for key, each in pairs(of) do
    local name = type(key) == "string" and gsub(key, "_(%l)", upper) or key
    made[name] = (name == "parameters" or name == "filters") and each or camel(each)
  end
  return made
end

-- Marks the lists of an object: one that is empty cannot be told from an empty object.
local function mark_lists(of, names)
  for _, name in ipairs(names) do
    if type(of) == "table" and type(of[name]) == "table" and next(of[name]) == nil then
      of[name] = host.list({})
    end
  end
end

local PIPELINE = { "hotLayerQueries", "warmLayerQueries", "coldLayerAnalysis" }

-- What is not looked up may be left out.
local function pipeline(of)
  local made, why = object(of)
  if not made then
    return nil, why
  end
  made = camel(made)
  made.hotLayerQueries = made.hotLayerQueries or {}
  made.warmLayerQueries = made.warmLayerQueries or {}
  mark_lists(made, PIPELINE)
  for _, query in ipairs(type(made.hotLayerQueries) == "table" and made.hotLayerQueries or {}) do
    if type(query) == "table" then
      query.parameters = query.parameters or {}
    end
  end
  return made
end

local function output(of)
  local made, why = object(of)
  if not made then
    return nil, why
  end
  made = camel(made)
  made.sections = made.sections or {}
  made.formatting = made.formatting or {}
  mark_lists(made, { "sections" })
  for _, section in ipairs(type(made.sections) == "table" and made.sections or {}) do
    mark_lists(section, { "dataSource" })
  end
  return made
end

local LIMITS = { "soft_ms", "hard_ms", "memory_bytes", "output_bytes" }

local function limits(of)
  local made, why = object(of)
  if not made then
    return nil, why
  end
  local wrong = rule.check_keys(made, LIMITS)
  if wrong then
    return nil, wrong
  end
  for _, name in ipairs(LIMITS) do
    if made[name] ~= nil and (type(made[name]) ~= "number" or made[name] < 1) then
      return nil, fault.new(format("%s is %s", name, fault.quote(made[name])), "a number above 0")
    end
  end
  return made
end

-- ---- Keys: { name in Lua, name in documents, check, help } ----

local COMMON = {
  { "id", "id", script_id, "its id, the same in all versions" },
  { "version", "version", version, "its semantic version" },
  { "name", "name", text, "what it is called" },
  { "purpose", "purpose", text, "what it is for" },
  { "description", "description", text, "what it does" },
  { "author", "author", text, "who wrote it" },
  { "parent_version", "parentVersion", version, "the version it was made from" },
  { "time_step", "timeStepMs", step, "what a plain read of the clock is good for; 1h" },
  { "limits", "limits", limits, "soft_ms, hard_ms, memory_bytes, output_bytes" },
  { "capabilities", "capabilities", list_of(text, "as in { \"search\" }"),
    "what it may ask the host for" },
  { "config", "config", object, "the schema of its settings" },
  { "on_error", "onError", fault.one_of("reject", "skip"), "what happens when it fails" },
  { "examples", "examples", list_like("as in { { given = {...}, expect = {...} }, ... }"),
    "cases that are run before it may serve" },
  { "metadata", "metadata", object, "whatever else it says of itself" },
}

local function keys_of(more)
  local rows = {}
  for _, list in ipairs({ COMMON, more }) do
    for _, row in ipairs(list) do
      rows[#rows + 1] = row
    end
  end
  return rows
end

local PATHS = list_of(path_or_prefix, "as in { \"work.chronotype\", \"work.focus.*\" }")
local TEXTS = list_of(text, "a list of texts")

manifest.kind = {
  mapper = keys_of({
    { "ttl", "ttlSeconds", seconds, "how long its personas live; 24h" },
    { "overlay_ttl", "overlayTtlSeconds", seconds, "how long their overlays are good; as 'ttl'" },
    { "on_missing", "onMissing", fault.one_of("reject", "degrade"),
      "what happens when a required trait is not known; reject" },
    { "requires", "requiredTraits", PATHS, "traits it cannot do without" },
    { "optional", "optionalTraits", PATHS, "traits it uses when they are known" },
    { "knowledge_domains", "knowledgeDomains", TEXTS, "areas of knowledge that matter" },
    { "context_window", "contextWindow", days, "how far back it looks: days, or '30d'" },
    { "retrieval_pipeline", "retrievalPipeline", pipeline, "what it looks up" },
    { "output_template", "outputTemplate", output, "its sections and their formatting" },
    { "context", "contextValues", TEXTS, "values of the request that change what it gives" },
    { "rules", "rules", list_like("as in { pk.rule { ... }, ... }, or a list of objects in JSON"),
      "declared rules" },
    { "templates", "templates", object, "texts that rules refer to by name" },
    { "core", "core", half, "sections that change slowly" },
    { "overlay", "overlay", half, "sections that change fast" },
  }),
  processor = keys_of({
    { "accepts", "accepts", TEXTS, "types of observations that it processes" },
    { "process", "process", a_function, "function(obs, m, t, ctx)" },
  }),
  condition = keys_of({
    { "when", "when", a_condition, "the condition, declared" },
    { "test", "test", a_function, "instead: function(m, ctx) that gives true or false" },
  }),
}

-- Where the documents put a mapper's keys.
local NESTED = { configuration = true, metadata = true }

-- ---- Reading ----

local function names_of(rows)
  local by_name, names = {}, {}
  for _, row in ipairs(rows) do
    by_name[row[1]], by_name[row[2]] = row, row
    names[#names + 1] = row[1]
  end
  return by_name, names
end

local function take(made, by_name, names, of, is_open)
  for _, key in ipairs(value.keys(of)) do
    local row, given = by_name[key], of[key]
    local is_null = given == host.null
    if NESTED[key] and type(given) == "table" and not (key == "metadata" and is_open) then
      local wrong = take(made, by_name, names, given, key == "metadata")
      if wrong then
        return wrong
      end
      if key == "metadata" then
        made.metadata = value.copy(given)
      end
    elseif row and not is_null then
      local checked, why = row[3](given)
      if checked == nil then
        return fault.within(format("key '%s'", key), why, { key = key })
      end
      if made[row[2]] == nil or not is_open then
        made[row[2]] = checked
      end
    elseif not row and not is_open and not is_null then
      return fault.unknown("key", key, names, { key = key })
    end
  end
  return nil
end

local function read_templates(made)
  local parsed = {}
  for _, name in ipairs(value.keys(made.templates or {})) do
    local parts, why = template.parse(made.templates[name])
    if not parts then
      return nil, fault.within("template " .. fault.quote(name), why, { key = "templates" })
    end
    parsed[name] = parts
  end
  return parsed
end

local function resolve(read, parsed)
  for _, say in ipairs(read.says) do
    if say.named then
      say.parts = parsed[say.named]
      if not say.parts then
        return fault.within(format("rule '%s'", read.id),
          fault.unknown("template", say.named, value.keys(parsed)),
          { rule = read.id, key = "template" })
      end
    end
  end
  return nil
end

local function read_rules(made)
  local parsed, why = read_templates(made)
  if not parsed then
    return nil, why
  end
  local list, seen = {}, {}
  if made.rules and #made.rules > manifest.RULES_MAX then
    return nil, fault.new(format("'rules' has more than %d rules", manifest.RULES_MAX),
      "make two mappers of it", { key = "rules" })
  end
  for i, each in ipairs(made.rules or {}) do
    local read = each
    if type(each) ~= "table" or getmetatable(each) ~= manifest.RULE then
      read, why = rule.read(each, format("rules[%d]", i))
      if not read then
        return nil, why
      end
    end
    if seen[read.id] then
      return nil, fault.new(format("rule '%s': another rule has this id", read.id),
        "ids of rules differ within a mapper", { rule = read.id, key = "id" })
    end
    seen[read.id] = true
    why = resolve(read, parsed)
    if why then
      return nil, why
    end
    list[i] = read
  end
  return list
end

local NEEDED = {
  mapper = { "id" },
  processor = { "id", "version", "accepts", "process" },
  condition = { "id" },
}

local LIKE = {
  id = "as in id = \"my-script\"", version = "as in version = \"1.0.0\"",
  accepts = "as in accepts = { \"work_session\" }",
  process = "as in process = function(obs, m, t) ... end",
}

-- Prompts are templates like all others, and wrong ones are found here.
local function wrong_prompt(made)
  local lists = {
    { made.outputTemplate and made.outputTemplate.sections, "prompt", "outputTemplate" },
    { made.retrievalPipeline and made.retrievalPipeline.warmLayerQueries, "queryPrompt",
      "retrievalPipeline" },
  }
  for _, row in pairs(lists) do
    for i, each in ipairs(type(row[1]) == "table" and row[1] or {}) do
      local prompt = type(each) == "table" and each[row[2]]
      if type(prompt) == "string" and prompt ~= "" then
        local parts, why = template.parse(prompt)
        if not parts then
          return fault.within(format("key '%s': %s of item %d", row[3], row[2], i), why,
            { key = row[2] })
        end
      end
    end
  end
  return nil
end

local function finish(kind, made)
  for _, name in ipairs(NEEDED[kind]) do
    if made[name] == nil then
      return fault.new(format("key '%s' is missing", name), LIKE[name], { key = name })
    end
  end
  local wrong = wrong_prompt(made)
  if wrong then
    return wrong
  end
  if kind == "mapper" and not (made.rules and made.rules[1] or made.core or made.overlay or made.outputTemplate) then
    return fault.new("it makes nothing", "give 'rules', 'core' or 'overlay'", { key = "rules" })
  elseif kind == "condition" and (made.when == nil) == (made.test == nil) then
    return fault.new("a condition is either declared or a function",
      "give one of 'when' and 'test'", { key = "when" })
  end
  made.version = made.version or "1.0.0"
  return nil
end

-- The manifest of a script of that kind, with 'parsed_rules'; or nil and a fault.
function manifest.read(kind, of)
  if type(of) ~= "table" or #of > 0 then
    return nil, fault.new((type(of) == "table" and "a list" or fault.quote(of)) .. " is not a " .. kind,
      format("as in pk.%s { id = ..., ... }", kind))
  end
  local by_name, names = names_of(manifest.kind[kind])
  local made = {}
  local wrong = take(made, by_name, names, of, false)
  local function named(inner)
    local id = made.id or of.id
    return fault.within(type(id) == "string" and format("%s %s", kind, fault.quote(id)) or kind,
      inner)
  end
  wrong = wrong or finish(kind, made)
  if wrong then
    return nil, named(wrong)
  end
  local parsed, why = read_rules(made)
  if not parsed then
    return nil, named(why)
  end
  if kind == "condition" and made.when then
    condition.use(made.when)
    parsed = { { id = made.id, when = made.when, detail = 1, level = "overlay", says = {} } }
    why = condition.too_large(made.when)
  end
  made.parsed_rules = parsed
  return not why and made or nil, why and named(why)
end

return manifest
