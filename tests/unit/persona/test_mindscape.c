/* test_mindscape.c - Mindscapes in the store: cached, applied, touched, shown, and as of the past.
 */
/* SPDX-License-Identifier: MIT */
#include "kit.h"
#include "mind_bed.h"

#include "access/principal.h"
#include "base/buf.h"
#include "base/clock.h"
#include "doc/path.h"
#include "net/hot.h"
#include "persona/mindscape.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A case on each engine. */
#define ON_BOTH(name)                     \
    static void name##_on(bool is_mongo); \
    TEST(name)                            \
    {                                     \
        name##_on(false);                 \
    }                                     \
    TEST(name##_on_mongodb)               \
    {                                     \
        name##_on(true);                  \
    }                                     \
    static void name##_on(bool is_mongo)

static struct pk_doc *read_now(struct kit *kit, const char *person)
{
    struct pk_doc *doc = NULL;
    assert_ok(pk_mindscape_read(&kit->domain, person, 0, &doc, &kit->err), &kit->err);
    return doc;
}

/* One observation, applied and committed. 'number' names it. */
static void take(struct kit *kit, const char *person, unsigned number, int64_t at_ms,
                 const char *processor, const char *operations)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = read_now(kit, person);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const struct pk_ran ran = { .processor_id = processor, .processor_version = "1.0.0" };
    char obs[PK_UUID_TEXT];
    bson_t view, wrapped, array;
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;

    (void)snprintf(obs, sizeof(obs), "%08x-0000-4000-8000-000000000002", number);
    pk_doc_view(stored, &view);
    struct pk_mind *mind = pk_mind_open(&view, kit->domain.policies);
    (void)pk_mind_begin(mind, &(struct pk_evidence){ .obs_id = obs,
                                                     .source_type = "chat_log",
                                                     .effective_at_ms = at_ms });
    mind_json(&wrapped, operations);
    assert_true(bson_iter_init_find(&iter, &wrapped, "a"));
    bson_iter_array(&iter, &size, &data);
    assert_true(bson_init_static(&array, data, size));
    assert_ok(pk_mind_apply(mind, &ran, &array, &kit->err), &kit->err);
    pk_mind_end(mind);
    assert_ok(pk_mindscape_apply(&kit->domain, mind, stored, 3, &list, &kit->err), &kit->err);
    assert_ok(pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err), &kit->err);
    bson_destroy(&wrapped);
    pk_mind_free(mind);
}

static struct pk_mindscape_view view_now(struct kit *kit)
{
    return (struct pk_mindscape_view){ .now_ms = kit_now(kit) };
}

static struct pk_doc *show(struct kit *kit, const char *person,
                           const struct pk_mindscape_view *view)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = read_now(kit, person);
    bson_t out;
    assert_ok(pk_mindscape_show(&kit->domain, doc, view, 0, &out, &kit->err), &kit->err);
    return pk_doc_take(&out);
}

/* ---- Applying ---- */

ON_BOTH(applying_writes_mindscape_history_and_event_together)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x",
         "[{'op':'set','path':'work.focus','value':'deep'},{'op':'goal','description':'g'}]");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = read_now(&kit, person);
    assert_string_equal(pk_doc_text(doc, "traits.0.value"), "deep");
    assert_int_equal(pk_doc_int(doc, "version", 0), 1);
    assert_int_equal(pk_doc_int(doc, "processingMetadata.lastProcessingDuration", 0), 3);
    assert_int_equal(kit_count(&kit, "trait_history", "path", "work.focus"), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "mindscape.updated"), 1);
    assert_int_equal(kit_count(&kit, "events", "payload.changes.paths.1", "work.focus"), 1);
    take(&kit, person, 2, kit_now(&kit), "x", "[{'op':'weaken','path':'none'}]");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = read_now(&kit, person);
    assert_int_equal(pk_doc_int(after, "version", 0), 1);
    assert_int_equal(pk_doc_int(after, "seq", 0), 2); /* It has its place all the same. */
    assert_int_equal(kit_count(&kit, "events", "eventType", "mindscape.updated"), 1);
}

TEST(two_writers_of_one_mindscape_meet_in_a_conflict)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    kit_person(&kit, person);
    assert_ok(pk_mindscape_touch(&kit.domain, person, "consent", NULL, 0, &list, &kit.err),
              &kit.err);
    take(&kit, person, 1, kit_now(&kit), "x", "[{'op':'set','path':'a','value':1}]");
    assert_false(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err));
    assert_int_equal(kit.err.code, PK_CONFLICT);
}

