/* mongo_get.c - Reads by id: many callers' in one question.
 *
 * A question costs the server the same for one id as for ten, nearly: its
 * context, its plan and its answer. So only two are under way at a time.
 * Who comes while there is room asks at once, for himself. Who comes later
 * waits; when an answer is in, the first who waits asks for all who wait for
 * the same collection:
 *
 *     WAITING --room, or the first of those who wait--> ASKING --> DONE
 *        |                                                ^  `---> ALONE
 *        +---------------asked for by another--> TAKEN ---+
 *        +---------------deadline------------------------------> ALONE
 *
 * What is read from a disk takes its time for each id. So when none of those
 * under way is younger than MONGO_GETS_SLOW_MS, who comes asks nevertheless;
 * their places go when they have their answers.
 *
 * A question is sent after all whom it is for have come, so everyone reads at
 * least what was there when he called. One that fails is nobody's outcome:
 * each goes on alone (mongo_read.c), until his own deadline and with his own
 * reason. Equal ids share one document; documents never change.
 *
 * Waiting is a futex on one's own state, and a waiter lies on its caller's
 * stack: it is not looked at any more once its state is DONE or ALONE.
 *
 * Thread: any. 'lock' guards the queue and is never held while asking. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/mongo_internal.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum waiter_state { WAITING, TAKEN, ASKING, DONE, ALONE };

enum {
    IDS_MAX = 32, /* Of one question: documents may be large. */
    LOOK_MS = 50  /* How often a waiter with a deadline looks at the clock, at least. */
};

struct mongo_waiter {
    const struct pk_collection *collection;
    const char *id;
    int64_t deadline_ns;
    struct pk_doc *doc; /* Out, DONE: a reference; NULL when there is none. */
    struct mongo_waiter *next;
    _Atomic int state;
};

/* ---- Sleeping and waking ---- */

/* Nothing is read or written there: the waiter may be gone. */
static void wake(_Atomic int *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void settle(struct mongo_waiter *waiter, int state)
{
    _Atomic int *word = &waiter->state; /* The waiter may be gone once it is stored. */
    atomic_store_explicit(word, state, memory_order_release);
    wake(word);
}

static void sleep_while(_Atomic int *word, int value, int64_t timeout_ms)
{
    struct timespec time = { .tv_sec = timeout_ms / 1000,
                             .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ms ? &time : NULL, NULL, 0);
}

/* ---- The queue; all of it under the lock ---- */

static void unlink_waiter(struct mongo_gets *gets, struct mongo_waiter **link)
{
    if (!(*link)->next) {
        gets->last = link;
    }
    *link = (*link)->next;
    gets->waiting--;
}

/* Who asks takes along those who wait for the same collection. */
static size_t take_along(struct mongo_gets *gets, struct mongo_waiter *asking,
                         struct mongo_waiter **member)
{
    size_t count = 0;
    member[count++] = asking;
    for (struct mongo_waiter **link = &gets->first; *link && count < IDS_MAX;) {
        struct mongo_waiter *waiter = *link;
        if (waiter->collection != asking->collection) {
            link = &waiter->next;
            continue;
        }
        unlink_waiter(gets, link);
        atomic_store_explicit(&waiter->state, TAKEN, memory_order_relaxed);
        member[count++] = waiter;
    }
    return count;
}

/* True when the waiter was still waiting and is out of the queue now. */
static bool take_back(struct mongo_gets *gets, struct mongo_waiter *waiter)
{
    bool is_out = false;
    (void)pthread_mutex_lock(&gets->lock);
    if (atomic_load_explicit(&waiter->state, memory_order_relaxed) == WAITING) {
        struct mongo_waiter **link = &gets->first;
        while (*link != waiter) {
            link = &(*link)->next;
        }
        unlink_waiter(gets, link);
        is_out = true;
    }
    (void)pthread_mutex_unlock(&gets->lock);
    return is_out;
}

static bool has_room(const struct mongo_gets *gets, int64_t now_ns)
{
    return gets->asking < MONGO_GETS_MAX ||
           (gets->asking < MONGO_GETS_SLOW_MAX && now_ns - gets->started_ns > gets->slow_ns);
}

/* The place of one that has its answer goes to the first who waits. He is out of the queue and no
 * longer WAITING in one step: his deadline may pass at any time, and take_back() goes by that. */
static void hand_over(struct mongo_gets *gets, int64_t now_ns)
{
    _Atomic int *word = NULL;
    (void)pthread_mutex_lock(&gets->lock);
    struct mongo_waiter *next = gets->asking <= MONGO_GETS_MAX ? gets->first : NULL;
    if (next) {
        word = &next->state;
        unlink_waiter(gets, &gets->first);
        atomic_store_explicit(word, ASKING, memory_order_release);
        gets->started_ns = now_ns;
    } else {
        gets->asking--;
    }
    (void)pthread_mutex_unlock(&gets->lock);
    if (word) {
        wake(word);
    }
}

/* ---- One question ---- */

static int compare_members(const void *left, const void *right)
{
    const struct mongo_waiter *a = *(struct mongo_waiter *const *)left;
    const struct mongo_waiter *b = *(struct mongo_waiter *const *)right;
    return strcmp(a->id, b->id);
}

/* '{ _id: id }', or '{ _id: { $in: [ ... ] } }' with each id once; members are sorted. */
static void describe_ids(struct mongo_waiter *const *member, size_t count, bson_t *filter)
{
    bson_t in;
    bson_t ids;
    uint32_t id_count = 0;
    char number[16];
    const char *key = NULL;

    if (count == 1) { /* The server has a short way for it. */
        BSON_APPEND_UTF8(filter, "_id", member[0]->id);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &ids);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(member[i]->id, member[i - 1]->id) != 0) {
            (void)bson_uint32_to_string(id_count++, &key, number, sizeof(number));
            BSON_APPEND_UTF8(&ids, key, member[i]->id);
        }
    }
    (void)bson_append_array_end(&in, &ids);
    (void)bson_append_document_end(filter, &in);
}

