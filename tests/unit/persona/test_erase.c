/* test_erase.c - Erasing: nothing of a person is left, and nothing of anybody else is touched.
 *
 * Driven by the inventory: a collection that is added is tested here by
 * itself. What is left is looked for in the bytes of every document there is,
 * not by index. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "doc/inventory.h"
#include "generate.h"
#include "persona/erase.h"
#include "persona/erase_log.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOTH(name)                        \
    static void name##_on(bool is_mongo); \
    TEST(name##_on_sqlite)                \
    {                                     \
        name##_on(false);                 \
    }                                     \
    TEST(name##_on_mongodb)               \
    {                                     \
        name##_on(true);                  \
    }                                     \
    static void name##_on(bool is_mongo)

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OTHER  "22222222-2222-4222-8222-222222222222"
#define MERGED "33333333-3333-4333-8333-333333333333"

enum { EACH = 3, COLLECTIONS_MAX = 64, PATIENCE = 5000 };

/* ---- Planting ---- */

static bool is_planted(const struct pk_collection *collection)
{
    return collection->erase == PK_ERASE_DELETE;
}

static struct pk_doc *make(const struct pk_collection *collection, const char *person,
                           uint64_t seed)
{
    return pk_generate_doc(
        collection, &(struct pk_generate){ .seed = seed, .is_full = true, .person = person });
}

static void put(struct kit *kit, const struct pk_collection *collection, struct pk_doc *doc)
{
    struct pk_writes list = { 0 };
    if (collection->is_feed) {
        pk_writes_announce(&list, doc);
    } else {
        pk_writes_insert(&list, collection->name, doc);
    }
    const bool ok = pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err);
    pk_writes_done(&list);
    if (!ok) {
        fail_msg("%s: %s", collection->name, kit->err.message);
    }
}

static size_t rows_of(const struct pk_collection *collection)
{
    return collection->is_person_id ? 1 : EACH;
}

/* A few documents of the person in every collection that has some. */
static void plant(struct kit *kit, const char *person, uint64_t seed)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        for (size_t n = 0; is_planted(collection) && n < rows_of(collection); n++) {
            struct pk_doc *doc = make(collection, person, seed + n);
            put(kit, collection, doc);
            pk_doc_unref(doc);
        }
    }
}

/* ---- Looking ---- */

typedef void each_fn(struct kit *kit, const struct pk_collection *collection, struct pk_doc *doc,
                     void *context);

static void each_doc(struct kit *kit, each_fn *each, void *context)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        PK_CLEANUP(pk_freep) char *cursor = NULL;
        do {
            PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
            const struct pk_query query = {
                .collection = collection->name, .index = "_id", .limit = 500, .cursor = cursor
            };
            assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
            for (size_t n = 0; n < page.count; n++) {
                each(kit, collection, page.doc[n], context);
            }
            pk_free(cursor);
            cursor = page.next;
            page.next = NULL;
        } while (cursor);
    }
}

static bool names(const struct pk_doc *doc, const char *person)
{
    return memmem(pk_doc_data(doc), pk_doc_size(doc), person, strlen(person)) != NULL;
}

/* What may stay: the tombstone, the task itself, the events of the erasure. */
static void expect_gone(struct kit *kit, const struct pk_collection *collection, struct pk_doc *doc,
                        void *context)
{
    const char *task = context;
    const char *type = pk_doc_text(doc, "eventType");
    (void)kit;
    if (!(names(doc, PERSON) || names(doc, MERGED)) ||
        strcmp(collection->name, "tombstones") == 0 ||
        (strcmp(collection->name, "outbox") == 0 && strcmp(pk_doc_id(doc), task) == 0) ||
        (type && strncmp(type, "person.erase", 12) == 0)) {
        return;
    }
    fail_msg("'%s' of '%s' names the person still", pk_doc_id(doc), collection->name);
}

struct kept {
    struct pk_doc *doc[COLLECTIONS_MAX * EACH];
    const struct pk_collection *of[COLLECTIONS_MAX * EACH];
    size_t count;
};

static void keep(struct kit *kit, const struct pk_collection *collection, struct pk_doc *doc,
                 void *context)
{
    struct kept *kept = context;
    (void)kit;
    if (names(doc, OTHER)) {
        kept->of[kept->count] = collection;
        kept->doc[kept->count++] = pk_doc_ref(doc);
    }
}

static void expect_kept(struct kit *kit, struct kept *kept)
{
    assert_true(kept->count > 40);
    for (size_t i = 0; i < kept->count; i++) {
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *now = kit_get(kit, kept->of[i]->name, pk_doc_id(kept->doc[i]));
        const bool is_task =
            strcmp(kept->of[i]->name, "outbox") == 0; /* They go on by themselves. */
        if (!now || (!is_task && !pk_doc_same(now, kept->doc[i]))) {
            fail_msg("'%s' of '%s' is another person's", pk_doc_id(kept->doc[i]),
                     kept->of[i]->name);
        }
        pk_doc_unref(kept->doc[i]);
    }
}

