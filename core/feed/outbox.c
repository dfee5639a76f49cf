/* outbox.c - Start and stop; what is heard of the feed; who waits.
 *
 *     feed ──hear──▶ lines ──▶ due ──dispatcher──▶ ready ──workers──▶ ended
 *                      ▲    reads, claims many       │    run, commit
 *     store ──load─────┘    in one commit            └──▶ tried again: back to its line
 *
 * What waits is known in memory (outbox_lines.h), so nothing is looked for in
 * the store but by id or as the oldest of those that are pending. The store
 * is the truth: it is read whole at the start and after a gap, its leases and
 * its oldest again at each sweep, and every task before it is claimed. Memory
 * that is wrong costs a read, or a claim that conflicts; it can lose nothing.
 *
 * Safety is in the versions. A claim replaces the task at the version that was
 * read, an end replaces it at the version of the claim: of all who try, one
 * is taken, whatever clocks say. Leases only keep others from trying.
 *
 * An end is not announced, for that would be a row for each task: on this node
 * whoever waits is woken, and a task that another node holds is read again
 * each 200 ms until it has ended or its lease is over.
 *
 * Threads: one dispatcher, and the workers. 'lock' guards what its field says;
 * it is never held while the store or a handler works, nor while who waits is
 * woken. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"
#include "feed/outbox_internal.h"

#include <assert.h>
#include <string.h>

enum {
    THREADS = 16,
    LEASE_MS = 60 * 1000,
    ATTEMPTS = 8,
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 10 * 60 * 1000,
    SWEEP_MS = 30 * 1000,
    WAITS_MAX = 10000,
    WAIT_MAX_MS = 30000, /* Who was forgotten is woken then. */
};

/* ---- Making one ---- */

static struct pk_task_type *copy_types(const struct pk_task_type *type, size_t *out_count)
{
    size_t count = 0;
    while (type[count].name) {
        count++;
    }
    struct pk_task_type *copy = pk_calloc(count + 1, sizeof(*copy));
    memcpy(copy, type, count * sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i].attempts_max = copy[i].attempts_max ? copy[i].attempts_max : ATTEMPTS;
        copy[i].lease_ms = copy[i].lease_ms ? copy[i].lease_ms : LEASE_MS;
    }
    *out_count = count;
    return copy;
}

static void fill_options(struct pk_outbox_options *options)
{
    options->threads = options->threads ? options->threads : THREADS;
    options->threads_quiet =
        options->threads_quiet > options->threads ? options->threads_quiet : options->threads;
    options->backoff_ms = options->backoff_ms ? options->backoff_ms : BACKOFF_MS;
    options->backoff_max_ms = options->backoff_max_ms ? options->backoff_max_ms : BACKOFF_MAX_MS;
    options->sweep_ms = options->sweep_ms ? options->sweep_ms : SWEEP_MS;
}

struct pk_outbox *pk_outbox_new(const struct pk_outbox_options *options)
{
    struct pk_outbox *outbox = pk_calloc(1, sizeof(*outbox));

    outbox->options = *options;
    fill_options(&outbox->options);
    outbox->options.type = copy_types(options->type, &outbox->type_count);
    outbox->type_state = pk_calloc(outbox->type_count + 1, sizeof(struct pk_type_state));
    for (size_t i = 0; i < outbox->type_count; i++) {
        struct pk_task_type *type = (struct pk_task_type *)(uintptr_t)&outbox->options.type[i];
        type->running_max = type->running_max ? type->running_max : UINT_MAX;
    }
    outbox->born = pk_born_new();
    outbox->is_alone = strcmp(pk_store_engine(options->books->store), "sqlite") == 0;
    if (!outbox->is_alone) {
        outbox->options.threads_quiet = outbox->options.threads;
    }
    outbox->worker = pk_calloc(outbox->options.threads_quiet, sizeof(pthread_t));
    pk_lines_init(&outbox->lines);
    outbox->ready_end = &outbox->ready;
    (void)pthread_mutex_init(&outbox->lock, NULL);
    (void)pthread_cond_init(&outbox->claimed, NULL);
    pk_cond_init(&outbox->stirred);
    return outbox;
}

static bool fail_thread(struct pk_outbox *outbox, struct pk_error *err)
{
    pk_outbox_stop(outbox);
    return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
}

