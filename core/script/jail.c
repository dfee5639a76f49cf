/* jail.c - The pool of workers, and who gets which.
 *
 * Workers are made when a call finds none idle, up to 'workers_max'; then calls
 * wait. The idle list is a stack: the worker used last is warm. A worker that
 * has been sent the script before is taken first.
 *
 * Memory of all workers is bounded by counting: what each worker's scripts
 * hold, as it last said, plus the limit of each running call, plus a fixed sum
 * per process. A call that would not fit ends idle workers first, and is
 * refused if that does not help.
 *
 * Locks: one mutex over the lists and counters. Starting, calling and killing
 * happen outside of it; a worker belongs to whoever took it from the list. */
/* SPDX-License-Identifier: MIT */
#include "script/jail.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/error.h"
#include "script/jail_internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum {
    WORKERS_MAX = 16,
    WAIT_MS = 1000,
    IDLE_MS = 60000,
    SOFT_MS = 100,
    HARD_MS = 500,
    MEMORY_BYTES = 16 << 20,
    OUTPUT_BYTES = 256 << 10,
    OUTPUT_MAX_BYTES = 32 << 20,
    DEPTH = 32,
    PROCESS_BYTES = 2 << 20, /* Of a worker's own, beside its scripts. */
};

struct pk_jail {
    const struct pk_clock *clock;
    char *path;
    size_t workers_max;
    size_t memory_total_bytes;
    int64_t idle_ns;
    bool is_unsafe;

    pthread_mutex_t mutex;
    pthread_cond_t changed;   /* A worker came back, or memory became free. */
    struct jail_worker *idle; /* Newest first. */
    size_t alive;             /* Idle, busy, or being started. */
    size_t reserved_bytes;    /* Of running calls: limit and what the worker held. */
    _Atomic bool is_open;     /* Some worker runs without its lockdown. */
    struct pk_jail_stats stats;
};

static char *path_beside_us(void)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash) {
        *slash = '\0';
    }
    return pk_strdupf("%s/personakit-worker", slash ? self : ".");
}

struct pk_jail *pk_jail_new(const struct pk_jail_options *options)
{
    struct pk_jail *jail = pk_calloc(1, sizeof(*jail));

    jail->clock = options->clock ? options->clock : pk_clock_system();
    jail->path = options->worker_path ? pk_strdup(options->worker_path) : path_beside_us();
    jail->workers_max = options->workers_max ? options->workers_max : WORKERS_MAX;
    jail->memory_total_bytes = options->memory_total_bytes ? options->memory_total_bytes : 1U << 30;
    jail->idle_ns = (options->idle_ms ? options->idle_ms : IDLE_MS) * 1000000;
    jail->is_unsafe = options->is_unsafe;
    (void)pthread_mutex_init(&jail->mutex, NULL);
    pk_cond_init(&jail->changed);
    return jail;
}

/* Ends the workers of a list that nobody else has. */
static void end_list(struct jail_worker *worker)
{
    while (worker) {
        struct jail_worker *next = worker->next;
        (void)jail_worker_end(worker);
        pk_free(worker);
        worker = next;
    }
}

void pk_jail_free(struct pk_jail *jail)
{
    if (!jail) {
        return;
    }
    end_list(jail->idle);
    (void)pthread_cond_destroy(&jail->changed);
    (void)pthread_mutex_destroy(&jail->mutex);
    pk_free(jail->path);
    pk_free(jail);
}

const char *pk_jail_worker_path(const struct pk_jail *jail)
{
    return jail->path;
}

/* ---- Under the mutex ---- */

/* What the idle workers hold, and all processes. */
static size_t used_bytes(const struct pk_jail *jail)
{
    size_t used = jail->reserved_bytes + jail->alive * PROCESS_BYTES;
    for (const struct jail_worker *worker = jail->idle; worker; worker = worker->next) {
        used += worker->held_bytes;
    }
    return used;
}

static uint64_t hash_head(const struct pk_jail_script *script)
{
    uint64_t head;
    memcpy(&head, script->hash, sizeof(head));
    return head;
}

