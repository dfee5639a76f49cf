/* decode.c - BSON to Lua values.
 *
 *     object          table            null in a list    host.null
 *     array           table, 'list'    null in an object absent
 *     text            string           date              'date' { ms = ... }
 *     double, int32   number           binary            'binary' { bytes, subtype }
 *     int64           number, or 'int64' { digits } beyond 2^53
 *     boolean         boolean          all other types   refused, by path
 *
 * Words in quotes name metatables: what carries one is encoded as what it was.
 * Everything is copied, so what a script writes into its input ends with the
 * call. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/walk.h"
#include "script/worker/worker_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

enum { OLD_BINARY = 2 }; /* A subtype with a second length within. */

static const int64_t exact_max = INT64_C(1) << 53;

static PK_RAISES void push_int64(lua_State *lua, const struct metas *metas, int64_t value)
{
    char digits[24];

    if (value >= -exact_max && value <= exact_max) {
        lua_pushnumber(lua, (double)value);
        return;
    }
    (void)snprintf(digits, sizeof(digits), "%" PRId64, value);
    lua_createtable(lua, 0, 1);
    lua_pushstring(lua, digits);
    lua_setfield(lua, -2, "digits");
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->int64_ref);
    (void)lua_setmetatable(lua, -2);
}

static PK_RAISES void push_date(lua_State *lua, const struct metas *metas, int64_t ms)
{
    lua_createtable(lua, 0, 1);
    lua_pushnumber(lua, (double)ms);
    lua_setfield(lua, -2, "ms");
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->date_ref);
    (void)lua_setmetatable(lua, -2);
}

/* Length, subtype, bytes. */
static PK_RAISES void push_binary(lua_State *lua, const struct metas *metas, const uint8_t *data,
                                  size_t size)
{
    const size_t head = data[4] == OLD_BINARY && size >= 9 ? 9 : 5;

    lua_createtable(lua, 0, 2);
    lua_pushlstring(lua, (const char *)data + head, size - head);
    lua_setfield(lua, -2, "bytes");
    lua_pushnumber(lua, (double)data[4]);
    lua_setfield(lua, -2, "subtype");
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->binary_ref);
    (void)lua_setmetatable(lua, -2);
}

static int64_t number_of(const uint8_t *data)
{
    return (int64_t)((uint64_t)walk_number(data) | (uint64_t)walk_number(data + 4) << 32);
}

static double double_of(const uint8_t *data)
{
    const int64_t bits = number_of(data);
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static PK_RAISES void refuse(lua_State *lua, const struct walk_at *at)
{
    (void)luaL_error(lua, "the input has a value of BSON type %d at '%s', which Lua cannot see",
                     (int)at->type, at->key ? at->key : "");
}

static PK_RAISES void push_list(lua_State *lua, const struct metas *metas,
                                const struct walk_at *whole, unsigned depth)
{
    struct walk_at at;
    int count = 0;

    for (walk_into(&at, whole->value, whole->size); walk_next(&at);) {
        count++;
    }
    lua_createtable(lua, count, 0);
    count = 0;
    for (walk_into(&at, whole->value, whole->size); walk_next(&at);) {
        decode_at(lua, metas, &at, depth);
        lua_rawseti(lua, -2, ++count);
    }
    if (at.start != at.end) {
        refuse(lua, &at);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->list_ref);
    (void)lua_setmetatable(lua, -2);
}

static PK_RAISES void push_object(lua_State *lua, const struct metas *metas,
                                  const struct walk_at *whole, unsigned depth)
{
    struct walk_at at;
    int count = 0;

    for (walk_into(&at, whole->value, whole->size); walk_next(&at);) {
        count++;
    }
    lua_createtable(lua, 0, count);
    for (walk_into(&at, whole->value, whole->size); walk_next(&at);) {
        if (at.type != WALK_NULL) {
            lua_pushlstring(lua, at.key, at.key_size);
            decode_at(lua, metas, &at, depth);
            lua_rawset(lua, -3);
        }
    }
    if (at.start != at.end) {
        refuse(lua, &at);
    }
}

static PK_RAISES void push_table(lua_State *lua, const struct metas *metas,
                                 const struct walk_at *whole, unsigned depth)
{
    if (depth > PK_WIRE_DEPTH_MAX) {
        (void)luaL_error(lua, "the input is nested deeper than %d", PK_WIRE_DEPTH_MAX);
    }
    luaL_checkstack(lua, 6, "the input is nested too deep");
    if (whole->type == WALK_ARRAY) {
        push_list(lua, metas, whole, depth);
    } else {
        push_object(lua, metas, whole, depth);
    }
}

void decode_at(lua_State *lua, const struct metas *metas, const struct walk_at *at, unsigned depth)
{
    size_t size = 0;
    const char *text;

    switch (at->type) {
    case WALK_TEXT:
        text = walk_text(at, &size);
        lua_pushlstring(lua, text, size);
        return;
    case WALK_INT64:
        push_int64(lua, metas, number_of(at->value));
        return;
    case WALK_INT32:
        lua_pushnumber(lua, (int32_t)walk_number(at->value));
        return;
    case WALK_DOUBLE:
        lua_pushnumber(lua, double_of(at->value));
        return;
    case WALK_BOOL:
        lua_pushboolean(lua, at->value[0] != 0);
        return;
    case WALK_NULL:
        lua_pushlightuserdata(lua, NULL);
        return;
    case WALK_DATE:
        push_date(lua, metas, number_of(at->value));
        return;
    case WALK_BINARY:
        push_binary(lua, metas, at->value, at->size);
        return;
    case WALK_DOCUMENT:
    case WALK_ARRAY:
        push_table(lua, metas, at, depth + 1);
        return;
    default:
        refuse(lua, at);
    }
}

void decode_document(lua_State *lua, const struct metas *metas, const uint8_t *data, size_t size)
{
    const struct walk_at whole = { .type = WALK_DOCUMENT, .value = data, .size = size };

    if (size < 5 || walk_number(data) != size) {
        (void)luaL_error(lua, "the input is no document");
    }
    push_table(lua, metas, &whole, 1);
}

void decode_value(lua_State *lua, const struct metas *metas, const uint8_t *data, size_t size)
{
    struct walk_at at;

    for (walk_into(&at, data, size); walk_next(&at);) {
        if (walk_is(&at, "value", 5)) {
            decode_at(lua, metas, &at, 1);
            return;
        }
    }
    lua_pushnil(lua);
}
