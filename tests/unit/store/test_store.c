/* test_store.c - What store.c and its helpers decide before an engine is asked. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "test.h"
#include "things.h"

#include <pthread.h>
#include <string.h>

/* One open store per case, over a folder of its own. */
struct scene {
    struct pk_store *store;
    struct pk_writes list;
    struct pk_error err;
    struct pk_commit commit;
};

static struct scene scene_open(void)
{
    return (struct scene){ .store = things_open(pk_test_folder()) };
}

static void scene_close(struct scene *scene)
{
    pk_writes_done(&scene->list);
    pk_store_close(scene->store);
}

static bool commit(struct scene *scene)
{
    const bool ok = pk_store_commit(scene->store, &scene->list, 0, &scene->commit, &scene->err);
    return ok;
}

static void add_insert(struct scene *scene, struct thing thing)
{
    struct pk_doc *doc = thing_new(thing);
    pk_writes_insert(&scene->list, "things", doc);
    pk_doc_unref(doc);
}

static void refused(struct scene *scene, enum pk_code code, const char *part)
{
    assert_false(commit(scene));
    assert_int_equal(scene->err.code, code);
    if (!strstr(scene->err.message, part)) {
        fail_msg("'%s' lacks '%s'", scene->err.message, part);
    }
    assert_non_null(scene->err.hint);
    pk_writes_clear(&scene->list);
}

TEST(an_unknown_engine_is_refused_with_those_that_are_known)
{
    const struct pk_store_options options = { .url = "redis://user:secret@host/",
                                              .inventory = things_inventory(),
                                              .clock = pk_clock_system() };
    struct pk_error err;
    struct pk_store *store;
    assert_false(pk_store_open(&store, &options, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_string_equal(err.message, "unknown store engine 'redis'");
    assert_non_null(strstr(err.hint, "sqlite:"));
}

TEST(names_that_nobody_declared_are_refused)
{
    struct scene scene = scene_open();
    struct pk_doc *doc = thing_new((struct thing){ .id = "a" });
    pk_writes_insert(&scene.list, "nothing", doc);
    refused(&scene, PK_INVALID, "there is no collection 'nothing'");
    pk_doc_unref(doc);

    struct pk_page page;
    const struct pk_query query = { .collection = "things", .index = "by_colour" };
    assert_false(pk_store_find(scene.store, &query, 0, &page, &scene.err));
    assert_non_null(strstr(scene.err.message, "by_colour"));
    scene_close(&scene);
}

TEST(ids_are_text_of_limited_length)
{
    struct scene scene = scene_open();
    char long_id[PK_DOC_ID_MAX + 2];
    memset(long_id, 'x', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = 0;

    add_insert(&scene, (struct thing){ .id = long_id });
    refused(&scene, PK_INVALID, "513 bytes");
    add_insert(&scene, (struct thing){ .id = "" });
    refused(&scene, PK_INVALID, "0 bytes");
    add_insert(&scene, (struct thing){ .owner = "x" });
    refused(&scene, PK_INVALID, "no '_id'");
    pk_writes_delete(&scene.list, "things", "\xff\xfe", 1);
    refused(&scene, PK_INVALID, "not valid text");
    long_id[PK_DOC_ID_MAX] = 0;
    add_insert(&scene, (struct thing){ .id = long_id });
    assert_ok(commit(&scene), &scene.err);
    scene_close(&scene);
}

TEST(all_faults_of_a_document_are_counted_in_one_error)
{
    struct scene scene = scene_open();
    bson_t bson = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&bson, "_id", "a");
    BSON_APPEND_INT32(&bson, "owner", 1);
    BSON_APPEND_UTF8(&bson, "at", "yesterday");
    struct pk_doc *doc = pk_doc_take(&bson);
    pk_writes_insert(&scene.list, "things", doc);
    refused(&scene, PK_INVALID, "owner");
    assert_null(scene.err.field);
    pk_doc_unref(doc);
    scene_close(&scene);
}

TEST(a_nul_in_an_indexed_text_is_refused)
{
    struct scene scene = scene_open();
    bson_t bson = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&bson, "_id", "a");
    bson_append_utf8(&bson, "owner", -1, "a\0b", 3);
    struct pk_doc *doc = pk_doc_take(&bson);
    pk_writes_insert(&scene.list, "things", doc);
    refused(&scene, PK_INVALID, "'owner' of 'things' is indexed and contains NUL");
    pk_doc_unref(doc);
    scene_close(&scene);
}

TEST(lists_have_limits_that_are_named)
{
    struct scene scene = scene_open();
    for (int i = 0; i <= PK_WRITES_MAX; i++) {
        pk_writes_expect(&scene.list, "things", "a", 1);
    }
    refused(&scene, PK_TOO_LARGE, "1001 writes; the limit is 1000");

    const size_t size = PK_DOC_MAX_BYTES + 1;
    PK_CLEANUP(pk_freep) char *text = pk_alloc(size);
    memset(text, 'x', size - 1);
    text[size - 1] = 0;
    bson_t bson = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&bson, "_id", "big");
    BSON_APPEND_UTF8(&bson, "text", text);
    struct pk_doc *doc = pk_doc_take(&bson);
    pk_writes_insert(&scene.list, "plain", doc);
    refused(&scene, PK_TOO_LARGE, "the limit is 15728640");
    pk_doc_unref(doc);
    scene_close(&scene);
}

