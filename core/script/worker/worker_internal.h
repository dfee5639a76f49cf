/* worker_internal.h - The parts of a script worker, and what they share.
 *
 * One process, one thread, one call at a time; so all of it hangs on one
 * 'struct worker', made in main.c. The files, in the order of a call:
 *
 *     pipe.c         a frame comes in
 *     vm.c           its script's Lua state: found, or made and compiled
 *     footprint.c    what the state takes from the system, holes included
 *     environment.c  what a script sees: prelude.lua, compiled texts
 *     call.c         fresh environment, main chunk, entry, and how it ended
 *     decode.c       BSON to Lua values: the input
 *     raw.c          the part of the input that stays BSON until it is looked at
 *     form.c         the part of the output that is the same in every call
 *     encode.c       Lua values to BSON: the output, and what the script asks
 *     stop.c         the stop signal, the sticky hook, where the script is
 *     ask.c          what a script asks the server
 *     trace.c        an error as file, line, message, traceback
 *     lockdown.c     once, at the start: nothing but computing from here on
 *     chance.c       the randomness that LuaJIT wants, without any
 *
 * Nothing here allocates by pk_alloc: the worker is LuaJIT, libbson, libseccomp
 * and nothing else. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_WORKER_WORKER_INTERNAL_H
#define PK_SCRIPT_WORKER_WORKER_INTERNAL_H

#include "script/worker/wire.h"

#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WORKER_IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WORKER_IS_SANITIZED 1
#endif

/* May raise a Lua error: own nothing across a call of it. */
#define PK_RAISES

enum {
    VMS_MAX = 32,                     /* Lua states kept. */
    VM_LEFT_MAX_BYTES = 4 << 20,      /* A state that still holds more after a call is dropped. */
    VM_FOOTPRINT_MAX_BYTES = 8 << 20, /* The same for its arena, holes included. */
    VM_IDLE_MS = 300000,              /* Not called for so long: dropped. */
    VM_GARBAGE_BYTES = 1536 << 10, /* Left by calls before it is collected between two of them. */
    STOP_SLACK_BYTES = 64 << 10,   /* Beyond the cap for the error itself. */
    FOOTPRINT_SLACK_BYTES = 768 << 10, /* Beyond the cap for the arena's steps and machine code. */
    BUFFER_KEEP_BYTES = 256 << 10,     /* A larger buffer is given back after the call. */
    FRAME_MAX_BYTES = 64 << 20,        /* From the server, whom we trust; against nonsense. */
};

struct walk_at; /* walk.h */

/* Bytes that grow, outside Lua's memory. */
struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

/* What a script's state needs to recognise: pointers to metatables that the registry keeps. */
struct metas {
    const void *date, *binary, *int64, *list, *raw, *wanted, *form, *forms, *reads;
    int date_ref, binary_ref, int64_ref, list_ref, raw_ref, wanted_ref; /* In the registry. */
    int form_ref, forms_ref, reads_ref;
};

enum { RAW_KEYS_MAX = 2, RAW_KEY_MAX = 32 };

/* Which arrays of the input stay BSON: input[outer][inner]; see raw.c. */
struct raw_hold {
    char outer[RAW_KEY_MAX];
    char inner[RAW_KEYS_MAX][RAW_KEY_MAX];
    size_t count; /* Of 'inner'. 0: everything is decoded. */
};

/* Where the elements of the list last looked into lie, by a hash of their ids. */
struct raw_index {
    const uint8_t *list; /* NULL: of none. */
    struct raw_place {
        uint32_t hash;
        uint32_t offset; /* In the list; 0: free. */
    } * place;
    size_t capacity; /* A power of two. */
};

