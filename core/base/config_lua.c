/* config_lua.c - Evaluates the configuration file, and lets it do nothing else.
 *
 *     text --load--> function --setfenv {}--> call --> table --flatten--> givens
 *
 * The file is Lua because people want comments, arithmetic and one value used
 * twice; it is not to be trusted with more. What it cannot do, and why:
 *
 * - reach anything: its environment is an empty table, no library is opened
 *   (so ("x"):rep has no string metatable either), bytecode is refused;
 * - run for ever: with the JIT off the count hook fires, and there is no pcall
 *   to catch its error; time is this thread's CPU time, so a busy machine does
 *   not refuse a good file;
 * - take the memory: the allocator refuses above a cap, and after the time;
 * - take the C stack: Lua and its parser have limits of their own.
 *
 * Everything that may raise runs below lua_cpcall, and owns nothing there but
 * what 'struct evaluation' holds for it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/config_internal.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MEMORY_MAX_BYTES = 16 << 20,
    TIME_MAX_MS = 100,
    HOOK_STEPS = 500,           /* Instructions between two looks at the clock. */
    BIG_BYTES = 16384,          /* An allocation worth a look at the clock. */
    DEPTH_MAX = 8,              /* Tables in tables. */
    GIVEN_MAX = 1000,           /* Values in all. */
    NAME_MAX_BYTES = 200,       /* Of a flattened name. */
    LOOKS_MAX_BYTES = 32 << 20, /* Read to find lines, all looks together. */
};

struct evaluation {
    const char *source;
    size_t size;
    struct givens *out;
    struct pk_buf name;    /* Of the table being read. */
    size_t memory_bytes;   /* In use. */
    int64_t end_ns;        /* Of this thread's CPU time. */
    bool is_out_of_time;   /* Sticky. */
    bool is_out_of_memory; /* Sticky. */
};

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_time_over(struct evaluation *evaluation)
{
    if (!evaluation->is_out_of_time && cpu_ns() > evaluation->end_ns) {
        evaluation->is_out_of_time = true;
    }
    return evaluation->is_out_of_time;
}

static void *allocate(void *context, void *memory, size_t old_size, size_t new_size)
{
    struct evaluation *evaluation = context;

    if (new_size == 0) {
        evaluation->memory_bytes -= memory ? old_size : 0;
        free(memory);
        return NULL;
    }
    size_t old = memory ? old_size : 0;
    size_t now = evaluation->memory_bytes - old + new_size;
    if (new_size > old) { /* Growing may be refused, shrinking never. */
        if (now > MEMORY_MAX_BYTES) {
            evaluation->is_out_of_memory = true;
            return NULL;
        }
        if (new_size >= BIG_BYTES && is_time_over(evaluation)) {
            return NULL;
        }
    }
    void *moved = realloc(memory, new_size);
    if (moved) {
        evaluation->memory_bytes = now;
    }
    return moved;
}

static void on_count(lua_State *lua, lua_Debug *debug)
{
    void *context = NULL;

    (void)debug;
    (void)lua_getallocf(lua, &context);
    if (is_time_over(context)) {
        (void)luaL_error(lua, "it runs too long");
    }
}

/* A new row, named by the path of the tables it lies in. */
static struct given *add_given(struct evaluation *evaluation, enum given_type type)
{
    struct givens *out = evaluation->out;
    out->row = pk_realloc(out->row, (out->count + 1) * sizeof(*out->row));
    struct given *given = &out->row[out->count++];
    *given = (struct given){ .name = pk_strdup(pk_buf_text(&evaluation->name)), .type = type };
    return given;
}

static char *number_text(double number)
{
    if (isfinite(number) && floor(number) == number && fabs(number) < 9007199254740992.0) {
        return pk_strdupf("%.0f", number);
    }
    return pk_strdupf("%.17g", number);
}

