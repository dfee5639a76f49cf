/* health.c - A table of checks, and the thread that asks the store.
 *
 * Liveness asks nothing: a server whose store is away must not be restarted in
 * a circle. Readiness is the table below, worked through under a lock that is
 * never held while anything is waited for:
 *
 *     thread:  ask the store ──▶ note outcome, statistics, disk ──▶ log changes ──▶ rest
 *     /readyz: ──────────────▶ look at the notes (and at net, keyring, clock)
 *
 * A store that hangs holds up the thread, and the thread's silence is then the
 * finding. All recovers by itself, because it is asked again and again; only a
 * drain, a store that has stopped and executors that never come back stay.
 *
 * If you add a check, add its name to pk_health_name and its row to
 * 'check_table': the compiler insists. */
/* SPDX-License-Identifier: MIT */
#include "ops/health.h"

#include "access/keyring.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/text.h"
#include "doc/doc.h"
#include "script/jail.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

enum {
    EVERY_DEFAULT_MS = 500,
    ANSWER_DEFAULT_MS = 800,
    STALE_DEFAULT_MS = 2000,
    DRIFT_MAX_MS = 1000,
    LOST_MAX = 3, /* The fourth fails. */
    DISK_MIN_PERCENT = 5,
    RETRY_AFTER_S = 1,
    NS_PER_MS = 1000000,
    MS_PER_DAY = 24 * 3600 * 1000,
    CERTIFICATE_MIN_DAYS = 7
};

/* What the thread last found out. */
struct notes {
    int64_t asked_ns;      /* When it asked, while it waits for the store; 0: it does not. */
    int64_t answer_ns;     /* How long the last answer took. */
    struct pk_error error; /* Of the last answer; PK_OK: there was none. */
    struct pk_store_stats stats;
    int disk_percent; /* Free; below 0: not known. */
};

struct pk_health {
    struct pk_health_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* Guards all that follows. */
    pthread_cond_t stop;
    bool is_stopping;
    bool is_draining;
    const struct pk_net *net;
    struct notes notes;
    enum pk_health_state state[PK_HEALTH_COUNT];
    int64_t since_ms[PK_HEALTH_COUNT];
};

/* ---- The checks ---- */

typedef enum pk_health_state check_fn(const struct pk_health *health, char *detail, size_t size);

static __attribute__((format(printf, 4, 5))) enum pk_health_state say(enum pk_health_state state,
                                                                      char *detail, size_t size,
                                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, size, format, arguments);
    va_end(arguments);
    return state;
}

static enum pk_health_state check_drain(const struct pk_health *health, char *detail, size_t size)
{
    return health->is_draining ? say(PK_HEALTH_FAILS, detail, size, "the server is about to stop")
                               : say(PK_HEALTH_OK, detail, size, "the server accepts requests");
}

static enum pk_health_state check_store(const struct pk_health *health, char *detail, size_t size)
{
    const struct notes *notes = &health->notes;
    const char *engine = pk_store_engine(health->options.store);
    const int64_t waited_ns =
        notes->asked_ns ? pk_clock_mono_ns(health->options.clock) - notes->asked_ns : 0;
    if (waited_ns > health->options.answer_ms * NS_PER_MS) {
        return say(PK_HEALTH_FAILS, detail, size, "%s has not answered for %" PRId64 " ms", engine,
                   waited_ns / NS_PER_MS);
    }
    if (notes->error.code != PK_OK) {
        return say(PK_HEALTH_FAILS, detail, size, "%s does not answer: %s", engine,
                   notes->error.message);
    }
    return say(PK_HEALTH_OK, detail, size, "%s answers, last in %" PRId64 " us", engine,
               notes->answer_ns / 1000);
}

static enum pk_health_state check_durable(const struct pk_health *health, char *detail, size_t size)
{
    return health->notes.stats.is_stopped
               ? say(PK_HEALTH_FAILS, detail, size,
                     "a write could not be made durable, so no more are accepted: look at the "
                     "disk, then restart the server")
               : say(PK_HEALTH_OK, detail, size, "writes become durable");
}

static enum pk_health_state check_feed(const struct pk_health *health, char *detail, size_t size)
{
    const struct pk_health_options *options = &health->options;
    if (!options->keyring) {
        return say(PK_HEALTH_OK, detail, size, "not followed");
    }
    const int64_t silence_ms = pk_keyring_silence_ms(options->keyring);
    if (silence_ms == INT64_MAX) {
        return say(PK_HEALTH_FAILS, detail, size, "the feed has not answered yet");
    }
    if (silence_ms <= options->stale_ms) {
        return say(PK_HEALTH_OK, detail, size, "heard %" PRId64 " ms ago", silence_ms);
    }
    if (silence_ms <= options->stale_read_ms) {
        return say(PK_HEALTH_WARNS, detail, size,
                   "silent for %" PRId64 " ms: reads are still answered, writes are not",
                   silence_ms);
    }
    return say(PK_HEALTH_FAILS, detail, size,
               "silent for %" PRId64 " ms: no key can be confirmed, so none is accepted",
               silence_ms);
}

