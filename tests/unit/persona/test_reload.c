/* test_reload.c - A processor is replaced again and again while observations arrive.
 *
 * Each version says its own name, so what it wrote can be compared with what
 * the history says wrote it. PK_TEST_RELOADS sets how often (100). */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE = 20, PER_SECOND = 200 };

/* A thread that hands in one version after the other. */
struct reloads {
    struct node *node;
    unsigned count;
    _Atomic unsigned done;
    _Atomic size_t sent; /* Observations so far: two for each reload. */
    _Atomic bool is_over;
    struct pk_error err; /* Why it ended early. */
};

static bool reload(struct reloads *reloads, unsigned number, struct pk_error *err)
{
    const struct pk_by by = { .actor_id = "tester" };
    struct pk_report report = { 0 }, again = { 0 };
    struct pk_bundle *bundle = NULL;
    char text[512], version[32];
    (void)snprintf(version, sizeof(version), "1.0.%u", number);
    const int size = snprintf(text, sizeof(text),
                              "return require('personakit').processor { id = 'says',\n"
                              "  version = '%s', accepts = { 'work_session' }, " AT_LEISURE "\n"
                              "  process = function(obs, m, t)\n"
                              "    t:set('said.by', '%s')\n"
                              "    t:set('said.count', (m['said.count'] or 0) + 1)\n"
                              "  end }\n",
                              version, version);
    const bool ok = pk_bundle_of_text("says.lua", text, (size_t)size, &bundle, err) &&
                    pk_registry_draft(reloads->node->registry, &by, bundle, PK_SCRIPT_PROCESSOR,
                                      "says", PK_DRAFT_STRICT, NULL, &report, err) &&
                    pk_registry_activate(reloads->node->registry, &by, PK_SCRIPT_PROCESSOR, "says",
                                         version, NULL, NULL, &again, err);
    pk_report_done(&report);
    pk_report_done(&again);
    pk_bundle_unref(bundle);
    return ok;
}

static void *reload_all(void *context)
{
    struct reloads *reloads = context;
    for (unsigned i = 1; i <= reloads->count; i++) {
        while (atomic_load(&reloads->sent) < 2 * i) {
            bed_pause();
        }
        if (!reload(reloads, i, &reloads->err)) {
            break;
        }
        atomic_store(&reloads->done, i);
    }
    atomic_store(&reloads->is_over, true);
    return NULL;
}

/* Exactly one version has done it, and it is the one that the trait names. */
static void expect_one_version(struct kit *kit, const char *observation)
{
    PK_CLEANUP(pk_page_done) struct pk_page rows = { 0 };
    PK_CLEANUP(pk_page_done) struct pk_page changes = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(kit, "observations", observation);
    struct pk_query query = { .collection = "processing",
                              .index = "by_observation",
                              .equal = { PK_TEXT(observation) },
                              .equal_count = 1 };
    assert_string_equal(pk_doc_text(doc, "processingStatus"), "processed");
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &rows, &kit->err), &kit->err);
    const char *version = NULL;
    for (size_t i = 0; i < rows.count;
         i++) { /* What failed before, on a slow machine, has a row. */
        if (strcmp(pk_doc_text(rows.doc[i], "status"), "done") == 0) {
            assert_null(version);
            version = pk_doc_text(rows.doc[i], "processorVersion");
        }
    }
    assert_non_null(version);
    query.collection = "trait_history";
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &changes, &kit->err), &kit->err);
    assert_true(changes.count >= 1);
    for (size_t i = 0; i < changes.count; i++) {
        assert_string_equal(pk_doc_text(changes.doc[i], "processorVersion"), version);
        if (strcmp(pk_doc_text(changes.doc[i], "path"), "said.by") == 0) {
            assert_string_equal(pk_doc_text(changes.doc[i], "after.value"), version);
        }
    }
}

/* Until the next one is due. */
static void pace(int64_t began_ns, size_t count)
{
    const int64_t due_ns = began_ns + (int64_t)count * (INT64_C(1000000000) / PER_SECOND);
    const int64_t left_ms = (due_ns - pk_clock_mono_ns(pk_clock_system())) / 1000000;
    if (left_ms > 0) {
        (void)poll(NULL, 0, (int)left_ms);
    }
}

static void check_reloads(struct kit *kit)
{
    const char *wanted = getenv("PK_TEST_RELOADS");
    struct reloads reloads = { .node = &kit->bed.node[0],
                               .count = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 100 };
    char person[PEOPLE][PK_UUID_TEXT];
    char(*observation)[PK_UUID_TEXT] = NULL;
    size_t count = 0, room = 0;
    pthread_t thread;

    for (int i = 0; i < PEOPLE; i++) {
        kit_person(kit, person[i]);
    }
    assert_ok(reload(&reloads, 0, &kit->err), &kit->err);
    (void)kit_outbox(kit);
    const int64_t began_ns = pk_clock_mono_ns(pk_clock_system());
    assert_int_equal(pthread_create(&thread, NULL, reload_all, &reloads), 0);
    while (!atomic_load(&reloads.is_over)) {
        if (count == room) {
            room = room ? 2 * room : 1024;
            observation = pk_realloc(observation, room * sizeof(*observation));
        }
        kit_observe(kit, person[count % PEOPLE], "work_session", "{}", observation[count]);
        atomic_store(&reloads.sent, ++count);
        pace(began_ns, count);
    }
    (void)pthread_join(thread, NULL);
    assert_ok(atomic_load(&reloads.done) == reloads.count, &reloads.err);
    kit_work(kit);
    print_message("# %u reloads while %zu observations came\n", reloads.count, count);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++) {
        expect_one_version(kit, observation[i]);
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person[i]);
        const int64_t share = (int64_t)(count / PEOPLE + (i < count % PEOPLE));
        assert_int_equal(pk_doc_int(mindscape, "seq", -1), share); /* None lost, none twice. */
    }
    pk_free(observation);
}

TEST(no_observation_is_lost_or_taken_twice_while_its_processor_is_replaced)
{
    KIT(kit, false);
    check_reloads(&kit);
}

TEST(no_observation_is_lost_or_taken_twice_while_its_processor_is_replaced_on_mongodb)
{
    KIT(kit, true);
    check_reloads(&kit);
}
