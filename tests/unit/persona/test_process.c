/* test_process.c - From observation to mindscape: what is written, by whom, in which order. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/id.h"
#include "doc/path.h"
#include "persona/consent.h"
#include "persona/mind.h"
#include "persona/process.h"

#include <stdio.h>
#include <string.h>

/* The same case on both engines. */
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

/* The first document of a collection whose text at 'path' is 'text'; a reference, or NULL. */
static struct pk_doc *find_where(struct kit *kit, const char *collection, const char *path,
                                 const char *text)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = collection,
                                    .index = "_id",
                                    .limit = PK_PAGE_MAX };
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
    for (size_t i = 0; i < page.count; i++) {
        const char *found = pk_doc_text(page.doc[i], path);
        if (found && strcmp(found, text) == 0) {
            return pk_doc_ref(page.doc[i]);
        }
    }
    return NULL;
}

/* The number of a trait of the person's mindscape; NAN when it is not known. */
static double trait_number(struct kit *kit, const char *person, const char *path)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    char at[64];
    for (int i = 0; mindscape && i < 100; i++) {
        (void)snprintf(at, sizeof(at), "traits.%d.id", i);
        const char *id = pk_doc_text(mindscape, at);
        if (id && strcmp(id, path) == 0) {
            (void)snprintf(at, sizeof(at), "traits.%d.value", i);
            return pk_doc_number(mindscape, at, -1);
        }
    }
    return -1;
}

static void expect_status(struct kit *kit, const char *observation, const char *status, int64_t seq)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(kit, "observations", observation);
    assert_non_null(doc);
    assert_string_equal(pk_doc_text(doc, "processingStatus"), status);
    assert_int_equal(pk_doc_int(doc, "seq", 0), seq);
}

BOTH(an_observation_becomes_traits_and_history)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    kit_processor(kit, "minutes", "1.2.0", "work_session",
                  "t:set('work.deep_minutes', s.minutes, { confidence = 0.6 })");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'minutes': 90}", observation);
    kit_work(kit);

    expect_status(kit, observation, "processed", 1);
    assert_true(trait_number(kit, person, "work.deep_minutes") == 90);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *change = find_where(kit, "trait_history", "obsId", observation);
    assert_non_null(change);
    assert_string_equal(pk_doc_text(change, "path"), "work.deep_minutes");
    assert_string_equal(pk_doc_text(change, "processorId"), "minutes");
    assert_string_equal(pk_doc_text(change, "processorVersion"), "1.2.0");
    assert_int_equal(pk_doc_int(change, "seq", 0), 1);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row = find_where(kit, "processing", "obsId", observation);
    assert_non_null(row);
    assert_string_equal(pk_doc_text(row, "status"), "done");
    assert_string_equal(pk_doc_text(row, "processorVersion"), "1.2.0");
    assert_int_equal(pk_doc_int(row, "seq", 0), 1);
    assert_int_equal(strlen(pk_doc_text(row, "contentHash")), 64);
    assert_int_equal(kit_count(kit, "events", "eventType", "mindscape.updated"), 1);
    assert_int_equal(kit_count(kit, "events", "eventType", "mindscape.processing.started"), 1);
    assert_int_equal(kit_count(kit, "events", "eventType", "mindscape.processing.completed"), 1);
}

BOTH(an_observation_without_a_processor_gets_its_place_and_changes_nothing)
{
    char person[PK_UUID_TEXT], first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    kit_person(kit, person);
    kit_observe(kit, person, "document", "{'any': 1}", first);
    kit_observe(kit, person, "document", "{'any': 2}", second);
    kit_work(kit);
    expect_status(kit, first, "processed", 1);
    expect_status(kit, second, "processed", 2);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    assert_int_equal(pk_doc_int(mindscape, "seq", 0), 2);
    assert_null(pk_doc_text(mindscape, "traits.0.id"));
    assert_int_equal(kit_count(kit, "processing", NULL, NULL), 0);
}