TEST(touches_in_one_list_are_one_write)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x", "[{'op':'set','path':'a','value':1}]");
    assert_ok(pk_mindscape_touch(&kit.domain, person, "consent", NULL, 0, &list, &kit.err),
              &kit.err);
    assert_ok(pk_mindscape_touch(&kit.domain, person, "hot", "role", 0, &list, &kit.err), &kit.err);
    assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = read_now(&kit, person);
    assert_int_equal(pk_doc_int(doc, "versions.0.v", 0), 2);
    assert_string_equal(pk_doc_text(doc, "versions.1.kind"), PK_MIND_FACTS);
    assert_string_equal(pk_doc_text(doc, "versions.2.key"), "role");
    assert_int_equal(pk_doc_int(doc, "versions.3.v", 0), 1);
    assert_int_equal(pk_doc_int(doc, "processingMetadata.lastProcessingDuration", 0), 3);
    assert_false(pk_mindscape_touch(&kit.domain, "00000000-0000-4000-8000-000000000000", "consent",
                                    NULL, 0, &list, &kit.err));
    assert_int_equal(kit.err.code, PK_NOT_FOUND);
}

/* Each of twenty processors moves the same number: their rows chain in the order of their ids. */
TEST(one_observation_by_many_processors_keeps_its_order_in_history)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bson_t view;
    kit_person(&kit, person);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = read_now(&kit, person);
    pk_doc_view(stored, &view);
    struct pk_mind *mind = pk_mind_open(&view, kit.domain.policies);
    (void)pk_mind_begin(mind, &(struct pk_evidence){ .obs_id = person,
                                                     .source_type = "chat_log",
                                                     .effective_at_ms = kit_now(&kit) });
    for (unsigned i = 1; i <= 20; i++) {
        char processor[16];
        bson_t operations, list_of = BSON_INITIALIZER;
        (void)snprintf(processor, sizeof(processor), "p%u", (i * 7) % 20);
        kit_json(&operations, "{'op':'reinforce','path':'a','value':%u,'weight':0.5}", i);
        BSON_APPEND_DOCUMENT(&list_of, "0", &operations);
        const struct pk_ran ran = { .processor_id = processor, .processor_version = "1.0.0" };
        assert_ok(pk_mind_apply(mind, &ran, &list_of, &kit.err), &kit.err);
        bson_destroy(&list_of);
        bson_destroy(&operations);
    }
    pk_mind_end(mind);
    assert_ok(pk_mindscape_apply(&kit.domain, mind, stored, 3, &list, &kit.err), &kit.err);
    assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
    pk_mind_free(mind);
    const struct pk_query query = { .collection = "trait_history",
                                    .index = "by_user_path",
                                    .equal = { PK_TEXT(person), PK_INT(0), PK_TEXT("a") },
                                    .equal_count = 3 };
    assert_ok(pk_store_find(kit.bed.store, &query, 0, &page, &kit.err), &kit.err);
    assert_int_equal(page.count, 20);
    for (size_t i = 1; i < page.count; i++) {
        assert_near(pk_doc_number(page.doc[i], "before.value", -1),
                    pk_doc_number(page.doc[i - 1], "after.value", -2));
    }
}

/* ---- Reviews ---- */

static const char *const review_all[] = { "*=review", NULL };

