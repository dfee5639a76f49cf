-- reference.lua - What the library takes, as Markdown: the tables of the authors' guides.
--
-- Made from the same rows that check scripts, so that the guides cannot say
-- anything else (tests/lua/guides_spec.lua puts them in and compares). In no
-- bundle: only tests and tools need it.
--
-- SPDX-License-Identifier: MIT
local manifest = require "personakit.manifest"
local operators = require "personakit.operators"
local rule = require "personakit.rule"
local verbs = require "personakit.verbs"

local format, gsub = string.format, string.gsub
local concat, sort = table.concat, table.sort

local reference = {}

local WIDTH = 124 -- of a line of a paragraph

local function code(words)
  local quoted = {}
  for i, word in ipairs(words) do
    quoted[i] = "`" .. word .. "`"
  end
  return concat(quoted, " ")
end

-- In a cell of a table.
local function cell(text)
  return (gsub(text, "|", "\\|"))
end

-- Names and what they are as one paragraph: where there are many, and little is to be said.
local function paragraph(names, helps)
  local lines, line = {}, ""
  for i, name in ipairs(names) do
    local part = format("%s %s%s", name, helps[i], i < #names and " ·" or "")
    if #line + #part >= WIDTH then
      lines[#lines + 1], line = line, ""
    end
    line = line == "" and part or line .. " " .. part
  end
  lines[#lines + 1] = line
  return concat(lines, "\n")
end

-- ---- Mappers ----

function reference.operators()
  local lines = { "| In Lua | In JSON | Takes | Holds when |", "|---|---|---|---|" }
  for _, each in ipairs(operators.row) do
    lines[#lines + 1] = format("| `:%s` | %s | %s | %s |", each.name, code(each.json),
      cell(each.takes), cell(each.help))
  end
  return concat(lines, "\n")
end

function reference.rules()
  local names, helps = {}, {}
  for i, row in ipairs(rule.KEYS) do
    names[i], helps[i] = code({ row[1] }), row[2]
  end
  return paragraph(names, helps)
end

-- The keys of one kind of script: "mapper", "processor" or "condition".
function reference.manifest(kind)
  local names, helps = {}, {}
  for i, row in ipairs(manifest.kind[kind]) do
    names[i] = row[1] == row[2] and code({ row[1] }) or format("`%s` (`%s`)", row[1], row[2])
    helps[i] = row[4]
  end
  return paragraph(names, helps)
end

-- ---- Processors ----

function reference.verbs()
  local lines = { "| Verb | Options | What it does |", "|---|---|---|" }
  for _, row in ipairs(verbs.row) do
    local takes, options = {}, {}
    for i, each in ipairs(row.takes) do
      takes[i] = each[1]
    end
    for i, name in ipairs(row.option_names) do
      options[i] = name
    end
    sort(options)
    lines[#lines + 1] = format("| `t:%s(%s)` | %s | %s |", row.name, concat(takes, ", "),
      code(options), cell(row.help))
  end
  return concat(lines, "\n")
end

-- Options, each meaning once.
function reference.options()
  local lines, at = { "| Option | Of | What it is |", "|---|---|---|" }, {}
  for _, row in ipairs(verbs.row) do
    for _, option in ipairs(row.options) do
      local key = option[1] .. "\n" .. option[4]
      if not at[key] then
        at[key] = { option = option, verbs = {} }
        at[#at + 1] = at[key]
      end
      table.insert(at[key].verbs, row.name)
    end
  end
  for _, each in ipairs(at) do
    lines[#lines + 1] = format("| `%s` | %s | %s |", each.option[1], concat(each.verbs, ", "),
      cell(each.option[4]))
  end
  local from = verbs.row[1].option.from
  lines[#lines + 1] = format("| `%s` | all | %s |", from[1], cell(from[4]))
  return concat(lines, "\n")
end

-- What operations hold, for those who apply them: fields that are always there, then those that may be.
function reference.operations()
  local lines = { "| `op` | Always | Where given |", "|---|---|---|" }
  for _, row in ipairs(verbs.row) do
    local always, given = {}, {}
    for i, each in ipairs(row.takes) do
      always[i] = each[2]
    end
    for i, option in ipairs(row.options) do
      given[i] = option[2]
    end
    lines[#lines + 1] = format("| %s | %s | %s |", row.name, code(always), code(given))
  end
  return concat(lines, "\n")
end

return reference