static bool knows(const struct jail_worker *worker, uint64_t head)
{
    for (size_t i = 0; i < JAIL_KNOWN; i++) {
        if (worker->known[i] == head) {
            return true;
        }
    }
    return false;
}

/* Takes the idle worker that fits best out of the list, or NULL. */
static struct jail_worker *take_idle(struct pk_jail *jail, uint64_t head)
{
    struct jail_worker **best = &jail->idle;
    for (struct jail_worker **at = &jail->idle; *at; at = &(*at)->next) {
        if (knows(*at, head)) {
            best = at;
            break;
        }
    }
    struct jail_worker *worker = *best;
    if (worker) {
        *best = worker->next;
        worker->next = NULL;
    }
    return worker;
}

/* Takes the workers that have been idle since before 'since_ns' out of the list. */
static struct jail_worker *take_older(struct pk_jail *jail, int64_t since_ns)
{
    struct jail_worker *old = NULL;
    for (struct jail_worker **at = &jail->idle; *at;) {
        struct jail_worker *worker = *at;
        if (worker->idle_since_ns <= since_ns) {
            *at = worker->next;
            worker->next = old;
            old = worker;
            jail->alive--;
        } else {
            at = &worker->next;
        }
    }
    return old;
}

static bool wait_changed(struct pk_jail *jail, int64_t deadline_ns)
{
    return pk_cond_wait(&jail->changed, &jail->mutex, pk_cond_at_ns(deadline_ns));
}

/* ---- Taking and giving back ---- */

static struct jail_worker *worker_new(void)
{
    struct jail_worker *worker = pk_calloc(1, sizeof(*worker));
    worker->fd = -1;
    return worker;
}

/* Whether there is room for what the worker holds and a call of 'memory'. */
static bool fits(const struct pk_jail *jail, const struct jail_worker *worker, size_t memory)
{
    const size_t used = used_bytes(jail) + worker->held_bytes;
    return used <= jail->memory_total_bytes && memory <= jail->memory_total_bytes - used;
}

/* A worker, or permission to start one (a struct with pid 0); its memory is reserved. NULL: 'err'
 * says what there is not. 'out_doomed' must be ended outside of the mutex. */
static struct jail_worker *acquire_locked(struct pk_jail *jail, const struct pk_jail_call *call,
                                          struct jail_worker **out_doomed, struct pk_error *err)
{
    const size_t memory = call->limits.memory_bytes;
    const int64_t deadline = jail_now_ns() + (call->wait_ms ? call->wait_ms : WAIT_MS) * 1000000;
    bool is_late = false;

    for (;;) {
        struct jail_worker *worker = take_idle(jail, hash_head(call->script));
        if (!worker && jail->alive < jail->workers_max) {
            worker = worker_new();
            jail->alive++;
        }
        if (worker) {
            if (!fits(jail, worker, memory)) {
                *out_doomed = take_older(jail, INT64_MAX);
            }
            if (!fits(jail, worker, memory) && worker->pid) { /* A new one holds nothing. */
                worker->next = *out_doomed;
                *out_doomed = worker;
                worker = worker_new();
            }
            if (fits(jail, worker, memory)) {
                jail->reserved_bytes += memory + worker->held_bytes;
                jail->stats.busy++;
                return worker;
            }
            worker->next = *out_doomed;
            *out_doomed = worker;
            jail->alive--;
            (void)pthread_cond_signal(&jail->changed); /* Whoever waits may be content with less. */
            (void)pk_fail(err, PK_BUSY, "try again, or raise scripts.memory_total",
                          "all script workers together would take more than %zu MiB",
                          jail->memory_total_bytes >> 20);
            return NULL;
        }
        if (is_late) {
            (void)pk_fail(err, PK_BUSY, "try again", "all %zu script workers are busy",
                          jail->workers_max);
            return NULL;
        }
        is_late = !wait_changed(jail, deadline); /* One more look, for what came just now. */
    }
}

static struct jail_worker *acquire(struct pk_jail *jail, const struct pk_jail_call *call,
                                   struct pk_error *err)
{
    struct jail_worker *doomed = NULL;