static enum pk_health_state check_keys(const struct pk_health *health, char *detail, size_t size)
{
    const struct pk_health_options *options = &health->options;
    return options->stale_read_ms > options->stale_ms
               ? say(PK_HEALTH_WARNS, detail, size,
                     "access.stale_keys_ms lets a revoked key read for up to %" PRId64
                     " ms while the store is away",
                     options->stale_read_ms)
               : say(PK_HEALTH_OK, detail, size, "a revocation counts within %" PRId64 " ms",
                     options->stale_ms);
}

static enum pk_health_state check_clock(const struct pk_health *health, char *detail, size_t size)
{
    const int64_t drift_ms = health->notes.stats.clock_drift_ms;
    return drift_ms > DRIFT_MAX_MS || drift_ms < -DRIFT_MAX_MS
               ? say(PK_HEALTH_WARNS, detail, size,
                     "the store's clock is %" PRId64 " ms %s: set both by NTP",
                     drift_ms < 0 ? -drift_ms : drift_ms, drift_ms < 0 ? "behind" : "ahead")
               : say(PK_HEALTH_OK, detail, size, "%" PRId64 " ms from the store's", drift_ms);
}

static enum pk_health_state check_executors(const struct pk_health *health, char *detail,
                                            size_t size)
{
    size_t lost = 0;
    for (unsigned lane = 0; health->net && lane < PK_LANE_COUNT; lane++) {
        struct pk_lane_stats stats = { 0 };
        pk_net_lane_stats(health->net, (enum pk_lane_name)lane, &stats);
        lost += stats.lost;
    }
    if (lost > LOST_MAX) {
        return say(
            PK_HEALTH_FAILS, detail, size,
            "%zu executors hang in calls that do not come back: the slow requests in the log "
            "say which, and a restart ends them",
            lost);
    }
    return lost ? say(PK_HEALTH_WARNS, detail, size,
                      "%zu executors hang in calls that do not come back", lost)
                : say(PK_HEALTH_OK, detail, size, "none hangs");
}

static enum pk_health_state check_certificate(const struct pk_health *health, char *detail,
                                              size_t size)
{
    char time[PK_TIME_TEXT];
    const int64_t expires_ms = health->net ? pk_net_tls_expires_ms(health->net) : 0;
    const int64_t left_ms = expires_ms - pk_clock_wall_ms(health->options.clock);
    if (expires_ms == 0) {
        return say(PK_HEALTH_OK, detail, size, "no TLS");
    }
    pk_time_format(expires_ms, time);
    if (left_ms <= 0) {
        return say(PK_HEALTH_WARNS, detail, size,
                   "expired %s: put a new one in its place and send SIGHUP", time);
    }
    return left_ms < (int64_t)CERTIFICATE_MIN_DAYS * MS_PER_DAY
               ? say(PK_HEALTH_WARNS, detail, size,
                     "expires %s: put a new one in its place and send SIGHUP", time)
               : say(PK_HEALTH_OK, detail, size, "expires %s", time);
}

static enum pk_health_state check_disk(const struct pk_health *health, char *detail, size_t size)
{
    const int percent = health->notes.disk_percent;
    if (percent < 0) {
        return say(PK_HEALTH_OK, detail, size, "not looked at");
    }
    return percent < DISK_MIN_PERCENT
               ? say(PK_HEALTH_WARNS, detail, size, "%d %% of the disk is free: make room", percent)
               : say(PK_HEALTH_OK, detail, size, "%d %% of the disk is free", percent);
}

static enum pk_health_state check_jail(const struct pk_health *health, char *detail, size_t size)
{
    const struct pk_jail *jail = health->options.jail;
    if (!jail) {
        return say(PK_HEALTH_OK, detail, size, "no scripts are run");
    }
    return pk_jail_is_open(jail)
               ? say(PK_HEALTH_WARNS, detail, size,
                     "UNSAFE: scripts run without their lockdown (scripts.jail = \"unsafe\")")
               : say(PK_HEALTH_OK, detail, size, "script workers are locked down");
}