BOTH(what_was_not_approved_is_not_processed)
{
    char person[PK_UUID_TEXT], rejected[PK_UUID_TEXT], gone[PK_UUID_TEXT], last[PK_UUID_TEXT];
    kit_processor(kit, "minutes", "1.0.0", "work_session", "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    kit_observe_as(kit, person, "work_session", "{'minutes': 1}", "rejected", rejected);
    kit_observe(kit, person, "work_session", "{'minutes': 2}", gone);
    kit_drop(kit, "observations", gone);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", last);
    kit_work(kit);
    expect_status(kit, rejected, "rejected", 0);
    expect_status(kit, last, "processed", 1);
    assert_true(trait_number(kit, person, "work.minutes") == 3);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
}

BOTH(processors_run_in_order_on_the_mindscape_as_it_was_before)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    kit_processor(kit, "b-second", "1.0.0", "work_session",
                  "t:set('seen.by_second', m['seen.first'] or 'nothing')\n"
                  "t:set('seen.both', 'second')");
    kit_processor(kit, "a-first", "1.0.0", "work_session",
                  "t:set('seen.first', 'first')\nt:set('seen.both', 'first')");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{}", observation);
    kit_work(kit);

    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *seen = find_where(kit, "trait_history", "path", "seen.by_second");
    assert_string_equal(pk_doc_text(seen, "after.value"), "nothing");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    bson_t view;
    pk_doc_view(mindscape, &view);
    char *text = kit_text(&view);
    assert_non_null(strstr(text, "\"value\":\"second\""));
    pk_free(text);
    assert_int_equal(kit_count(kit, "processing", "obsId", observation), 2);
    assert_int_equal(pk_doc_int(mindscape, "seq", 0), 1);
}

BOTH(a_failure_keeps_the_observation_and_says_file_and_line)
{
    char person[PK_UUID_TEXT], bad[PK_UUID_TEXT], good[PK_UUID_TEXT];
    kit_processor(kit, "strict", "1.0.0", "work_session",
                  "if s.bad then error('cannot read this') end\n"
                  "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'bad': true}", bad);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", good);
    kit_work(kit);

    expect_status(kit, bad, "approved", 0);
    expect_status(kit, good, "processed", 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = find_where(kit, "processing", "obsId", bad);
    assert_string_equal(pk_doc_text(row, "status"), "failed");
    assert_non_null(strstr(pk_doc_text(row, "error"), "script.lua:"));
    assert_non_null(strstr(pk_doc_text(row, "error"), "cannot read this"));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = find_where(kit, "outbox", "status", "failed");
    assert_non_null(task);
    assert_int_equal(pk_doc_int(task, "attempts", 0), 2);
    assert_non_null(strstr(pk_doc_text(task, "lastError"), "processor 'strict' 1.0.0"));
    assert_int_equal(kit_count(kit, "events", "eventType", "mindscape.processing.failed"), 1);
    /* Each observation has begun once, however often it was tried. */
    assert_int_equal(kit_count(kit, "events", "eventType", "mindscape.processing.started"), 2);

    /* Mended, and tried again by an operator. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = NULL;
    kit_processor(kit, "strict", "1.0.1", "work_session", "t:set('work.mended', true)");
    assert_ok(pk_outbox_retry(kit->domain.books, &kit->bed.by, pk_doc_id(task), &again, &kit->err),
              &kit->err);
    kit_work(kit);
    expect_status(kit, bad, "processed", 2);
    assert_int_equal(kit_count(kit, "processing", "obsId", bad), 2);
}

BOTH(a_mindscape_above_its_cap_is_refused_with_what_to_prune_and_stays_as_it_was)
{
    enum { EACH = 17 }; /* Of 250,000 bytes each: the last one is too much. */
    char person[PK_UUID_TEXT], observation[EACH][PK_UUID_TEXT], said[64];
    kit_processor(kit, "hoarder", "1.0.0", "work_session",
                  "t:set('hoard.' .. s.name, string.rep('x', 250000))");
    kit_person(kit, person);
    for (int i = 0; i < EACH; i++) {
        (void)snprintf(said, sizeof(said), "{'name': 't%d'}", i);
        kit_observe(kit, person, "work_session", said, observation[i]);
    }
    kit_work(kit);
    for (int i = 0; i < EACH - 1; i++) {
        expect_status(kit, observation[i], "processed", i + 1);
    }
    expect_status(kit, observation[EACH - 1], "approved", 0);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = find_where(kit, "outbox", "status", "failed");
    assert_non_null(task);
    const char *why = pk_doc_text(task, "lastError");
    assert_non_null(strstr(why, "of at most 4 MiB; largest are 'hoard.t"));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    assert_int_equal(pk_doc_int(mindscape, "seq", 0), EACH - 1);
    assert_int_equal(pk_doc_int(mindscape, "version", 0), EACH - 1);
    assert_int_equal(kit_count(kit, "trait_history", "obsId", observation[EACH - 1]), 0);
}

BOTH(a_processor_that_may_be_skipped_is_left_out_when_it_fails)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    kit_script(kit, PK_SCRIPT_PROCESSOR,
               "return pk.processor { id = 'fragile', version = '1.0.0',\n"
               "  accepts = { 'work_session' }, on_error = 'skip',\n"
               "  process = function(obs, m, t)\n"
               "    t:set('work.half', 1)\n"
               "    error('never mind')\n"
               "  end }\n");
    kit_processor(kit, "sound", "1.0.0", "work_session", "t:set('work.sound', 1)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{}", observation);
    kit_work(kit);

    expect_status(kit, observation, "processed", 1);
    assert_true(trait_number(kit, person, "work.sound") == 1);
    assert_true(trait_number(kit, person, "work.half") == -1);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row = find_where(kit, "processing", "processorId", "fragile");
    assert_string_equal(pk_doc_text(row, "status"), "failed");
    assert_non_null(strstr(pk_doc_text(row, "error"), "never mind"));
    assert_int_equal(pk_doc_int(row, "seq", 0), 1);
}