static void ask(struct kit *kit, const char *person, char out_task[PK_UUID_TEXT])
{
    assert_ok(pk_erase_person(&kit->domain, &kit->bed.by, person, out_task, &kit->err), &kit->err);
}

/* Planted tasks are of types that nobody knows: so the one that erases is waited for alone. */
static void work(struct kit *kit, const char *task)
{
    (void)kit_outbox(kit);
    for (int waited = 0;; waited++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(kit, "outbox", task);
        if (strcmp(pk_doc_text(doc, "status"), "done") == 0) {
            return;
        }
        if (waited > PATIENCE) {
            const char *why = pk_doc_text(doc, "lastError");
            fail_msg("%s: %s", pk_doc_text(doc, "status"), why ? why : "never tried");
        }
        pk_clock_fake_advance(&kit->clock, 1);
        bed_pause();
    }
}

/* ---- Cases ---- */

BOTH(nothing_of_the_person_is_left_and_nothing_of_others_is_touched)
{
    KIT(kit, is_mongo);
    char task[PK_UUID_TEXT];
    struct kept kept = { .count = 0 };
    plant(&kit, PERSON, 1000);
    plant(&kit, OTHER, 2000);
    each_doc(&kit, keep, &kept);
    ask(&kit, PERSON, task);
    work(&kit, task);
    each_doc(&kit, expect_gone, task);
    expect_kept(&kit, &kept);
}

/* The counts are what was planted, in the tombstone and in the audit row. */
BOTH(the_receipt_counts_what_was_deleted)
{
    KIT(kit, is_mongo);
    char task[PK_UUID_TEXT];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_inventory *inventory = pk_inventory_builtin();
    plant(&kit, PERSON, 1000);
    ask(&kit, PERSON, task);
    work(&kit, task);
    assert_ok(pk_erase_receipt(&kit.domain, PERSON, 0, &tombstone, &kit.err), &kit.err);
    assert_non_null(tombstone);
    assert_string_equal(pk_doc_text(tombstone, "taskId"), task);
    assert_true(pk_doc_date(tombstone, "completedAt", 0) > 0);
    const struct pk_query query = { .collection = "audit",
                                    .index = "by_action",
                                    .equal = { PK_TEXT("person.erased") },
                                    .equal_count = 1 };
    assert_ok(pk_store_find(kit.bed.store, &query, 0, &page, &kit.err), &kit.err);
    assert_int_equal(page.count, 1);
    assert_string_equal(pk_doc_text(page.doc[0], "targetId"), task);
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        char path[80], text[24];
        if (!is_planted(collection)) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "counts.%s", collection->name);
        if (pk_doc_int(tombstone, path, 0) != (int64_t)rows_of(collection)) {
            fail_msg("%s: %ld", path, (long)pk_doc_int(tombstone, path, 0));
        }
        (void)snprintf(path, sizeof(path), "details.%s", collection->name);
        (void)snprintf(text, sizeof(text), "%zu", rows_of(collection));
        assert_string_equal(pk_doc_text(page.doc[0], path), text);
    }
}

BOTH(erasing_twice_is_one_task_and_an_unknown_person_is_not_found)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], task[PK_UUID_TEXT], again[PK_UUID_TEXT];
    kit_person(&kit, person);
    ask(&kit, person, task);
    ask(&kit, person, again);
    assert_string_equal(task, again);
    kit_work(&kit);
    ask(&kit, person, again);
    assert_string_equal(task, again);
    assert_false(pk_erase_person(&kit.domain, &kit.bed.by, OTHER, task, &kit.err));
    expect_error(&kit.err, PK_NOT_FOUND, "no such person");
    assert_int_equal(kit_count(&kit, "tombstones", NULL, NULL), 1);
}

