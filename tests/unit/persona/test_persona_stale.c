/* test_persona_stale.c - includeStale: what is out of date, served at once, marked, for its time.
 */
/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

static void expect_stale(struct sketch *sketch, const struct pk_map_request *request,
                         const char *tone, const char *warning)
{
    struct pk_mapped mapped;
    ask(sketch->kit, request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_STALE);
    assert_true(pk_doc_bool(mapped.persona, "isStale", false));
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.tone.0"), tone);
    assert_int_equal(mapped.warning_count, 1);
    assert_non_null(strstr(mapped.warning[0], warning));
    pk_mapped_done(&mapped);
}

TEST(what_is_out_of_date_is_served_at_once_and_says_why)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    struct pk_map_request request = request_of(&sketch, "greeter");
    request.is_stale_fine = true;
    (void)sketch_trait(&sketch, "tone", "'direct'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    pk_clock_fake_advance(&kit.clock, 3 * HOUR_MS);
    expect_stale(&sketch, &request, "direct", "its time is over");
    (void)sketch_trait(&sketch, "tone", "'warm'");
    sketch_write(&sketch);
    expect_stale(&sketch, &request, "direct", "has changed since");
    assert_int_equal(calls_of(&kit, "greeter"), 1);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
}

static void put_brittle(struct kit *kit, const char *version, const char *body)
{
    kit_mapper(kit, "brittle", version, body);
}

/* MongoDB deletes it a while later. */
static void check_end(bool is_mongo)
{
    KIT(kit, is_mongo);
    SKETCH(sketch, &kit);
    put_brittle(&kit, "1.0.0", "return { tone = { m[\"tone\"] or \"none\" } }");
    struct pk_map_request request = request_of(&sketch, "brittle");
    request.is_stale_fine = true;
    assert_int_equal(map(&sketch, "brittle", NULL), PK_PERSONA_REGENERATED);
    put_brittle(&kit, "1.0.1", "error(\"no more\")");
    pk_clock_fake_advance(&kit.clock, HOUR_MS - 1);
    expect_stale(&sketch, &request, "none", "another version of its mapper");
    pk_clock_fake_advance(&kit.clock, 1);
    refuse(&sketch, &request, PK_REFUSED, "no more");
    put_brittle(&kit, "1.0.2", "return { tone = { \"new\" } }");
    struct pk_mapped mapped;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.tone.0"), "new");
    pk_mapped_done(&mapped);
}

TEST(one_past_its_end_stands_in_for_nothing)
{
    check_end(false);
}

TEST_WHEN(one_past_its_end_stands_in_for_nothing_on_mongodb, getenv("PK_TEST_MONGODB") != NULL)
{
    check_end(true);
}