bool pk_outbox_start(struct pk_outbox *outbox, struct pk_error *err)
{
    assert(!outbox->is_running && !outbox->is_stopping);
    for (size_t i = 0; i < outbox->options.threads_quiet; i++) {
        if (pthread_create(&outbox->worker[i], NULL, pk_outbox_run_worker, outbox) != 0) {
            return fail_thread(outbox, err);
        }
        outbox->worker_count++;
    }
    if (pthread_create(&outbox->dispatcher, NULL, pk_outbox_run_dispatcher, outbox) != 0) {
        return fail_thread(outbox, err);
    }
    outbox->is_running = true;
    return true;
}

void pk_outbox_stop(struct pk_outbox *outbox)
{
    if (!outbox) {
        return;
    }
    (void)pthread_mutex_lock(&outbox->lock);
    outbox->is_stopping = true;
    (void)pthread_cond_broadcast(&outbox->stirred);
    (void)pthread_cond_broadcast(&outbox->claimed);
    (void)pthread_mutex_unlock(&outbox->lock);
    if (outbox->is_running) {
        (void)pthread_join(outbox->dispatcher, NULL);
        outbox->is_running = false;
    }
    for (; outbox->worker_count > 0; outbox->worker_count--) {
        (void)pthread_join(outbox->worker[outbox->worker_count - 1], NULL);
    }
    pk_outbox_give_back(outbox);
    (void)pthread_mutex_lock(&outbox->lock);
    pk_waits_expire(&outbox->early, INT64_MAX);
    pk_waits_expire(&outbox->waits, INT64_MAX);
    pk_outbox_unlock(outbox);
}

static void free_new(struct pk_outbox *outbox)
{
    for (size_t i = 0; i < outbox->new_count; i++) {
        pk_free((char *)(uintptr_t)outbox->new[i].id);
        pk_free((char *)(uintptr_t)outbox->new[i].person);
    }
    outbox->new_count = 0;
}

void pk_outbox_free(struct pk_outbox *outbox)
{
    if (outbox) {
        pk_outbox_stop(outbox);
        free_new(outbox);
        pk_free(outbox->new);
        pk_lines_done(&outbox->lines);
        pk_born_free(outbox->born);
        (void)pthread_cond_destroy(&outbox->stirred);
        (void)pthread_cond_destroy(&outbox->claimed);
        (void)pthread_mutex_destroy(&outbox->lock);
        pk_free((struct pk_task_type *)(uintptr_t)outbox->options.type);
        pk_free(outbox->type_state);
        pk_free(outbox->worker);
        pk_free(outbox);
    }
}

/* ---- The lock, and sleeping ---- */

void pk_outbox_unlock(struct pk_outbox *outbox)
{
    struct pk_wait *over = outbox->waits.over;
    struct pk_wait *early = outbox->early.over;
    outbox->waits.over = NULL;
    outbox->early.over = NULL;
    (void)pthread_mutex_unlock(&outbox->lock);
    pk_waits_call(over);
    pk_waits_call(early);
}

void pk_outbox_stir(struct pk_outbox *outbox)
{
    if (outbox->is_dozing) {
        outbox->is_dozing = false;
        (void)pthread_cond_signal(&outbox->stirred);
    }
}

void pk_outbox_doze(struct pk_outbox *outbox, int64_t ms)
{
    outbox->is_dozing = true;
    (void)pk_cond_wait(&outbox->stirred, &outbox->lock, pk_cond_in_ms(ms));
    outbox->is_dozing = false;
}

static void tell_ended(const struct pk_outbox *outbox, const char *person)
{
    if (person && outbox->options.ended) {
        outbox->options.ended(outbox->options.context, person);
    }
}

void pk_outbox_end(struct pk_outbox *outbox, struct pk_entry *entry)
{
    const char *person = pk_entry_person(entry);
    tell_ended(outbox, person);
    pk_waits_end(&outbox->waits, entry->id, 0);
    if (person && entry->is_in_line) {
        pk_waits_end(&outbox->waits, person, entry->number);
    }
    pk_lines_end(&outbox->lines, entry, pk_clock_wall_ms(pk_outbox_books(outbox)->clock));
}

/* ---- What is heard ---- */

