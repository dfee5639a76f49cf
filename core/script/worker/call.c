/* call.c - One call, from its frame to its answer.
 *
 *     find or make the state -> fresh environment -> preamble -> main chunk
 *       -> input -> entry -> output -> END
 *
 * Everything that may raise runs below two protected calls: the outer one for
 * memory that is not there, the inner one with the handler that notes where an
 * error happened.
 *
 * What is called: when the library has a function 'enter', then
 * enter(value, entry, input), where 'value' is what the main chunk returned;
 * else value[entry](input), or value(input) when the entry is "".
 *
 * How a call ended is decided here, once, by what happened and not by what the
 * script made of it: one that hit its cap or met the stop hook has ended so,
 * even when it caught the error. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

/* ---- Running ---- */

/* Pushes the function that 'entry' names and its arguments but the input; returns their number. */
static PK_RAISES int push_entry(lua_State *lua, const struct call *call, int library, int value)
{
    const char *entry = call->wire->entry;

    if (lua_istable(lua, library)) {
        lua_pushliteral(lua, "enter");
        lua_rawget(lua, library);
        if (lua_isfunction(lua, -1)) {
            lua_pushvalue(lua, value);
            lua_pushstring(lua, entry);
            return 2;
        }
        lua_pop(lua, 1);
    }
    if (!entry[0]) {
        lua_pushvalue(lua, value);
    } else if (lua_istable(lua, value)) {
        lua_pushstring(lua, entry);
        lua_rawget(lua, value);
    } else {
        lua_pushnil(lua);
    }
    if (!lua_isfunction(lua, -1)) {
        (void)luaL_error(lua, "the script gives no function '%s'", entry);
    }
    return 0;
}

/* Runs the main chunk in a fresh environment; leaves the library at 2, the script's value at 3. */
static PK_RAISES void run_main(lua_State *lua, const struct call *call)
{
    if (call->vm->declared_ref != LUA_NOREF) { /* No code of anybody's: nothing to be fresh of. */
        lua_pushnil(lua);
        lua_rawgeti(lua, LUA_REGISTRYINDEX, call->vm->declared_ref);
        return;
    }
    environment_renew(call->vm, call->wire->seed);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, call->vm->main_ref);
    lua_call(lua, 0, 1);
}

static PK_RAISES int run_script(lua_State *lua)
{
    struct worker *worker = lua_touserdata(lua, 1);
    struct call *call = worker->call;
    struct pk_wire_end end = { 0 };

    run_main(lua, call);
    int count = push_entry(lua, call, 2, 3);
    raw_push_input(lua, worker);
    lua_call(lua, count + 1, 1);
    pipe_begin(worker, PK_WIRE_END);
    bytes_add(&worker->out, &end, sizeof(end));
    encode_value(lua, worker, -1);
    return 0;
}

static PK_RAISES int run_protected(lua_State *lua)
{
    void *worker = lua_touserdata(lua, 1);

    lua_settop(lua, 0);
    lua_pushcfunction(lua, trace_on_error);
    lua_pushcfunction(lua, run_script);
    lua_pushlightuserdata(lua, worker);
    const int failed = lua_pcall(lua, 1, 0, 1);
    if (failed) {
        struct call *call = ((struct worker *)worker)->call;
        if (call->reason == PK_WIRE_DONE) {
            call->reason = failed == LUA_ERRMEM ? PK_WIRE_MEMORY : PK_WIRE_ERROR;
            trace_say(call, "%s", "an error in the handling of an error");
        }
    }
    return 0;
}

static PK_RAISES int open_and_compile(lua_State *lua)
{
    struct worker *worker = lua_touserdata(lua, 1);
    struct call *call = worker->call;
    const size_t head = sizeof(struct pk_wire_head);

    lua_settop(lua, 0);
    environment_open(worker, call->vm);
    if (!environment_compile(call->vm, worker->answer.data + head, worker->answer.size - head)) {
        lua_insert(lua, 1); /* Where the handler looks for it. */
        (void)trace_on_error(lua);
        call->reason = PK_WIRE_SYNTAX;
    }
    lua_settop(lua, 0);
    return 0;
}

/* ---- Ending ---- */

void call_say_memory(struct call *call)
{
    trace_say(call, "it takes more than %llu KiB of memory",
              (unsigned long long)(call->wire->memory_bytes / 1024));
}