TEST(the_same_proposal_is_one_review_and_a_declined_one_is_not_asked_again)
{
    PK_CLEANUP(kit_done) struct kit kit = { .conflict = review_all };
    char person[PK_UUID_TEXT];
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    kit_open(&kit);
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x", "[{'op':'set','path':'a','value':'deep'}]");
    take(&kit, person, 2, kit_now(&kit) + 1, "x", "[{'op':'contradict','path':'a','value':'b'}]");
    take(&kit, person, 3, kit_now(&kit) + 2, "x", "[{'op':'contradict','path':'a','value':'b'}]");
    assert_int_equal(kit_count(&kit, "reviews", NULL, NULL), 1);
    const struct pk_query query = { .collection = "reviews",
                                    .index = "by_user_status",
                                    .equal = { PK_TEXT(person), PK_TEXT("pending") },
                                    .equal_count = 2 };
    assert_ok(pk_store_find(kit.bed.store, &query, 0, &page, &kit.err), &kit.err);
    assert_int_equal(page.count, 1);
    assert_non_null(pk_doc_text(page.doc[0], "derivedFrom.1"));
    assert_string_equal(pk_doc_text(page.doc[0], "proposed.value"), "b");

    bson_t view, declined = BSON_INITIALIZER;
    pk_doc_view(page.doc[0], &view);
    bson_copy_to_excluding_noinit(&view, &declined, "status", NULL);
    BSON_APPEND_UTF8(&declined, "status", "declined");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_new(&declined);
    bson_destroy(&declined);
    pk_writes_replace(&list, "reviews", doc, pk_doc_version(page.doc[0]));
    assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
    take(&kit, person, 4, kit_now(&kit) + 3, "x", "[{'op':'contradict','path':'a','value':'b'}]");
    assert_int_equal(kit_count(&kit, "reviews", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "reviews", "status", "declined"), 1);
    take(&kit, person, 5, kit_now(&kit) + 4, "x", "[{'op':'contradict','path':'a','value':'c'}]");
    assert_int_equal(kit_count(&kit, "reviews", "status", "pending"), 1);
}

/* ---- The cache ---- */

TEST(the_cache_hands_out_what_it_has_until_the_person_changes)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    struct pk_minds_stats stats;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *one = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *two = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *three = NULL;
    kit_person(&kit, person);
    assert_ok(pk_mindscape_get(&kit.domain, person, 0, &one, &kit.err), &kit.err);
    assert_ok(pk_mindscape_get(&kit.domain, person, 0, &two, &kit.err), &kit.err);
    assert_ptr_equal(one, two);
    pk_minds_stats(kit.domain.minds, &stats);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.entries, 1);
    take(&kit, person, 1, kit_now(&kit), "x", "[{'op':'set','path':'a','value':1}]");
    pk_hot_changed(kit.domain.hot, person); /* As the feed's row does. */
    assert_ok(pk_mindscape_get(&kit.domain, person, 0, &three, &kit.err), &kit.err);
    assert_int_equal(pk_doc_int(three, "version", 0), 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *nobody = NULL;
    assert_ok(
        pk_mindscape_get(&kit.domain, "00000000-0000-4000-8000-000000000000", 0, &nobody, &kit.err),
        &kit.err);
    assert_null(nobody);
}

TEST(the_cache_keeps_within_its_bytes)
{
    KIT(kit, false);
    struct pk_minds *small = pk_minds_new(kit.domain.hot, 64 * 1024);
    struct pk_minds *usual = kit.domain.minds;
    struct pk_minds_stats stats;
    kit.domain.minds = small;
    for (int i = 0; i < 300; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        char person[PK_UUID_TEXT];
        kit_person(&kit, person);
        assert_ok(pk_mindscape_get(&kit.domain, person, 0, &doc, &kit.err), &kit.err);
    }
    pk_minds_stats(small, &stats);
    assert_true(stats.bytes <= 64 * 1024);
    assert_true(stats.evicted > 0 && stats.entries > 16);
    kit.domain.minds = usual;
    pk_minds_free(small);
}

struct reader {
    struct kit *kit;
    const char *person;
    uint64_t chance;
};

static void *read_and_change(void *context)
{
    struct reader *reader = context;
    for (int i = 0; i < 300; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        struct pk_error err = { 0 };
        if (!pk_mindscape_get(&reader->kit->domain, reader->person, 0, &doc, &err) || !doc) {
            return reader;
        }
        if (i % 7 == 0) {
            pk_hot_changed(reader->kit->domain.hot, reader->person);
        }
    }
    return NULL;
}

