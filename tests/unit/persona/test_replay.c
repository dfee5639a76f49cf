/* test_replay.c - A mindscape made anew is the one that there was; without one observation it is
 * the one that there would have been. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/crypto.h"
#include "doc/path.h"
#include "doc/schema_curation.h"
#include "persona/consent.h"
#include "persona/curation.h"
#include "persona/mind.h"
#include "persona/mindscape.h"
#include "persona/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOTH(name)                             \
    static void check_##name(struct kit *kit); \
    TEST(name)                                 \
    {                                          \
        KIT(kit, false);                       \
        check_##name(&kit);                    \
    }                                          \
    TEST(name##_on_mongodb)                    \
    {                                          \
        KIT(kit, true);                        \
        check_##name(&kit);                    \
    }                                          \
    static void check_##name(struct kit *kit)

/* What replay compares, as JSON. */
static char *essence(struct kit *kit, const char *person)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    bson_t view, bare;
    assert_non_null(mindscape);
    pk_doc_view(mindscape, &view);
    pk_mind_essence(&view, &bare);
    char *text = kit_text(&bare);
    bson_destroy(&bare);
    return text;
}

static void expect_same(char *a, char *b)
{
    assert_string_equal(a, b);
    pk_free(a);
    pk_free(b);
}

static int64_t epoch_of(struct kit *kit, const char *person)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    return pk_doc_int(mindscape, "epoch", -1);
}

static void replay(struct kit *kit, const char *person, const char *processor, const char *version)
{
    const struct pk_remake asked = { .processor = processor, .version = version };
    char task[PK_UUID_TEXT];
    assert_ok(pk_replay_person(&kit->domain, &kit->bed.by, person, &asked, task, &kit->err),
              &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = kit_get(kit, "outbox", task);
    if (strcmp(pk_doc_text(done, "status"), "done") != 0) {
        fail_msg("the replay is '%s': %s", pk_doc_text(done, "status"),
                 pk_doc_text(done, "lastError"));
    }
}

/* Rows of the history of this epoch and of all. */
static void expect_history(struct kit *kit, const char *person, int64_t epoch, size_t count)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "trait_history",
                                    .index = "by_user_seq",
                                    .equal = { PK_TEXT(person) },
                                    .equal_count = 1,
                                    .limit = PK_PAGE_MAX };
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
    assert_int_equal(page.count, count);
    for (size_t i = 0; i < page.count; i++) {
        assert_int_equal(pk_doc_int(page.doc[i], "epoch", -1), epoch);
    }
}

/* A life: sessions, moods, facts, a graph, goals, and a person's own word in between. */
static void live(struct kit *kit, char person[PK_UUID_TEXT], int sessions)
{
    static const char *const correction =
        "{'traits': [{'id': 'work.tone', 'value': 'calm'}, {'id': 'work.minutes', 'pinned': true}]}";
    char id[PK_UUID_TEXT], json[128];
    kit_processor(
        kit, "minutes", "1.0.0", "work_session",
        "t:reinforce('work.minutes', s.minutes, { weight = 0.4, volatility = 'medium' })\n"
        "t:set('work.count', (m['work.count'] or 0) + 1)\n"
        "if s.minutes % 3 == 0 then t:now('mood', 'tired', { ttl = '4h' }) end\n"
        "if s.minutes % 5 == 0 then t:weaken('work.minutes', { weight = 0.2 }) end\n"
        "t:goal('rest more', { priority = s.minutes > 100 and 'high' or 'low' })");
    kit_processor(kit, "world", "2.0.0", "work_session",
                  "t:remember('last_minutes', s.minutes, { ttl = '90m' })\n"
                  "t:set('seen.fact', m.facts.last_minutes or 'none')\n"
                  "t:set('seen.mood', m.now.mood or 'none')\n"
                  "t:edge('self', 'Tool ' .. (s.minutes % 4), 'uses')\n"
                  "t:narrative('worked ' .. s.minutes, { traits = { 'work.minutes' } })");
    kit_person(kit, person);
    for (int i = 0; i < sessions; i++) {
        pk_clock_fake_advance(&kit->clock, INT64_C(3600000));
        (void)snprintf(json, sizeof(json), "{'minutes': %d}", 30 + 7 * i % 110);
        kit_observe(kit, person, "work_session", json, id);
        if (i == sessions / 2) {
            struct pk_curated curated;
            bson_t changes;
            kit_work(kit);
            kit_json(&changes, "%s", correction);
            assert_ok(pk_curation_patch(&kit->domain, &kit->bed.by, person, 0, &changes, &curated,
                                        &kit->err),
                      &kit->err);
            bson_destroy(&changes);
            pk_clock_fake_advance(&kit->clock, 1);
        }
    }
    kit_work(kit);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
}