static void judge(struct worker *worker, struct call *call, bool is_out_of_memory)
{
    if (call->vm->is_full || is_out_of_memory || call->reason == PK_WIRE_MEMORY) {
        call->reason = PK_WIRE_MEMORY;
        call_say_memory(call);
    } else if (worker->is_stopped) {
        call->reason = PK_WIRE_STOPPED;
        trace_say(call, "%s", "stopped");
    }
    if (call->reason != PK_WIRE_DONE && !call->line && worker->is_interpreted &&
        worker->place_file) {
        (void)strncpy(call->file, (const char *)worker->place_file, sizeof(call->file) - 1);
        call->line = (uint32_t)worker->place_line;
    }
}

static void send_end(struct worker *worker, const struct call *call)
{
    struct pk_wire_end end = {
        .reason = call->reason,
        .line = call->line,
        .peak_bytes = call->vm->peak_bytes - call->vm->start_bytes,
        .held_bytes = vm_held_bytes(worker),
    };

    memcpy(end.file, call->file, sizeof(end.file));
    if (call->reason == PK_WIRE_DONE) {
        memcpy(worker->out.data + sizeof(struct pk_wire_head), &end, sizeof(end));
    } else {
        end.message_size = (uint32_t)call->message_size;
        end.trace_size = (uint32_t)call->trace_size;
        pipe_begin(worker, PK_WIRE_END);
        bytes_add(&worker->out, &end, sizeof(end));
        bytes_add(&worker->out, call->message, call->message_size);
        bytes_add(&worker->out, call->trace, call->trace_size);
    }
    pipe_send(worker);
}

/* ---- From frame to frame ---- */

/* Gets the texts from the server and makes the state; the call's reason says how it went. */
static void make_vm(struct worker *worker, struct call *call)
{
    pipe_begin(worker, PK_WIRE_NEED);
    pipe_send(worker);
    if (pipe_read(worker, &worker->answer) != PK_WIRE_SOURCE) {
        _exit(5);
    }
    call->vm = vm_new(worker, call->wire);
    if (!call->vm) {
        _exit(4);
    }
    vm_begin_call(call->vm, call->wire->memory_bytes);
    stop_arm(worker, call->vm->lua, false);
    const int failed = lua_cpcall(call->vm->lua, open_and_compile, worker);
    stop_disarm(worker, call->vm->lua);
    if (failed && call->reason == PK_WIRE_DONE) {
        call->reason = failed == LUA_ERRMEM ? PK_WIRE_MEMORY : PK_WIRE_ERROR;
        const char *text = lua_tostring(call->vm->lua, -1);
        trace_say(call, "%.500s", text ? text : "cannot open the libraries");
    }
    judge(worker, call, false);
    vm_end_call(call->vm);
    call->vm->is_made = call->reason == PK_WIRE_DONE;
    bytes_trim(&worker->answer);
}

static void run(struct worker *worker, struct call *call)
{
    lua_State *lua = call->vm->lua;

    vm_begin_call(call->vm, call->wire->memory_bytes);
    stop_arm(worker, lua, call->wire->is_interpreted);
    const int failed = lua_cpcall(lua, run_protected, worker);
    stop_disarm(worker, lua);
    judge(worker, call, failed == LUA_ERRMEM);
    if (failed && call->reason == PK_WIRE_DONE) {
        call->reason = PK_WIRE_ERROR;
        trace_say(call, "%s", "an error in the handling of an error");
    }
    lua_settop(lua, 0);
    vm_end_call(call->vm);
}

void call_run(struct worker *worker)
{
    const size_t head = sizeof(struct pk_wire_head) + sizeof(struct pk_wire_call);
    struct call call = { .reason = PK_WIRE_DONE };

    if (worker->in.size < head) {
        _exit(5);
    }
    call.wire = (const struct pk_wire_call *)(worker->in.data + sizeof(struct pk_wire_head));
    call.input = worker->in.data + head;
    call.input_size = worker->in.size - head;
    if (call.wire->cut_size > call.input_size) {
        _exit(5);
    }
    call.input_size -= call.wire->cut_size;
    call.cut_size = call.wire->cut_size;
    call.cut = call.wire->is_cut ? call.input + call.input_size : NULL;
    worker->call = &call;
    call.vm = vm_find(worker, call.wire);
    if (!call.vm) {
        make_vm(worker, &call);
    }
    if (call.reason == PK_WIRE_DONE) {
        run(worker, &call);
    }
    send_end(worker, &call);
    raw_end_call(worker);
    worker->call = NULL;
    if (!call.vm->is_made ||
        (call.reason != PK_WIRE_DONE && call.reason != PK_WIRE_ERROR &&
         call.reason != PK_WIRE_OUTPUT) ||
        call.wire->is_interpreted || !vm_tidy(call.vm)) {
        vm_drop(worker, call.vm);
    }
    bytes_trim(&worker->in);
    bytes_trim(&worker->out);
}
