-- template.lua - Texts with holes: "Schedule deep work before {{work.focus.peak_end|noon}}".
--
-- A hole names a trait and, after '|', what stands there when it is not known.
-- There is nothing else: no code, no filters, no nesting; what a trait holds is
-- put in as it is and never looked at again. A template is parsed once, into a
-- list of parts: a text, or { path = ..., default = ... }.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local value = require "personakit.value"

local find, sub, match = string.find, string.sub, string.match

local template = {}

template.LENGTH_MAX = 65536 -- bytes

local function trim(text)
  return match(text, "^%s*(.-)%s*$")
end

local function hole(inner)
  local path_text, default = match(inner, "^([^|]*)|(.*)$")
  local path, why = value.path(trim(path_text or inner))
  if not path then
    return nil, why
  elseif default and find(default, "{{", 1, true) then
    return nil, fault.new("a default has a '{{' in it", "defaults are plain text")
  end
  return { path = path, default = default and trim(default) }
end

-- Parts of a template, or nil and a fault.
function template.parse(text)
  if type(text) ~= "string" or text == "" or #text > template.LENGTH_MAX then
    return nil, fault.new(type(text) == "string" and text ~= "" and "a text is longer than 64 KiB"
      or "a text is missing", "as in \"Write to them by {{communication.medium|mail}}\"")
  end
  local parts, at = {}, 1
  while true do
    local first = find(text, "{{", at, true)
    if not first then
      break
    end
    local last = find(text, "}}", first + 2, true)
    if not last then
      return nil, fault.new("a '{{' is not closed in " .. fault.quote(sub(text, first)),
        "write {{trait.path}} or {{trait.path|default}}")
    end
    local part, why = hole(sub(text, first + 2, last - 1))
    if not part then
      return nil, fault.within("in " .. fault.quote(sub(text, first, last + 1)), why)
    end
    if first > at then
      parts[#parts + 1] = sub(text, at, first - 1)
    end
    parts[#parts + 1] = part
    at = last + 2
  end
  if at <= #text then
    parts[#parts + 1] = sub(text, at)
  end
  return parts
end

return template