/* One script's Lua state. */
struct vm {
    struct worker *worker;
    lua_State *lua;
    lua_Alloc allocate; /* LuaJIT's own allocator, and its arena: ours counts and hands on. */
    void *arena;
    uint8_t key[2 * PK_WIRE_HASH + 1]; /* Script, preamble, whether interpreted. */
    struct metas metas;
    struct raw_hold hold;
    int fresh_ref, fresh_host_ref, main_ref;     /* In the registry, ... */
    int preamble_ref, resident_ref, modules_ref; /* ... these only if there are any. */
    int declared_ref;        /* What a script without a text of its own is, for all calls. */
    char file[PK_WIRE_NAME]; /* The script's name in errors, ... */
    char (*module_file)[PK_WIRE_NAME]; /* ... and its modules'. */
    size_t module_count;
    bool is_made;           /* Its texts are compiled. */
    int64_t used_ms;        /* When it was last called. */
    size_t used_bytes;      /* Taken from the arena, with what the allocator adds. */
    size_t peak_bytes;      /* Of 'used_bytes' in this call. */
    size_t start_bytes;     /* 'used_bytes' as the call began. */
    size_t clean_bytes;     /* 'used_bytes' when it was last collected. */
    size_t cap_bytes;       /* Of 'used_bytes'; 0: none yet. */
    size_t collect_bytes;   /* From here on the collector runs also during the call. */
    size_t footprint_bytes; /* Of the arena and machine code, as the system gave them; 0 under a
                             * sanitizer. */
    bool is_full;           /* The cap was hit in this call. */
    bool is_collecting;     /* The collector was let loose in this call. */
};

/* The running call. */
struct call {
    const struct pk_wire_call *wire; /* In worker->in. */
    const uint8_t *input;            /* BSON, in worker->in. */
    size_t input_size;
    const uint8_t *cut; /* Behind it, traits by slot (wire.h); NULL: they are in the input. */
    size_t cut_size;
    struct vm *vm;
    uint32_t asked;             /* Questions so far. */
    enum pk_wire_reason reason; /* Set before raising when it is not PK_WIRE_ERROR. */
    uint32_t line;
    char file[PK_WIRE_NAME];
    char message[PK_WIRE_MESSAGE];
    size_t message_size;
    char trace[PK_WIRE_TRACE];
    size_t trace_size;
};

struct worker {
    int fd;
    bool is_locked;      /* seccomp is on. */
    struct bytes in;     /* The CALL frame. */
    struct bytes answer; /* SOURCE and ANSWER frames. */
    struct bytes out;    /* What is being sent. */
    struct vm *vm[VMS_MAX];
    size_t vm_count;
    struct call *call; /* NULL between calls. */
    uint64_t calls;    /* So far; tells lists of this call from those of earlier ones. */
    struct raw_index index;

    /* Shared with the signal handlers. */
    lua_State *volatile running;          /* Whom the stop signal stops; NULL: nobody. */
    volatile sig_atomic_t is_stop_wanted; /* The signal came. */
    volatile sig_atomic_t is_stopped;     /* The hook has raised its error. */
    volatile sig_atomic_t is_interpreted; /* Every line is noted in 'place_...'. */
    const char *volatile place_file;      /* Lives as long as the state. */
    volatile int place_line;
};

/* ---- pipe.c ---- */

/* Reads one frame into 'to'; the process ends when the server has gone or talks nonsense. */
enum pk_wire_kind pipe_read(struct worker *worker, struct bytes *to);
/* Starts a frame in worker->out, which then grows by bytes_add; pipe_send sets its size. */
void pipe_begin(struct worker *worker, enum pk_wire_kind kind);
void pipe_send(struct worker *worker);
/* So many bytes more, for the caller to write. */
uint8_t *bytes_more(struct bytes *bytes, size_t size);
void bytes_add(struct bytes *bytes, const void *data, size_t size);
void bytes_trim(struct bytes *bytes);

/* ---- lockdown.c ---- */

/* Limits, descriptors, seccomp. False: 'why' says what the kernel refused. */
bool lockdown(char *why, size_t why_size);

/* ---- stop.c ---- */

/* Installs the signal handlers; before the lockdown. */
void stop_init(struct worker *worker);
/* From here on the stop signal stops 'lua'. */
void stop_arm(struct worker *worker, lua_State *lua, bool is_interpreted);
void stop_disarm(struct worker *worker, lua_State *lua);
/* Makes the sticky hook raise from the next instruction on; safe in a signal handler and in the
 * allocator. */
void stop_now(struct worker *worker, lua_State *lua);

/* ---- footprint.c ---- */

/* Before the lockdown. */
void footprint_init(void);
/* From here on what LuaJIT takes from the system is added to '*taken', and refused above 'most';
 * 0: never. NULL: nobody pays. */