/* Asked for by the name of the one or the other: both, whatever has stayed under the old id. */
BOTH(whoever_was_merged_goes_with_whom_he_was_merged_into)
{
    KIT(kit, is_mongo);
    char task[PK_UUID_TEXT];
    struct kept kept = { .count = 0 };
    plant(&kit, PERSON, 1000);
    plant(&kit, MERGED, 3000);
    plant(&kit, OTHER, 2000);
    kit_drop(&kit, "people", PERSON);
    kit_drop(&kit, "people", MERGED);
    kit_put(&kit, "people",
            "{'_id':'%s','merges':[{'mergeId':'44444444-4444-4444-8444-444444444444',"
            "'personId':'%s','status':'merged','mergedBy':'x','mergedAt':'2026-01-01T00:00:00Z',"
            "'taskId':'55555555-5555-4555-8555-555555555555'}],"
            "'createdAt':'2026-01-01T00:00:00Z','updatedAt':'2026-01-01T00:00:00Z'}",
            PERSON, MERGED);
    kit_put(&kit, "people",
            "{'_id':'%s','mergedInto':'%s','createdAt':'2026-01-01T00:00:00Z',"
            "'updatedAt':'2026-01-01T00:00:00Z'}",
            MERGED, PERSON);
    each_doc(&kit, keep, &kept);
    ask(&kit, MERGED, task);
    work(&kit, task);
    each_doc(&kit, expect_gone, task);
    expect_kept(&kit, &kept);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *receipt = NULL;
    assert_ok(pk_erase_receipt(&kit.domain, MERGED, 0, &receipt, &kit.err), &kit.err);
    assert_string_equal(pk_doc_id(receipt), PERSON);
    assert_int_equal(pk_doc_int(receipt, "counts.people", 0), 2);
    assert_int_equal(pk_doc_int(receipt, "counts.observations", 0), 2 * EACH);
}

/* More than fit into a step, so that several pages are walked. */
TEST(a_person_of_many_steps_is_erased)
{
    KIT(kit, false);
    char task[PK_UUID_TEXT], person[PK_UUID_TEXT];
    const struct pk_collection *rows = pk_inventory_find(pk_inventory_builtin(), "trait_history");
    kit_person(&kit, person);
    for (int i = 0; i < 3; i++) {
        struct pk_writes list = { 0 };
        for (int n = 0; n < 500; n++) {
            struct pk_doc *doc = make(rows, person, 5000 + (uint64_t)(i * 500 + n));
            pk_writes_insert(&list, rows->name, doc);
            pk_doc_unref(doc);
        }
        assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
        pk_writes_done(&list);
    }
    ask(&kit, person, task);
    kit_work(&kit);
    assert_int_equal(kit_count(&kit, rows->name, NULL, NULL), 0);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = kit_get(&kit, "tombstones", person);
    assert_int_equal(pk_doc_int(tombstone, "counts.trait_history", 0), 1500);
}

