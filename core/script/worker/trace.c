/* trace.c - An error as its author wants it: file, line, message, the way there.
 *
 * All of it is written into the call's fixed buffers: it must work when the
 * script has taken all memory. Frames of C and of the prelude are the host's
 * and left out. Values are read raw: an error object's __tostring is the
 * script's code, and its time is over. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_MAX = 24, LEVELS_MAX = 200 };

void trace_say(struct call *call, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(call->message, sizeof(call->message), format, args);
    va_end(args);
    call->message_size = n < 0 ? 0 : (size_t)n;
    if (call->message_size >= sizeof(call->message)) {
        call->message_size = sizeof(call->message) - 1;
    }
}

static void copy_text(char *out, size_t out_size, const char *text)
{
    (void)snprintf(out, out_size, "%s", text);
}

static void add_frame(struct call *call, const lua_Debug *at)
{
    const size_t left = sizeof(call->trace) - call->trace_size;
    char *to = call->trace + call->trace_size;
    int n;

    if (at->what[0] == 'm') {
        n = snprintf(to, left, "%s:%d: in the main chunk\n", at->source + 1, at->currentline);
    } else if (at->name) {
        n = snprintf(to, left, "%s:%d: in '%.60s'\n", at->source + 1, at->currentline, at->name);
    } else {
        n = snprintf(to, left, "%s:%d: in a function of line %d\n", at->source + 1, at->currentline,
                     at->linedefined);
    }
    call->trace_size += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
}

void trace_stack(lua_State *lua, struct call *call)
{
    lua_Debug at;
    int frames = 0;

    call->trace_size = 0;
    for (int level = 0; level < LEVELS_MAX && frames < FRAMES_MAX; level++) {
        if (!lua_getstack(lua, level, &at)) {
            break;
        }
        (void)lua_getinfo(lua, "Snl", &at);
        if (at.source[0] != '@') {
            continue;
        }
        if (frames++ == 0) {
            copy_text(call->file, sizeof(call->file), at.source + 1);
            call->line = at.currentline > 0 ? (uint32_t)at.currentline : 0;
        }
        add_frame(call, &at);
    }
}

/* The script's file that 'text' begins with, followed by a colon; or NULL. */
static const char *file_of(const struct vm *vm, const char *text)
{
    for (size_t i = 0; i <= vm->module_count; i++) {
        const char *file = i < vm->module_count ? vm->module_file[i] : vm->file;
        const size_t size = strlen(file);
        if (strncmp(text, file, size) == 0 && text[size] == ':') {
            return file;
        }
    }
    return NULL;
}

/* "file:12: what" is split; a position in the prelude or the library tells an author nothing and is
 * dropped, unless none of his lines is known. */
static const char *split_place(struct call *call, const char *text)
{
    static const char *const host_file[] = { "host", "personakit" };
    const char *script = file_of(call->vm, text);
    const char *file = script;
    char *end = NULL;

    for (size_t i = 0; i < 2 && !file; i++) {
        const size_t size = strlen(host_file[i]);
        file = strncmp(text, host_file[i], size) == 0 && text[size] == ':' ? host_file[i] : NULL;
    }
    if (!file) {
        return text;
    }
    const long line = strtol(text + strlen(file) + 1, &end, 10);
    if (line <= 0 || strncmp(end, ": ", 2) != 0) {
        return text;
    }
    if (script) {
        copy_text(call->file, sizeof(call->file), script);
        call->line = (uint32_t)line;
    } else if (file == host_file[1] && !call->line) {
        return text;
    }
    return end + 2;
}

/* The error value at 1, or a field of it. */
static void take_message(lua_State *lua, struct call *call, int index)
{
    size_t size = 0;
    const char *text = lua_tolstring(lua, index, &size);
    const char *rest = split_place(call, text);

    size -= (size_t)(rest - text);
    if (size >= sizeof(call->message)) {
        size = sizeof(call->message) - 1;
    }
    memcpy(call->message, rest, size);
    call->message_size = size;
}

static void take_object(lua_State *lua, struct call *call)
{
    lua_pushliteral(lua, "message");
    lua_rawget(lua, 1);
    if (lua_type(lua, -1) == LUA_TSTRING) {
        take_message(lua, call, -1);
    } else {
        trace_say(call, "the error is a table without a 'message'");
    }
    lua_pop(lua, 1);
}

int trace_on_error(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    struct call *call = worker->call;

    if (worker->is_stopped || call->reason != PK_WIRE_DONE) {
        return 1; /* Told already, where it happened. */
    }
    call->reason = PK_WIRE_ERROR;
    trace_stack(lua, call);
    switch (lua_type(lua, 1)) {
    case LUA_TSTRING:
        take_message(lua, call, 1);
        break;
    case LUA_TTABLE:
        take_object(lua, call);
        break;
    case LUA_TNUMBER:
        trace_say(call, "%.14g", lua_tonumber(lua, 1));
        break;
    default:
        trace_say(call, "the error is a %s", lua_typename(lua, lua_type(lua, 1)));
        break;
    }
    return 1;
}
