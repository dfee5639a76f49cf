/* quarantine.c - A circuit breaker per content hash.
 *
 *              kills within the window
 *     CLOSED ---------------------------> BARRED <-----------+
 *        ^                                  | time is over    | killed:
 *        |                                  v                 | twice as long
 *        +------------- well ------------ TRIAL --------------+
 *
 * A script without a row is CLOSED with no kills. The table is small and
 * bounded; a row is found by walking it, because only scripts that were killed
 * lately have one, and these are few. A script that was well on trial keeps
 * its row, and with it the length of its last bar, until the window has passed
 * without a kill: one that is well once in a while gains nothing.
 *
 * Locks: one mutex, held for a walk. */
/* SPDX-License-Identifier: MIT */
#include "script/quarantine.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <pthread.h>
#include <string.h>

enum { KILLS = 3, WINDOW_MS = 60000, BAR_MS = 30000, BAR_MAX_MS = 3600000, SCRIPTS_MAX = 1024 };

enum state { CLOSED, BARRED, TRIAL };

struct row {
    uint8_t hash[PK_QUARANTINE_HASH];
    enum state state;
    unsigned kills;   /* Since 'first_ns'. */
    int64_t first_ns; /* The first kill of the window. */
    int64_t last_ns;  /* Anything was noted. */
    int64_t until_ns; /* BARRED: the end; TRIAL: when another trial is let through. */
    int64_t bar_ns;   /* The last bar's length, 0: none yet. */
};

struct pk_quarantine {
    const struct pk_clock *clock;
    unsigned kills;
    int64_t window_ns, bar_ns, bar_max_ns;
    size_t rows_max;

    pthread_mutex_t mutex;
    struct row *row;
    size_t count;
};

static int64_t or_default(int64_t given, int64_t fallback)
{
    return given ? given : fallback;
}

struct pk_quarantine *pk_quarantine_new(const struct pk_quarantine_options *options)
{
    struct pk_quarantine *quarantine = pk_calloc(1, sizeof(*quarantine));

    quarantine->clock = options->clock ? options->clock : pk_clock_system();
    quarantine->kills = options->kills ? options->kills : KILLS;
    quarantine->window_ns = or_default(options->window_ms, WINDOW_MS) * 1000000;
    quarantine->bar_ns = or_default(options->bar_ms, BAR_MS) * 1000000;
    quarantine->bar_max_ns = or_default(options->bar_max_ms, BAR_MAX_MS) * 1000000;
    quarantine->rows_max = options->scripts_max ? options->scripts_max : SCRIPTS_MAX;
    quarantine->row = pk_calloc(quarantine->rows_max, sizeof(*quarantine->row));
    (void)pthread_mutex_init(&quarantine->mutex, NULL);
    return quarantine;
}

void pk_quarantine_free(struct pk_quarantine *quarantine)
{
    if (quarantine) {
        (void)pthread_mutex_destroy(&quarantine->mutex);
        pk_free(quarantine->row);
        pk_free(quarantine);
    }
}

/* ---- Under the mutex ---- */

static struct row *find(struct pk_quarantine *quarantine, const uint8_t *hash)
{
    for (size_t i = 0; i < quarantine->count; i++) {
        if (memcmp(quarantine->row[i].hash, hash, PK_QUARANTINE_HASH) == 0) {
            return &quarantine->row[i];
        }
    }
    return NULL;
}

static void forget(struct pk_quarantine *quarantine, struct row *row)
{
    *row = quarantine->row[--quarantine->count];
}

/* A row for 'hash'; in a full table that of the script least lately noted, barred ones last. */
static struct row *add(struct pk_quarantine *quarantine, const uint8_t *hash)
{
    struct row *row = &quarantine->row[0];