static void write_log(struct kit *kit, const char *text)
{
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/%s", kit->domain.data, PK_ERASE_LOG_NAME);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static char *read_log(struct kit *kit)
{
    struct pk_buf text = { 0 };
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/%s", kit->domain.data, PK_ERASE_LOG_NAME);
    assert_ok(pk_file_read(&text, path, 65536, &kit->err), &kit->err);
    return pk_buf_take(&text);
}

TEST(the_log_has_a_line_for_each_and_closes_a_torn_one)
{
    KIT(kit, false);
    char task[PK_UUID_TEXT], person[PK_UUID_TEXT], hash[PK_HASH_TEXT], line[200];
    char at[PK_TIME_TEXT], until[PK_TIME_TEXT];
    kit.domain.backup_keep_ms = 1000;
    write_log(&kit, "0123");
    kit_person(&kit, person);
    ask(&kit, person, task);
    kit_work(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = kit_get(&kit, "tombstones", person);
    const int64_t erased_ms = pk_doc_date(tombstone, "erasedAt", 0);
    pk_time_format(erased_ms, at);
    pk_time_format(erased_ms + 1000, until);
    assert_int_equal(pk_doc_date(tombstone, "backupsUntil", 0),
                     pk_doc_date(tombstone, "completedAt", 0) + 1000);
    pk_audit_person(kit.domain.books->peppers, person, hash);
    const int size = snprintf(line, sizeof(line), "0123\n%s %s person %s ", hash, at, until);
    PK_CLEANUP(pk_freep) char *text = read_log(&kit);
    assert_int_equal(strlen(text), (size_t)size + 9);
    assert_memory_equal(text, line, (size_t)size);
    assert_null(strstr(text, person));
}

static int64_t find_in_log(struct kit *kit, const char *text, enum pk_erased kind, const char *id,
                           size_t torn)
{
    struct pk_erase_log log;
    write_log(kit, text);
    assert_ok(pk_erase_log_read(&log, kit->domain.data, &kit->err), &kit->err);
    assert_int_equal(log.torn, torn);
    const int64_t at_ms = pk_erase_log_find(&log, kit->domain.books->peppers, kind, id);
    pk_erase_log_done(&log);
    return at_ms;
}

TEST(the_log_is_read_by_kind_and_the_latest_line_counts)
{
    KIT(kit, false);
    const int64_t now_ms = kit_now(&kit);
    struct pk_erase_log log;
    assert_false(pk_erase_log_read(&log, kit.domain.data, &kit.err));
    expect_error(&kit.err, PK_NOT_FOUND, PK_ERASE_LOG_NAME);
    assert_ok(pk_erase_log_make(kit.domain.data, &kit.err), &kit.err);
    assert_ok(pk_erase_log_read(&log, kit.domain.data, &kit.err), &kit.err);
    assert_int_equal(log.count, 0);
    pk_erase_log_done(&log);
    assert_ok(pk_erase_log_add(&kit.domain, PK_ERASED_PERSON, PERSON, now_ms + 5, &kit.err),
              &kit.err);
    assert_ok(pk_erase_log_add(&kit.domain, PK_ERASED_PERSON, PERSON, now_ms, &kit.err), &kit.err);
    assert_ok(pk_erase_log_add(&kit.domain, PK_ERASED_OBSERVATION, OTHER, now_ms, &kit.err),
              &kit.err);
    PK_CLEANUP(pk_freep) char *text = read_log(&kit);
    assert_int_equal(find_in_log(&kit, text, PK_ERASED_PERSON, PERSON, 0), now_ms + 5);
    assert_int_equal(find_in_log(&kit, text, PK_ERASED_OBSERVATION, PERSON, 0), 0);
    assert_int_equal(find_in_log(&kit, text, PK_ERASED_OBSERVATION, OTHER, 0), now_ms);
}

/* Cut after any byte it can be read, and says what its whole lines and heads say; any other byte
 * makes a whole line damaged. */
TEST(a_cut_line_is_torn_and_a_changed_one_is_damaged)
{
    KIT(kit, false);
    struct pk_erase_log log;
    const size_t head = 64 + 1 + 24;
    assert_ok(pk_erase_log_add(&kit.domain, PK_ERASED_PERSON, PERSON, kit_now(&kit), &kit.err),
              &kit.err);
    PK_CLEANUP(pk_freep) char *text = read_log(&kit);
    const size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        PK_CLEANUP(pk_freep) char *cut = pk_strdup(text);
        cut[i] = '\0';
        const int64_t at_ms =
            find_in_log(&kit, cut, PK_ERASED_PERSON, PERSON, i > 0 && i < head ? 1 : 0);
        assert_int_equal(at_ms, i < head ? 0 : kit_now(&kit));
    }
    for (size_t i = 0; i + 1 < size; i++) {
        PK_CLEANUP(pk_freep) char *other = pk_strdup(text);
        other[i] = other[i] == '5' ? '6' : '5';
        write_log(&kit, other);
        if (pk_erase_log_read(&log, kit.domain.data, &kit.err)) {
            fail_msg("byte %zu may be anything", i);
        }
        expect_error(&kit.err, PK_INVALID, "line 1 of");
    }
}

/* ---- Whom a backup brings back ---- */

static bool count_step(void *context, struct pk_error *err)
{
    int *steps = context;
    ++*steps;
    return *steps != 4 || pk_fail(err, PK_TIMEOUT, "again", "stopped");
}

BOTH(who_is_brought_back_is_erased_again_without_a_task_and_in_two_attempts)
{
    KIT(kit, is_mongo);
    int steps = 0;
    struct kept kept = { .count = 0 };
    plant(&kit, PERSON, 1000);
    plant(&kit, OTHER, 2000);
    each_doc(&kit, keep, &kept);
    assert_false(
        pk_erase_again(&kit.domain, &kit.bed.by, PERSON, true, count_step, &steps, &kit.err));
    expect_error(&kit.err, PK_TIMEOUT, "stopped");
    assert_ok(pk_erase_again(&kit.domain, &kit.bed.by, PERSON, true, count_step, &steps, &kit.err),
              &kit.err);
    each_doc(&kit, expect_gone, "none");
    expect_kept(&kit, &kept);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = kit_get(&kit, "tombstones", PERSON);
    assert_true(pk_doc_date(tombstone, "completedAt", 0) > 0);
    assert_int_equal(pk_doc_int(tombstone, "counts.observations", 0), EACH);
    assert_int_equal(kit_count(&kit, "audit", "action", "person.erased"), 1);
}

/* A line that cannot be written stops the erasure before anything is lost. */
TEST(nothing_is_deleted_before_the_log_has_its_line)
{
    KIT(kit, false);
    char task[PK_UUID_TEXT], person[PK_UUID_TEXT];
    struct pk_writes list = { 0 };
    struct pk_domain elsewhere = kit.domain;
    kit_person(&kit, person);
    ask(&kit, person, task);
    elsewhere.data = "/nowhere/at/all";
    const struct pk_task doing = { .id = task, .person = person };
    assert_false(pk_erase_run(&elsewhere, &doing, &list, &kit.err));
    expect_error(&kit.err, PK_UNAVAILABLE, "cannot be written");
    assert_int_equal(list.count, 0);
    assert_int_equal(kit_count(&kit, "mindscapes", NULL, NULL), 1);
    kit_work(&kit);
    assert_int_equal(kit_count(&kit, "mindscapes", NULL, NULL), 0);
}