/* The value on top, when it is no table. */
static void add_scalar(lua_State *lua, struct evaluation *evaluation)
{
    size_t size = 0;
    const char *text = NULL;

    switch (lua_type(lua, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(lua, -1, &size);
        if (strlen(text) != size) {
            add_given(evaluation, GIVEN_OTHER)->text = pk_strdup("a text with a NUL byte");
        } else {
            add_given(evaluation, GIVEN_TEXT)->text = pk_strdup(text);
        }
        return;
    case LUA_TNUMBER:
        add_given(evaluation, GIVEN_NUMBER)->text = number_text(lua_tonumber(lua, -1));
        return;
    case LUA_TBOOLEAN:
        add_given(evaluation, GIVEN_BOOL)->text =
            pk_strdup(lua_toboolean(lua, -1) ? "true" : "false");
        return;
    default:
        add_given(evaluation, GIVEN_OTHER)->text = pk_strdupf("a %s", luaL_typename(lua, -1));
        return;
    }
}

/* The table on top, which has an element [1] or nothing at all: texts, in their order. */
static void add_list(lua_State *lua, struct evaluation *evaluation)
{
    size_t count = lua_objlen(lua, -1);
    struct given *given = add_given(evaluation, GIVEN_LIST);

    given->text = pk_strdup("a list");
    if (count > GIVEN_MAX) {
        given->type = GIVEN_OTHER;
        return;
    }
    given->item = pk_calloc(count, sizeof(*given->item));
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, -1, (int)i + 1);
        size_t size = 0;
        const char *text = lua_type(lua, -1) == LUA_TSTRING ? lua_tolstring(lua, -1, &size) : NULL;
        if (!text || strlen(text) != size) {
            given->type = GIVEN_OTHER;
            pk_free(given->text);
            given->text = pk_strdup("a list with something else than texts");
        }
        given->item[given->item_count++] = pk_strdup(text ? text : "");
        lua_pop(lua, 1);
    }
}

static bool is_list(lua_State *lua)
{
    lua_pushnil(lua);
    if (!lua_next(lua, -2)) {
        return true; /* Empty: whoever looks the name up decides. */
    }
    lua_pop(lua, 2);
    lua_rawgeti(lua, -1, 1);
    bool has_first = !lua_isnil(lua, -1);
    lua_pop(lua, 1);
    return has_first;
}

/* Puts the key below the top behind the name. Keys that are no text say what they are. */
static void enter_key(lua_State *lua, struct evaluation *evaluation)
{
    struct pk_buf *name = &evaluation->name;
    size_t size = 0;

    if (name->size > 0) {
        pk_buf_add_char(name, '.');
    }
    if (lua_type(lua, -2) != LUA_TSTRING) { /* Not lua_tolstring: it would change the key. */
        pk_buf_printf(name, "[%s]", luaL_typename(lua, -2));
        return;
    }
    const char *key = lua_tolstring(lua, -2, &size);
    pk_buf_add(name, key, strnlen(key, size < NAME_MAX_BYTES ? size : NAME_MAX_BYTES));
}

static void leave_key(struct evaluation *evaluation, size_t size)
{
    evaluation->name.size = size;
    evaluation->name.data[size] = '\0';
}

/* The table on top. PK_RAISES */
static void flatten(lua_State *lua, struct evaluation *evaluation, int depth)
{
    luaL_checkstack(lua, 8, "the tables lie too deep");
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        size_t size = evaluation->name.size;
        if (depth == DEPTH_MAX || size > NAME_MAX_BYTES) {
            (void)luaL_error(lua, "the tables lie too deep");
        }
        if (evaluation->out->count >= GIVEN_MAX) {
            (void)luaL_error(lua, "it has more than %d values", GIVEN_MAX);
        }
        enter_key(lua, evaluation);
        if (!lua_istable(lua, -1)) {
            add_scalar(lua, evaluation);
        } else if (is_list(lua)) {
            add_list(lua, evaluation);
        } else {
            flatten(lua, evaluation, depth + 1);
        }
        leave_key(evaluation, size);
        lua_pop(lua, 1);
    }
}

static const char *give_source(lua_State *lua, void *context, size_t *out_size)
{
    struct evaluation *evaluation = context;

    (void)lua;
    *out_size = evaluation->size;
    evaluation->size = 0; /* In one piece; then nothing. */
    return evaluation->source;
}

static int run(lua_State *lua)
{
    struct evaluation *evaluation = lua_touserdata(lua, 1);

    (void)luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    (void)lua_gc(lua, LUA_GCSETPAUSE, 110); /* Garbage counts against the cap. */
    (void)lua_sethook(lua, on_count, LUA_MASKCOUNT, HOOK_STEPS);
    if (lua_loadx(lua, give_source, evaluation, "=config", "t") != 0) {
        return lua_error(lua);
    }
    lua_newtable(lua);
    (void)lua_setfenv(lua, -2);
    lua_call(lua, 0, 1);
    if (!lua_istable(lua, -1)) {
        return luaL_error(lua, "it returns a %s, not a table: write 'return { listen = ..., }'",
                          luaL_typename(lua, -1));
    }
    flatten(lua, evaluation, 0);
    return 0;
}