BOTH(a_replay_gives_the_mindscape_that_there_was)
{
    char person[PK_UUID_TEXT];
    live(kit, person, 12);
    char *was = essence(kit, person);
    const int64_t epoch = epoch_of(kit, person);
    const size_t rows = kit_count(kit, "trait_history", NULL, NULL);
    const size_t nodes = kit_count(kit, "graph_nodes", NULL, NULL);
    const size_t narratives = kit_count(kit, "narratives", NULL, NULL);
    pk_clock_fake_advance(&kit->clock, INT64_C(40) * 86400000);

    replay(kit, person, NULL, NULL);
    char *first = essence(kit, person);
    assert_int_equal(epoch_of(kit, person), epoch + 1);
    expect_history(kit, person, epoch + 1, rows);
    replay(kit, person, NULL, NULL);
    char *second = essence(kit, person);
    assert_int_equal(epoch_of(kit, person), epoch + 2);
    expect_history(kit, person, epoch + 2, rows);
    assert_string_equal(was, first);
    assert_string_equal(was, second);
    pk_free(was);
    pk_free(first);
    pk_free(second);
    assert_int_equal(kit_count(kit, "graph_nodes", NULL, NULL), nodes);
    assert_int_equal(kit_count(kit, "narratives", NULL, NULL), narratives);
    /* It has expired by the kit's clock, if not by MongoDB's own; and there is no second one. */
    assert_true(kit_count(kit, "knowledge", NULL, NULL) <= 1);
}

/* All changes that an observation made have this place. */
static void expect_seq(struct kit *kit, const char *observation, int64_t seq)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "trait_history",
                                    .index = "by_observation",
                                    .equal = { PK_TEXT(observation) },
                                    .equal_count = 1 };
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
    assert_true(page.count > 0);
    for (size_t i = 0; i < page.count; i++) {
        assert_int_equal(pk_doc_int(page.doc[i], "seq", 0), seq);
    }
}

