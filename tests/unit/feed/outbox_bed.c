/* outbox_bed.c - See outbox_bed.h. A MongoDB database of a case is dropped at its end. */
/* SPDX-License-Identifier: MIT */
#include "outbox_bed.h"

#include "access/pepper.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "database.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <bson/bson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = PK_TEST_PATIENCE_MS };

static struct pk_collection collection[6];
static struct pk_inventory inventory;

static const struct pk_index effects_index[] = {
    { .name = "by_task", .key = { { .path = "task" } }, .key_count = 1 },
};

/* The server's own collections that an outbox needs, and two of the tests. */
static const struct pk_inventory *make_inventory(void)
{
    static const char *const name[] = { "outbox", "events", "audit", "actors" };
    size_t count = 0;
    if (inventory.count > 0) {
        return &inventory; /* A store of the case before may still be closing. */
    }
    for (; count < PK_COUNT(name); count++) {
        collection[count] = *pk_inventory_find(pk_inventory_builtin(), name[count]);
    }
    collection[count++] = (struct pk_collection){ .name = "effects",
                                                  .index = effects_index,
                                                  .index_count = PK_COUNT(effects_index) };
    collection[count++] = (struct pk_collection){ .name = "sums" };
    inventory = (struct pk_inventory){ collection, count, 1 };
    return &inventory;
}

static void make_url(struct outbox_bed *bed)
{
    char uuid[PK_UUID_TEXT];
    pk_uuid_new(uuid);
    (void)snprintf(bed->folder, sizeof(bed->folder), "%s/%.8s", pk_test_folder(), uuid);
    assert_int_equal(mkdir(bed->folder, 0700), 0);
    bed->url = bed->is_mongo ? pk_test_database_lend(make_inventory())
                             : pk_strdupf("sqlite:%s", bed->folder);
    if (!bed->url) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
}

static bool run_work(void *context, const struct pk_task *task, struct pk_writes *list,
                     struct pk_error *err)
{
    struct outbox_bed *bed = context;
    (void)pthread_mutex_lock(&bed->lock);
    if (bed->begun < PK_COUNT(bed->seen)) {
        (void)snprintf(bed->seen[bed->begun], sizeof(bed->seen[0]), "%s", task_name(task));
    }
    bed->begun++;
    pk_task_fn *run = bed->run ? bed->run : effect;
    (void)pthread_cond_broadcast(&bed->moved);
    (void)pthread_mutex_unlock(&bed->lock);
    return run(bed, task, list, err);
}

static bool note_failed(void *context, const struct pk_task *task, const struct pk_error *why,
                        struct pk_writes *list, struct pk_error *err)
{
    struct outbox_bed *bed = context;
    (void)err;
    bson_t *bson = bson_new();
    char id[PK_UUID_TEXT];
    pk_uuid_new(id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_UTF8(bson, "task", task->id);
    BSON_APPEND_UTF8(bson, "why", why->message);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "effects", doc);
    (void)pthread_mutex_lock(&bed->lock);
    bed->failed++;
    (void)pthread_mutex_unlock(&bed->lock);
    return true;
}

void outbox_bed_open(struct outbox_bed *bed, enum engine engine)
{
    bed->is_mongo = engine == ENGINE_MONGO;
    (void)pthread_mutex_init(&bed->lock, NULL);
    (void)pthread_cond_init(&bed->moved, NULL);
    make_url(bed);
    assert_ok(pk_store_open(&bed->store,
                            &(struct pk_store_options){ .url = bed->url,
                                                        .inventory = make_inventory(),
                                                        .clock = pk_clock_system() },
                            &bed->err),
              &bed->err);
    assert_ok(pk_peppers_open(&bed->peppers, bed->folder, bed->store, false, &bed->err), &bed->err);
    bed->books = (struct pk_books){ .store = bed->store,
                                    .clock = pk_clock_system(),
                                    .peppers = bed->peppers,
                                    .node = "node-1",
                                    .event_keep_ms = 3600000,
                                    .audit_keep_ms = 3600000 };
    bed->by = (struct pk_by){ .actor_id = ACTOR };
    bed->type[0] = (struct pk_task_type){ .name = "work",
                                          .run = run_work,
                                          .failed = note_failed,
                                          .context = bed,
                                          .attempts_max = 3,
                                          .help = "What the case wants." };
    bed->options = (struct pk_outbox_options){ .books = &bed->books,
                                               .type = bed->type,
                                               .threads = 4,
                                               .keep_ms = 3600000,
                                               .backoff_ms = 1,
                                               .backoff_max_ms = 5,
                                               .sweep_ms = 30000 };
}

