/* jail_internal.h - What jail.c, jail_call.c and jail_worker.c share. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_JAIL_INTERNAL_H
#define PK_SCRIPT_JAIL_INTERNAL_H

#include "base/buf.h"
#include "script/jail.h"
#include "script/worker/wire.h"

#include <sys/types.h>
#include <time.h>

enum { JAIL_KNOWN = 32 }; /* Scripts remembered per worker: as many as it keeps. */

/* One worker process, owned by whoever holds it. */
struct jail_worker {
    pid_t pid; /* 0: there is none. */
    int fd;
    clockid_t cpu_clock; /* What it has used of a processor. */
    bool is_locked;
    struct pk_buf in;  /* What came and was not taken yet. */
    struct pk_buf out; /* What is being sent, ... */
    const void *tail;  /* ... and behind it, of the caller's. */
    size_t tail_size;
    uint64_t known[JAIL_KNOWN]; /* First bytes of hashes it was sent; a ring. */
    size_t known_next;
    int patience_ms;          /* How long a read waits; 0: for ever. */
    uint64_t held_bytes;      /* By its scripts, as it last said. */
    int64_t idle_since_ns;    /* On the jail's clock. */
    struct jail_worker *next; /* In the idle list. */
};

/* ---- jail_worker.c: the process and its pipe ---- */

/* Starts the process and waits until it has locked itself down. */
bool jail_worker_start(struct jail_worker *worker, const char *path, bool is_unsafe,
                       struct pk_error *err);
/* Kills it, if it lives, and reaps it. Returns the wait status, or -1. */
int jail_worker_end(struct jail_worker *worker);
/* Whether the process is gone or has said something unasked: it must not be used. */
bool jail_worker_is_stale(const struct jail_worker *worker);

/* Begins a frame in worker->out; send it with jail_send once everything was added. */
void jail_frame(struct jail_worker *worker, enum pk_wire_kind kind);
/* What is sent behind it, from where it lies; it must stay until jail_send has come back. */
void jail_frame_tail(struct jail_worker *worker, const void *data, size_t size);

enum jail_io { JAIL_IO_OK, JAIL_IO_TIMEOUT, JAIL_IO_GONE, JAIL_IO_NONSENSE };

/* Deadlines are on the system's monotonic clock, in nanoseconds. */
int64_t jail_now_ns(void);
enum jail_io jail_send(struct jail_worker *worker, int64_t deadline_ns);
/* Waits for a whole frame of at most 'max' bytes; it stays in worker->in, head included, until
 * jail_taken. After a time-out it may be called again. */
enum jail_io jail_receive(struct jail_worker *worker, size_t max, int64_t deadline_ns,
                          enum pk_wire_kind *out_kind);
void jail_taken(struct jail_worker *worker);

/* ---- jail_cut.c ---- */

/* Appends to 'out' what of the input is sent, and says it in 'wire'. False: all of it must be sent;
 * nothing was appended. */
bool jail_cut(const struct pk_jail_cut *cut, const uint8_t *input, size_t size, struct pk_buf *out,
              struct pk_wire_call *wire);

/* ---- jail_check.c ---- */

/* Whether these bytes are { value: ... } as a script may give it out, tables nested no deeper than
 * 'depth'. */
bool jail_value_is_good(const uint8_t *data, size_t size, uint32_t depth);

/* ---- jail_call.c ---- */

/* Runs the call on the worker. False: see result; '*out_is_spent' says that the worker must be
 * ended. */
bool jail_exchange(struct jail_worker *worker, const struct pk_jail_call *call, int64_t now_ms,
                   struct pk_jail_result *result, bool *out_is_spent, struct pk_error *err);

#endif