TEST(one_list_writes_an_id_once_and_folds_an_expect_into_it)
{
    struct scene scene = scene_open();
    const int64_t version = things_insert(scene.store, (struct thing){ .id = "a" });
    struct pk_doc *doc = thing_new((struct thing){ .id = "a", .owner = "x" });

    pk_writes_replace(&scene.list, "things", doc, version);
    pk_writes_delete(&scene.list, "things", "a", version);
    refused(&scene, PK_INVALID, "written twice");
    pk_writes_expect(&scene.list, "things", "a", version + 1);
    pk_writes_replace(&scene.list, "things", doc, version);
    refused(&scene, PK_INVALID, "two versions");

    pk_writes_expect(&scene.list, "things", "a", version);
    pk_writes_replace(&scene.list, "things", doc, version);
    assert_ok(commit(&scene), &scene.err);
    assert_int_equal(scene.list.write[0].version, version); /* The expect's stays. */
    assert_int_equal(scene.list.write[1].version, version + 1);
    pk_writes_clear(&scene.list);
    pk_writes_expect_absent(&scene.list, "things", "b");
    add_insert(&scene, (struct thing){ .id = "b" });
    assert_ok(commit(&scene), &scene.err);
    pk_doc_unref(doc);
    scene_close(&scene);
}

TEST(only_guarded_collections_can_be_expected_to_lack_something)
{
    struct scene scene = scene_open();
    pk_writes_expect_absent(&scene.list, "plain", "a");
    refused(&scene, PK_INVALID, "not guarded");
    pk_writes_expect_absent(&scene.list, "things", "a");
    assert_ok(commit(&scene), &scene.err);
    scene_close(&scene);
}

TEST(counts_take_plain_paths)
{
    struct scene scene = scene_open();
    const char *const path[] = { "tags[]", "metadata.*", "", "a..b", ".a", "a.", "_id" };
    for (size_t i = 0; i < PK_COUNT(path); i++) {
        const struct pk_count count = { .path = path[i], .amount = 1 };
        pk_writes_count(&scene.list, "things", "a", &count, 1);
        refused(&scene, PK_INVALID, "cannot be counted");
    }
    scene_close(&scene);
}

