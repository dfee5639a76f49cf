/* mongo_commit.c - Groups of lists: tried together, and each caller told its own outcome.
 *
 * The committer hands over up to 64 lists, no two about one id (but for
 * expects of the same version). They go in one transaction. What may happen,
 * and what then:
 *
 *     done               all are done
 *     a write is named   its list is put aside, the rest go again joined
 *     a count is short   nobody is named: all go again, and look at their
 *                        versions first; those that do not match are told so,
 *                        and the rest goes on in that same transaction
 *     aborted            another transaction came first: all go again; the
 *                        second time each goes alone, and looks whether that
 *                        transaction's node is dead (mongo_stale.c)
 *     the server is away all go again, each until its deadline: not done
 *     refused            each goes alone, so that each hears its own reason
 *     unknown            the commit was sent and not answered until the
 *                        first deadline: all are unknown, and none goes again
 *
 * A list that goes alone is told what it meets there. A duplicate in a
 * collection that expires is tried once more, with expired documents that
 * hold its keys deleted in the same transaction.
 *
 * Whoever waits here can be held past his deadline, but only by a server that
 * has gone silent, and not for long: a socket's silence (MONGO_SOCKET_MS), one
 * try to connect (MONGO_CONNECT_MS) and to find a primary (MONGO_SELECT_MS),
 * and for a commit that was sent MONGO_COMMIT_MIN_MS, because an outcome a
 * moment later is worth more than "unknown" in time.
 *
 * Two transactions that expect one document would abort each other, since an
 * expect is a write. The committer lets both be open (it may be just a look),
 * so a group first waits here for open ones that share an expected id.
 *
 * Thread: 'prepare' on the caller's, the rest on the leader's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/mongo_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { NAMED_MAX = 32 /* So many are put aside singly; then each goes alone. */ };

/* ---- Preparing a list ---- */

static bool check_event(const struct pk_write *write, const struct pk_target *target,
                        struct pk_error *err)
{
    if (target->collection->is_feed && strlen(write->id) > MONGO_EVENT_ID_MAX) {
        return pk_fail(err, PK_INVALID, "give events short ids, like a UUID",
                       "the id of an event has %zu bytes; the limit is %d", strlen(write->id),
                       (int)MONGO_EVENT_ID_MAX);
    }
    return true;
}

enum { COUNT_ADDS, COUNT_RAISES, COUNT_SETS, COUNT_KINDS };

static int kind_of_count(const struct pk_count *count)
{
    return count->text ? COUNT_SETS : count->is_date ? COUNT_RAISES : COUNT_ADDS;
}

/* '{ $inc: { path: n, ... }, $max: { path: date, ... }, $set: { path: text, ... } }' */
static void describe_counts(const struct pk_write *write, bson_t *out)
{
    static const char *const operators[COUNT_KINDS] = { "$inc", "$max", "$set" };

    for (int kind = 0; kind < COUNT_KINDS; kind++) {
        bson_t child = BSON_INITIALIZER;
        for (size_t i = 0; i < write->count_count; i++) {
            const struct pk_count *count = &write->count[i];
            if (kind_of_count(count) != kind) {
                continue;
            }
            if (count->text) {
                BSON_APPEND_UTF8(&child, count->path, count->text);
            } else if (count->is_date) {
                BSON_APPEND_DATE_TIME(&child, count->path, count->amount);
            } else {
                BSON_APPEND_INT64(&child, count->path, count->amount);
            }
        }
        if (!bson_empty(&child)) {
            BSON_APPEND_DOCUMENT(out, operators[kind], &child);
        }
        bson_destroy(&child);
    }
}

static bson_t *describe_doc(const struct pk_write *write, const struct pk_target *target)
{
    bson_t view;
    pk_doc_view(write->doc, &view);
    bson_t *out = bson_sized_new(view.len + 32); /* Room for the version. */
    (void)bson_concat(out, &view);
    BSON_APPEND_INT64(out, MONGO_REV, target->new_version);
    return out;
}

bool mongo_prepare(struct pk_store *store, struct pk_job *job, struct pk_error *err)
{
    struct mongo_list *list = pk_calloc(1, sizeof(*list));

    list->now_ms = mongo_now_ms(mongo_of(store));
    list->op = pk_calloc(job->writes->count, sizeof(*list->op));
    job->prepared = list;
    for (size_t i = 0; i < job->writes->count; i++) {
        const struct pk_write *write = &job->writes->write[i];
        if (job->target[i].is_folded || (write->kind == PK_WRITE_COUNT && !write->count_count)) {
            continue;
        }
        if (!check_event(write, &job->target[i], err)) {
            mongo_unprepare(store, job);
            return false;
        }
        struct mongo_op *op = &list->op[list->count++];
        *op = (struct mongo_op){ .collection = job->target[i].collection,
                                 .write = write,
                                 .target = &job->target[i],
                                 .index = (int)i };
        if (write->doc) {
            op->doc = describe_doc(write, op->target);
        } else if (write->kind == PK_WRITE_COUNT) {
            op->doc = bson_new();
            describe_counts(write, op->doc);
        }
    }
    return true;
}

