/* test_group.c - Groups of random lists against a model that does one list after the other.
 *
 * The model is eight documents, two unique keys and a feed. Whatever a list
 * was told must be what the model says at its place in the order: done, or
 * refused by this write and that index. What an expired document holds, it
 * does not hold: the model does not even keep it.
 *
 * First the engine is handed groups, made so that lists are refused after they
 * have changed something, with and without savepoints; there the order is
 * known. Then 64 threads commit as they like; there the feed tells the order. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/sqlite_internal.h"
#include "test.h"
#include "things.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDS = 8,
    KEYS = 3, /* Values of each unique key; 0: it has none. */
    WRITES = 4,
    GROUPS = 400,
    LISTS = 12, /* In a group. */
    THREADS = 64,
    ROUNDS = 24, /* Lists of each thread. */
    EVENT = IDS  /* The "id" of a write that announces. */
};

/* ---- The model ---- */

struct state_doc {
    int64_t version; /* 0: not there. */
    int name, slot;  /* Unique keys, 0: none; the slot is held by active ones only. */
    bool is_active;
    int64_t uses;
};
struct state {
    struct state_doc doc[IDS];
    int64_t events;
};

struct op {
    enum pk_write_kind kind;
    int id;
    int64_t version; /* Asked for. */
    int64_t made;    /* INSERT, REPLACE: the new one; any while it is not known. */
    struct state_doc doc;
    bool is_expired;
    int64_t amount;
};
struct ops {
    struct op op[WRITES + 1];
    int count;
};

/* Why a write is refused: an index, or "" for the version; NULL: it is not. Of two indexes that
 * object either may be named. */
static bool is_refused(const struct state *state, const struct op *op, const char *reason)
{
    const struct state_doc *old = &state->doc[op->id % IDS];
    const bool is_other = op->kind == PK_WRITE_COUNT || op->id == EVENT;
    if (is_other || op->kind == PK_WRITE_INSERT) {
        if (!is_other && old->version) {
            return reason && strcmp(reason, "_id") == 0;
        }
    } else if (old->version != op->version) {
        return reason && !*reason;
    }
    const bool has_keys = op->kind == PK_WRITE_INSERT || op->kind == PK_WRITE_REPLACE;
    bool has_name = false, has_slot = false;
    for (int i = 0; i < IDS && has_keys && !is_other; i++) {
        const struct state_doc *other = &state->doc[i];
        if (i != op->id && other->version) {
            has_name |= op->doc.name && other->name == op->doc.name;
            has_slot |= op->doc.slot && op->doc.is_active && other->is_active &&
                        other->slot == op->doc.slot;
        }
    }
    if (!has_name && !has_slot) {
        return reason == NULL;
    }
    return reason && ((has_name && strcmp(reason, "by_name") == 0) ||
                      (has_slot && strcmp(reason, "by_slot") == 0));
}

static void change(struct state *state, const struct op *op)
{
    struct state_doc *old = &state->doc[op->id % IDS];
    if (op->id == EVENT) {
        state->events++;
    } else if (op->kind == PK_WRITE_DELETE) {
        *old = (struct state_doc){ 0 };
    } else if (op->kind == PK_WRITE_COUNT) {
        old->uses += old->version ? op->amount : 0;
    } else if (op->kind != PK_WRITE_EXPECT) {
        *old = op->is_expired ? (struct state_doc){ 0 } : op->doc;
        old->version = op->is_expired ? 0 : op->made;
    }
}

/* True when the list's outcome is what the model says; 'write' is -1 for done. Changes the state
 * only then. */
static bool agrees(struct state *state, const struct ops *ops, int write, const char *reason)
{
    struct state next = *state;
    for (int i = 0; i < ops->count; i++) {
        if (i == write) {
            return is_refused(&next, &ops->op[i], reason);
        }
        if (!is_refused(&next, &ops->op[i], NULL)) {
            return false;
        }
        change(&next, &ops->op[i]);
    }
    *state = next;
    return write == -1;
}

/* ---- Random lists ---- */

static unsigned below(uint64_t *seed, unsigned end)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (unsigned)(*seed >> 33) % end;
}

static struct state_doc random_doc(uint64_t *seed)
{
    return (struct state_doc){ .name = (int)below(seed, KEYS + 1),
                               .slot = (int)below(seed, KEYS + 1),
                               .is_active = below(seed, 2) };
}