BOTH(keys_with_dots_are_plain_for_scripts_and_escaped_in_the_store)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    kit_processor(kit, "dots", "1.0.0", "work_session",
                  "t:set('seen.tool', { ['node.js'] = s['node.js'], ['$cost'] = 1 })");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'node.js': 7}", observation);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *change = find_where(kit, "trait_history", "path", "seen.tool");
    assert_non_null(change);
    assert_true(pk_doc_number(change, "after.value.node%2Ejs", 0) == 7);
    assert_true(pk_doc_number(change, "after.value.%24cost", 0) == 1);

    char second[PK_UUID_TEXT];
    kit_processor(kit, "dots", "1.0.1", "work_session",
                  "t:set('seen.again', m['seen.tool']['node.js'])");
    kit_observe(kit, person, "work_session", "{}", second);
    kit_work(kit);
    assert_true(trait_number(kit, person, "seen.again") == 7);
}

static void consent(struct kit *kit, const char *person, int64_t from_ms)
{
    bson_t granted = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&granted, "status", "granted");
    if (from_ms > 0) {
        BSON_APPEND_DATE_TIME(&granted, "validFrom", from_ms);
    }
    assert_ok(pk_consent_record(&kit->domain, &kit->bed.by, person, PK_PURPOSE_PROCESSING, 0,
                                from_ms < 0 ? NULL : &granted, NULL, &kit->err),
              &kit->err);
    bson_destroy(&granted);
}

static const int64_t withdrawn = -1;

BOTH(without_consent_to_processing_observations_wait_until_it_is_given)
{
    char person[PK_UUID_TEXT], bad[PK_UUID_TEXT], first[PK_UUID_TEXT], second[PK_UUID_TEXT],
        third[PK_UUID_TEXT];
    kit_processor(kit, "minutes", "1.0.0", "work_session",
                  "if s.bad then error('cannot read this') end\n"
                  "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'bad': true}", bad);
    kit_work(kit);
    consent(kit, person, withdrawn);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", first);
    kit_observe(kit, person, "work_session", "{'minutes': 4}", second);
    kit_work(kit);
    expect_status(kit, first, "approved", 0);
    expect_status(kit, second, "approved", 0);
    assert_true(trait_number(kit, person, "work.minutes") == -1);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 3);

    /* What has failed otherwise stays. */
    consent(kit, person, 0);
    kit_observe(kit, person, "work_session", "{'minutes': 5}", third);
    kit_work(kit);
    assert_int_equal(kit_count(kit, "observations", "processingStatus", "processed"), 3);
    expect_status(kit, bad, "approved", 0);
    assert_true(trait_number(kit, person, "work.minutes") >= 3);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 1);
    assert_int_equal(kit_count(kit, "events", "eventType", "task.retried"), 2);
}