void bed_rest(struct outbox_bed *bed)
{
    pk_watch_stop(bed->watch);
    pk_outbox_free(bed->outbox);
    pk_watch_free(bed->watch);
    bed->watch = NULL;
    bed->outbox = NULL;
}

void outbox_bed_done(struct outbox_bed *bed)
{
    open_gate(bed);
    bed_rest(bed);
    pk_peppers_free(bed->peppers);
    if (bed->is_mongo) {
        pk_test_database_return(bed->url, bed->store);
    } else {
        pk_store_close(bed->store);
        pk_free(bed->url);
    }
}

static void hear(void *outbox, const struct pk_feed_item *item)
{
    pk_outbox_hear(outbox, item);
}

void bed_work(struct outbox_bed *bed)
{
    bed->outbox = pk_outbox_new(&bed->options);
    bed->watch =
        pk_watch_new(&(struct pk_watch_options){ .store = bed->store, .clock = pk_clock_system() });
    pk_watch_tell(bed->watch, hear, bed->outbox);
    assert_ok(pk_watch_start(bed->watch, &bed->err), &bed->err);
    assert_ok(pk_outbox_start(bed->outbox, &bed->err), &bed->err);
}

/* ---- Asking ---- */

void add_task(struct outbox_bed *bed, struct pk_writes *list, const char *person, const char *name,
              int64_t run_after_ms, char out_id[PK_UUID_TEXT])
{
    char id[PK_UUID_TEXT];
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "name", name);
    pk_task_add(list, &bed->books,
                &(struct pk_task_new){ .type = "work",
                                       .person = person,
                                       .actor = ACTOR,
                                       .payload = &payload,
                                       .run_after_ms = run_after_ms,
                                       .outbox = bed->is_born ? bed->outbox : NULL },
                id);
    pk_news_add(list, &bed->books,
                &(struct pk_news){ .type = "test.asked",
                                   .entity_type = "test",
                                   .entity_id = id,
                                   .person = person,
                                   .fact = (const struct pk_fact[]){ { "taskId", id }, { 0 } } });
    bson_destroy(&payload);
    if (out_id) {
        memcpy(out_id, id, PK_UUID_TEXT);
    }
}

void commit_list(struct outbox_bed *bed, struct pk_writes *list, struct pk_commit *out)
{
    assert_ok(pk_store_commit(bed->store, list,
                              pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS), out,
                              &bed->err),
              &bed->err);
}

void ask(struct outbox_bed *bed, const char *person, const char *name, char out_id[PK_UUID_TEXT])
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    add_task(bed, &list, person, name, 0, out_id);
    commit_list(bed, &list, NULL);
}

/* ---- Handlers ---- */

const char *task_name(const struct pk_task *task)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, &task->payload, "name") ? bson_iter_utf8(&iter, NULL) : "";
}

static int64_t sum_of(struct outbox_bed *bed, const char *key, int64_t *out_version,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *sum = NULL;
    *out_version = 0;
    if (!pk_store_get(bed->store, "sums", key, 0, &sum, err)) {
        return -1;
    }
    *out_version = sum ? pk_doc_version(sum) : 0;
    return sum ? pk_doc_int(sum, "count", 0) : 0;
}

bool effect(void *context, const struct pk_task *task, struct pk_writes *list, struct pk_error *err)
{
    struct outbox_bed *bed = context;
    const char *key = task->person ? task->person : task->id;
    int64_t version = 0;
    char id[PK_UUID_TEXT];
    const int64_t before = sum_of(bed, key, &version, err);
    if (before < 0) {
        return false;
    }
    bson_t *sum = BCON_NEW("_id", BCON_UTF8(key), "count", BCON_INT64(before + 1));
    pk_uuid_new(id);
    bson_t *row = BCON_NEW("_id", BCON_UTF8(id), "task", BCON_UTF8(task->id), "before",
                           BCON_INT64(before), "name", BCON_UTF8(task_name(task)));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *sum_doc = pk_doc_take(sum);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row_doc = pk_doc_take(row);
    if (version) {
        pk_writes_replace(list, "sums", sum_doc, version);
    } else {
        pk_writes_insert(list, "sums", sum_doc);
    }
    pk_writes_insert(list, "effects", row_doc);
    return true;
}