TEST(counts_that_could_break_the_schema_are_refused)
{
    struct scene scene = scene_open();
    static const struct pk_count bad[] = {
        { .path = "name", .amount = 1 },                  /* No number. */
        { .path = "uses", .is_date = true, .amount = 1 }, /* No date. */
        { .path = "at", .amount = 1 },                    /* No number. */
        { .path = "expiresAt", .amount = 1 },             /* No number, and the expiry. */
        { .path = "tags", .amount = 1 },                  /* A list. */
        { .path = "name.deep", .amount = 1 },             /* Below a string. */
        { .path = "level", .amount = 1 },                 /* Could pass 10... */
        { .path = "level", .amount = -1 },                /* ...or 0. */
        { .path = "served", .amount = -1 },               /* Could pass 0. */
        { .path = "served", .amount = INT64_C(1) << 40 }, /* Could pass the end in few steps. */
        { .path = "usage.times", .amount = 1 },           /* Made alone, it would lack 'by'. */
        { .path = "usage.other", .amount = 1 },           /* Not declared. */
        { .path = "uses", .text = "x" },                  /* A number. */
        { .path = "tags", .text = "x" },                  /* A list. */
    };
    static const struct pk_count good[] = {
        { .path = "uses", .amount = INT64_C(1) << 40 },
        { .path = "served", .amount = 1 },
        { .path = "size", .amount = -5 },
        { .path = "at", .is_date = true, .amount = 7 },
        { .path = "expiresAt", .is_date = true, .amount = INT64_C(1) << 45 },
        { .path = "metadata.seen", .amount = 1 },
        { .path = "name", .text = "x" },
        { .path = "undeclared.deep", .amount = 1 }, /* The schema is open. */
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        pk_writes_count(&scene.list, "things", "a", &bad[i], 1);
        refused(&scene, PK_INVALID, "cannot be counted: it");
        pk_writes_clear(&scene.list);
    }
    (void)things_insert(scene.store, (struct thing){ .id = "a" });
    pk_writes_count(&scene.list, "things", "a", good, PK_COUNT(good));
    assert_ok(commit(&scene), &scene.err);
    struct pk_doc *doc;
    assert_ok(pk_store_get(scene.store, "things", "a", 0, &doc, &scene.err), &scene.err);
    assert_int_equal(pk_doc_int(doc, "served", 0), 1);
    assert_int_equal(pk_doc_date(doc, "at", 0), 7);
    pk_doc_unref(doc);
    scene_close(&scene);
}

TEST(versions_start_high_go_up_by_one_and_are_told_after_success_only)
{
    struct scene scene = scene_open();
    const int64_t version = things_insert(scene.store, (struct thing){ .id = "a" });
    assert_true(version > 0);
    assert_int_equal(version & 0xffffffff, 1);
    const int64_t next = things_replace(scene.store, (struct thing){ .id = "a" }, version);
    assert_int_equal(next, version + 1);

    struct pk_doc *doc = thing_new((struct thing){ .id = "a" });
    pk_writes_replace(&scene.list, "things", doc, version);
    assert_false(commit(&scene));
    assert_int_equal(scene.err.code, PK_CONFLICT);
    assert_int_equal(scene.list.write[0].version, version);
    pk_doc_unref(doc);
    scene_close(&scene);
}

TEST(queries_that_no_index_can_answer_are_refused)
{
    struct scene scene = scene_open();
    const struct pk_bound five = { .is_set = true, .value = PK_INT(5) };
    const struct pk_bound date = { .is_set = true, .value = PK_DATE(5) };
    const struct pk_bound none = { .is_set = true };
    const struct pk_query query[] = {
        { .collection = "things", .index = "by_owner", .limit = PK_PAGE_MAX + 1 },
        { .collection = "things", .index = "by_owner", .equal_count = 3 },
        { .collection = "things", .index = "by_owner", .equal = { PK_INT(1) }, .equal_count = 1 },
        { .collection = "things", .index = "by_owner", .min = five },
        { .collection = "things", .index = "by_owner", .min = none },
        { .collection = "things", .index = "by_owner", .below = "x" },
        { .collection = "things",
          .index = "by_owner",
          .equal = { PK_TEXT("x"), PK_DATE(1) },
          .equal_count = 2,
          .min = date },
        { .collection = "things", .index = "by_tag" },
        { .collection = "things",
          .index = "by_metadata",
          .equal = { PK_INT(1) },
          .equal_count = 1 },
        { .collection = "things", .index = "_id", .min = five },
    };
    for (size_t i = 0; i < PK_COUNT(query); i++) {
        struct pk_page page;
        assert_false(pk_store_find(scene.store, &query[i], 0, &page, &scene.err));
        assert_int_equal(scene.err.code, PK_INVALID);
    }
    scene_close(&scene);
}

TEST(a_read_only_store_refuses_writes_and_makes_nothing)
{
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    (void)things_insert(store, (struct thing){ .id = "a" });
    pk_store_close(store);

    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url,
                                              .inventory = things_inventory(),
                                              .clock = pk_clock_system(),
                                              .is_read_only = true };
    struct scene scene = { 0 };
    assert_ok(pk_store_open(&scene.store, &options, &scene.err), &scene.err);
    struct pk_doc *doc;
    assert_ok(pk_store_get(scene.store, "things", "a", 0, &doc, &scene.err), &scene.err);
    assert_non_null(doc);
    pk_doc_unref(doc);
    add_insert(&scene, (struct thing){ .id = "b" });
    refused(&scene, PK_UNSUPPORTED, "reading only");
    scene_close(&scene);
}