static int64_t first_deadline(const struct mongo *mongo, struct mongo_waiter *const *member,
                              size_t count)
{
    int64_t first_ns = pk_deadline_in_ms(mongo->clock, MONGO_DEADLINE_MS);
    for (size_t i = 0; i < count; i++) {
        const int64_t deadline_ns = member[i]->deadline_ns;
        first_ns = deadline_ns && deadline_ns < first_ns ? deadline_ns : first_ns;
    }
    return first_ns;
}

/* Gives a document to all who asked for it; members are sorted. */
static void deal_out(const bson_t *stored, struct mongo_waiter **member, size_t count)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, stored, "_id") || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return;
    }
    const struct mongo_waiter key = { .id = bson_iter_utf8(&iter, NULL) };
    const struct mongo_waiter *const wanted = &key;
    struct mongo_waiter **found =
        bsearch(&wanted, member, count, sizeof(struct mongo_waiter *), compare_members);
    struct pk_doc *doc = found ? mongo_doc(stored) : NULL;
    while (found && found > member && strcmp(found[-1]->id, key.id) == 0) {
        found--;
    }
    for (; doc && found < member + count && strcmp((*found)->id, key.id) == 0; found++) {
        (*found)->doc = pk_doc_ref(doc);
    }
    pk_doc_unref(doc);
}

/* True when all of it was answered. */
static bool ask(struct mongo *mongo, struct mongo_waiter **member, size_t count)
{
    mongoc_client_t *client = mongo_pop(mongo, NULL);
    if (!client) {
        return false;
    }
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    const bson_t *stored = NULL;
    const struct pk_collection *collection = member[0]->collection;
    const int64_t left_ms = mongo_left_ms(mongo, first_deadline(mongo, member, count));

    qsort(member, count, sizeof(struct mongo_waiter *), compare_members);
    describe_ids(member, count, &filter);
    mongo_append_live(collection, mongo_now_ms(mongo), &filter);
    BSON_APPEND_INT64(&opts, "limit", (int64_t)count);
    BSON_APPEND_INT64(&opts, "batchSize", (int64_t)count);
    BSON_APPEND_INT64(&opts, "maxTimeMS", left_ms > 0 ? left_ms : 1);
    mongoc_collection_t *handle =
        mongoc_client_get_collection(client, mongo->database, collection->name);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(handle, &filter, &opts, NULL);
    while (mongoc_cursor_next(cursor, &stored)) {
        deal_out(stored, member, count);
    }
    const bool ok = !mongoc_cursor_error(cursor, NULL);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(handle);
    bson_destroy(&filter);
    bson_destroy(&opts);
    if (ok) {
        mongo_time_keep(mongo, client);
    }
    mongo_push(mongo, client);
    return ok;
}