    (void)pthread_mutex_lock(&jail->mutex);
    struct jail_worker *worker = acquire_locked(jail, call, &doomed, err);
    (void)pthread_mutex_unlock(&jail->mutex);
    end_list(doomed);
    return worker;
}

/* 'reserved' is what acquire reserved for it. */
static void release(struct pk_jail *jail, struct jail_worker *worker, size_t reserved)
{
    const int64_t now = pk_clock_mono_ns(jail->clock);

    (void)pthread_mutex_lock(&jail->mutex);
    jail->reserved_bytes -= reserved;
    jail->stats.busy--;
    if (worker->pid) {
        worker->idle_since_ns = now;
        worker->next = jail->idle;
        jail->idle = worker;
    } else {
        jail->alive--;
    }
    struct jail_worker *old = take_older(jail, now - jail->idle_ns);
    (void)pthread_cond_signal(&jail->changed);
    (void)pthread_mutex_unlock(&jail->mutex);
    if (!worker->pid) {
        end_list(worker);
    }
    end_list(old);
}

void pk_jail_trim(struct pk_jail *jail)
{
    const int64_t now = pk_clock_mono_ns(jail->clock);

    (void)pthread_mutex_lock(&jail->mutex);
    struct jail_worker *old = take_older(jail, now - jail->idle_ns);
    (void)pthread_mutex_unlock(&jail->mutex);
    end_list(old);
}

/* ---- Calls ---- */

static void remember(struct jail_worker *worker, uint64_t head)
{
    if (!knows(worker, head)) {
        worker->known[worker->known_next++ % JAIL_KNOWN] = head;
    }
}

/* Makes sure that there is a live process in 'worker'. */
static bool prepare(struct pk_jail *jail, struct jail_worker *worker, struct pk_error *err)
{
    if (worker->pid && jail_worker_is_stale(worker)) {
        (void)jail_worker_end(worker); /* Somebody killed it while it was idle. */
    }
    if (worker->pid) {
        return true;
    }
    if (!jail_worker_start(worker, jail->path, jail->is_unsafe, err)) {
        return false;
    }
    (void)pthread_mutex_lock(&jail->mutex);
    jail->stats.started++;
    jail->is_open = jail->is_open || !worker->is_locked;
    (void)pthread_mutex_unlock(&jail->mutex);
    return true;
}

static bool is_zero(const struct pk_jail_limits *limits)
{
    return !limits->soft_ms || !limits->hard_ms || !limits->memory_bytes || !limits->output_bytes ||
           !limits->depth;
}

static void fill_limits(struct pk_jail_limits *limits)
{
    if (is_zero(limits)) {
        limits->hard_ms = limits->hard_ms ? limits->hard_ms : HARD_MS;
        limits->soft_ms = limits->soft_ms ? limits->soft_ms : SOFT_MS;
        limits->memory_bytes = limits->memory_bytes ? limits->memory_bytes : MEMORY_BYTES;
        limits->output_bytes = limits->output_bytes ? limits->output_bytes : OUTPUT_BYTES;
        limits->depth = limits->depth ? limits->depth : DEPTH;
    }
    if (limits->output_bytes > OUTPUT_MAX_BYTES) {
        limits->output_bytes = OUTPUT_MAX_BYTES;
    }
}

static bool check_script(const struct pk_jail_script *script, struct pk_error *err)
{
    size_t size = script->source_size + script->preamble_size;

    for (size_t i = 0; i < script->module_count && i < PK_JAIL_MODULES_MAX; i++) {
        size += script->module[i].size + sizeof(struct pk_wire_module);
        if (strlen(script->module[i].name) >= PK_WIRE_NAME) {
            return pk_fail(err, PK_INVALID, "give a shorter name",
                           "the name of a module of '%s' is too long", script->name);
        }
    }
    if (size > PK_JAIL_INPUT_MAX_BYTES || script->module_count > PK_JAIL_MODULES_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "make it smaller", "the script '%s' is too large",
                       script->name);
    }
    return true;
}