void mongo_unprepare(struct pk_store *store, struct pk_job *job)
{
    struct mongo_list *list = job->prepared;
    (void)store;
    for (size_t i = 0; i < list->count; i++) {
        bson_destroy(list->op[i].doc); /* NULL is fine. */
    }
    pk_free(list->op);
    pk_free(list);
    job->prepared = NULL;
}

/* ---- Outcomes ---- */

static void succeed(struct mongo *mongo, struct pk_job *job, const char *epoch,
                    const struct mongo_txn *txn)
{
    job->is_ok = true;
    job->commit.conflict_write = -1;
    (void)snprintf(job->commit.cursor, sizeof(job->commit.cursor), "%s.t%u.%u", epoch, txn->seconds,
                   txn->increment);
    atomic_fetch_add(&mongo->commits, 1);
}

static void fail_job(struct mongo *mongo, struct pk_job *job, const struct pk_error *error)
{
    job->is_ok = false;
    job->error = *error;
    job->commit.conflict_write = -1;
    if (error->code == PK_UNKNOWN) {
        atomic_fetch_add(&mongo->unknowns, 1);
    }
}

void mongo_conflict(struct mongo *mongo, struct pk_job *job, int write, const char *index)
{
    const struct pk_write *what = &job->writes->write[write];

    job->is_ok = false;
    job->commit.conflict_write = write;
    (void)snprintf(job->commit.conflict_index, sizeof(job->commit.conflict_index), "%s", index);
    if (*index) {
        (void)pk_fail(&job->error, PK_CONFLICT, "read what holds the key, and decide again",
                      "'%s' of '%s' meets a key that is taken in the unique index '%s'", what->id,
                      what->collection, index);
    } else {
        (void)pk_fail(&job->error, PK_CONFLICT, "read it and decide again",
                      "'%s' of '%s' is no longer as it was read", what->id, what->collection);
    }
    atomic_fetch_add(&mongo->conflicts, 1);
}

/* ---- One set of lists, until each has an outcome or is put aside ---- */

struct attempt {
    struct mongo *mongo;
    mongoc_client_t *client;
    struct pk_job **job; /* Undecided; shrinks. */
    size_t count;
    struct pk_job **aside; /* To go alone; NULL when this is alone already. */
    size_t aside_count;
    int64_t patience_ns; /* The deadline of lists without one. */
    bool is_looking;
    unsigned named, aborts, tries;
};

static int64_t deadline_of(const struct attempt *attempt, const struct pk_job *job)
{
    return job->deadline_ns ? job->deadline_ns : attempt->patience_ns;
}

static int64_t first_deadline(const struct attempt *attempt)
{
    int64_t first_ns = attempt->patience_ns;
    for (size_t i = 0; i < attempt->count; i++) {
        const int64_t deadline_ns = deadline_of(attempt, attempt->job[i]);
        first_ns = deadline_ns < first_ns ? deadline_ns : first_ns;
    }
    return first_ns;
}

static void take_out(struct attempt *attempt, const struct pk_job *job)
{
    size_t kept = 0;
    for (size_t i = 0; i < attempt->count; i++) {
        if (attempt->job[i] != job) {
            attempt->job[kept++] = attempt->job[i];
        }
    }
    attempt->count = kept;
}

static void put_all_aside(struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->count; i++) {
        attempt->aside[attempt->aside_count++] = attempt->job[i];
    }
    attempt->count = 0;
}

static void fail_all(struct attempt *attempt, const struct pk_error *error)
{
    for (size_t i = 0; i < attempt->count; i++) {
        fail_job(attempt->mongo, attempt->job[i], error);
    }
    attempt->count = 0;
}

static void on_done(struct attempt *attempt, const struct mongo_txn *txn, const char *epoch)
{
    for (size_t i = 0; i < attempt->count; i++) {
        if (!txn->is_out[i]) {
            succeed(attempt->mongo, attempt->job[i], epoch, txn);
        }
    }
    attempt->count = 0;
    mongo_time_keep(attempt->mongo, attempt->client);
}