/* Mostly versions that were true when it was made; each id once. */
static struct ops random_ops(uint64_t *seed, const struct state *now, bool is_announced)
{
    static const enum pk_write_kind kind[] = { PK_WRITE_INSERT,  PK_WRITE_INSERT, PK_WRITE_REPLACE,
                                               PK_WRITE_REPLACE, PK_WRITE_DELETE, PK_WRITE_EXPECT,
                                               PK_WRITE_COUNT };
    struct ops ops = { .count = 1 + (int)below(seed, WRITES) };
    const int first = (int)below(seed, IDS);
    for (int i = 0; i < ops.count; i++) {
        const int id = (first + i * 3) % IDS;
        const int64_t version = now->doc[id].version;
        struct op *op = &ops.op[i];
        *op = (struct op){ .kind = kind[below(seed, PK_COUNT(kind))],
                           .id = id,
                           .made = 1,
                           .doc = random_doc(seed),
                           .is_expired = below(seed, 5) == 0,
                           .amount = 1 + below(seed, 9) };
        if (op->kind != PK_WRITE_COUNT && below(seed, 4)) { /* What the state lets it do. */
            op->kind = version && op->kind == PK_WRITE_INSERT   ? PK_WRITE_REPLACE
                       : version || op->kind == PK_WRITE_EXPECT ? op->kind
                                                                : PK_WRITE_INSERT;
        }
        op->version = op->kind == PK_WRITE_INSERT   ? 0
                      : version                     ? version - (below(seed, 8) == 0)
                      : op->kind == PK_WRITE_EXPECT ? 0
                                                    : 7;
    }
    if (is_announced) { /* Before, between or behind the others. */
        const int at = (int)below(seed, (unsigned)ops.count + 1);
        ops.op[ops.count++] = ops.op[at];
        ops.op[at] = (struct op){ .kind = PK_WRITE_INSERT, .id = EVENT };
    }
    return ops;
}

static void id_text(char out[8], int id)
{
    (void)snprintf(out, 8, "d%d", id);
}

static void add_doc(struct pk_writes *list, const struct op *op)
{
    char id[8], name[8], slot[8];
    id_text(id, op->id);
    (void)snprintf(name, sizeof(name), "n%d", op->doc.name);
    (void)snprintf(slot, sizeof(slot), "s%d", op->doc.slot);
    struct pk_doc *doc = thing_new((struct thing){ .id = id,
                                                   .name = op->doc.name ? name : NULL,
                                                   .slot = op->doc.slot ? slot : NULL,
                                                   .status = op->doc.is_active ? "active" : "idle",
                                                   .tag = op->doc.is_active ? "on" : "off",
                                                   .expires_at = op->is_expired ? 1000 : 0 });
    if (op->kind == PK_WRITE_INSERT) {
        pk_writes_insert(list, "things", doc);
    } else {
        pk_writes_replace(list, "things", doc, op->version);
    }
    pk_doc_unref(doc);
}

/* 'event' is the announced row's id. */
static void build(struct pk_writes *list, const struct ops *ops, const char *event)
{
    for (int i = 0; i < ops->count; i++) {
        const struct op *op = &ops->op[i];
        char id[8];
        id_text(id, op->id);
        if (op->id == EVENT) {
            struct pk_doc *doc = pk_doc_take(BCON_NEW("_id", BCON_UTF8(event)));
            pk_writes_announce(list, doc);
            pk_doc_unref(doc);
        } else if (op->kind == PK_WRITE_DELETE) {
            pk_writes_delete(list, "things", id, op->version ? op->version : 7);
        } else if (op->kind == PK_WRITE_EXPECT) {
            pk_writes_expect(list, "things", id, op->version);
        } else if (op->kind == PK_WRITE_COUNT) {
            const struct pk_count count = { .path = "uses", .amount = op->amount };
            pk_writes_count(list, "things", id, &count, 1);
        } else {
            add_doc(list, op);
        }
    }
}

/* ---- What stands in the store ---- */

static size_t count_found(struct pk_store *store, const char *tag)
{
    struct pk_query query = {
        .collection = "things", .index = "by_tag", .equal = { PK_TEXT(tag) }, .equal_count = 1
    };
    struct pk_page page;
    struct pk_error err;
    assert_ok(pk_store_find(store, &query, 0, &page, &err), &err);
    const size_t count = page.count;
    pk_page_done(&page);
    return count;
}