static bool check_call(const struct pk_jail_call *call, struct pk_error *err)
{
    if (call->input_size > PK_JAIL_INPUT_MAX_BYTES) {
        return pk_fail(err, PK_TOO_LARGE, "send less", "the script's input has %zu bytes, over %d",
                       call->input_size, PK_JAIL_INPUT_MAX_BYTES);
    }
    if (strlen(call->entry) >= PK_WIRE_NAME) {
        return pk_fail(err, PK_INVALID, "give a shorter name", "the entry's name is too long");
    }
    return check_script(call->script, err);
}

static void count(struct pk_jail *jail, enum pk_jail_end end)
{
    (void)pthread_mutex_lock(&jail->mutex);
    jail->stats.calls++;
    jail->stats.end[end]++;
    (void)pthread_mutex_unlock(&jail->mutex);
}

static bool run(struct pk_jail *jail, const struct pk_jail_call *call,
                struct pk_jail_result *result, struct pk_error *err)
{
    struct jail_worker *worker = acquire(jail, call, err);
    bool is_spent = false;

    if (!worker) {
        return false;
    }
    const size_t reserved = call->limits.memory_bytes + worker->held_bytes;
    bool is_ok = prepare(jail, worker, err);
    if (is_ok) {
        is_ok = jail_exchange(worker, call, pk_clock_mono_ns(jail->clock) / 1000000, result,
                              &is_spent, err);
        if (is_spent) {
            (void)jail_worker_end(worker);
        } else {
            remember(worker, hash_head(call->script));
        }
    }
    release(jail, worker, reserved);
    return is_ok;
}

bool pk_jail_call(struct pk_jail *jail, const struct pk_jail_call *call,
                  struct pk_jail_result *result, struct pk_error *err)
{
    struct pk_jail_call filled = *call;

    *result = (struct pk_jail_result){ .end = PK_JAIL_NOT_RUN };
    fill_limits(&filled.limits);
    bool is_ok = check_call(&filled, err) && run(jail, &filled, result, err);
    count(jail, result->end);
    return is_ok;
}

bool pk_jail_repeat(struct pk_jail *jail, const struct pk_jail_call *call, int64_t hard_ms,
                    struct pk_jail_result *result, struct pk_error *err)
{
    struct pk_jail_call repeat = *call;
    struct pk_error why = { 0 };

    repeat.is_repeat = true;
    repeat.limits.hard_ms = hard_ms;
    repeat.limits.soft_ms = hard_ms - hard_ms / 4;
    bool is_ok = pk_jail_call(jail, &repeat, result, &why);
    if (result->end == PK_JAIL_STOPPED || result->end == PK_JAIL_KILLED) {
        return true;
    }
    return pk_fail(err, PK_NOT_FOUND, "it may depend on the machine's load",
                   "the repeated call was not stopped: %s", is_ok ? "it ended well" : why.message);
}

/* ---- The rest ---- */

bool pk_jail_probe(struct pk_jail *jail, struct pk_error *err)
{
    struct jail_worker worker = { .fd = -1 };
    if (!jail_worker_start(&worker, jail->path, jail->is_unsafe, err)) {
        return false;
    }
    (void)pthread_mutex_lock(&jail->mutex);
    jail->is_open = jail->is_open || !worker.is_locked;
    (void)pthread_mutex_unlock(&jail->mutex);
    (void)jail_worker_end(&worker);
    return true;
}

bool pk_jail_is_open(const struct pk_jail *jail)
{
    return jail->is_open;
}

void pk_jail_stats(struct pk_jail *jail, struct pk_jail_stats *out)
{
    (void)pthread_mutex_lock(&jail->mutex);
    *out = jail->stats;
    out->workers = jail->alive;
    for (const struct jail_worker *worker = jail->idle; worker; worker = worker->next) {
        out->held_bytes += worker->held_bytes;
    }
    (void)pthread_mutex_unlock(&jail->mutex);
}

void pk_jail_result_view(const struct pk_jail_result *result, bson_t *out_view)
{
    (void)bson_init_static(out_view, (const uint8_t *)result->output.data, result->output.size);
}

void pk_jail_result_done(struct pk_jail_result *result)
{
    pk_buf_done(&result->output);
    pk_buf_done(&result->message);
    pk_buf_done(&result->trace);
}