TEST(many_threads_share_the_cache)
{
    KIT(kit, false);
    char person[2][PK_UUID_TEXT];
    pthread_t thread[4];
    struct reader reader[4];
    kit_person(&kit, person[0]);
    kit_person(&kit, person[1]);
    for (size_t i = 0; i < 4; i++) {
        reader[i] = (struct reader){ .kit = &kit, .person = person[i % 2] };
        assert_int_equal(pthread_create(&thread[i], NULL, read_and_change, &reader[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
}

/* ---- Showing ---- */

TEST(what_is_shown_is_decayed_filtered_and_spelt_as_over_http)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    char *hidden[] = { (char *)(uintptr_t) "secret" };
    struct pk_principal who = { .hidden = { .name = hidden, .name_count = 1 } };
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x",
         "[{'op':'set','path':'work.focus','value':'deep','confidence':0.8},"
         "{'op':'set','path':'secret.x','value':1,'confidence':0.9},"
         "{'op':'set','path':'zzz','value':1,'confidence':0.1},"
         "{'op':'now','key':'mood','value':'calm','ttl':60}]");
    struct pk_mindscape_view view = view_now(&kit);
    view.who = &who;
    view.min_confidence = 0.2;
    view.now_ms += 45 * MIND_DAY; /* chat_log, medium: half is left. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = show(&kit, person, &view);
    assert_string_equal(pk_doc_text(doc, "personId"), person);
    assert_string_equal(pk_doc_text(doc, "mindscapeId"), person);
    assert_string_equal(pk_doc_text(doc, "traitMatrix.0.traitName"), "work.focus");
    assert_near(pk_doc_number(doc, "traitMatrix.0.confidence", 0), 0.4);
    assert_non_null(pk_doc_text(doc, "traitMatrix.0.derivedFrom.0"));
    assert_null(pk_doc_text(doc, "traitMatrix.1.traitName"));
    assert_null(pk_doc_text(doc, "highVolatileCache.mood"));

    bson_t shown;
    pk_doc_view(doc, &shown);
    char *json = kit_text(&shown);
    assert_null(strstr(json, "secret"));
    pk_free(json);
    view = view_now(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = show(&kit, person, &view);
    assert_string_equal(pk_doc_text(now, "highVolatileCache.mood"), "calm");
}

TEST(the_tree_has_values_by_path)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x",
         "[{'op':'set','path':'a','value':1},{'op':'set','path':'a-b.c','value':2},"
         "{'op':'set','path':'a.b.c','value':3},{'op':'set','path':'a.b.d','value':'x'}]");
    struct pk_mindscape_view view = view_now(&kit);
    view.is_tree = true;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = show(&kit, person, &view);
    assert_int_equal(pk_doc_int(doc, "traits.a.b.c", 0), 3);
    assert_string_equal(pk_doc_text(doc, "traits.a.b.d"), "x");
    assert_int_equal(pk_doc_int(doc, "traits.a-b.c", 0), 2);
    assert_int_equal(pk_doc_int(doc, "traits.a.", 0), 1); /* Its own value is under "". */
    assert_null(pk_doc_text(doc, "traitMatrix.0.traitName"));
}

TEST(what_has_changed_since_is_said_in_words)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    char text[200], little[48];
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x", "[{'op':'set','path':'a','value':1}]");
    take(&kit, person, 2, kit_now(&kit), "x",
         "[{'op':'set','path':'b','value':1},{'op':'goal','description':'g'},"
         "{'op':'now','key':'mood','value':'calm'}]");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = read_now(&kit, person);
    pk_mindscape_changed_since(doc, 1, text, sizeof(text));
    assert_string_equal(text, "goals, hot:mood, b");
    pk_mindscape_changed_since(doc, 2, text, sizeof(text));
    assert_string_equal(text, "");
    pk_mindscape_changed_since(doc, 0, little, sizeof(little));
    assert_string_equal(little, "goals, hot:mood and 2 more");
}

/* ---- As of the past ---- */

/* What is shown, at once or later, of the same state; without what counts writes. */
static char *state_text(struct kit *kit, struct pk_doc *stored,
                        const struct pk_mindscape_view *view)
{
    bson_t shown, kept = BSON_INITIALIZER;
    assert_ok(pk_mindscape_show(&kit->domain, stored, view, 0, &shown, &kit->err), &kit->err);
    bson_copy_to_excluding_noinit(&shown, &kept, "version", "seq", "asOf", "processingMetadata",
                                  "lastProcessedObservationId", NULL);
    char *text = kit_text(&kept);
    bson_destroy(&kept);
    bson_destroy(&shown);
    return text;
}

/* As of any time is the state after some prefix, the longest before anything effective later. */
ON_BOTH(as_of_is_what_a_prefix_gives)
{
    enum { STEPS = 24 };
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    int64_t at_ms[STEPS];
    char *state[STEPS + 1];
    uint64_t chance = 88172645463325252u;
    struct pk_mindscape_view view = view_now(&kit);
    const int64_t from_ms = kit_now(&kit) - 1000 * MIND_DAY;

    kit_person(&kit, person);
    view.now_ms = 0; /* Stored confidence, and all that was true just then. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = read_now(&kit, person);
    state[0] = state_text(&kit, first, &view);
    for (unsigned i = 0; i < STEPS; i++) {
        static const char *const operation[] = {
            "[{'op':'reinforce','path':'t%u','value':%u}]",
            "[{'op':'set','path':'t%u','value':%u}]",
            "[{'op':'retract','path':'t%u','reason':'%u'}]",
            "[{'op':'weaken','path':'t%u'},{'op':'set','path':'u','value':%u}]",
            "[{'op':'goal','description':'g%u','confidence':0.%u}]",
            "[{'op':'belief','statement':'b%u'},{'op':'summary','summary':'s%u'}]",
            "[{'op':'now','key':'k%u','value':%u,'ttl':31536000}]",
        };
        char text[160];
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        const unsigned draw = (unsigned)(chance >> 40);
        /* Mostly forward, now and then late. */
        at_ms[i] = from_ms + (int64_t)(draw % 5 == 0 && i > 3 ? i - 3 : i) * MIND_DAY;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof(text), operation[draw / 32 % PK_COUNT(operation)], draw / 8 % 3,
                       i + 1);
#pragma GCC diagnostic pop
        take(&kit, person, i + 1, at_ms[i], "x", text);
        view.at_ms = 0;
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = read_now(&kit, person);
        state[i + 1] = state_text(&kit, stored, &view);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = read_now(&kit, person);
    for (int64_t day = -1; day <= STEPS; day++) {
        const int64_t then_ms = from_ms + day * MIND_DAY;
        size_t prefix = 0;
        while (prefix < STEPS &&
               (at_ms[prefix] <= then_ms || strcmp(state[prefix], state[prefix + 1]) == 0)) {
            prefix++;
        }
        view.at_ms = then_ms;
        char *text = state_text(&kit, stored, &view);
        assert_string_equal(text, state[prefix]);
        pk_free(text);
    }
    for (size_t i = 0; i <= STEPS; i++) {
        pk_free(state[i]);
    }
}

