/* environment.c - What a script sees, made once per state and renewed per call.
 *
 * The libraries are opened into the state's own globals, handed to prelude.lua
 * as 'raw', and then the globals are emptied: what the prelude kept is all
 * there is. Its text lies in the program (the assembler's .incbin).
 *
 * A library chunk ('preamble') runs before the script in the same fresh
 * environment and gets the host's functions; require "personakit" gives the
 * script what it returned. A resident one runs once, in an environment of its
 * own that no script ever sees, and gives the function that makes the library's
 * table for each call. The script's modules are compiled with it; prelude.lua
 * runs them when they are required. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

__asm__(".section .rodata\n"
        "prelude_text:\n"
        ".incbin \"" WORKER_PRELUDE "\"\n"
        "prelude_text_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char prelude_text[];
extern const char prelude_text_end[];

/* One compiler's code per state: 256 KiB in pieces of 32 KiB. */
static const char *const jit_options[] = { "maxmcode=256", "sizemcode=32" };

static const struct {
    const char *name;
    lua_CFunction open;
} library_table[] = {
    { "", luaopen_base },
    { LUA_TABLIBNAME, luaopen_table },
    { LUA_STRLIBNAME, luaopen_string },
    { LUA_MATHLIBNAME, luaopen_math },
    { LUA_BITLIBNAME, luaopen_bit },
};

static PK_RAISES void open_libraries(lua_State *lua)
{
    for (size_t i = 0; i < sizeof(library_table) / sizeof(library_table[0]); i++) {
        lua_pushcfunction(lua, library_table[i].open);
        lua_pushstring(lua, library_table[i].name);
        lua_call(lua, 1, 0);
    }
}

static PK_RAISES void start_compiler(lua_State *lua)
{
    lua_pushcfunction(lua, luaopen_jit);
    lua_pushliteral(lua, LUA_JITLIBNAME);
    lua_call(lua, 1, 0);
    lua_getglobal(lua, LUA_JITLIBNAME);
    lua_getfield(lua, -1, "opt");
    lua_getfield(lua, -1, "start");
    for (size_t i = 0; i < sizeof(jit_options) / sizeof(jit_options[0]); i++) {
        lua_pushstring(lua, jit_options[i]);
    }
    lua_call(lua, (int)(sizeof(jit_options) / sizeof(jit_options[0])), 0);
    lua_settop(lua, 0);
}

/* A new metatable as a field of the table at the top; the registry keeps it. */
static PK_RAISES void add_meta(lua_State *lua, const char *name, const void **out, int *out_ref)
{
    lua_newtable(lua);
    *out = lua_topointer(lua, -1);
    lua_pushvalue(lua, -1);
    *out_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_setfield(lua, -2, name);
}

static PK_RAISES void push_host(lua_State *lua, struct metas *metas)
{
    lua_newtable(lua);
    lua_pushcfunction(lua, ask_host);
    lua_setfield(lua, -2, "ask");
    lua_pushcfunction(lua, date_text);
    lua_setfield(lua, -2, "date_text");
    lua_pushlightuserdata(lua, NULL);
    lua_setfield(lua, -2, "null");
    add_meta(lua, "date_meta", &metas->date, &metas->date_ref);
    add_meta(lua, "binary_meta", &metas->binary, &metas->binary_ref);
    add_meta(lua, "int64_meta", &metas->int64, &metas->int64_ref);
    add_meta(lua, "list_meta", &metas->list, &metas->list_ref);
    raw_open(lua, metas);
}

void environment_open(struct worker *worker, struct vm *vm)
{
    lua_State *lua = vm->lua;

    (void)worker;
    open_libraries(lua);
    if (!vm->key[sizeof(vm->key) - 1]) {
        start_compiler(lua);
    }
    if (luaL_loadbufferx(lua, prelude_text, (size_t)(prelude_text_end - prelude_text), "=host",
                         "t") != 0) {
        (void)lua_error(lua);
    }
    lua_pushvalue(lua, LUA_GLOBALSINDEX);
    push_host(lua, &vm->metas);
    lua_pushliteral(lua, "");
    if (!lua_getmetatable(lua, -1)) {
        (void)luaL_error(lua, "strings have no metatable");
    }
    lua_remove(lua, -2);
    lua_call(lua, 3, 2);
    vm->fresh_host_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    vm->fresh_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_newtable(lua);
    lua_replace(lua, LUA_GLOBALSINDEX);
    lua_newtable(lua); /* The lexer shows here that it has opened the FFI. */
    lua_setfield(lua, LUA_REGISTRYINDEX, "_LOADED");
}

/* A 64-bit literal (1LL, 2i) makes the lexer open LuaJIT's FFI. Its values cannot be given out
 * and compare by address as keys; no script needs them. */