BOTH(what_is_forgotten_leaves_no_trace)
{
    char person[PK_UUID_TEXT], kept[PK_UUID_TEXT], lost[PK_UUID_TEXT], last[PK_UUID_TEXT];
    char task[PK_UUID_TEXT];
    kit_processor(kit, "notes", "1.0.0", "user_input",
                  "t:set('note.' .. s.name, s.value)\n"
                  "t:remember(s.name, s.value)\n"
                  "t:node(s.name)\n"
                  "t:narrative('wrote ' .. s.name)\n"
                  "t:set('note.count', (m['note.count'] or 0) + 1)");
    kit_person(kit, person);
    kit_observe(kit, person, "user_input", "{'name': 'a', 'value': 1}", kept);
    kit_observe(kit, person, "user_input", "{'name': 'secret', 'value': 2}", lost);
    kit_observe(kit, person, "user_input", "{'name': 'b', 'value': 3}", last);
    kit_work(kit);
    assert_int_equal(kit_count(kit, "knowledge", NULL, NULL), 3);

    assert_ok(pk_replay_forget(&kit->domain, &kit->bed.by, lost, task, &kit->err), &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = kit_get(kit, "outbox", task);
    assert_string_equal(pk_doc_text(done, "status"), "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *gone = kit_get(kit, "observations", lost);
    assert_null(gone);
    assert_int_equal(kit_count(kit, "processing", "obsId", lost), 0);
    assert_int_equal(kit_count(kit, "trait_history", "obsId", lost), 0);
    assert_int_equal(kit_count(kit, "knowledge", "key", "secret"), 0);
    assert_int_equal(kit_count(kit, "knowledge", NULL, NULL), 2);
    assert_int_equal(kit_count(kit, "graph_nodes", NULL, NULL), 2);
    assert_int_equal(kit_count(kit, "narratives", NULL, NULL), 2);
    char *text = essence(kit, person);
    assert_null(strstr(text, "secret"));
    assert_non_null(strstr(text, "\"seq\":3"));
    pk_free(text);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = kit_get(kit, "observations", last);
    assert_int_equal(pk_doc_int(after, "seq", 0), 3); /* The hole stays. */
    expect_seq(kit, last, 3);

    /* The next one goes on behind it. */
    kit_observe(kit, person, "user_input", "{'name': 'c', 'value': 4}", kept);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *next = kit_get(kit, "observations", kept);
    assert_int_equal(pk_doc_int(next, "seq", 0), 4);
    text = essence(kit, person);
    replay(kit, person, NULL, NULL);
    expect_same(text, essence(kit, person));
}

BOTH(the_last_one_forgotten_leaves_its_place_empty)
{
    char person[PK_UUID_TEXT], only[PK_UUID_TEXT], next[PK_UUID_TEXT], task[PK_UUID_TEXT];
    kit_processor(kit, "notes", "1.0.0", "user_input", "t:set('note.value', s.value)");
    kit_person(kit, person);
    kit_observe(kit, person, "user_input", "{'value': 1}", only);
    kit_work(kit);
    assert_ok(pk_replay_forget(&kit->domain, &kit->bed.by, only, task, &kit->err), &kit->err);
    kit_work(kit);
    kit_observe(kit, person, "user_input", "{'value': 2}", next);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(kit, "observations", next);
    assert_int_equal(pk_doc_int(doc, "seq", 0), 2);
    assert_false(pk_replay_forget(&kit->domain, &kit->bed.by, only, task, &kit->err));
    expect_error(&kit->err, PK_NOT_FOUND, "no such observation");
}

BOTH(one_that_was_not_processed_is_forgotten_without_a_replay)
{
    char person[PK_UUID_TEXT], waiting[PK_UUID_TEXT], task[PK_UUID_TEXT];
    kit_person(kit, person);
    kit_observe_as(kit, person, "user_input", "{'value': 1}", "pending", waiting);
    kit_work(kit);
    assert_ok(pk_replay_forget(&kit->domain, &kit->bed.by, waiting, task, &kit->err), &kit->err);
    kit_work(kit);
    assert_int_equal(kit_count(kit, "observations", NULL, NULL), 0);
    assert_int_equal(epoch_of(kit, person), 0);
}

/* ---- With another version ---- */

BOTH(a_given_version_replaces_the_recorded_one)
{
    char person[PK_UUID_TEXT], id[PK_UUID_TEXT];
    kit_processor(kit, "sum", "1.0.0", "work_session",
                  "t:set('work.sum', (m['work.sum'] or 0) + s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'minutes': 10}", id);
    kit_observe(kit, person, "work_session", "{'minutes': 20}", id);
    kit_work(kit);
    kit_processor(kit, "sum", "2.0.0", "work_session",
                  "t:set('work.sum', (m['work.sum'] or 0) + 100 * s.minutes)\n"
                  "t:remember('sum', 'is ' .. s.minutes)");
    /* The recorded version, though another one is active. */
    char *was = essence(kit, person);
    replay(kit, person, NULL, NULL);
    expect_same(was, essence(kit, person));

    bson_t out = BSON_INITIALIZER;
    const struct pk_remake asked = { .processor = "sum" };
    assert_ok(pk_replay_dry(&kit->domain, person, &asked, 0, &out, &kit->err), &kit->err);
    char *text = kit_text(&out);
    assert_non_null(strstr(text, "\"path\":\"traits/work.sum\""));
    assert_non_null(strstr(text, "\"value\":3000"));
    assert_non_null(strstr(text, "\"isSame\":false"));
    assert_non_null(strstr(text, ":sum\"")); /* "knowledge/PERSON:sum" */
    assert_int_equal(kit_count(kit, "knowledge", NULL, NULL), 0);
    pk_free(text);
    bson_destroy(&out);
    assert_int_equal(kit_count(kit, "processing", "processorVersion", "2.0.0"), 0);

    replay(kit, person, "sum", "2.0.0");
    text = essence(kit, person);
    assert_non_null(strstr(text, "\"value\":3000"));
    assert_int_equal(kit_count(kit, "trait_history", "processorVersion", "1.0.0"), 0);
    assert_int_equal(kit_count(kit, "trait_history", "processorVersion", "2.0.0"), 2);
    assert_int_equal(kit_count(kit, "processing", "processorVersion", "2.0.0"), 2);
    /* From now on that is the recorded one. */
    replay(kit, person, NULL, NULL);
    expect_same(text, essence(kit, person));
}

BOTH(a_dry_run_of_the_same_says_so_and_writes_nothing)
{
    char person[PK_UUID_TEXT];
    live(kit, person, 5);
    const size_t rows = kit_count(kit, "trait_history", NULL, NULL);
    bson_t out = BSON_INITIALIZER;
    const struct pk_remake asked = { .processor = NULL };
    assert_ok(pk_replay_dry(&kit->domain, person, &asked, 0, &out, &kit->err), &kit->err);
    char *text = kit_text(&out);
    if (!strstr(text, "\"isSame\":true")) {
        fail_msg("%s", text);
    }
    pk_free(text);
    bson_destroy(&out);
    assert_int_equal(kit_count(kit, "trait_history", NULL, NULL), rows);
    assert_int_equal(epoch_of(kit, person), 0);
}

/* Processors run over a person only while he agrees; what is forgotten is forgotten all the same.
 */
BOTH(without_consent_to_processing_nothing_is_replayed_but_what_is_forgotten)
{
    const struct pk_remake same = { .processor = NULL };
    char person[PK_UUID_TEXT], id[PK_UUID_TEXT], task[PK_UUID_TEXT];
    bson_t out = BSON_INITIALIZER, granted;
    kit_processor(kit, "minutes", "1.0.0", "work_session", "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", id);
    kit_work(kit);
    const int64_t epoch = epoch_of(kit, person);
    assert_ok(pk_consent_record(&kit->domain, &kit->bed.by, person, PK_PURPOSE_PROCESSING, 0, NULL,
                                NULL, &kit->err),
              &kit->err);
    assert_false(pk_replay_dry(&kit->domain, person, &same, 0, &out, &kit->err));
    expect_error(&kit->err, PK_FORBIDDEN, "is withdrawn");
    assert_ok(pk_replay_person(&kit->domain, &kit->bed.by, person, &same, task, &kit->err),
              &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *parked = kit_get(kit, "outbox", task);
    assert_string_equal(pk_doc_text(parked, "status"), "failed");
    assert_int_equal(epoch_of(kit, person), epoch);

    kit_json(&granted, "{'status': 'granted'}");
    assert_ok(pk_consent_record(&kit->domain, &kit->bed.by, person, PK_PURPOSE_PROCESSING, 0,
                                &granted, NULL, &kit->err),
              &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = kit_get(kit, "outbox", task);
    assert_string_equal(pk_doc_text(done, "status"), "done");
    assert_int_equal(epoch_of(kit, person), epoch + 1);

    assert_ok(pk_consent_record(&kit->domain, &kit->bed.by, person, PK_PURPOSE_PROCESSING, 0, NULL,
                                NULL, &kit->err),
              &kit->err);
    assert_ok(pk_replay_forget(&kit->domain, &kit->bed.by, id, task, &kit->err), &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *gone = kit_get(kit, "observations", id);
    assert_null(gone);
    bson_destroy(&granted);
    bson_destroy(&out);
}

TEST(what_cannot_be_replayed_is_refused_when_it_is_asked_for)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT], nobody[PK_UUID_TEXT], task[PK_UUID_TEXT];
    const struct pk_remake unknown = { .processor = "no-such" };
    const struct pk_remake nothing = { .processor = NULL };
    kit_person(&kit, person);
    pk_uuid_new(nobody);
    assert_false(pk_replay_person(&kit.domain, &kit.bed.by, nobody, &nothing, task, &kit.err));
    expect_error(&kit.err, PK_NOT_FOUND, "no such person");
    assert_false(pk_replay_person(&kit.domain, &kit.bed.by, person, &unknown, task, &kit.err));
    assert_int_equal(kit.err.code, PK_NOT_FOUND);
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 0);
}

/* ---- All people ---- */

static void expect_state(struct kit *kit, const char *part)
{
    bson_t out = BSON_INITIALIZER;
    assert_ok(pk_replay_all_show(&kit->domain, 0, &out, &kit->err), &kit->err);
    char *text = kit_text(&out);
    if (!strstr(text, part)) {
        fail_msg("%s has no %s", text, part);
    }
    pk_free(text);
    bson_destroy(&out);
}

BOTH(a_new_version_is_applied_to_all_whom_it_concerns)
{
    enum { MANY = 7 };
    char person[MANY][PK_UUID_TEXT], other[PK_UUID_TEXT], id[PK_UUID_TEXT], task[PK_UUID_TEXT];
    kit_processor(kit, "sum", "1.0.0", "work_session", "t:set('work.last', s.minutes)");
    for (int i = 0; i < MANY; i++) {
        kit_person(kit, person[i]);
        kit_observe(kit, person[i], "work_session", "{'minutes': 10}", id);
    }
    kit_person(kit, other);
    kit_observe(kit, other, "document", "{}", id);
    kit_work(kit);
    expect_state(kit, "\"status\":\"none\"");
    kit_processor(kit, "sum", "1.1.0", "work_session", "t:set('work.last', s.minutes + 1)");

    /* Three, and the next link a second later: the clock stands, so it can be told to rest. */
    assert_ok(pk_replay_all(&kit->domain, &kit->bed.by, "sum", NULL, 3, task, &kit->err),
              &kit->err);
    assert_false(pk_replay_all(&kit->domain, &kit->bed.by, "sum", NULL, 3, task, &kit->err));
    expect_error(&kit->err, PK_CONFLICT, "running already");
    UNTIL(kit_count(kit, "outbox", "taskType", "replay_all") == 2);
    expect_state(kit, "\"lookedAt\":3");
    assert_ok(pk_replay_all_pause(&kit->domain, &kit->bed.by, true, &kit->err), &kit->err);
    pk_clock_fake_advance(&kit->clock, 1100);
    UNTIL(kit_count(kit, "outbox", "taskType", "replay_all") == 3);
    expect_state(kit, "\"status\":\"paused\"");
    expect_state(kit, "\"lookedAt\":3");
    assert_ok(pk_replay_all_pause(&kit->domain, &kit->bed.by, false, &kit->err), &kit->err);
    kit_work(kit);

    expect_state(kit, "\"status\":\"done\"");
    expect_state(kit, "\"replayed\":7");
    expect_state(kit, "\"lookedAt\":8");
    assert_int_equal(kit_count(kit, "outbox", "taskType", "replay_person"), MANY);
    for (int i = 0; i < MANY; i++) {
        char *text = essence(kit, person[i]);
        assert_non_null(strstr(text, "\"value\":11"));
        pk_free(text);
    }
    assert_int_equal(epoch_of(kit, other), 0);
    assert_false(pk_replay_all_pause(&kit->domain, &kit->bed.by, true, &kit->err));
    expect_error(&kit->err, PK_CONFLICT, "no replay of all people");
}

/* ---- What the host had answered ---- */

static bool answer_with(void *context, const char *name, const bson_t *question, bson_t *answer,
                        struct pk_error *err)
{
    const char *const *text = context;
    (void)name;
    (void)question;
    (void)err;
    BSON_APPEND_UTF8(answer, "value", *text);
    return true;
}

BOTH(the_host_is_not_asked_again)
{
    char person[PK_UUID_TEXT], id[PK_UUID_TEXT];
    const char *text = "then";
    kit->domain.ask = answer_with;
    kit->domain.ask_context = &text;
    kit_script(kit, PK_SCRIPT_PROCESSOR,
               "return pk.processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = 'asks', version = '1.0.0',\n"
               "  accepts = { 'work_session' }, capabilities = { 'search' },\n"
               "  process = function(obs, m, t)\n"
               "    t:set('asked.told', pk.ask('search', { q = 'tea' }))\n"
               "  end }\n");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{}", id);
    kit_work(kit);
    char *was = essence(kit, person);
    assert_non_null(strstr(was, "\"then\""));
    text = "now";
    replay(kit, person, NULL, NULL);
    expect_same(was, essence(kit, person));
}

/* ---- Any life ---- */

TEST(any_order_of_observations_is_replayed_to_the_same)
{
    KIT(kit, false);
    static const char *const verb[] = {
        "t:set('a.' .. s.k, s.v)",
        "t:reinforce('a.' .. s.k, s.v, { weight = 0.3 })",
        "t:weaken('a.' .. s.k, { weight = 0.5 })",
        "t:contradict('a.' .. s.k, s.v, { weight = 0.6 })",
        "t:retract('a.' .. s.k)",
        "t:now('n' .. s.k, s.v, { ttl = '2h' })",
        "t:goal('g' .. s.k)",
        "t:belief('b' .. s.k, { strength = 0.5 })",
        "t:remember('f' .. s.k, s.v, { ttl = '3h' })",
        "t:set('seen.' .. s.k, (m.facts['f' .. s.k] or 0) + (m.now['n' .. s.k] or 0))",
        "t:summary('s' .. s.k)",
    };
    char body[2048] = "";
    for (size_t i = 0; i < PK_COUNT(verb); i++) {
        char line[160];
        (void)snprintf(line, sizeof(line), "if s.op == %zu then %s end\n", i, verb[i]);
        (void)strncat(body, line, sizeof(body) - strlen(body) - 1);
    }
    kit_processor(&kit, "any", "1.0.0", "user_input", body);
    for (int life = 0; life < 4; life++) {
        char person[PK_UUID_TEXT], id[PK_UUID_TEXT], json[128];
        kit_person(&kit, person);
        for (int i = 0; i < 40; i++) {
            pk_clock_fake_advance(&kit.clock, (int64_t)(pk_random_u64() % 5400000));
            (void)snprintf(json, sizeof(json), "{'op': %u, 'k': '%u', 'v': %u}",
                           (unsigned)(pk_random_u64() % PK_COUNT(verb)),
                           (unsigned)(pk_random_u64() % 4), (unsigned)(pk_random_u64() % 9));
            kit_observe(&kit, person, "user_input", json, id);
            kit_work(&kit);
        }
        assert_int_equal(kit_count(&kit, "outbox", "status", "failed"), 0);
        char *was = essence(&kit, person);
        pk_clock_fake_advance(&kit.clock, INT64_C(86400000));
        replay(&kit, person, NULL, NULL);
        expect_same(was, essence(&kit, person));
    }
}