/* Under the lock. */
static void keep_new(struct pk_outbox *outbox, const struct pk_entry_new *made)
{
    if (outbox->new_count == outbox->new_size) {
        outbox->new_size = outbox->new_size ? outbox->new_size * 2 : 64;
        outbox->new = pk_realloc(outbox->new, outbox->new_size * sizeof(*outbox->new));
    }
    struct pk_entry_new *kept = &outbox->new[outbox->new_count++];
    *kept = *made;
    kept->id = pk_strdup(made->id);
    kept->person = made->person ? pk_strdup(made->person) : NULL;
    kept->is_inserted = true;
}

/* Who came before it was known what waits: now it is. */
static void add_early(struct pk_outbox *outbox)
{
    struct pk_wait *over;
    pk_waits_expire(&outbox->early, INT64_MAX);
    over = outbox->early.over;
    outbox->early.over = NULL;
    for (struct pk_wait *next; over; over = next) {
        next = over->next;
        over->left = pk_lines_length(&outbox->lines, over->key);
        over->number = outbox->lines.number;
        pk_waits_add(&outbox->waits, over);
        pk_free(over);
    }
}

void pk_outbox_add_new(struct pk_outbox *outbox)
{
    const int64_t now_ms = pk_clock_wall_ms(pk_outbox_books(outbox)->clock);
    for (size_t i = 0; i < outbox->new_count; i++) {
        if (!pk_lines_find(&outbox->lines, outbox->new[i].id)) {
            (void)pk_lines_add(&outbox->lines, &outbox->new[i], now_ms);
        }
    }
    free_new(outbox);
    add_early(outbox);
}

/* Under the lock. */
static void hear_new(struct pk_outbox *outbox, const struct pk_doc *row, const char *id)
{
    const int64_t now_ms = pk_clock_wall_ms(pk_outbox_books(outbox)->clock);
    const struct pk_entry_new made = { .id = id,
                                       .person = pk_doc_text(row, "userId"),
                                       .created_ms = pk_doc_date(row, "timestamp", now_ms) };
    struct pk_entry *known = pk_lines_find(&outbox->lines, id);
    if (known) {
        pk_lines_nudge(&outbox->lines, known, now_ms);
    } else if (outbox->is_loaded) {
        (void)pk_lines_add(&outbox->lines, &made, now_ms);
    } else {
        keep_new(outbox, &made);
    }
    pk_outbox_stir(outbox);
}

static void hear_end(struct pk_outbox *outbox, const char *id)
{
    struct pk_entry *known = pk_lines_find(&outbox->lines, id);
    if (known) {
        pk_lines_nudge(&outbox->lines, known, pk_clock_wall_ms(pk_outbox_books(outbox)->clock));
        pk_outbox_stir(outbox);
    }
    pk_waits_end(&outbox->waits, id, 0);
}

void pk_outbox_hear(struct pk_outbox *outbox, const struct pk_feed_item *item)
{
    const bool is_event = item->kind == PK_FEED_EVENT;
    const char *id = is_event ? pk_doc_text(item->doc, "payload.metadata.taskId") : NULL;
    const char *ended = is_event ? pk_doc_text(item->doc, "payload.metadata.endedTaskId") : NULL;
    if (!id && !ended && item->kind != PK_FEED_GAP) {
        return;
    }
    (void)pthread_mutex_lock(&outbox->lock);
    if (item->kind == PK_FEED_GAP) {
        outbox->gaps++;
        outbox->is_loaded = false;
        pk_outbox_stir(outbox);
    }
    if (id && strlen(id) < PK_UUID_TEXT) {
        hear_new(outbox, item->doc, id);
    }
    if (ended) {
        hear_end(outbox, ended);
    }
    pk_outbox_unlock(outbox);
}

/* ---- Who waits ---- */

/* Under the lock. 'left' 0 ends it at once, which is how a stop is told, too. */
static bool add_wait(struct pk_outbox *outbox, struct pk_waits *waits, const char *key, size_t left,
                     pk_outbox_wake_fn *wake, void *context, struct pk_error *err)
{
    struct pk_wait wait = { .left = outbox->is_stopping ? 0 : left,
                            .number = outbox->lines.number,
                            .until_ns =
                                pk_deadline_in_ms(pk_outbox_books(outbox)->clock, WAIT_MAX_MS),
                            .wake = wake,
                            .context = context };
    if (outbox->waits.count + outbox->early.count >= WAITS_MAX) {
        return pk_fail(err, PK_BUSY, "send it again",
                       "the server cannot let more requests wait for their effects");
    }
    (void)strncpy(wait.key, key, sizeof(wait.key) - 1);
    pk_waits_add(waits, &wait);
    return true;
}