BOTH(a_consent_that_begins_later_is_waited_for_and_one_that_is_gone_again_changes_nothing)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    kit_processor(kit, "minutes", "1.0.0", "work_session", "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    consent(kit, person, withdrawn);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", observation);
    kit_work(kit);
    pk_outbox_stop(kit->domain.outbox);
    consent(kit, person, 0);
    consent(kit, person, withdrawn);
    struct pk_writes list = { 0 };
    struct pk_task task = { .person = person };
    assert_ok(pk_consent_resume_run(&kit->domain, &task, &list, &kit->err), &kit->err);
    assert_int_equal(list.count, 0);

    const int64_t from_ms = kit_now(kit) + 60000;
    consent(kit, person, from_ms);
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_outbox_filter filter = { .type = PK_RESUME_TASK };
    assert_ok(pk_outbox_list(kit->domain.books, &filter, 10, NULL, &page, &kit->err), &kit->err);
    assert_int_equal(page.count, 2);
    assert_int_equal(pk_doc_date(page.doc[1], "runAfter", 0), from_ms);
    assert_ok(pk_consent_resume_run(&kit->domain, &task, &list, &kit->err), &kit->err);
    assert_int_equal(list.count, 0);
    pk_clock_fake_advance(&kit->clock, 60000);
    assert_ok(pk_consent_resume_run(&kit->domain, &task, &list, &kit->err), &kit->err);
    assert_int_equal(list.count, 3); /* The task, its row of the feed, and that it still holds. */
    pk_writes_done(&list);
}

/* ---- What is supposed, and not read ---- */

/* A record that the mindscape says nothing of, as one from before there was a mindscape. */
BOTH(a_consent_that_nobody_told_the_mindscape_of_holds_all_the_same)
{
    char person[PK_UUID_TEXT], first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    kit_processor(kit, "minutes", "1.0.0", "work_session", "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", first);
    kit_work(kit);
    kit_put(kit, "consents",
            "{'_id': '%s:processing', 'userId': '%s', 'purpose': 'processing',"
            " 'status': 'withdrawn', 'withdrawnAt': '2026-01-01T00:00:00Z', 'recordedBy': 'tester',"
            " 'createdAt': '2026-01-01T00:00:00Z', 'updatedAt': '2026-01-01T00:00:00Z'}",
            person, person);
    kit_observe(kit, person, "work_session", "{'minutes': 4}", second);
    kit_work(kit);
    expect_status(kit, first, "processed", 1);
    expect_status(kit, second, "approved", 0);
    assert_true(trait_number(kit, person, "work.minutes") == 3);
}

BOTH(a_row_of_an_attempt_that_nobody_counted_is_replaced)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT], id[128];
    kit_processor(kit, "minutes", "1.0.0", "work_session", "t:set('work.minutes', s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'minutes': 3}", observation);
    (void)snprintf(id, sizeof(id), "%s:minutes:1.0.0", observation);
    kit_put(
        kit, "processing",
        "{'_id': '%s', 'userId': '%s', 'obsId': '%s', 'processorId': 'minutes',"
        " 'processorVersion': '1.0.0', 'contentHash': '%064d', 'status': 'failed', 'answers': [],"
        " 'error': 'killed', 'durationMs': 1, 'createdAt': '2026-01-01T00:00:00Z',"
        " 'updatedAt': '2026-01-01T00:00:00Z'}",
        id, person, observation, 0);
    kit_work(kit);
    expect_status(kit, observation, "processed", 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = kit_get(kit, "processing", id);
    assert_string_equal(pk_doc_text(row, "status"), "done");
    assert_int_equal(pk_doc_date(row, "createdAt", 0), INT64_C(1767225600000));
}

/* That there are facts is a line of its own, so theirs may have the name of what is true now. */
BOTH(a_fact_is_found_under_the_name_of_what_is_true_just_now)
{
    char person[PK_UUID_TEXT], first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    kit_processor(kit, "both", "1.0.0", "work_session",
                  "t:set('seen.fact', m.facts.mood or 'none')\n"
                  "t:set('seen.now', m.now.mood or 'none')\n"
                  "t:now('mood', 'calm', { ttl = '1h' })\n"
                  "t:remember('mood', 'mostly good')");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{}", first);
    kit_work(kit);
    kit_observe(kit, person, "work_session", "{}", second);
    kit_work(kit);
    expect_status(kit, second, "processed", 2);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    assert_string_equal(pk_doc_text(mindscape, "traits.0.value"), "mostly good");
    assert_string_equal(pk_doc_text(mindscape, "traits.1.value"), "calm");
}

/* ---- What scripts ask ---- */