static void assert_state(struct pk_store *store, const struct state *state)
{
    size_t on = 0, off = 0;
    for (int i = 0; i < IDS; i++) {
        const struct state_doc *wanted = &state->doc[i];
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        struct pk_error err;
        char id[8];
        id_text(id, i);
        assert_ok(pk_store_get(store, "things", id, 0, &doc, &err), &err);
        assert_int_equal(doc ? pk_doc_version(doc) : 0, wanted->version);
        if (doc) {
            const char *name = pk_doc_text(doc, "name");
            assert_int_equal(name ? atoi(name + 1) : 0, wanted->name);
            assert_int_equal(pk_doc_int(doc, "uses", 0), wanted->uses);
            on += wanted->is_active;
            off += !wanted->is_active;
        }
    }
    assert_int_equal(count_found(store, "on"), on);
    assert_int_equal(count_found(store, "off"), off);
}

/* ---- Groups as the engine gets them ---- */

struct member {
    struct ops ops;
    struct pk_writes list;
    struct pk_job job;
};

static void prepare_member(struct pk_store *store, struct member *member, const char *event)
{
    struct pk_error err;
    build(&member->list, &member->ops, event);
    member->job = (struct pk_job){ .writes = &member->list };
    assert_ok(pk_writes_resolve(store, &member->list, &member->job, &err), &err);
    assert_ok(pk_sql_job_prepare(store, &member->job, &err), &err);
    for (int i = 0; i < member->ops.count; i++) {
        member->ops.op[i].made = member->job.target[i].new_version;
    }
}

static void check_member(struct pk_store *store, struct member *member, struct state *state,
                         const char *event)
{
    const struct pk_job *job = &member->job;
    char cursor[PK_POSITION_TEXT];
    if (!job->is_ok) {
        assert_int_equal(job->error.code, PK_CONFLICT);
        assert_true(job->commit.conflict_write >= 0);
        assert_string_equal(job->commit.cursor, "");
    }
    if (!agrees(state, &member->ops, job->is_ok ? -1 : job->commit.conflict_write,
                job->commit.conflict_index)) {
        fail_msg("%s: %s (write %d, index '%s')", event, job->is_ok ? "done" : job->error.message,
                 job->commit.conflict_write, job->commit.conflict_index);
    }
    if (job->is_ok) { /* A refused list leaves no hole in the feed, either. */
        pk_sql_position(store->impl, state->events, cursor);
        assert_string_equal(job->commit.cursor, cursor);
    }
    pk_sql_job_unprepare(store, &member->job);
    pk_writes_unresolve(&member->job);
    pk_writes_done(&member->list);
}

/* Returns how many were refused. */
static int run_group(struct pk_store *store, uint64_t *seed, int group, struct state *state)
{
    struct pk_sqlite *sqlite = store->impl;
    struct member member[LISTS] = { 0 };
    struct pk_job *job[LISTS];
    char event[LISTS][24];
    struct state seen =
        *state; /* Later lists know of earlier ones, as far as those will be done. */
    const size_t count = 1 + below(seed, LISTS);
    int refused = 0;

    if (below(seed, 2)) {
        sqlite->writer.careful = 0; /* As after a long time without a conflict. */
    }
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(event[i], sizeof(event[i]), "%d.%zu", group, i);
        member[i].ops = random_ops(seed, below(seed, 2) ? &seen : state, below(seed, 4) > 0);
        prepare_member(store, &member[i], event[i]);
        (void)agrees(&seen, &member[i].ops, -1, NULL);
        job[i] = &member[i].job;
    }
    pk_sql_apply(sqlite, job, count);
    for (size_t i = 0; i < count; i++) {
        refused += !job[i]->is_ok;
        check_member(store, &member[i], state, event[i]);
    }
    return refused;
}

TEST(groups_of_random_lists_end_as_one_after_the_other_would)
{
    struct pk_store *store = things_open(pk_test_folder());
    uint64_t seed = 0x9e3779b97f4a7c15u;
    struct state model = { 0 };
    int refused = 0;
    for (int group = 0; group < GROUPS; group++) {
        refused += run_group(store, &seed, group, &model);
        assert_state(store, &model);
    }
    assert_true(refused > GROUPS / 4);           /* Both ways were gone... */
    assert_true(model.events > (int64_t)GROUPS); /* ...often. */
    pk_store_close(store);
}

/* ---- Threads ---- */

