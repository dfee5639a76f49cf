/* stop.c - How a running script is stopped from outside.
 *
 * SIGUSR1 is the server's 'stop now'. Its handler sets a count hook that
 * raises an error at every instruction until the call is over: whoever
 * catches one meets the next. Compiled code looks at no hook, and neither does
 * a C function; what is inside one of these goes on until the server kills us.
 * (lua_sethook is what luajit's own shell calls from its signal handler.)
 *
 * SIGUSR2 is 'say where you are', sent once to an interpreted call that is
 * about to be killed: there every line is noted by a hook, and the handler
 * writes the END frame by itself, because the script never comes back.
 *
 * SIGSEGV after the cap was hit is the cap's doing: LuaJIT (2.1 of 2023) raises
 * 'not enough memory' out of compiled code with a stale frame, and may look for
 * the running function where there is none. The handler says how the call ended;
 * the server ends the worker after each such call.
 *
 * SIGPROF comes after each second of our own CPU time, so never to an idle
 * worker: it writes nothing to the pipe, which raises SIGPIPE and ends us when
 * the server has died without killing us. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <lauxlib.h>

static struct worker *the_worker; /* For the signal handlers, who get no argument. */

static PK_RAISES void on_hook(lua_State *lua, lua_Debug *debug)
{
    struct worker *worker = the_worker;
    struct call *call = worker->call;

    if (debug->event == LUA_HOOKLINE) {
        (void)lua_getinfo(lua, "Sl", debug);
        if (debug->source[0] == '@') { /* A script's, not the prelude's. */
            worker->place_file = debug->source + 1;
            worker->place_line = debug->currentline;
        }
        if (!worker->is_stop_wanted) {
            return;
        }
    }
    if (!worker->is_stopped && call) {
        worker->is_stopped = 1;
        trace_stack(lua, call);
    }
    (void)luaL_error(lua, "stopped");
}

void stop_now(struct worker *worker, lua_State *lua)
{
    worker->is_stop_wanted = 1;
    int mask = LUA_MASKCOUNT | (worker->is_interpreted ? LUA_MASKLINE : 0);
    (void)lua_sethook(lua, on_hook, mask, 1);
}

static void on_stop_signal(int number)
{
    lua_State *lua = the_worker->running;
    (void)number;
    if (lua) {
        stop_now(the_worker, lua);
    }
}

static void on_where_signal(int number)
{
    struct worker *worker = the_worker;
    struct {
        struct pk_wire_head head;
        struct pk_wire_end end;
    } frame;

    (void)number;
    if (!worker->running || !worker->is_interpreted) {
        return;
    }
    memset(&frame, 0, sizeof(frame));
    frame.head.kind = PK_WIRE_END;
    frame.head.size = sizeof(frame.end);
    frame.end.reason = PK_WIRE_STOPPED;
    frame.end.line = (uint32_t)worker->place_line;
    for (size_t i = 0; worker->place_file && i + 1 < sizeof(frame.end.file); i++) {
        frame.end.file[i] = worker->place_file[i];
        if (!worker->place_file[i]) {
            break;
        }
    }
    ssize_t done = write(worker->fd, &frame, sizeof(frame));
    _exit(done == (ssize_t)sizeof(frame) ? 0 : 6);
}

#ifndef WORKER_IS_SANITIZED
static char fault_stack[16384]; /* The fault may be the stack's end. */

static void on_fault(int number, siginfo_t *info, void *context)
{
    struct worker *worker = the_worker;
    struct call *call = worker->call;
    struct {
        struct pk_wire_head head;
        struct pk_wire_end end;
        char message[PK_WIRE_MESSAGE];
    } frame;

    (void)number;
    (void)context;
    if (!worker->running || !call || !call->vm->is_full) {
        if (info->si_code <= 0) {
            __builtin_trap(); /* Somebody sent it, and wants our end. */
        }
        return; /* Repeats the fault, without a handler: our end. */
    }
    memset(&frame, 0, sizeof(frame));
    call_say_memory(call);
    memcpy(frame.message, call->message, call->message_size);
    frame.end.reason = PK_WIRE_MEMORY;
    frame.end.peak_bytes = call->vm->peak_bytes - call->vm->start_bytes;
    frame.end.message_size = (uint32_t)call->message_size;
    frame.head.kind = PK_WIRE_END;
    frame.head.size = (uint32_t)(sizeof(frame.end) + call->message_size);
    const size_t size = sizeof(frame.head) + frame.head.size;
    _exit(write(worker->fd, &frame, size) == (ssize_t)size ? 0 : 6);
}

static void catch_faults(void)
{
    const stack_t stack = { .ss_sp = fault_stack, .ss_size = sizeof(fault_stack) };
    struct sigaction action = { .sa_sigaction = on_fault,
                                .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND) };

    (void)sigaltstack(&stack, NULL);
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
}
#else
static void catch_faults(void)
{
} /* The sanitizer's own. */
#endif

static void on_cpu_second(int number)
{
    int kept = errno;
    (void)number;
    ssize_t done = write(PK_WIRE_FD, "", 0);
    (void)done;
    errno = kept;
}

void stop_init(struct worker *worker)
{
    static const struct {
        int number;
        void (*handler)(int number);
    } signal_table[] = {
        { SIGUSR1, on_stop_signal },
        { SIGUSR2, on_where_signal },
        { SIGPROF, on_cpu_second },
        { SIGPIPE, SIG_DFL },
    };
    const struct itimerval every_second = { { 1, 0 }, { 1, 0 } };

    the_worker = worker;
    catch_faults();
    for (size_t i = 0; i < sizeof(signal_table) / sizeof(signal_table[0]); i++) {
        struct sigaction action = { .sa_handler = signal_table[i].handler, .sa_flags = SA_RESTART };
        (void)sigemptyset(&action.sa_mask);
        (void)sigaction(signal_table[i].number, &action, NULL);
    }
    (void)setitimer(ITIMER_PROF, &every_second, NULL);
}

void stop_arm(struct worker *worker, lua_State *lua, bool is_interpreted)
{
    worker->is_stop_wanted = 0;
    worker->is_stopped = 0;
    worker->place_file = NULL;
    worker->place_line = 0;
    worker->is_interpreted = is_interpreted;
    if (is_interpreted) {
        (void)lua_sethook(lua, on_hook, LUA_MASKLINE, 0);
    }
    worker->running = lua;
}

void stop_disarm(struct worker *worker, lua_State *lua)
{
    worker->running = NULL;
    if (worker->is_stop_wanted || worker->is_interpreted) {
        (void)lua_sethook(lua, NULL, 0, 0);
    }
}
