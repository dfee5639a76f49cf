/* quarantine.c - A circuit breaker per content hash, and one per content hash and person.
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
 * One person's data must not take a script from all others: his kills count in
 * a row of (hash, person), and in the script's own row (person 0) only once per
 * window. A trial of the script is not given to somebody who killed it lately.
 *
 * Locks: one mutex, held for a walk. */
/* SPDX-License-Identifier: MIT */
#include "script/quarantine.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <pthread.h>
#include <string.h>

enum {
    KILLS = 3,
    WINDOW_MS = 60000,
    BAR_MS = 30000,
    BAR_MAX_MS = 3600000,
    SCRIPTS_MAX = 1024,
    KILLERS_MAX = 16
};

enum state { CLOSED, BARRED, TRIAL };

struct row {
    uint8_t hash[PK_QUARANTINE_HASH];
    uint64_t person; /* 0: the script for all. */
    enum state state;
    unsigned kills;               /* Since 'first_ns'. */
    uint64_t killer[KILLERS_MAX]; /* Whose they were; 0: nobody's. */
    int64_t first_ns;             /* The first kill of the window. */
    int64_t last_ns;              /* Anything was noted. */
    int64_t until_ns;             /* BARRED: the end; TRIAL: when another trial is let through. */
    int64_t bar_ns;               /* The last bar's length, 0: none yet. */
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
    if (quarantine->kills > KILLERS_MAX) {
        quarantine->kills = KILLERS_MAX;
    }
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

static struct row *find(struct pk_quarantine *quarantine, const uint8_t *hash, uint64_t person)
{
    for (size_t i = 0; i < quarantine->count; i++) {
        if (quarantine->row[i].person == person &&
            memcmp(quarantine->row[i].hash, hash, PK_QUARANTINE_HASH) == 0) {
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
static struct row *add(struct pk_quarantine *quarantine, const uint8_t *hash, uint64_t person)
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
    *row = (struct row){ .state = CLOSED, .person = person };
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

/* Whether this person's kill is in the row already: for the script's own row only. */
static bool has_counted(const struct row *row, uint64_t person)
{
    for (unsigned i = 0; i < row->kills && row->person == 0 && person != 0; i++) {
        if (row->killer[i] == person) {
            return true;
        }
    }
    return false;
}

static bool note_kill(struct pk_quarantine *quarantine, struct row *row, uint64_t person,
                      int64_t now)
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
        if (has_counted(row, person)) {
            return false;
        }
        row->killer[row->kills++] = person;
        if (row->kills < quarantine->kills) {
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

static enum pk_quarantine_verdict ask_row(struct row *row, bool may_try, int64_t now,
                                          int64_t *out_until_ns)
{
    enum pk_quarantine_verdict verdict = PK_QUARANTINE_RUN;

    if (!row || row->state == CLOSED) {
        return verdict;
    }
    if (now >= row->until_ns && may_try) {
        row->state = TRIAL;
        row->until_ns = now + row->bar_ns;
        verdict = PK_QUARANTINE_TRIAL;
    } else {
        verdict = PK_QUARANTINE_BARRED;
    }
    if (out_until_ns) {
        *out_until_ns = row->until_ns;
    }
    return verdict;
}

enum pk_quarantine_verdict pk_quarantine_ask(struct pk_quarantine *quarantine,
                                             const uint8_t hash[PK_QUARANTINE_HASH],
                                             uint64_t person, int64_t *out_until_ns)
{
    const int64_t now = pk_clock_mono_ns(quarantine->clock);

    (void)pthread_mutex_lock(&quarantine->mutex);
    struct row *all = find(quarantine, hash, 0);
    struct row *own = person ? find(quarantine, hash, person) : NULL;
    /* He waits a window longer than others, but not for ever: there may be nobody else. */
    const bool was_lately = all && own && now - own->last_ns <= quarantine->window_ns + all->bar_ns;
    enum pk_quarantine_verdict verdict = ask_row(all, !was_lately, now, out_until_ns);
    if (verdict == PK_QUARANTINE_RUN) {
        verdict = ask_row(own, true, now, out_until_ns);
    }
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return verdict;
}

static bool note(struct pk_quarantine *quarantine, const uint8_t *hash, uint64_t key,
                 uint64_t person, bool was_killed)
{
    const int64_t now = pk_clock_mono_ns(quarantine->clock);
    struct row *row = find(quarantine, hash, key);

    if (was_killed) {
        return note_kill(quarantine, row ? row : add(quarantine, hash, key), person, now);
    }
    if (row) {
        note_well(quarantine, row, now);
    }
    return false;
}

enum pk_quarantine_news pk_quarantine_note(struct pk_quarantine *quarantine,
                                           const uint8_t hash[PK_QUARANTINE_HASH], uint64_t person,
                                           bool was_killed)
{
    (void)pthread_mutex_lock(&quarantine->mutex);
    const bool is_all = note(quarantine, hash, 0, person, was_killed);
    const bool is_one = person && note(quarantine, hash, person, person, was_killed);
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return is_all ? PK_QUARANTINE_FOR_ALL : is_one ? PK_QUARANTINE_FOR_ONE : PK_QUARANTINE_NO_NEWS;
}

bool pk_quarantine_lift(struct pk_quarantine *quarantine, const uint8_t hash[PK_QUARANTINE_HASH])
{
    (void)pthread_mutex_lock(&quarantine->mutex);
    const size_t before = quarantine->count;
    for (size_t i = quarantine->count; i-- > 0;) {
        if (memcmp(quarantine->row[i].hash, hash, PK_QUARANTINE_HASH) == 0) {
            forget(quarantine, &quarantine->row[i]);
        }
    }
    const bool has_any = quarantine->count < before;
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return has_any;
}

bool pk_quarantine_is_barred(struct pk_quarantine *quarantine,
                             const uint8_t hash[PK_QUARANTINE_HASH])
{
    (void)pthread_mutex_lock(&quarantine->mutex);
    const struct row *row = find(quarantine, hash, 0);
    const bool is_barred = row && row->state != CLOSED;
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return is_barred;
}

size_t pk_quarantine_count(struct pk_quarantine *quarantine)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&quarantine->mutex);
    for (size_t i = 0; i < quarantine->count; i++) {
        count += quarantine->row[i].state != CLOSED && quarantine->row[i].person == 0;
    }
    (void)pthread_mutex_unlock(&quarantine->mutex);
    return count;
}
