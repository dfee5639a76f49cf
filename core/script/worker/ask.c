/* ask.c - The few functions of the server that a library chunk may call.
 *
 * A question is a frame out and a frame in; the script waits. Whether it may
 * ask, the server decides; here only their number and size are bounded, so
 * that the server need not read a million. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <bson/bson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

static PK_RAISES int push_answer(lua_State *lua, struct worker *worker)
{
    const struct metas *metas = &worker->call->vm->metas;
    const size_t head = sizeof(struct pk_wire_head) + sizeof(struct pk_wire_answer);
    struct pk_wire_answer answer;

    memcpy(&answer, worker->answer.data + sizeof(struct pk_wire_head), sizeof(answer));
    if (answer.is_ok) {
        decode_value(lua, metas, worker->answer.data + head, worker->answer.size - head);
        return 1;
    }
    lua_pushnil(lua);
    decode_document(lua, metas, worker->answer.data + head, worker->answer.size - head);
    return 2;
}

int ask_host(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    struct call *call = worker->call;
    struct pk_wire_ask ask = { 0 };
    size_t size = 0;
    const char *name = luaL_checklstring(lua, 1, &size);

    luaL_argcheck(lua, size > 0 && size < sizeof(ask.name) && strlen(name) == size, 1,
                  "a short name is expected");
    lua_settop(lua, 2);
    if (call->asked >= call->wire->asks) {
        return luaL_error(lua, "asked for more than %d times", (int)call->wire->asks);
    }
    call->asked++;
    memcpy(ask.name, name, size);
    pipe_begin(worker, PK_WIRE_ASK);
    bytes_add(&worker->out, &ask, sizeof(ask));
    encode_value(lua, worker, 2);
    pipe_send(worker);
    if (pipe_read(worker, &worker->answer) != PK_WIRE_ANSWER) {
        _exit(5);
    }
    return push_answer(lua, worker);
}

/* ISO 8601 UTC. Days to a date by the civil calendar: eras of 400 years that begin in March, so
 * that the leap day is the last of its year. */
static void date_write(int64_t ms, char *out, size_t size)
{
    int64_t days = ms / 86400000 - (ms % 86400000 < 0);
    const int64_t rest = ms - days * 86400000;
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month = (5 * day_of_year + 2) / 153;
    const int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    const int64_t year = year_of_era + era * 400 + (month >= 10);
    (void)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year,
                   (int)(month < 10 ? month + 3 : month - 9), (int)day, (int)(rest / 3600000),
                   (int)(rest / 60000 % 60), (int)(rest / 1000 % 60), (int)(rest % 1000));
}

int date_text(lua_State *lua)
{
    char text[80];
    const double ms = luaL_checknumber(lua, 1);

    luaL_argcheck(lua, ms >= -62167219200000.0 && ms <= 253402300799999.0, 1, "not a date");
    date_write((int64_t)ms, text, sizeof(text));
    lua_pushstring(lua, text);
    return 1;
}