struct
try {
    struct ops ops;
    int write; /* -1: done. */
    char reason[64];
    int64_t row; /* Of the feed, when it was done. */
};
struct worker {
    struct pk_store *store;
    unsigned number;
    struct try try[ROUNDS];
    bool is_broken; /* An outcome that is none. */
};

static struct state look(struct pk_store *store)
{
    struct state state = { 0 };
    for (int i = 0; i < IDS; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        struct pk_error err;
        char id[8];
        id_text(id, i);
        if (pk_store_get(store, "things", id, 0, &doc, &err) && doc) {
            state.doc[i].version = pk_doc_version(doc);
        }
    }
    return state;
}

static void *work(void *context)
{
    struct worker *worker = context;
    uint64_t seed = 77 + worker->number * UINT64_C(0x9e3779b97f4a7c15);
    for (int round = 0; round < ROUNDS; round++) {
        struct try *try = &worker->try[round];
        const struct state now = look(worker->store);
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        struct pk_commit commit;
        struct pk_error err;
        char event[24];
        (void)snprintf(event, sizeof(event), "%u.%d", worker->number, round);
        try->ops = random_ops(&seed, &now, true);
        build(&list, &try->ops, event);
        const bool ok = pk_store_commit(worker->store, &list, 0, &commit, &err);
        worker->is_broken |= !ok && err.code != PK_CONFLICT;
        try->write = ok ? -1 : commit.conflict_write;
        try->row = ok ? atoll(strrchr(commit.cursor, '.') + 1) : 0;
        memcpy(try->reason, commit.conflict_index, sizeof(try->reason));
        for (int i = 0; ok && i < try->ops.count; i++) {
            try->ops.op[i].made = list.write[i].version;
        }
    }
    return NULL;
}

/* Every list that was done, in the order of the feed; 'history[n]' is the state after n of them. */
static void replay(struct worker *worker, struct state *history, int64_t rows)
{
    const struct try **by_row = pk_calloc((size_t)rows + 1, sizeof(*by_row));
    for (size_t t = 0; t < THREADS; t++) {
        for (int r = 0; r < ROUNDS; r++) {
            const struct try *try = &worker[t].try[r];
            if (try->write < 0) {
                assert_true(try->row > 0 && try->row <= rows && !by_row[try->row]);
                by_row[try->row] = try;
            }
        }
    }
    for (int64_t row = 1; row <= rows; row++) {
        assert_non_null(by_row[row]);
        history[row] = history[row - 1];
        assert_true(agrees(&history[row], &by_row[row]->ops, -1, NULL));
    }
    pk_free(by_row);
}

/* Somewhere between what its thread did before and after. */
static bool was_right(const struct worker *worker, int round, const struct state *history,
                      int64_t rows)
{
    int64_t from = 0, to = rows;
    for (int r = 0; r < round; r++) {
        from = worker->try[r].write < 0 ? worker->try[r].row : from;
    }
    for (int r = ROUNDS - 1; r > round; r--) {
        to = worker->try[r].write < 0 ? worker->try[r].row : to;
    }
    for (int64_t row = from; row <= to; row++) {
        struct state state = history[row];
        const struct try *try = &worker->try[round];
        if (agrees(&state, &try->ops, try->write, try->reason)) {
            return true;
        }
    }
    return false;
}

TEST(sixty_four_threads_end_as_their_lists_in_the_order_of_the_feed)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct worker *worker = pk_calloc(THREADS, sizeof(*worker));
    pthread_t thread[THREADS];
    int64_t rows = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        worker[t] = (struct worker){ .store = store, .number = t };
        assert_int_equal(pthread_create(&thread[t], NULL, work, &worker[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        (void)pthread_join(thread[t], NULL);
        assert_false(worker[t].is_broken);
        for (int r = 0; r < ROUNDS; r++) {
            rows += worker[t].try[r].write < 0;
        }
    }
    struct state *history = pk_calloc((size_t)rows + 1, sizeof(*history));
    replay(worker, history, rows);
    assert_state(store, &history[rows]);
    for (unsigned t = 0; t < THREADS; t++) {
        for (int r = 0; r < ROUNDS; r++) {
            if (worker[t].try[r].write >= 0) {
                assert_true(was_right(&worker[t], r, history, rows));
            }
        }
    }
    assert_true(rows > THREADS && rows < (int64_t)THREADS * ROUNDS);
    pk_free(history);
    pk_free(worker);
    pk_store_close(store);
}
