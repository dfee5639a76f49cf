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
#include "script/worker/worker_internal.h"

#include <bson/bson.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

static const int64_t exact_max = INT64_C(1) << 53;

static PK_RAISES void push_table(lua_State *lua, const struct metas *metas, bson_iter_t *iter,
                                 bool is_list, unsigned depth);

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

static PK_RAISES void push_binary(lua_State *lua, const struct metas *metas, bson_iter_t *iter)
{
    bson_subtype_t subtype = BSON_SUBTYPE_BINARY;
    uint32_t size = 0;
    const uint8_t *data = NULL;

    bson_iter_binary(iter, &subtype, &size, &data);
    lua_createtable(lua, 0, 2);
    lua_pushlstring(lua, (const char *)data, size);
    lua_setfield(lua, -2, "bytes");
    lua_pushnumber(lua, (double)subtype);
    lua_setfield(lua, -2, "subtype");
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->binary_ref);
    (void)lua_setmetatable(lua, -2);
}

static PK_RAISES void push_value(lua_State *lua, const struct metas *metas, bson_iter_t *iter,
                                 unsigned depth)
{
    const bson_type_t type = bson_iter_type(iter);
    bson_iter_t child;
    uint32_t size = 0;
    const char *text;

    if (type == BSON_TYPE_UTF8) {
        text = bson_iter_utf8(iter, &size);
        lua_pushlstring(lua, text, size);
    } else if (type == BSON_TYPE_INT64) {
        push_int64(lua, metas, bson_iter_int64(iter));
    } else if (type == BSON_TYPE_INT32) {
        lua_pushnumber(lua, bson_iter_int32(iter));
    } else if (type == BSON_TYPE_DOUBLE) {
        lua_pushnumber(lua, bson_iter_double(iter));
    } else if (type == BSON_TYPE_BOOL) {
        lua_pushboolean(lua, bson_iter_bool(iter));
    } else if (type == BSON_TYPE_NULL) {
        lua_pushlightuserdata(lua, NULL);
    } else if (type == BSON_TYPE_DATE_TIME) {
        push_date(lua, metas, bson_iter_date_time(iter));
    } else if (type == BSON_TYPE_BINARY) {
        push_binary(lua, metas, iter);
    } else if ((type == BSON_TYPE_DOCUMENT || type == BSON_TYPE_ARRAY) &&
               bson_iter_recurse(iter, &child)) {
        push_table(lua, metas, &child, type == BSON_TYPE_ARRAY, depth + 1);
    } else {
        (void)luaL_error(lua, "the input has a value of BSON type %d at '%s', which Lua cannot see",
                         (int)type, bson_iter_key(iter));
    }
}

static PK_RAISES void push_table(lua_State *lua, const struct metas *metas, bson_iter_t *iter,
                                 bool is_list, unsigned depth)
{
    bson_iter_t counter = *iter;
    int count = 0;

    if (depth > PK_WIRE_DEPTH_MAX) {
        (void)luaL_error(lua, "the input is nested deeper than %d", PK_WIRE_DEPTH_MAX);
    }
    luaL_checkstack(lua, 6, "the input is nested too deep");
    while (bson_iter_next(&counter)) {
        count++;
    }
    lua_createtable(lua, is_list ? count : 0, is_list ? 0 : count);
    for (int i = 1; bson_iter_next(iter); i++) {
        if (is_list) {
            push_value(lua, metas, iter, depth);
            lua_rawseti(lua, -2, i);
        } else if (bson_iter_type(iter) != BSON_TYPE_NULL) {
            lua_pushlstring(lua, bson_iter_key(iter), bson_iter_key_len(iter));
            push_value(lua, metas, iter, depth);
            lua_rawset(lua, -3);
        }
    }
    if (is_list) {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->list_ref);
        (void)lua_setmetatable(lua, -2);
    }
}

void decode_element(lua_State *lua, const struct metas *metas, const void *iter, unsigned depth)
{
    bson_iter_t at = *(const bson_iter_t *)iter;
    push_value(lua, metas, &at, depth);
}

void decode_document(lua_State *lua, const struct metas *metas, const uint8_t *data, size_t size)
{
    bson_iter_t iter;

    if (!bson_iter_init_from_data(&iter, data, size)) {
        (void)luaL_error(lua, "the input is no document");
    }
    push_table(lua, metas, &iter, false, 1);
}

void decode_value(lua_State *lua, const struct metas *metas, const uint8_t *data, size_t size)
{
    bson_iter_t iter;

    if (bson_iter_init_from_data(&iter, data, size) && bson_iter_find(&iter, "value")) {
        push_value(lua, metas, &iter, 1);
    } else {
        lua_pushnil(lua);
    }
}