static void on_named(struct attempt *attempt, struct pk_job *job, const struct mongo_txn *txn)
{
    struct mongo_list *list = job->prepared;
    const struct pk_collection *collection = job->target[txn->named_write].collection;

    if (attempt->aside) {
        if (++attempt->named > NAMED_MAX) {
            put_all_aside(attempt);
            return;
        }
        attempt->aside[attempt->aside_count++] = job;
        take_out(attempt, job);
    } else if (txn->is_duplicate && collection->ttl_path && !list->is_reclaiming) {
        list->is_reclaiming = true;
    } else if (txn->is_duplicate) {
        mongo_conflict(attempt->mongo, job, txn->named_write, txn->index);
        attempt->count = 0;
    } else {
        fail_all(attempt, &txn->error);
    }
}

static void on_short(struct attempt *attempt)
{
    if (!attempt->is_looking) {
        attempt->is_looking = true;
        return;
    }
    struct pk_error error = { 0 }; /* Seen at one version, and then not there: not one snapshot. */
    (void)pk_fail(&error, PK_INTERNAL, "report this, with the server's version",
                  "the store's transaction was not one snapshot");
    fail_all(attempt, &error);
}

/* Not written, and may work later: those whose time is over are refused, the rest goes again. */
static void again_until_deadline(struct attempt *attempt, const struct pk_error *error,
                                 enum pk_code late)
{
    struct pk_error over = *error;
    size_t kept = 0;

    over.code = late;
    over.hint = late == PK_BUSY ? "try again: until the deadline others kept coming first"
                                : "try again when the store has a primary again";
    for (size_t i = 0; i < attempt->count; i++) {
        struct pk_job *job = attempt->job[i];
        if (pk_deadline_passed(attempt->mongo->clock, deadline_of(attempt, job))) {
            fail_job(attempt->mongo, job, &over);
        } else {
            attempt->job[kept++] = job;
        }
    }
    attempt->count = kept;
    if (kept) {
        mongo_back_off(++attempt->tries);
    }
    if (kept && late == PK_BUSY && attempt->tries > 1) {
        mongo_stale_end(attempt->mongo, attempt->client); /* Perhaps nobody is there any more. */
    }
}

static void on_aborted(struct attempt *attempt, const struct pk_error *error)
{
    if (attempt->aside && attempt->count > 1 && ++attempt->aborts > 1) {
        put_all_aside(attempt);
        return;
    }
    again_until_deadline(attempt, error, PK_BUSY);
}

static void on_failed(struct attempt *attempt, const struct pk_error *error)
{
    if (attempt->aside && attempt->count > 1) {
        put_all_aside(attempt);
    } else {
        fail_all(attempt, error);
    }
}

/* Lists that looked and did not match have their outcome. */
static void drop_out(struct attempt *attempt, const struct mongo_txn *txn)
{
    size_t kept = 0;
    for (size_t i = 0; i < attempt->count; i++) {
        if (!txn->is_out[i]) {
            attempt->job[kept++] = attempt->job[i];
        }
    }
    attempt->count = kept;
}

static void try_once(struct attempt *attempt, const char *epoch)
{
    PK_CLEANUP(pk_freep) bool *is_out = pk_calloc(attempt->count, sizeof(*is_out));
    struct mongo_txn txn = {
        .mongo = attempt->mongo,
        .client = attempt->client,
        .job = attempt->job,
        .count = attempt->count,
        .deadline_ns = first_deadline(attempt),
        .is_looking = attempt->is_looking,
        .is_out = is_out,
    };
    const enum mongo_end end = mongo_txn_run(&txn);
    if (end == MONGO_DONE) {
        atomic_fetch_add(&attempt->mongo->groups, 1);
        on_done(attempt, &txn, epoch);
        return;
    }
    struct pk_job *named = end == MONGO_NAMED ? attempt->job[txn.named_job] : NULL;
    drop_out(attempt, &txn);
    switch (end) {
    case MONGO_DONE:
        return;
    case MONGO_NAMED:
        on_named(attempt, named, &txn);
        return;
    case MONGO_SHORT:
        on_short(attempt);
        return;
    case MONGO_ABORTED:
        on_aborted(attempt, &txn.error);
        return;
    case MONGO_AWAY:
        again_until_deadline(attempt, &txn.error, PK_UNAVAILABLE);
        return;
    case MONGO_FAILED:
        on_failed(attempt, &txn.error);
        return;
    case MONGO_UNKNOWN:
        fail_all(attempt, &txn.error);
        return;
    }
}

static void settle(struct attempt *attempt, const char *epoch)
{
    while (attempt->count) {
        try_once(attempt, epoch);
    }
}

