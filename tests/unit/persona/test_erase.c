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
    if (!names(doc, PERSON) || strcmp(collection->name, "tombstones") == 0 ||
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

TEST(the_log_has_a_line_for_each_and_closes_a_torn_one)
{
    KIT(kit, false);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    char task[PK_UUID_TEXT], person[PK_UUID_TEXT], path[600], hash[PK_HASH_TEXT], line[200];
    (void)snprintf(path, sizeof(path), "%s/%s", kit.domain.data, PK_ERASE_LOG_NAME);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("torn", file);
    (void)fclose(file);
    kit_person(&kit, person);
    ask(&kit, person, task);
    kit_work(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = kit_get(&kit, "tombstones", person);
    char at[PK_TIME_TEXT];
    pk_time_format(pk_doc_date(tombstone, "erasedAt", 0), at);
    pk_audit_person(kit.domain.books->peppers, person, hash);
    (void)snprintf(line, sizeof(line), "torn\n%s %s\n", hash, at);
    assert_ok(pk_file_read(&text, path, 4096, &kit.err), &kit.err);
    assert_string_equal(pk_buf_text(&text), line);
    assert_null(strstr(pk_buf_text(&text), person));
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
