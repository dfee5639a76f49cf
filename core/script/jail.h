/* jail.h - Runs a script on a document, in a process that can do nothing but compute.
 *
 * A jail is a pool of worker processes, started on first use. A call takes one
 * of them, hands over script and input, and waits for the output:
 *
 *     struct pk_jail_result result = { 0 };
 *     if (!pk_jail_call(jail, &call, &result, err)) { ... result.end says how it ended ... }
 *     pk_jail_result_view(&result, &bson);  // { value: <what the script gave> }
 *     pk_jail_result_done(&result);
 *
 * What is promised: nothing that a script does outlives its call or reaches
 * another; the same script, input and seed give the same output on every
 * worker; a call ends at its hard limit at the latest, plus 50 ms; a worker
 * that dies costs its own call and nothing else.
 *
 * A script is Lua text. Its main chunk runs first, in a fresh environment, and
 * returns a table or a function; 'entry' names the field to call with the
 * input. It may come with modules, texts that it gets by require "name"; one
 * runs in the environment of the call when it is first required, at most once
 * per call, and gives what it returned, or true.
 *
 * A preamble is a library chunk that runs before the script: it gets a table of
 * host functions { ask, null, date, binary, list, raw } as its argument, what it
 * returns is what require "personakit" gives the script. When that is a table
 * with a function 'enter', then enter(value, entry, input) is called instead,
 * 'value' being what the main chunk returned. It is run for every call, in the
 * call's environment; unless it is resident: then it is run once per worker and
 * script, in an environment of its own, and must return a function, which is
 * called before each call and returns the library's table. A resident preamble
 * must hand out nothing that keeps what a script does to it. A script without a
 * text (source_size 0) behind it is rules alone: it is what 'declared' of the
 * library's table gives, made once per worker, for nobody's code runs there.
 *
 * Any thread; a call blocks its own. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_JAIL_H
#define PK_SCRIPT_JAIL_H

#include "base/buf.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_jail; /* Opaque. */

enum {
    PK_JAIL_HASH = 32,
    PK_JAIL_NAME = 128,
    PK_JAIL_INPUT_MAX_BYTES = 32 << 20,
    PK_JAIL_MODULES_MAX = 64
};

struct pk_jail_options {
    const struct pk_clock *clock; /* NULL: the system's. Only for idle times; limits are real. */
    const char *worker_path;      /* NULL: personakit-worker beside this program. */
    size_t workers_max;           /* 0: 16. */
    size_t memory_total_bytes;    /* Of all workers; beyond it calls are refused. 0: 1 GiB. */
    int64_t idle_ms;              /* A worker unused for so long is ended. 0: 60,000. */
    bool is_unsafe;               /* Go on when the kernel refuses the lockdown. */
};

struct pk_jail *pk_jail_new(const struct pk_jail_options *options)
    __attribute__((returns_nonnull, warn_unused_result));
/* Ends all workers. No call may be running. */
void pk_jail_free(struct pk_jail *jail);
/* The executable that its workers are of. */
const char *pk_jail_worker_path(const struct pk_jail *jail);

/* Starts a worker and hears whether the kernel locks it down. False: it does not, or there is no
 * worker; 'err' says which and what to do. The start of the server calls it. */
bool pk_jail_probe(struct pk_jail *jail, struct pk_error *err);
/* True when a worker of this jail runs without its lockdown ('is_unsafe', and it was refused). */
bool pk_jail_is_open(const struct pk_jail *jail);

/* A text of a script that its main file can require. */
struct pk_jail_module {
    const char *name; /* As in require "name". "personakit" is the preamble's. */
    const char *file; /* As it shall stand in errors: "helpers.lua". */
    const char *text;
    size_t size;
};

/* ---- What of an input is sent ---- */

/* What the rules of a script read: of each trait in input.mindscape only what counts here is sent
 * to the worker, and, when there is no code beside the rules, only the traits that they name and
 * nothing else of the mindscape. What comes back is the same. */
struct pk_jail_cut;
struct pk_jail_reads {
    const char *const *path; /* As the library's program numbers them, from slot 1. */
    size_t paths;
    const char *const *prefix; /* "work." for all below it, "" for all. */
    size_t prefixes;
    bool is_timed; /* Rules ask for confidence or age. */
    bool has_code; /* An author's function may read any trait. */
};
struct pk_jail_cut *pk_jail_cut_new(const struct pk_jail_reads *reads)
    __attribute__((returns_nonnull, warn_unused_result));
void pk_jail_cut_free(struct pk_jail_cut *cut); /* NULL is fine. */

struct pk_jail_script {
    uint8_t hash[PK_JAIL_HASH]; /* Of the source and all modules with their names: its identity. */
    const char *name;           /* As it shall stand in errors: "daily-work.lua". */
    const char *source;
    size_t source_size;
    const struct pk_jail_module *module; /* Names differ. */
    size_t module_count;                 /* At most PK_JAIL_MODULES_MAX. */
    uint8_t preamble_hash[PK_JAIL_HASH]; /* Of the preamble, and whether it is resident. */
    const char *preamble;                /* NULL: none. */
    size_t preamble_size;
    bool is_preamble_resident;
    const struct pk_jail_cut *cut; /* For entries that take a mindscape; NULL: all is sent. */
};

