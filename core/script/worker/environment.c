/* environment.c - What a script sees, made once per state and renewed per call.
 *
 * The libraries are opened into the state's own globals, handed to prelude.lua
 * as 'raw', and then the globals are emptied: what the prelude kept is all
 * there is. Its text lies in the program (the assembler's .incbin).
 *
 * A library chunk ('preamble') runs before the script in the same fresh
 * environment and gets the host's functions; require "personakit" gives the
 * script what it returned. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <stdio.h>
#include <string.h>

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

static PK_RAISES bool compile(lua_State *lua, const char *file, const char *text, size_t size,
                              int *out_ref)
{
    char name[PK_WIRE_NAME + 1];

    (void)snprintf(name, sizeof(name), "@%s", file);
    if (luaL_loadbufferx(lua, text, size, name, "t") != 0) {
        return false;
    }
    if (has_opened_ffi(lua)) {
        lua_pop(lua, 1);
        lua_pushfstring(lua, "%s: 64-bit and imaginary literals (1LL, 1ULL, 2i) are not available",
                        file);
        return false;
    }
    *out_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    return true;
}

bool environment_compile(struct vm *vm, const struct pk_wire_source *source, const char *text)
{
    memcpy(vm->file, source->name, sizeof(vm->file));
    vm->file[sizeof(vm->file) - 1] = '\0';
    if (source->preamble_size && !compile(vm->lua, "personakit", text + source->source_size,
                                          source->preamble_size, &vm->preamble_ref)) {
        return false;
    }
    return compile(vm->lua, vm->file, text, source->source_size, &vm->main_ref);
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
    lua_createtable(lua, 1, 0);
    lua_pushvalue(lua, -1);
    lua_insert(lua, base + 1); /* The box below, for require's answer. */
    lua_call(lua, 2, 1);
    const int box = base + 1, env = base + 2;
    push_chunk(lua, vm->main_ref, env);
    lua_pop(lua, 1);
    if (vm->preamble_ref != LUA_NOREF) {
        push_chunk(lua, vm->preamble_ref, env);
        lua_rawgeti(lua, LUA_REGISTRYINDEX, vm->fresh_host_ref);
        lua_call(lua, 0, 1);
        lua_call(lua, 1, 1);
        lua_pushvalue(lua, -1);
        lua_rawseti(lua, box, 1);
    } else {
        lua_pushnil(lua);
    }
    lua_insert(lua, box);
    lua_settop(lua, box);
}