void footprint_charge(size_t *taken, size_t most);

/* ---- vm.c ---- */

/* The state of the call's script, or NULL: it must be made. Drops what has been idle too long. */
struct vm *vm_find(struct worker *worker, const struct pk_wire_call *wire);
/* A new state with libraries and prelude, in the table; not compiled yet. NULL: out of memory. */
struct vm *vm_new(struct worker *worker, const struct pk_wire_call *wire);
void vm_drop(struct worker *worker, struct vm *vm);
/* Caps memory from here on, and puts the collector to sleep. */
void vm_begin_call(struct vm *vm, size_t memory_bytes);
void vm_end_call(struct vm *vm);
/* After the answer was sent: collects garbage. False: it holds too much and should be dropped. */
bool vm_tidy(struct vm *vm);
size_t vm_held_bytes(const struct worker *worker);
/* The worker that a state belongs to. */
struct worker *vm_worker(lua_State *lua);

/* ---- environment.c ---- */

/* Opens the libraries, runs the prelude; sets the refs. Runs under a protected call. */
PK_RAISES void environment_open(struct worker *worker, struct vm *vm);
/* Compiles the texts of a SOURCE frame, and runs a preamble that is resident. False: the message is
 * on the stack. */
PK_RAISES bool environment_compile(struct vm *vm, const uint8_t *data, size_t size);
/* Makes a fresh environment, sets it as that of the chunks, and runs the preamble in it, or the
 * function that a resident one gave. Pushes what that gave, or nil. */
PK_RAISES void environment_renew(struct vm *vm, uint64_t seed);

/* ---- ask.c ---- */

/* host.ask(name, value): what the server answers, or nil and its error. */
int ask_host(lua_State *lua);
/* host.date_text(ms): ISO 8601 UTC. */
int date_text(lua_State *lua);

/* ---- call.c ---- */

/* Runs the call in worker->in and answers it. */
void call_run(struct worker *worker);
/* Says in the call's message that its cap was hit. */
void call_say_memory(struct call *call);

/* ---- decode.c ---- */

/* Pushes the value of a BSON document as a table. */
PK_RAISES void decode_document(lua_State *lua, const struct metas *metas, const uint8_t *data,
                               size_t size);
/* Pushes the field 'value' of a document, or nil. */
PK_RAISES void decode_value(lua_State *lua, const struct metas *metas, const uint8_t *data,
                            size_t size);

/* Pushes the value that a walk is at; 'depth' is that of what holds it. */
PK_RAISES void decode_at(lua_State *lua, const struct metas *metas, const struct walk_at *at,
                         unsigned depth);

/* ---- raw.c ---- */

/* Adds the table 'raw' of a library chunk's host functions to the table at the top. */
PK_RAISES void raw_open(lua_State *lua, struct metas *metas);
/* Pushes the call's input, with the lists that the library holds as they are. */
PK_RAISES void raw_push_input(lua_State *lua, struct worker *worker);
/* After a call: its lists are no longer valid. */
void raw_end_call(struct worker *worker);
/* A metatable of handles: only its name can be seen of it. */
PK_RAISES void raw_add_tag(lua_State *lua, const char *name, const void **out, int *out_ref);

/* ---- form.c ---- */

/* Adds its functions to the table at the top, which is 'raw'. */
PK_RAISES void form_open(lua_State *lua, struct metas *metas);

/* ---- encode.c ---- */

/* Appends { value: <the value at 'index'> } to worker->out. Raises with call->reason OUTPUT and
 * the path in call->message when the value cannot be given out. */
PK_RAISES void encode_value(lua_State *lua, struct worker *worker, int index);
/* The same for something that is kept: at most 'max' bytes whatever the call may give out.
 * 'out_depth' is how deep its tables are nested. */
PK_RAISES void encode_form(lua_State *lua, struct worker *worker, int index, size_t max,
                           unsigned *out_depth);
bool encode_is_utf8(const char *text, size_t size);

/* ---- trace.c ---- */

/* Message handler of the protected call: fills the call's file, line, message, trace. */
int trace_on_error(lua_State *lua);
/* Writes where 'lua' is into the call; host frames are left out. */
void trace_stack(lua_State *lua, struct call *call);
void trace_say(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