/* It is not known here: it has ended, or the feed has not told of it yet. */
static void end_if_over(struct pk_outbox *outbox, const char *id)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    const struct pk_books *books = pk_outbox_books(outbox);
    const bool is_read =
        pk_store_get(books->store, "outbox", id,
                     pk_deadline_in_ms(books->clock, PK_OUTBOX_STORE_MS), &task, NULL);
    if (is_read && (!task || !pk_task_is_open(task))) {
        tell_ended(outbox, task ? pk_doc_text(task, "userId") : NULL);
        (void)pthread_mutex_lock(&outbox->lock);
        pk_waits_end(&outbox->waits, id, 0);
        pk_outbox_unlock(outbox);
    }
}

bool pk_outbox_wait(struct pk_outbox *outbox, const char *task_id, pk_outbox_wake_fn *wake,
                    void *context, struct pk_error *err)
{
    (void)pthread_mutex_lock(&outbox->lock);
    const bool is_known = pk_lines_find(&outbox->lines, task_id) != NULL;
    const bool ok = add_wait(outbox, &outbox->waits, task_id, 1, wake, context, err);
    pk_outbox_unlock(outbox);
    if (ok && !is_known) {
        end_if_over(outbox, task_id);
    }
    return ok;
}

bool pk_outbox_wait_person(struct pk_outbox *outbox, const char *person, pk_outbox_wake_fn *wake,
                           void *context, struct pk_error *err)
{
    bool ok;
    (void)pthread_mutex_lock(&outbox->lock);
    if (outbox->is_loaded || outbox->is_stopping) {
        const size_t left = pk_lines_length(&outbox->lines, person);
        ok = add_wait(outbox, &outbox->waits, person, left, wake, context, err);
    } else {
        ok = add_wait(outbox, &outbox->early, person, 1, wake, context, err);
    }
    pk_outbox_unlock(outbox);
    return ok;
}

/* ---- Numbers ---- */

/* Under the lock. */
static double rate_per_minute(const struct pk_outbox *outbox)
{
    const int64_t now_s = pk_clock_mono_ns(pk_outbox_books(outbox)->clock) / 1000000000;
    uint64_t count = 0;
    for (int64_t s = now_s - 59; s <= outbox->done_s; s++) {
        count += s >= 0 ? outbox->done_in[s % 60] : 0;
    }
    return (double)count;
}

/* Under the lock. */
static int64_t oldest_ms(const struct pk_outbox *outbox)
{
    const struct pk_entry *oldest = outbox->ready ? outbox->ready->entry : outbox->lines.due.first;
    if (!oldest) {
        return 0;
    }
    const int64_t age_ms = pk_clock_wall_ms(pk_outbox_books(outbox)->clock) - oldest->created_ms;
    return age_ms > 0 ? age_ms : 0;
}

void pk_outbox_stats(struct pk_outbox *outbox, struct pk_outbox_stats *out)
{
    (void)pthread_mutex_lock(&outbox->lock);
    *out = outbox->stats;
    out->running = outbox->running_count;
    out->waiting = outbox->lines.count - outbox->running_count;
    out->per_minute = rate_per_minute(outbox);
    out->oldest_ms = oldest_ms(outbox);
    (void)pthread_mutex_unlock(&outbox->lock);
}

double pk_outbox_estimate(struct pk_outbox *outbox, const char *type)
{
    const double least = 1.0 / 60;
    struct pk_outbox_stats stats;
    (void)type; /* Tasks of all types stand in one queue. */
    pk_outbox_stats(outbox, &stats);
    const double rate = stats.per_minute > 1 ? stats.per_minute : 1;
    const double minutes =
        stats.waiting + stats.running == 0 ? 0 : (double)(stats.waiting + stats.running) / rate;
    return minutes > least ? minutes : least;
}