/* ---- Deciding ---- */

struct adder {
    struct pk_store *store;
    int rounds;
    bool meddles; /* Another write comes between reading and committing, the first time. */
};

static bool add_one(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct adder *adder = context;
    struct pk_doc *doc;
    if (!pk_store_get(adder->store, "things", "a", 0, &doc, err)) {
        return false;
    }
    const int64_t version = pk_doc_version(doc);
    const int64_t size = pk_doc_int(doc, "size", 0);
    pk_doc_unref(doc);
    if (adder->rounds++ == 0 && adder->meddles) {
        (void)things_replace(adder->store, (struct thing){ .id = "a", .size = size + 10 }, version);
    }
    doc = thing_new((struct thing){ .id = "a", .size = size + 1 });
    pk_writes_replace(list, "things", doc, version);
    pk_doc_unref(doc);
    return true;
}

TEST(deciding_reads_again_after_a_conflict)
{
    struct scene scene = scene_open();
    struct pk_doc *doc;
    (void)things_insert(scene.store, (struct thing){ .id = "a", .size = 1 });
    struct adder adder = { .store = scene.store, .meddles = true };
    assert_ok(pk_store_decide(scene.store, add_one, &adder, 0, NULL, &scene.err), &scene.err);
    assert_int_equal(adder.rounds, 2);
    assert_ok(pk_store_get(scene.store, "things", "a", 0, &doc, &scene.err), &scene.err);
    assert_int_equal(pk_doc_int(doc, "size", 0), 12);
    pk_doc_unref(doc);
    scene_close(&scene);
}

static bool always_conflicts(void *context, struct pk_writes *list, struct pk_error *err)
{
    (void)context;
    (void)err;
    pk_writes_expect(list, "things", "missing", 77);
    return true;
}

TEST(deciding_gives_up_at_its_deadline_with_the_conflict)
{
    struct scene scene = scene_open();
    const int64_t deadline = pk_deadline_in_ms(pk_clock_system(), 20);
    assert_false(
        pk_store_decide(scene.store, always_conflicts, NULL, deadline, &scene.commit, &scene.err));
    assert_int_equal(scene.err.code, PK_CONFLICT);
    assert_non_null(strstr(scene.err.message, "gave up"));
    scene_close(&scene);
}

static void *spend(void *argument)
{
    struct scene *scene = argument;
    struct pk_doc *doc = NULL;
    struct pk_page page;
    const struct pk_query query = { .collection = "things", .index = "_id" };
    const int64_t start_ns = pk_store_thread_ns();
    assert_int_equal(start_ns, 0); /* A new thread has spent nothing, whatever others have. */
    assert_ok(pk_store_get(scene->store, "things", "a", 0, &doc, &scene->err), &scene->err);
    pk_doc_unref(doc);
    const int64_t got_ns = pk_store_thread_ns();
    assert_true(got_ns > 0);
    assert_ok(pk_store_find(scene->store, &query, 0, &page, &scene->err), &scene->err);
    pk_page_done(&page);
    assert_true(pk_store_thread_ns() > got_ns);
    return NULL;
}

TEST(each_thread_knows_what_it_has_spent_in_the_store)
{
    struct scene scene = scene_open();
    pthread_t thread;
    const int64_t before_ns = pk_store_thread_ns();
    const int64_t since_ns = pk_clock_mono_ns(pk_clock_system());
    add_insert(&scene, (struct thing){ .id = "a" });
    assert_ok(commit(&scene), &scene.err);
    const int64_t spent_ns = pk_store_thread_ns() - before_ns;
    assert_true(spent_ns > 0);
    assert_true(spent_ns <= pk_clock_mono_ns(pk_clock_system()) - since_ns);
    assert_int_equal(pthread_create(&thread, NULL, spend, &scene), 0);
    (void)pthread_join(thread, NULL);
    assert_int_equal(pk_store_thread_ns() - before_ns, spent_ns); /* The other's is not ours. */
    scene_close(&scene);
}