static PK_RAISES bool has_opened_ffi(lua_State *lua)
{
    lua_getfield(lua, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(lua, -1, "ffi");
    const bool has = !lua_isnil(lua, -1);
    lua_pop(lua, 2);
    return has;
}

/* Compiles a text and keeps it. A name that begins with '@' is a script's, one with '=' the host's,
 * which is left out of tracebacks. */
static PK_RAISES bool compile(lua_State *lua, const char *name, const char *text, size_t size,
                              int *out_ref)
{
    if (luaL_loadbufferx(lua, text, size, name, "t") != 0) {
        return false;
    }
    if (has_opened_ffi(lua)) {
        lua_pop(lua, 1);
        lua_pushfstring(lua, "%s: 64-bit and imaginary literals (1LL, 1ULL, 2i) are not available",
                        name + 1);
        return false;
    }
    *out_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    return true;
}

static PK_RAISES bool compile_script(struct vm *vm, const char *file, const char *text, size_t size,
                                     int *out_ref)
{
    char name[PK_WIRE_NAME + 1];
    (void)snprintf(name, sizeof(name), "@%s", file);
    return compile(vm->lua, name, text, size, out_ref);
}

/* The texts of a SOURCE frame, taken one after the other. */
struct texts {
    const uint8_t *data;
    size_t left;
};

static const uint8_t *take(struct texts *texts, size_t size)
{
    const uint8_t *taken = texts->data;
    if (size > texts->left) {
        _exit(5);
    }
    texts->data += size;
    texts->left -= size;
    return taken;
}

/* Compiles the modules into a table by name, which the registry keeps. */
static PK_RAISES bool compile_modules(struct vm *vm, struct texts *texts, uint32_t count)
{
    lua_State *lua = vm->lua;

    if (!count) {
        return true;
    }
    vm->module_file = calloc(count, sizeof(*vm->module_file));
    if (!vm->module_file) {
        _exit(4);
    }
    lua_createtable(lua, 0, (int)count);
    for (uint32_t i = 0; i < count; i++) {
        struct pk_wire_module module;
        int ref = LUA_NOREF;
        memcpy(&module, take(texts, sizeof(module)), sizeof(module));
        module.name[sizeof(module.name) - 1] = module.file[sizeof(module.file) - 1] = '\0';
        memcpy(vm->module_file[vm->module_count++], module.file, sizeof(module.file));
        if (!compile_script(vm, module.file, (const char *)take(texts, module.size), module.size,
                            &ref)) {
            return false;
        }
        lua_rawgeti(lua, LUA_REGISTRYINDEX, ref);
        luaL_unref(lua, LUA_REGISTRYINDEX, ref);
        lua_setfield(lua, -2, module.name);
    }
    vm->modules_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    return true;
}

/* Runs a resident preamble in an environment of its own; keeps the function that it gives. */
static PK_RAISES void run_resident(struct vm *vm)
{
    lua_State *lua = vm->lua;

    lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->preamble_ref);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->fresh_ref);
    lua_pushnumber(lua, 0);
    lua_newtable(lua);
    lua_call(lua, 2, 1);
    (void)lua_setfenv(lua, -2);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->fresh_host_ref);
    lua_call(lua, 0, 1);
    lua_call(lua, 1, 1);
    if (!lua_isfunction(lua, -1)) {
        (void)luaL_error(lua, "the resident library gives no function");
    }
    vm->resident_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
}

/* A script without a text is what the resident library's 'declared' gives, for all calls: no code
 * but the library's ever runs in this state. */
static PK_RAISES void take_declared(struct vm *vm)
{
    lua_State *lua = vm->lua;

    lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->resident_ref);
    lua_call(lua, 0, 1);
    lua_getfield(lua, -1, "declared");
    lua_call(lua, 0, 1);
    vm->declared_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_pop(lua, 1);
}

bool environment_compile(struct vm *vm, const uint8_t *data, size_t size)
{
    struct texts texts = { data, size };
    struct pk_wire_source source;

    memcpy(&source, take(&texts, sizeof(source)), sizeof(source));
    memcpy(vm->file, source.name, sizeof(vm->file));
    vm->file[sizeof(vm->file) - 1] = '\0';
    const char *text = (const char *)take(&texts, source.source_size);
    const char *preamble = (const char *)take(&texts, source.preamble_size);
    if (source.preamble_size &&
        !compile(vm->lua, "=personakit", preamble, source.preamble_size, &vm->preamble_ref)) {
        return false;
    }
    if (!compile_script(vm, vm->file, text, source.source_size, &vm->main_ref) ||
        !compile_modules(vm, &texts, source.module_count)) {
        return false;
    }
    if (source.preamble_size && source.is_preamble_resident) {
        run_resident(vm);
        if (!source.source_size && !source.module_count) {
            take_declared(vm);
        }
    }
    return true;
}

/* Sets the environment at 'env' for the chunk, and leaves the chunk on the stack. */
static PK_RAISES void push_chunk(lua_State *lua, int ref, int env)
{
    lua_rawgeti(lua, LUA_REGISTRYINDEX, ref);
    lua_pushvalue(lua, env);
    (void)lua_setfenv(lua, -2);
}

void environment_renew(struct vm *vm, uint64_t seed)
{
    lua_State *lua = vm->lua;
    const int base = lua_gettop(lua);

    lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->fresh_ref);
    lua_pushnumber(lua, (double)(seed >> 11));
    lua_createtable(lua, 2, 0);
    if (vm->modules_ref != LUA_NOREF) {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->modules_ref);
        lua_rawseti(lua, -2, 2);
    }
    lua_pushvalue(lua, -1);
    lua_insert(lua, base + 1); /* The box below, for require's answer. */
    lua_call(lua, 2, 1);
    const int box = base + 1, env = base + 2;
    push_chunk(lua, vm->main_ref, env);
    lua_pop(lua, 1);
    if (vm->resident_ref != LUA_NOREF) {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->resident_ref);
        lua_call(lua, 0, 1);
    } else if (vm->preamble_ref != LUA_NOREF) {
        push_chunk(lua, vm->preamble_ref, env);
        lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->fresh_host_ref);
        lua_call(lua, 0, 1);
        lua_call(lua, 1, 1);
    } else {
        lua_pushnil(lua);
    }
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, box, 1);
    lua_insert(lua, box);
    lua_settop(lua, box);
}
