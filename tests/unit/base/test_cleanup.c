/* test_cleanup.c - A Lua error that jumps over a C frame runs its cleanup attributes.
 *
 * True only when C is built with -fexceptions; without, the variable leaks in
 * silence. This pins the flag and LuaJIT's unwinding, on this machine. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"

#include <lauxlib.h>
#include <lua.h>

static void count_up(int **counter)
{
    (**counter)++;
}

/* Raises in a frame that owns something. */
static int raise_here(lua_State *lua)
{
    PK_CLEANUP(count_up) int *counter = lua_touserdata(lua, 1);
    (void)counter;
    return luaL_error(lua, "raised");
}

/* The same, two C frames further down. */
__attribute__((noinline)) static void raise_inner(lua_State *lua, int *count)
{
    PK_CLEANUP(count_up) int *counter = count;
    (void)counter;
    lua_pushliteral(lua, "raised");
    (void)lua_error(lua);
}

static int raise_below(lua_State *lua)
{
    PK_CLEANUP(count_up) int *counter = lua_touserdata(lua, 1);
    raise_inner(lua, counter);
    return 0;
}

static int count_cleanups(lua_CFunction function)
{
    int count = 0;
    lua_State *lua = luaL_newstate();
    assert_non_null(lua);
    lua_pushcfunction(lua, function);
    lua_pushlightuserdata(lua, &count);
    assert_int_equal(lua_pcall(lua, 1, 0, 0), LUA_ERRRUN);
    lua_close(lua);
    return count;
}

TEST(a_lua_error_runs_the_cleanup_of_the_frame_that_raises)
{
    assert_int_equal(count_cleanups(raise_here), 1);
}

TEST(a_lua_error_runs_the_cleanups_of_every_frame_it_jumps_over)
{
    assert_int_equal(count_cleanups(raise_below), 2);
}