static void ask_for_all(struct mongo *mongo, struct mongo_waiter *asking)
{
    struct mongo_gets *gets = &mongo->gets;
    struct mongo_waiter *member[IDS_MAX];

    (void)pthread_mutex_lock(&gets->lock);
    const size_t count = take_along(gets, asking, member);
    (void)pthread_mutex_unlock(&gets->lock);
    const bool ok = ask(mongo, member, count);
    /* First: the server is idle until the next one asks. */
    hand_over(gets, pk_clock_mono_ns(mongo->clock));
    for (size_t i = 0; i < count; i++) {
        if (!ok && member[i]->doc) {
            pk_doc_unref(member[i]->doc);
            member[i]->doc = NULL;
        }
        settle(member[i], ok ? DONE : ALONE);
    }
}

/* ---- A caller's way ---- */

/* Sleeps until it is to ask, or has an outcome; ALONE when the deadline passes before. */
static int await(struct mongo *mongo, struct mongo_waiter *waiter)
{
    for (;;) {
        const int state = atomic_load_explicit(&waiter->state, memory_order_acquire);
        if (state != WAITING && state != TAKEN) {
            return state;
        }
        int64_t timeout_ms = 0;
        if (waiter->deadline_ns && state == WAITING) {
            if (pk_deadline_passed(mongo->clock, waiter->deadline_ns) &&
                take_back(&mongo->gets, waiter)) {
                return ALONE;
            }
            const int64_t left_ms = pk_deadline_left_ms(mongo->clock, waiter->deadline_ns, LOOK_MS);
            timeout_ms = left_ms > 0 ? left_ms : 1;
        }
        sleep_while(&waiter->state, state, timeout_ms);
    }
}

bool mongo_get(struct pk_store *store, const struct pk_collection *collection, const char *id,
               int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct mongo *mongo = mongo_of(store);
    struct mongo_gets *gets = &mongo->gets;
    struct mongo_waiter self = { .collection = collection, .id = id, .deadline_ns = deadline_ns };
    const int64_t start_ns = pk_clock_mono_ns(mongo->clock);

    (void)pthread_mutex_lock(&gets->lock);
    if (has_room(gets, start_ns)) {
        gets->asking++;
        gets->started_ns = start_ns;
        atomic_store_explicit(&self.state, ASKING, memory_order_relaxed);
    } else {
        *gets->last = &self;
        gets->last = &self.next;
        gets->waiting++;
    }
    (void)pthread_mutex_unlock(&gets->lock);
    int state = await(mongo, &self);
    if (state == ASKING) {
        ask_for_all(mongo, &self);
        state = atomic_load_explicit(&self.state, memory_order_relaxed);
    }
    if (state == ALONE) {
        return mongo_get_alone(store, collection, id, deadline_ns, out, err);
    }
    if (self.doc) {
        *out = self.doc;
    }
    atomic_fetch_add(&mongo->reads, 1);
    atomic_fetch_add(&mongo->reads_ns, (uint64_t)(pk_clock_mono_ns(mongo->clock) - start_ns));
    return true;
}

void mongo_gets_init(struct mongo_gets *gets)
{
    (void)pthread_mutex_init(&gets->lock, NULL);
    gets->last = &gets->first;
    gets->slow_ns = MONGO_GETS_SLOW_MS * 1000000LL;
}

void mongo_gets_done(struct mongo_gets *gets)
{
    (void)pthread_mutex_destroy(&gets->lock);
}