/* "config:3: text" becomes "path:3: text". */
static void add_lua_fault(struct faults *faults, const char *path, const char *message)
{
    static const char chunk[] = "config:";
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    size_t skip = strncmp(message, chunk, sizeof(chunk) - 1) == 0 ? sizeof(chunk) - 1 : 0;

    const bool wants_function = strstr(message, "global '") != NULL;
    setting_show(NULL, message + skip, &shown);
    fault_add(faults, "%s:%s%s%s", path, skip ? "" : " ", pk_buf_text(&shown),
              wants_function ? " (the file can only calculate: no functions are in reach)" : "");
}

static void report(lua_State *lua, const struct evaluation *evaluation, const char *path,
                   struct faults *faults)
{
    if (evaluation->is_out_of_time) {
        fault_add(faults, "%s: it runs longer than the %d ms allowed", path, TIME_MAX_MS);
    } else if (evaluation->is_out_of_memory) {
        fault_add(faults, "%s: it takes more than the %d MiB of memory allowed", path,
                  MEMORY_MAX_BYTES >> 20);
    } else {
        const char *message = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : NULL;
        add_lua_fault(faults, path, message ? message : "it fails without a message");
    }
}

void givens_done(struct givens *givens)
{
    for (size_t i = 0; i < givens->count; i++) {
        struct given *given = &givens->row[i];
        for (size_t j = 0; j < given->item_count; j++) {
            pk_free(given->item[j]);
        }
        pk_free(given->item);
        pk_free(given->name);
        pk_free(given->text);
    }
    pk_free(givens->row);
    *givens = (struct givens){ 0 };
}

/* By line, then by name: a table has no order of its own. */
static int compare_givens(const void *a, const void *b)
{
    const struct given *x = a;
    const struct given *y = b;
    return x->line != y->line ? x->line - y->line : strcmp(x->name, y->name);
}

/* Names the line where 'name' is given again: Lua takes the last without a word. */
static int find_line(const char *source, size_t size, const char *path, const char *name,
                     struct faults *faults)
{
    int again = 0;
    int line = config_line_of(source, size, name, &again);
    if (again) {
        fault_add(faults, "%s:%d: %s: given twice, first on line %d", path, again, name, line);
    }
    return line;
}

/* The table that given[at] lies in, unless one before it lies there, too. */
static void check_group(const char *source, size_t size, const char *path,
                        const struct givens *givens, size_t at, struct faults *faults)
{
    const char *dot = strrchr(givens->row[at].name, '.');
    size_t group_size = dot ? (size_t)(dot - givens->row[at].name) + 1 : 0;

    for (size_t i = 0; i < at; i++) {
        if (strncmp(givens->row[i].name, givens->row[at].name, group_size) == 0) {
            return;
        }
    }
    if (dot) {
        PK_CLEANUP(pk_freep) char *group = pk_strndup(givens->row[at].name, group_size - 1);
        (void)find_line(source, size, path, group, faults);
    }
}

static void find_lines(const char *source, size_t size, const char *path, struct givens *givens,
                       struct faults *faults)
{
    /* Each look reads the file once; a file that is all values is not worth the wait. */
    size_t looks = givens->count < LOOKS_MAX_BYTES / (size + 1) ? givens->count : 0;

    for (size_t i = 0; i < looks; i++) {
        givens->row[i].line = find_line(source, size, path, givens->row[i].name, faults);
        check_group(source, size, path, givens, i, faults);
    }
    if (givens->count > 0) {
        qsort(givens->row, givens->count, sizeof(*givens->row), compare_givens);
    }
}

void config_lua_read(const char *source, size_t size, const char *path, struct givens *out,
                     struct faults *faults)
{
    struct evaluation evaluation = {
        .source = source,
        .size = size,
        .out = out,
        .end_ns = cpu_ns() + TIME_MAX_MS * INT64_C(1000000),
    };

    if (size > 0 && source[0] == LUA_SIGNATURE[0]) {
        fault_add(faults, "%s: it is compiled Lua; only text is read", path);
        return;
    }
    lua_State *lua = lua_newstate(allocate, &evaluation);
    if (!lua) {
        fault_add(faults, "%s: cannot start Lua with an allocator of our own", path);
        return;
    }
    if (lua_cpcall(lua, run, &evaluation) != 0) {
        report(lua, &evaluation, path, faults);
        givens_done(out);
    } else {
        find_lines(source, size, path, out, faults);
    }
    evaluation.is_out_of_time = true; /* From here on it only shrinks. */
    lua_close(lua);
    pk_buf_done(&evaluation.name);
}