static const struct {
    const char *name;
    check_fn *check;
} check_table[PK_HEALTH_COUNT] = {
    [PK_HEALTH_DRAIN] = { "drain", check_drain },
    [PK_HEALTH_STORE] = { "store", check_store },
    [PK_HEALTH_DURABLE] = { "durable", check_durable },
    [PK_HEALTH_FEED] = { "feed", check_feed },
    [PK_HEALTH_KEYS] = { "keys", check_keys },
    [PK_HEALTH_CLOCK] = { "clock", check_clock },
    [PK_HEALTH_EXECUTORS] = { "executors", check_executors },
    [PK_HEALTH_CERTIFICATE] = { "certificate", check_certificate },
    [PK_HEALTH_DISK] = { "disk", check_disk },
    [PK_HEALTH_JAIL] = { "jail", check_jail },
};

/* Works through the table, under the lock. */
static void look(struct pk_health *health, struct pk_health_report *out)
{
    const int64_t now_ms = pk_clock_wall_ms(health->options.clock);
    out->is_ready = true;
    for (size_t i = 0; i < PK_HEALTH_COUNT; i++) {
        struct pk_health_check *check = &out->check[i];
        check->name = check_table[i].name;
        check->state = check_table[i].check(health, check->detail, sizeof(check->detail));
        if (check->state != health->state[i]) {
            health->state[i] = check->state;
            health->since_ms[i] = now_ms;
        }
        check->since_ms = health->since_ms[i];
        out->is_ready = out->is_ready && check->state != PK_HEALTH_FAILS;
    }
}

void pk_health_look(struct pk_health *health, struct pk_health_report *out)
{
    (void)pthread_mutex_lock(&health->lock);
    look(health, out);
    (void)pthread_mutex_unlock(&health->lock);
}

/* ---- The thread ---- */

/* Free space for those who are not root; below 0: not known. */
static int disk_percent(const char *folder)
{
    struct statvfs disk;
    if (!folder || statvfs(folder, &disk) != 0 || disk.f_blocks == 0) {
        return -1;
    }
    return (int)(disk.f_bavail * 100 / disk.f_blocks);
}

/* One read of one document, which need not be there. */
static void ask_store(const struct pk_health *health, struct pk_error *err)
{
    struct pk_doc *doc = NULL;
    const int64_t deadline_ns = pk_deadline_in_ms(health->options.clock, health->options.answer_ms);
    if (pk_store_get(health->options.store, "settings", "readyz", deadline_ns, &doc, err)) {
        pk_doc_unref(doc);
    }
}

/* Asks, and notes the answer. Not under the lock while it waits. */
static void ask(struct pk_health *health)
{
    struct pk_error err = { .code = PK_OK };
    struct pk_store_stats stats;
    const int percent = disk_percent(health->options.data);
    const int64_t asked_ns = pk_clock_mono_ns(health->options.clock);

    (void)pthread_mutex_lock(&health->lock);
    health->notes.disk_percent = percent;
    health->notes.asked_ns = asked_ns;
    (void)pthread_mutex_unlock(&health->lock);

    ask_store(health, &err);

    (void)pthread_mutex_lock(&health->lock);
    health->notes.asked_ns = 0;
    health->notes.answer_ns = pk_clock_mono_ns(health->options.clock) - asked_ns;
    health->notes.error = err;
    (void)pthread_mutex_unlock(&health->lock);

    pk_store_stats(health->options.store, &stats); /* On MongoDB it may ask the server, too. */

    (void)pthread_mutex_lock(&health->lock);
    health->notes.stats = stats;
    (void)pthread_mutex_unlock(&health->lock);
}

/* Tells what has changed since 'before', which becomes what is now. */
static void tell(struct pk_health *health, struct pk_health_report *before)
{
    struct pk_health_report now;
    struct pk_log *log = health->options.log;
    pk_health_look(health, &now);
    for (size_t i = 0; i < PK_HEALTH_COUNT; i++) {
        const struct pk_health_check *check = &now.check[i];
        if (check->state == before->check[i].state) {
            continue;
        }
        if (check->state == PK_HEALTH_OK) {
            pk_log_info(log, "check is good again", PK_STR("check", check->name),
                        PK_STR("detail", check->detail));
        } else if (i == PK_HEALTH_DRAIN) { /* It was asked for: nothing to warn of. */
            pk_log_info(log, "not ready any more", PK_STR("check", check->name),
                        PK_STR("detail", check->detail));
        } else {
            pk_log_warn(log, "check has found something", PK_STR("check", check->name),
                        PK_FLAG("fails", check->state == PK_HEALTH_FAILS),
                        PK_STR("detail", check->detail));
        }
    }
    *before = now;
}