struct pk_jail_limits {
    int64_t soft_ms; /* Of a processor; then it is asked to stop. 0: 100. */
    int64_t hard_ms; /* Since the call, but for the host's answers; then it is killed. 0: 500. */
    size_t memory_bytes;   /* That the call may take. 0: 16 MiB. */
    uint32_t output_bytes; /* Of the output, and of each question. 0: 256 KiB. */
    uint32_t depth;        /* Nesting of the same. 0: 32; at most 98. */
    uint32_t asks;         /* Questions to the host. 0: none. */
};

/* Answers host.ask(name, value). 'question' is { value: ... }. Appends the answer as { value: ... }
 * to 'answer', which is initialised and the caller's. False: the script gets nil and the error. */
typedef bool (*pk_jail_ask)(void *context, const char *name, const bson_t *question, bson_t *answer,
                            struct pk_error *err);

struct pk_jail_call {
    const struct pk_jail_script *script;
    const char *entry;    /* "": the script's value is the function. */
    const uint8_t *input; /* A well-formed BSON document. */
    size_t input_size;
    uint64_t seed; /* Of math.random. */
    struct pk_jail_limits limits;
    pk_jail_ask ask; /* NULL: the script may ask nothing. */
    void *context;   /* Of 'ask'. */
    int64_t wait_ms; /* For a free worker. 0: 1,000. */
    bool is_repeat;  /* Interpreted, so that even a kill knows the line. */
};

enum pk_jail_end {
    PK_JAIL_DONE,    /* There is an output. */
    PK_JAIL_SYNTAX,  /* The source does not compile. */
    PK_JAIL_ERROR,   /* The script raised an error. */
    PK_JAIL_STOPPED, /* At the soft limit; its line is known. */
    PK_JAIL_KILLED,  /* At the hard limit. pk_jail_repeat finds the line. */
    PK_JAIL_MEMORY,  /* It wanted more than its limit. */
    PK_JAIL_OUTPUT,  /* Its output or question cannot be taken: type, size, depth, cycle. */
    PK_JAIL_CRASHED, /* Its worker died or talked nonsense. */
    PK_JAIL_NOT_RUN, /* No worker, no room: not the script's fault. */
    PK_JAIL_ENDS
};

struct pk_jail_result {
    enum pk_jail_end end;
    struct pk_buf output;    /* BSON { value: ... } when DONE; the value is absent for nil. */
    char file[PK_JAIL_NAME]; /* Where it went wrong, or "". */
    uint32_t line;           /* 0: not known. */
    struct pk_buf message;   /* What went wrong, one or more lines of clean text. */
    struct pk_buf trace; /* "file:line: in 'f'" per line, innermost first; script frames only. */
    int64_t took_ns;     /* From the first byte out to the last byte in. */
    uint64_t peak_bytes; /* That the call took. */
    uint32_t asked;      /* Questions answered. */
};

/* Runs the call. False: 'err' and 'result' say why ("stopped after 500 ms"); PK_BUSY when there was
 * no free worker or no memory for one. 'result' is filled either way; end it with
 * pk_jail_result_done. */
bool pk_jail_call(struct pk_jail *jail, const struct pk_jail_call *call,
                  struct pk_jail_result *result, struct pk_error *err);
/* Runs a call that was killed once more, interpreted and with the given hard limit, to learn the
 * line; for a background task. True: result's file and line say where it was; false with
 * PK_NOT_FOUND: it ended by itself this time. 'ask' must answer as it did before. */
bool pk_jail_repeat(struct pk_jail *jail, const struct pk_jail_call *call, int64_t hard_ms,
                    struct pk_jail_result *result, struct pk_error *err);

/* The output; valid until pk_jail_result_done. Only when DONE. */
void pk_jail_result_view(const struct pk_jail_result *result, bson_t *out_view);
void pk_jail_result_done(struct pk_jail_result *result);
/* "done", "error", "killed" ..., for logs and metrics. */
const char *pk_jail_end_name(enum pk_jail_end end);

/* Ends workers that have been idle too long; a call does so, too, when it is over. */
void pk_jail_trim(struct pk_jail *jail);

struct pk_jail_stats {
    size_t workers;             /* Alive. */
    size_t busy;                /* In a call. */
    size_t held_bytes;          /* By scripts, as the workers last said. */
    uint64_t started;           /* Workers, ever. */
    uint64_t calls;             /* Run, ever, ... */
    uint64_t end[PK_JAIL_ENDS]; /* ... by how they ended. */
};
void pk_jail_stats(struct pk_jail *jail, struct pk_jail_stats *out);

#endif
