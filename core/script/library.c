/* library.c - The modules of lua/personakit, laid into the program, and joined as bundle.lua does.
 *
 * Each module becomes a function that is called when it is first required, and
 * the text ends by requiring its first one. The files lie in the program by the
 * assembler's .incbin: a server needs no folder of Lua beside it.
 *
 * If you add a module to lua/personakit/bundle.lua, add it here: to MODULES and
 * to the lists it is in. */
/* SPDX-License-Identifier: MIT */
#include "script/library.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <string.h>

#define MODULES(X) \
    X(fault)       \
    X(host)        \
    X(value)       \
    X(tests)       \
    X(pattern)     \
    X(operators)   \
    X(template)    \
    X(condition)   \
    X(rule)        \
    X(manifest)    \
    X(source)      \
    X(compile)     \
    X(explain)     \
    X(examples)    \
    X(place)       \
    X(outside)     \
    X(tuning)      \
    X(init)        \
    X(record)      \
    X(view)        \
    X(rules)       \
    X(verbs)       \
    X(run)         \
    X(lean)        \
    X(lint)

#define LAY_IN(name)                                         \
    __asm__(".section .rodata\n"                             \
            "library_" #name ":\n"                           \
            ".incbin \"" LIBRARY_FOLDER "/" #name ".lua\"\n" \
            "library_" #name "_end:\n"                       \
            ".byte 0\n"                                      \
            ".previous\n");                                  \
    extern const char library_##name[], library_##name##_end[];
MODULES(LAY_IN)

#define ROW(name_) { #name_, library_##name_, library_##name_##_end },
static const struct {
    const char *name, *text, *end;
} module_table[] = { MODULES(ROW) };

/* ---- Which modules a text has ---- */

static const char *const full_list[] = {
    "fault",     "host",    "value",    "tests",  "pattern", "operators", "template",
    "condition", "rule",    "manifest", "source", "compile", "explain",   "examples",
    "place",     "outside", "tuning",   "init",   NULL,
};
static const char *const lean_list[] = {
    "fault", "host",  "value", "tests",   "pattern", "template", "source", "record",
    "view",  "rules", "verbs", "outside", "run",     "lean",     NULL,
};
static const char *const lint_list[] = { "fault", "lint", NULL };

static const struct {
    const char *const *module;
    const char *last;
} text_table[] = {
    [PK_LIBRARY_FULL] = { full_list, "return require(\"personakit.init\")\n" },
    [PK_LIBRARY_LEAN] = { lean_list, "return require(\"personakit.lean\")()\n" },
    [PK_LIBRARY_RESIDENT] = { lean_list, "return require(\"personakit.lean\")\n" },
    [PK_LIBRARY_LINT] = { lint_list, "return require(\"personakit.lint\")\n" },
};

static const char head[] = "local given = ...\n"
                           "local modules, loaded = {}, {}\n"
                           "local function require(name)\n"
                           "  if loaded[name] == nil then\n"
                           "    loaded[name] = modules[name](given)\n"
                           "  end\n"
                           "  return loaded[name]\n"
                           "end\n";

static void add_module(const char *name, struct pk_buf *out)
{
    size_t at = 0;
    while (strcmp(module_table[at].name, name) != 0) {
        at++; /* All names of the lists are in the table: a test joins each. */
    }
    pk_buf_printf(out, "modules[\"personakit.%s\"] = function(...)\n", name);
    pk_buf_add(out, module_table[at].text, (size_t)(module_table[at].end - module_table[at].text));
    pk_buf_add_text(out, "\nend\n");
}

void pk_library_text(enum pk_library kind, const char *program, size_t program_size,
                     struct pk_buf *out)
{
    pk_buf_add_text(out, head);
    for (const char *const *name = text_table[kind].module; *name; name++) {
        add_module(*name, out);
    }
    if (program) {
        pk_buf_add_text(out, "modules[\"personakit.program\"] = function() return function(...)\n");
        pk_buf_add(out, program, program_size);
        pk_buf_add_text(out, "\nend end\n");
    }
    pk_buf_add_text(out, text_table[kind].last);
}