static bool answer_search(void *context, const char *name, const bson_t *question, bson_t *answer,
                          struct pk_error *err)
{
    int *asked = context;
    bson_iter_t iter, what;
    ++*asked;
    assert_string_equal(name, "search");
    assert_true(bson_iter_init(&iter, question) &&
                bson_iter_find_descendant(&iter, "value.q", &what));
    if (strcmp(bson_iter_utf8(&what, NULL), "nothing") == 0) {
        return pk_fail(err, PK_UNAVAILABLE, "try again", "the search is away");
    }
    BSON_APPEND_UTF8(answer, "value", "found it");
    return true;
}

BOTH(what_a_processor_asked_and_was_told_is_kept)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    int asked = 0;
    kit->domain.ask = answer_search;
    kit->domain.ask_context = &asked;
    kit_script(kit, PK_SCRIPT_PROCESSOR,
               "return pk.processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = 'asks', version = '1.0.0',\n"
               "  accepts = { 'work_session' }, capabilities = { 'search' },\n"
               "  process = function(obs, m, t, ctx)\n"
               "    local told = pk.ask('search', { q = 'tea' })\n"
               "    local none = pk.ask('search', { q = 'nothing' })\n"
               "    t:set('asked.told', told or 'no')\n"
               "    t:set('asked.none', none == nil)\n"
               "  end }\n");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{}", observation);
    kit_work(kit);
    expect_status(kit, observation, "processed", 1);
    assert_int_equal(asked, 2);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row = find_where(kit, "processing", "processorId", "asks");
    assert_string_equal(pk_doc_text(row, "answers.0.question"), "search");
    assert_string_equal(pk_doc_text(row, "answers.0.input.q"), "tea");
    assert_string_equal(pk_doc_text(row, "answers.0.answer"), "found it");
    assert_string_equal(pk_doc_text(row, "answers.1.input.q"), "nothing");
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(row, &view);
    assert_true(pk_path_find(&view, "answers.1.answer", &iter) && BSON_ITER_HOLDS_NULL(&iter));
}

/* ---- Two at the same time ---- */

BOTH(two_observations_of_one_person_are_both_kept_in_order)
{
    enum { MANY = 20 };
    char person[PK_UUID_TEXT], observation[MANY][PK_UUID_TEXT];
    kit_processor(kit, "counts", "1.0.0", "work_session",
                  "t:set('work.count', (m['work.count'] or 0) + 1)");
    kit_person(kit, person);
    for (int i = 0; i < MANY; i++) {
        kit_observe(kit, person, "work_session", "{}", observation[i]);
    }
    kit_work(kit);
    assert_true(trait_number(kit, person, "work.count") == MANY);
    for (int i = 0; i < MANY; i++) {
        expect_status(kit, observation[i], "processed", i + 1);
    }
}

/* The loser of two lists that were made from one mindscape conflicts, and is made again. */
BOTH(a_list_made_from_an_old_mindscape_is_not_committed)
{
    char person[PK_UUID_TEXT], first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    struct pk_writes list[2] = { { 0 }, { 0 } };
    bson_t payload[2];
    kit_processor(kit, "minutes", "1.0.0", "work_session", "t:set('work.' .. s.name, s.minutes)");
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{'name': 'a', 'minutes': 1}", first);
    kit_observe(kit, person, "work_session", "{'name': 'b', 'minutes': 2}", second);
    for (int i = 0; i < 2; i++) {
        bson_init(&payload[i]);
        BSON_APPEND_UTF8(&payload[i], "observationId", i ? second : first);
        const struct pk_task task = { .id = person, .payload = payload[i] };
        assert_ok(pk_process_run(&kit->domain, &task, &list[i], &kit->err), &kit->err);
    }
    assert_ok(pk_store_commit(kit->bed.store, &list[0], 0, NULL, &kit->err), &kit->err);
    assert_false(pk_store_commit(kit->bed.store, &list[1], 0, NULL, &kit->err));
    assert_int_equal(kit->err.code, PK_CONFLICT);
    pk_writes_clear(&list[1]);
    const struct pk_task task = { .id = person, .payload = payload[1] };
    assert_ok(pk_process_run(&kit->domain, &task, &list[1], &kit->err), &kit->err);
    assert_ok(pk_store_commit(kit->bed.store, &list[1], 0, NULL, &kit->err), &kit->err);
    assert_true(trait_number(kit, person, "work.a") == 1);
    assert_true(trait_number(kit, person, "work.b") == 2);
    expect_status(kit, second, "processed", 2);
    for (int i = 0; i < 2; i++) {
        pk_writes_done(&list[i]);
        bson_destroy(&payload[i]);
    }
}