    if (quarantine->count < quarantine->rows_max) {
        row = &quarantine->row[quarantine->count++];
    } else {
        for (size_t i = 1; i < quarantine->count; i++) {
            struct row *other = &quarantine->row[i];
            const bool is_freer = other->state == CLOSED && row->state != CLOSED;
            const bool is_as_free = (other->state == CLOSED) == (row->state == CLOSED);
            if (is_freer || (is_as_free && other->last_ns < row->last_ns)) {
                row = other;
            }
        }
    }
    *row = (struct row){ .state = CLOSED };
    memcpy(row->hash, hash, PK_QUARANTINE_HASH);
    return row;
}

static void bar(const struct pk_quarantine *quarantine, struct row *row, int64_t now)
{
    row->bar_ns = row->bar_ns ? 2 * row->bar_ns : quarantine->bar_ns;
    if (row->bar_ns > quarantine->bar_max_ns) {
        row->bar_ns = quarantine->bar_max_ns;
    }
    row->state = BARRED;
    row->until_ns = now + row->bar_ns;
    row->kills = 0;
}

static bool note_kill(struct pk_quarantine *quarantine, struct row *row, int64_t now)
{
    row->last_ns = now;
    switch (row->state) {
    case BARRED: /* A call that had begun before. */
        return false;
    case TRIAL:
        bar(quarantine, row, now);
        return true;
    case CLOSED:
        if (row->kills == 0 || now - row->first_ns > quarantine->window_ns) {
            row->kills = 0;
            row->first_ns = now;
        }
        if (++row->kills < quarantine->kills) {
            return false;
        }
        bar(quarantine, row, now);
        return true;
    }
    return false;
}

static void note_well(struct pk_quarantine *quarantine, struct row *row, int64_t now)
{
    if (row->state == TRIAL) {
        row->state = CLOSED;
        row->kills = 0;
        row->last_ns = now;
    } else if (row->state == CLOSED && now - row->last_ns > quarantine->window_ns) {
        forget(quarantine, row);
    }
}

/* ---- The interface ---- */

enum pk_quarantine_verdict pk_quarantine_ask(struct pk_quarantine *quarantine,
                                             const uint8_t hash[PK_QUARANTINE_HASH],
                                             int64_t *out_until_ns)
{
    const int64_t now = pk_clock_mono_ns(quarantine->clock);
    enum pk_quarantine_verdict verdict = PK_QUARANTINE_RUN;

    (void)pthread_mutex_lock(&quarantine->mutex);
    struct row *row = find(quarantine, hash);
    if (row && row->state != CLOSED) {
        if (now >= row->until_ns) {
            row->state = TRIAL;
            row->until_ns = now + row->bar_ns;
            verdict = PK_QUARANTINE_TRIAL;
        } else {
            verdict = PK_QUARANTINE_BARRED;
        }
        if (out_until_ns) {
            *out_until_ns = row->until_ns;
        }
    }
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return verdict;
}

bool pk_quarantine_note(struct pk_quarantine *quarantine, const uint8_t hash[PK_QUARANTINE_HASH],
                        bool was_killed)
{
    const int64_t now = pk_clock_mono_ns(quarantine->clock);
    bool is_new = false;

    (void)pthread_mutex_lock(&quarantine->mutex);
    struct row *row = find(quarantine, hash);
    if (was_killed) {
        is_new = note_kill(quarantine, row ? row : add(quarantine, hash), now);
    } else if (row) {
        note_well(quarantine, row, now);
    }
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return is_new;
}

bool pk_quarantine_lift(struct pk_quarantine *quarantine, const uint8_t hash[PK_QUARANTINE_HASH])
{
    (void)pthread_mutex_lock(&quarantine->mutex);
    struct row *row = find(quarantine, hash);
    if (row) {
        forget(quarantine, row);
    }
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return row != NULL;
}

size_t pk_quarantine_count(struct pk_quarantine *quarantine)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&quarantine->mutex);
    for (size_t i = 0; i < quarantine->count; i++) {
        count += quarantine->row[i].state != CLOSED;
    }
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return count;
}