/* Waits for the next round. False: stop. */
static bool rest(struct pk_health *health)
{
    const struct timespec until = pk_cond_in_ms(health->options.every_ms);
    (void)pthread_mutex_lock(&health->lock);
    while (!health->is_stopping && pk_cond_wait(&health->stop, &health->lock, until)) {
    }
    const bool goes_on = !health->is_stopping;
    (void)pthread_mutex_unlock(&health->lock);
    return goes_on;
}

static void *run(void *argument)
{
    struct pk_health *health = argument;
    struct pk_health_report before = { .is_ready = true };
    do {
        ask(health);
        tell(health, &before);
    } while (rest(health));
    return NULL;
}

bool pk_health_start(struct pk_health **out, const struct pk_health_options *options,
                     struct pk_error *err)
{
    struct pk_health *health = pk_calloc(1, sizeof(*health));
    struct pk_health_options *own = &health->options;

    *own = *options;
    own->every_ms = own->every_ms ? own->every_ms : EVERY_DEFAULT_MS;
    own->answer_ms = own->answer_ms ? own->answer_ms : ANSWER_DEFAULT_MS;
    own->stale_ms = own->stale_ms ? own->stale_ms : STALE_DEFAULT_MS;
    health->notes.disk_percent = -1;
    for (size_t i = 0; i < PK_HEALTH_COUNT; i++) {
        health->since_ms[i] = pk_clock_wall_ms(own->clock);
    }
    (void)pthread_mutex_init(&health->lock, NULL);
    pk_cond_init(&health->stop);
    if (pthread_create(&health->thread, NULL, run, health) != 0) {
        pk_free(health);
        return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
    }
    *out = health;
    return true;
}

void pk_health_stop(struct pk_health *health)
{
    if (!health) {
        return;
    }
    (void)pthread_mutex_lock(&health->lock);
    health->is_stopping = true;
    (void)pthread_cond_signal(&health->stop);
    (void)pthread_mutex_unlock(&health->lock);
    (void)pthread_join(health->thread, NULL);
    (void)pthread_cond_destroy(&health->stop);
    (void)pthread_mutex_destroy(&health->lock);
    pk_free(health);
}

void pk_health_set_net(struct pk_health *health, const struct pk_net *net)
{
    (void)pthread_mutex_lock(&health->lock);
    health->net = net;
    (void)pthread_mutex_unlock(&health->lock);
}

void pk_health_drain(struct pk_health *health)
{
    (void)pthread_mutex_lock(&health->lock);
    health->is_draining = true;
    (void)pthread_mutex_unlock(&health->lock);
}

void pk_health_store_stats(struct pk_health *health, struct pk_store_stats *out)
{
    (void)pthread_mutex_lock(&health->lock);
    *out = health->notes.stats;
    (void)pthread_mutex_unlock(&health->lock);
}

/* ---- The answers ---- */

static void print_check(struct pk_buf *out, const struct pk_health_check *check)
{
    static const char *const state_name[] = {
        [PK_HEALTH_OK] = "ok",
        [PK_HEALTH_WARNS] = "warns",
        [PK_HEALTH_FAILS] = "fails",
    };
    char since[PK_TIME_TEXT];
    pk_time_format(check->since_ms, since);
    pk_buf_printf(out, "{\"name\":\"%s\",\"ok\":%s,\"state\":\"%s\",\"detail\":", check->name,
                  check->state == PK_HEALTH_FAILS ? "false" : "true", state_name[check->state]);
    pk_text_json(out, check->detail, strlen(check->detail));
    pk_buf_printf(out, ",\"since\":\"%s\"}", since);
}

void pk_health_answer_live(struct pk_answer *answer)
{
    pk_buf_add_text(&answer->body, "{\"status\":\"alive\"}\n");
    pk_answer_json(answer, 200);
}

void pk_health_answer_ready(struct pk_health *health, bool has_detail, struct pk_answer *answer)
{
    struct pk_health_report report;
    pk_health_look(health, &report);
    pk_buf_printf(&answer->body, "{\"status\":\"%s\"", report.is_ready ? "ready" : "unready");
    if (has_detail) {
        pk_buf_add_text(&answer->body, ",\"checks\":[");
        for (size_t i = 0; i < PK_HEALTH_COUNT; i++) {
            pk_buf_add_text(&answer->body, i ? "," : "");
            print_check(&answer->body, &report.check[i]);
        }
        pk_buf_add_char(&answer->body, ']');
    }
    pk_buf_add_text(&answer->body, "}\n");
    answer->retry_after_s = report.is_ready ? 0 : RETRY_AFTER_S;
    pk_answer_json(answer, report.is_ready ? 200 : 503);
}
