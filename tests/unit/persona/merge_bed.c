/* merge_bed.c - Sends, merges and compares as the tests of merging want it. */
/* SPDX-License-Identifier: MIT */
#include "merge_bed.h"

#include "base/buf.h"
#include "persona/consent.h"
#include "persona/mind.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

const char *const person[PEOPLE] = { "a0000000-0000-4000-8000-000000000001",
                                     "b0000000-0000-4000-8000-000000000002",
                                     "c0000000-0000-4000-8000-000000000003" };

/* ---- Telling ---- */

void teach(struct kit *kit)
{
    kit_processor(
        kit, "minutes", "1.0.0", "work_session",
        "t:reinforce('work.minutes', s.minutes, { weight = 0.4, volatility = 'medium' })\n"
        "t:set('work.count', (m['work.count'] or 0) + 1)\n"
        "t:set('work.tool', 'Tool ' .. (s.minutes % 4), { confidence = 0.6 })\n"
        "if s.minutes % 3 == 0 then t:now('mood', 'tired', { ttl = '4h' }) end\n"
        "if s.minutes % 5 == 0 then t:weaken('work.minutes', { weight = 0.2 }) end\n"
        "t:goal('goal ' .. (s.minutes % 7))\n"
        "t:remember('last_minutes', s.minutes, { ttl = '900m' })\n"
        "t:edge('self', 'Tool ' .. (s.minutes % 4), 'uses')\n"
        "t:narrative('worked ' .. s.minutes, { traits = { 'work.minutes' } })");
}

/* An observation under a name; 'id' "": the server gives one. */
struct pk_accepted send_as(struct kit *kit, const char *who, const char *external, const char *id,
                           int minutes)
{
    struct pk_accepted accepted = { .is_ok = false };
    PK_CLEANUP(pk_buf_done) struct pk_buf json = { 0 };
    bson_t sent;
    pk_buf_printf(&json, "{'sourceType':'work_session','sourceMetadata':{'source':'s'},");
    if (who) {
        pk_buf_printf(&json, "'personId':'%s',", who);
    }
    if (external) {
        pk_buf_printf(&json, "'externalId':{'source':'slack','id':'%s'},", external);
    }
    if (id && *id) {
        pk_buf_printf(&json, "'observationId':'%s',", id);
    }
    pk_buf_printf(&json, "'content':{'structured':{'minutes':%d}}}", minutes);
    kit_json(&sent, "%s", pk_buf_text(&json));
    const struct pk_sent one = { bson_get_data(&sent), sent.len };
    assert_ok(
        pk_observation_accept(&kit->domain, &kit->bed.by, NULL, &one, 1, &accepted, &kit->err),
        &kit->err);
    bson_destroy(&sent);
    return accepted;
}

void say(struct kit *kit, const char *who, int minutes)
{
    struct pk_accepted accepted = send_as(kit, who, NULL, NULL, minutes);
    assert_ok(accepted.is_ok, &accepted.err);
    pk_accepted_done(&accepted);
    pk_clock_fake_advance(&kit->clock, 1);
}

/* ---- Merging ---- */

bool try_merge(struct kit *kit, const char *from, const char *into, struct pk_merged *out)
{
    const struct pk_merge_ask ask = { .from = from, .into = into, .reason = "one and the same" };
    return pk_merge_people(&kit->domain, &kit->bed.by, &ask, out, &kit->err);
}

void expect_done(struct kit *kit, const char *task)
{
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = kit_get(kit, "outbox", task);
    assert_non_null(done);
    if (strcmp(pk_doc_text(done, "status"), "done") != 0) {
        fail_msg("the task is '%s': %s", pk_doc_text(done, "status"),
                 pk_doc_text(done, "lastError"));
    }
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
}

struct pk_merged merge_two(struct kit *kit, const char *from, const char *into)
{
    struct pk_merged out;
    assert_ok(try_merge(kit, from, into, &out), &kit->err);
    expect_done(kit, out.task);
    return out;
}

void undo_merge(struct kit *kit, const char *who, const char *id)
{
    struct pk_merged out;
    assert_ok(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, who, id, &out, &kit->err), &kit->err);
    expect_done(kit, out.task);
}

/* ---- Comparing ---- */

/* What replay compares, less the place of the last observation: holes of forgotten ones close. */
char *essence_of(struct kit *kit, const char *who)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", who);
    bson_t view, bare, less = BSON_INITIALIZER;
    if (!mindscape) {
        bson_destroy(&less);
        return pk_strdup("none");
    }
    pk_doc_view(mindscape, &view);
    pk_mind_essence(&view, &bare);
    bson_copy_to_excluding_noinit(&bare, &less, "seq", "createdAt", "_id", NULL);
    char *text = kit_text(&less);
    bson_destroy(&bare);
    bson_destroy(&less);
    return text;
}

void expect_same(char *a, char *b)
{
    assert_string_equal(a, b);
    pk_free(a);
    pk_free(b);
}

size_t rows_of(struct kit *kit, const char *collection, const char *who)
{
    return kit_count(kit, collection, "userId", who);
}

/* Places are 1, 2, 3 ... */
void expect_dense(struct kit *kit, const char *who)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "observations",
                                    .index = "by_user_seq",
                                    .equal = { PK_TEXT(who) },
                                    .equal_count = 1,
                                    .min = { .is_set = true, .value = PK_INT(1) },
                                    .limit = PK_PAGE_MAX };
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
    for (size_t i = 0; i < page.count; i++) {
        assert_int_equal(pk_doc_int(page.doc[i], "seq", 0), (int64_t)i + 1);
    }
}

/* ---- Agreeing ---- */

void agree(struct kit *kit, const char *who, const char *purpose, bool is_granted)
{
    bson_t wanted;
    kit_json(&wanted, "{'status':'granted'}");
    assert_ok(pk_consent_record(&kit->domain, &kit->bed.by, who, purpose, 0,
                                is_granted ? &wanted : NULL, NULL, &kit->err),
              &kit->err);
    bson_destroy(&wanted);
    pk_clock_fake_advance(&kit->clock, 1);
}

bool agrees(struct kit *kit, const char *who, const char *purpose)
{
    return pk_consent_check(&kit->domain, who, purpose, kit_now(kit), 0, NULL, &kit->err);
}