bool effect_behind_gate(void *context, const struct pk_task *task, struct pk_writes *list,
                        struct pk_error *err)
{
    struct outbox_bed *bed = context;
    (void)pthread_mutex_lock(&bed->lock);
    bed->held++;
    (void)pthread_cond_broadcast(&bed->moved);
    while (bed->is_gate_shut) {
        (void)pthread_cond_wait(&bed->moved, &bed->lock);
    }
    (void)pthread_mutex_unlock(&bed->lock);
    return effect(context, task, list, err);
}

void open_gate(struct outbox_bed *bed)
{
    (void)pthread_mutex_lock(&bed->lock);
    bed->is_gate_shut = false;
    (void)pthread_cond_broadcast(&bed->moved);
    (void)pthread_mutex_unlock(&bed->lock);
}

/* ---- Looking ---- */

struct pk_doc *get_task(struct outbox_bed *bed, const char *id)
{
    struct pk_doc *task = NULL;
    assert_ok(pk_store_get(bed->store, "outbox", id, 0, &task, &bed->err), &bed->err);
    return task;
}

size_t count_status(struct outbox_bed *bed, const char *status)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_outbox_filter filter = { .status = status };
    assert_ok(pk_outbox_list(&bed->books, &filter, PK_PAGE_MAX, NULL, &page, &bed->err), &bed->err);
    return page.count;
}

size_t count_effects(struct outbox_bed *bed, const char *task_id)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    assert_ok(pk_store_find(bed->store,
                            &(struct pk_query){ .collection = "effects",
                                                .index = "by_task",
                                                .equal = { PK_TEXT(task_id) },
                                                .equal_count = task_id ? 1 : 0,
                                                .limit = PK_PAGE_MAX },
                            0, &page, &bed->err),
              &bed->err);
    return page.count;
}

int64_t counted(struct outbox_bed *bed, const char *person)
{
    int64_t version;
    const int64_t count = sum_of(bed, person, &version, &bed->err);
    assert_true(count >= 0);
    return count;
}

static void nap(void)
{
    const struct timespec step = { .tv_nsec = 2 * 1000000 };
    (void)nanosleep(&step, NULL);
}

void await_status(struct outbox_bed *bed, const char *id, const char *status)
{
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PATIENCE_MS);
    for (;;) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(bed, id);
        assert_non_null(task);
        if (strcmp(pk_doc_text(task, "status"), status) == 0) {
            return;
        }
        if (pk_deadline_passed(pk_clock_system(), until_ns)) {
            fail_msg("the task is still '%s'", pk_doc_text(task, "status"));
        }
        nap();
    }
}

void await_nothing_open(struct outbox_bed *bed)
{
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PATIENCE_MS);
    while (count_status(bed, "pending") + count_status(bed, "in_progress") > 0) {
        if (pk_deadline_passed(pk_clock_system(), until_ns)) {
            fail_msg("%zu tasks still wait, %zu are at work", count_status(bed, "pending"),
                     count_status(bed, "in_progress"));
        }
        nap();
    }
}

void await_field(struct outbox_bed *bed, const size_t *field, size_t least)
{
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PATIENCE_MS);
    while (read_field(bed, field) < least) {
        if (pk_deadline_passed(pk_clock_system(), until_ns)) {
            fail_msg("%zu of %zu came", read_field(bed, field), least);
        }
        nap();
    }
}

size_t read_field(struct outbox_bed *bed, const size_t *field)
{
    (void)pthread_mutex_lock(&bed->lock);
    const size_t value = *field;
    (void)pthread_mutex_unlock(&bed->lock);
    return value;
}

void wake_bed(void *context)
{
    struct outbox_bed *bed = context;
    (void)pthread_mutex_lock(&bed->lock);
    bed->woken++;
    (void)pthread_cond_broadcast(&bed->moved);
    (void)pthread_mutex_unlock(&bed->lock);
}