/* ---- What lies beside it ---- */

TEST(embeddings_and_layers_of_knowledge_are_joined_when_asked_for)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    kit_person(&kit, person);
    take(&kit, person, 1, kit_now(&kit), "x",
         "[{'op':'set','path':'a','value':1},{'op':'set','path':'b','value':1},"
         "{'op':'set','path':'c','value':1}]");
    kit_put(
        &kit, "vectors",
        "{'_id':'00000000-0000-4000-8000-000000000001','userId':'%s','traitId':'b','embedding':"
        "[0.5,1],'embeddingModel':'m','embeddingDimensions':2,'createdAt':'2026-01-01T00:00:00Z',"
        "'updatedAt':'2026-01-01T00:00:00Z','accessCount':0}",
        person);
    kit_put(&kit, "knowledge",
            "{'_id':'%s:role','entryId':'00000000-0000-4000-8000-000000000003','userId':'%s','key':"
            "'role','value':'cook','dataType':'string','category':'x','volatility':'low',"
            "'derivedFrom':[],'confidence':1,'createdAt':'2026-01-01T00:00:00Z','updatedAt':"
            "'2026-01-01T00:00:00Z','version':1}",
            person, person);
    struct pk_mindscape_view view = view_now(&kit);
    view.has_embeddings = true;
    view.has_knowledge = true;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = show(&kit, person, &view);
    assert_near(pk_doc_number(doc, "traitMatrix.1.embedding.0", 0), 0.5);
    assert_string_equal(pk_doc_text(doc, "traitMatrix.1.embeddingModel"), "m");
    assert_null(pk_doc_text(doc, "traitMatrix.0.embeddingModel"));
    assert_null(pk_doc_text(doc, "traitMatrix.2.embeddingModel"));
    assert_string_equal(pk_doc_text(doc, "knowledgeStore.hotLayer.0.key"), "role");
    assert_null(pk_doc_text(doc, "knowledgeStore.warmLayer.0.documentId"));
    view = view_now(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *plain = show(&kit, person, &view);
    assert_null(pk_doc_text(plain, "knowledgeStore.hotLayer.0.key"));
    assert_null(pk_doc_text(plain, "traitMatrix.1.embeddingModel"));
}