static void settle_alone(struct mongo *mongo, mongoc_client_t *client, struct pk_job *job,
                         const char *epoch)
{
    struct attempt attempt = {
        .mongo = mongo,
        .client = client,
        .job = &job,
        .count = 1,
        .patience_ns = pk_deadline_in_ms(mongo->clock, MONGO_DEADLINE_MS),
    };
    if (pk_deadline_passed(mongo->clock, first_deadline(&attempt))) {
        struct pk_error error = { 0 };
        (void)pk_fail(&error, PK_TIMEOUT, "try again", "there was no time left to commit alone");
        fail_all(&attempt, &error);
        return;
    }
    settle(&attempt, epoch);
}

static void settle_group(struct mongo *mongo, mongoc_client_t *client, struct pk_job **job,
                         size_t count, const char *epoch)
{
    PK_CLEANUP(pk_freep) struct pk_job **open = pk_calloc(count, sizeof(struct pk_job *));
    PK_CLEANUP(pk_freep) struct pk_job **aside = pk_calloc(count, sizeof(struct pk_job *));
    struct attempt attempt = {
        .mongo = mongo,
        .client = client,
        .job = open,
        .count = count,
        .aside = aside,
        .patience_ns = pk_deadline_in_ms(mongo->clock, MONGO_DEADLINE_MS),
    };
    memcpy(open, job, count * sizeof(struct pk_job *));
    settle(&attempt, epoch);
    for (size_t i = 0; i < attempt.aside_count; i++) {
        settle_alone(mongo, client, aside[i], epoch);
    }
}

/* ---- Open groups ---- */

static bool lists_share_expect(const struct pk_job *a, const struct pk_job *b)
{
    size_t i = 0;
    size_t k = 0;
    while (i < a->touch_count && k < b->touch_count) {
        if (a->touch[i].key == b->touch[k].key) {
            return true;
        }
        if (a->touch[i].key < b->touch[k].key) {
            i++;
        } else {
            k++;
        }
    }
    return false;
}

static bool has_expect(const struct pk_job *job)
{
    for (size_t i = 0; i < job->touch_count; i++) {
        if (job->touch[i].is_expect) {
            return true;
        }
    }
    return false;
}

static bool groups_share_expect(struct pk_job *const *a, size_t a_count, struct pk_job *const *b,
                                size_t b_count)
{
    for (size_t i = 0; i < a_count; i++) {
        if (!has_expect(a[i])) {
            continue;
        }
        for (size_t k = 0; k < b_count; k++) {
            if (lists_share_expect(a[i], b[k])) {
                return true;
            }
        }
    }
    return false;
}

/* Waits until no open group shares an expected id, and opens this one; gives its place. */
static size_t open_group(struct mongo *mongo, struct pk_job **job, size_t count)
{
    struct mongo_open_groups *open = &mongo->open;
    size_t place = MONGO_GROUPS_MAX;

    (void)pthread_mutex_lock(&open->lock);
    while (place == MONGO_GROUPS_MAX) {
        bool is_shared = false;
        for (size_t i = 0; i < MONGO_GROUPS_MAX; i++) {
            if (!open->job[i]) {
                place = i;
            } else {
                is_shared =
                    is_shared || groups_share_expect(job, count, open->job[i], open->count[i]);
            }
        }
        if (is_shared || place == MONGO_GROUPS_MAX) {
            place = MONGO_GROUPS_MAX;
            (void)pthread_cond_wait(&open->ended, &open->lock);
        }
    }
    open->job[place] = job;
    open->count[place] = count;
    (void)pthread_mutex_unlock(&open->lock);
    return place;
}

static void end_group(struct mongo *mongo, size_t place)
{
    (void)pthread_mutex_lock(&mongo->open.lock);
    mongo->open.job[place] = NULL;
    mongo->open.count[place] = 0;
    (void)pthread_cond_broadcast(&mongo->open.ended);
    (void)pthread_mutex_unlock(&mongo->open.lock);
}

void mongo_apply(void *engine, struct pk_job **job, size_t count)
{
    struct pk_store *store = engine;
    struct mongo *mongo = mongo_of(store);
    const int64_t start_ns = pk_clock_mono_ns(mongo->clock);
    struct pk_error error = { 0 };
    mongoc_client_t *client = mongo_pop(mongo, &error);

    if (!client) {
        for (size_t i = 0; i < count; i++) {
            fail_job(mongo, job[i], &error);
        }
        return;
    }
    const size_t place = open_group(mongo, job, count);
    if (count == 1) {
        settle_alone(mongo, client, job[0], store->epoch);
    } else {
        settle_group(mongo, client, job, count, store->epoch);
    }
    end_group(mongo, place);
    mongo_push(mongo, client);
    atomic_fetch_add(&mongo->commit_ns, (uint64_t)(pk_clock_mono_ns(mongo->clock) - start_ns));
}
