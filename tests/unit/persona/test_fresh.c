/* test_fresh.c - A cached persona is never called fresh when a new mapping would differ.
 *
 * Random mappers (rules and Lua) look at random mindscapes while these change
 * and the clock moves, both ways. Whatever is called fresh is made anew and
 * compared. A plain read of time is good for a 'time_step', so such a mapper is
 * asked again as of the instant that its half was made for. */
/* SPDX-License-Identifier: MIT */
#include "persona/fresh.h"

#include "base/buf.h"
#include "persona/persona_internal.h"
#include "sketch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAPPERS = 90,
    STEPS = 120, /* Of each mapper: 10,800 cases. */
    WHOLE_MAPPERS = 6,
    WHOLE_STEPS = 50,
    MINUTE_MS = 60 * 1000,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS
};

/* ---- The rule, case by case ---- */

struct fresh_case {
    const char *reads;    /* Of a basis at version 5, good from 1000 to 2000. */
    const char *versions; /* Of a mindscape. */
    int64_t version, floor, now_ms;
    enum pk_freshness expected;
};
static const struct fresh_case case_table[] = {
    { "", "", 5, 0, 1000, PK_FRESH },
    { "", "", 5, 0, 999, PK_STALE_TIME },
    { "", "", 5, 0, 1999, PK_FRESH },
    { "", "", 5, 0, 2000, PK_STALE_TIME },
    { "", "", 4, 0, 1500, PK_STALE_READ }, /* It has seen what we have not. */
    { "", "", 6, 5, 1500, PK_FRESH },
    { "", "", 6, 6, 1500, PK_STALE_READ }, /* A removal may have been folded. */
    { "{'kind':'trait','key':'a','match':'exact'}", "{'kind':'trait','key':'a','v':5}", 6, 0, 1500,
      PK_FRESH },
    { "{'kind':'trait','key':'a','match':'exact'}", "{'kind':'trait','key':'a','v':6}", 6, 0, 1500,
      PK_STALE_READ },
    { "{'kind':'trait','key':'a','match':'miss'}", "{'kind':'trait','key':'a','v':6}", 6, 0, 1500,
      PK_STALE_READ },
    { "{'kind':'trait','key':'a','match':'exact'}", "{'kind':'trait','key':'a.b','v':6}", 6, 0,
      1500, PK_FRESH },
    { "{'kind':'trait','key':'a','match':'prefix'}", "{'kind':'trait','key':'a.b','v':6}", 6, 0,
      1500, PK_STALE_READ },
    { "{'kind':'trait','key':'a','match':'prefix'}", "{'kind':'trait','key':'ab','v':6}", 6, 0,
      1500, PK_FRESH },
    { "{'kind':'trait','match':'prefix'}", "{'kind':'trait','key':'z','v':6}", 6, 0, 1500,
      PK_STALE_READ },
    { "{'kind':'hot','key':'a','match':'exact'}", "{'kind':'trait','key':'a','v':6}", 6, 0, 1500,
      PK_FRESH },
    { "{'kind':'hot','key':'a','match':'exact'}", "{'kind':'hot','v':6}", 6, 0, 1500,
      PK_STALE_READ },
    { "{'kind':'goals','match':'exact'}", "{'kind':'goals','v':6}", 6, 0, 1500, PK_STALE_READ },
};

TEST(freshness_is_version_time_and_read_set)
{
    for (size_t i = 0; i < PK_COUNT(case_table); i++) {
        const struct fresh_case *row = &case_table[i];
        bson_t basis, mindscape;
        kit_json(&basis, "{'mindscapeVersion': 5, 'readSet': [%s]}", row->reads);
        BSON_APPEND_DATE_TIME(&basis, "validFrom", 1000);
        BSON_APPEND_DATE_TIME(&basis, "validUntil", 2000);
        kit_json(&mindscape, "{'version': %d, 'floor': %d, 'versions': [%s]}", (int)row->version,
                 (int)row->floor, row->versions);
        const enum pk_freshness is = pk_fresh_basis(&basis, &mindscape, NULL, row->now_ms);
        if (is != row->expected) {
            fail_msg("case %zu: %d, expected %d", i, (int)is, (int)row->expected);
        }
        bson_destroy(&basis);
        bson_destroy(&mindscape);
    }
}

TEST(long_lists_are_compared_as_short_ones_are)
{
    enum { READS = 3000 };
    for (int hit = -1; hit < READS; hit += 271) {
        PK_CLEANUP(pk_buf_done) struct pk_buf reads = { 0 };
        PK_CLEANUP(pk_buf_done) struct pk_buf versions = { 0 };
        bson_t basis, mindscape;
        for (int i = 0; i < READS; i++) {
            pk_buf_printf(&reads, "%s{'kind':'%s','key':'k%d','match':'%s'}", i ? "," : "",
                          i % 2 ? "trait" : "hot", i, i % 7 == 0 ? "prefix" : "exact");
            pk_buf_printf(&versions, "%s{'kind':'%s','key':'k%d%s','v':6}", i ? "," : "",
                          i % 2 ? "trait" : "hot", i == hit ? i : i + READS,
                          i == hit && i % 7 == 0 ? ".below" : "");
        }
        kit_json(&basis, "{'mindscapeVersion': 5, 'readSet': [%s]}", pk_buf_text(&reads));
        BSON_APPEND_DATE_TIME(&basis, "validFrom", 0);
        BSON_APPEND_DATE_TIME(&basis, "validUntil", 2000);
        kit_json(&mindscape, "{'version': 6, 'floor': 0, 'versions': [%s]}",
                 pk_buf_text(&versions));
        assert_int_equal(pk_fresh_basis(&basis, &mindscape, NULL, 1),
                         hit < 0 ? PK_FRESH : PK_STALE_READ);
        bson_destroy(&basis);
        bson_destroy(&mindscape);
    }
}

/* ---- Chance ---- */

static uint64_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)(dice_state >> 11) % sides;
}

static const char *const path[] = { "a.x", "a.y", "a", "b", "c.d", "c.d.e" };
static const char *const word[] = { "0", "1", "2", "'red'", "'blue'" };
static const char *const lua_word[] = { "0", "1", "2", "\"red\"", "\"blue\"" };
static const char *const span[] = { "10m", "2h", "3d" };
static const char *const hot[] = { "mood", "place" };

static const char *any(const char *const *list, size_t count)
{
    return list[dice((unsigned)count)];
}
#define ANY(list) any(list, PK_COUNT(list))

/* ---- Mappers by chance ---- */

static void add_condition(struct pk_buf *text, int depth)
{
    static const char *const join[] = { "pk.all", "pk.any", "pk.none" };
    if (depth > 0 && dice(3) == 0) {
        pk_buf_printf(text, "%s { ", ANY(join));
        add_condition(text, depth - 1);
        pk_buf_add_text(text, ", ");
        add_condition(text, depth - 1);
        pk_buf_add_text(text, " }");
        return;
    }
    pk_buf_printf(text, "pk.trait(\"%s\")", ANY(path));
    switch (dice(7)) {
    case 0:
        pk_buf_printf(text, ":is(%s)", ANY(lua_word));
        break;
    case 1:
        pk_buf_printf(text, ":is_not(%s)", ANY(lua_word));
        break;
    case 2:
        pk_buf_printf(text, ":gt(%u)", dice(2));
        break;
    case 3:
        pk_buf_add_text(text, ":exists()");
        break;
    case 4:
        pk_buf_add_text(text, ":missing()");
        break;
    case 5:
        pk_buf_printf(text, ":changed_within(\"%s\")", ANY(span));
        break;
    default:
        pk_buf_printf(text, ":confident(0.%u)", 3 + dice(6));
        break;
    }
}

static void add_rules(struct pk_buf *text)
{
    pk_buf_add_text(text, "  rules = {\n");
    for (unsigned i = 0, count = 1 + dice(4); i < count; i++) {
        pk_buf_printf(text, "    pk.rule { id = \"r%u\", when = ", i);
        add_condition(text, 2);
        pk_buf_printf(text, ", suggest = \"say {{%s|nothing}}\"%s },\n", ANY(path),
                      dice(2) ? ", level = \"core\"" : "");
    }
    pk_buf_add_text(text, "  },\n");
}

/* One expression that reads something. */
static void add_read(struct pk_buf *text, bool may_be_plain)
{
    switch (dice(may_be_plain ? 11 : 8)) {
    case 0:
        pk_buf_printf(text, "m[\"%s\"]", ANY(path));
        break;
    case 1:
        pk_buf_printf(text, "m:has(\"%s\")", ANY(path));
        break;
    case 2:
        pk_buf_printf(text, "all(m:each(%s))", dice(3) ? (dice(2) ? "\"a\"" : "\"c.d\"") : "");
        break;
    case 3:
        pk_buf_printf(text, "m.now[\"%s\"]", ANY(hot));
        break;
    case 4:
        pk_buf_add_text(text, "#m.goals");
        break;
    case 5:
        pk_buf_printf(text, "m:confident(\"%s\", 0.%u)", ANY(path), 3 + dice(6));
        break;
    case 6:
        pk_buf_printf(text, "m:changed_within(\"%s\", \"%s\")", ANY(path), ANY(span));
        break;
    case 7:
        pk_buf_printf(text, "m:fill(\"{{%s|none}}\")", ANY(path));
        break;
    case 8:
        pk_buf_printf(text, "m:confidence(\"%s\")", ANY(path));
        break;
    case 9:
        pk_buf_printf(text, "m:age(\"%s\")", ANY(path));
        break;
    default:
        pk_buf_add_text(text, "pk.date(ctx.now).minute");
        break;
    }
}

static void add_half(struct pk_buf *text, const char *name, bool may_be_plain)
{
    pk_buf_printf(text, "  %s = function(m, ctx)\n    local s = {}\n", name);
    for (unsigned i = 0, count = 1 + dice(4); i < count; i++) {
        const unsigned kind = dice(3);
        pk_buf_add_text(text, kind == 0 ? "    if " : "    s[#s + 1] = tostring(");
        add_read(text, may_be_plain);
        if (kind == 0) {
            pk_buf_add_text(text, " then s[#s + 1] = tostring(");
            add_read(text, may_be_plain);
            pk_buf_add_text(text, ") end\n");
        } else {
            pk_buf_add_text(text, ")\n");
        }
    }
    pk_buf_add_text(text, "    return { s = pk.list(s) }\n  end,\n");
}

/* A mapper "m<number>"; true when it may read the time plainly. */
static bool put_mapper(struct kit *kit, unsigned number)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    const bool may_be_plain = number % 3 == 2;
    pk_buf_add_text(&text, "local function all(next, s, at)\n  local list = {}\n"
                           "  for path, value in next, s, at do\n"
                           "    list[#list + 1] = path .. \"=\" .. tostring(value)\n  end\n"
                           "  return table.concat(list, \",\")\nend\n");
    pk_buf_printf(&text,
                  "return pk.mapper {\n  id = \"m%u\", version = \"1.0.0\", ttl = \"%ud\",\n",
                  number, 1 + dice(20));
    pk_buf_add_text(&text, "  limits = { soft_ms = 1000, hard_ms = 5000 },\n");
    if (dice(2)) {
        pk_buf_printf(&text, "  overlay_ttl = \"%uh\",\n", 1 + dice(20));
    }
    if (dice(3) == 0) {
        pk_buf_printf(&text, "  requires = { \"%s\" }, on_missing = \"degrade\",\n", ANY(path));
    }
    if (number % 3 != 1) {
        add_rules(&text);
    }
    if (number % 3 != 0) {
        add_half(&text, "core", may_be_plain);
        add_half(&text, "overlay", may_be_plain);
    }
    pk_buf_add_text(&text, "}\n");
    kit_script(kit, PK_SCRIPT_MAPPER, "%s", pk_buf_text(&text));
    return may_be_plain;
}

/* ---- Changes by chance ---- */

static void change(struct sketch *sketch)
{
    struct sketch_trait *trait;
    switch (dice(8)) {
    case 0:
        (void)sketch_trait(sketch, ANY(path), NULL);
        break;
    case 1:
        sketch_now(sketch, ANY(hot), dice(4) ? "'fine'" : NULL,
                   dice(2) ? kit_now(sketch->kit) + 1 + dice(3 * HOUR_MS) : 0);
        break;
    case 2:
        sketch_goal(sketch, dice(2) ? "a goal" : NULL);
        break;
    case 3:
        sketch_fold(sketch);
        break;
    default:
        trait = sketch_trait(sketch, ANY(path), ANY(word));
        trait->confidence = 0.3 + 0.1 * dice(8);
        trait->is_pinned = dice(5) == 0;
        trait->from_ms = dice(5) ? 0 : kit_now(sketch->kit) + dice(2 * HOUR_MS);
        trait->updated_ms -= dice(3) ? 0 : dice(DAY_MS);
        break;
    }
}

static void move_clock(struct kit *kit)
{
    static const int64_t far[] = { 1000, 5 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, 2 * DAY_MS };
    const int64_t ms = 1 + dice((unsigned)far[dice(PK_COUNT(far))]);
    if (dice(5) == 0) {
        pk_clock_fake_set_wall(&kit->clock, kit_now(kit) - ms);
    } else {
        pk_clock_fake_advance(&kit->clock, ms);
    }
}

/* ---- Making it anew ---- */

/* The hash of a half's content. */
static const char *version_of(const struct pk_doc *persona, bool is_core)
{
    const char *text =
        pk_doc_text(persona, is_core ? "coreSnapshot.coreVersion" : "overlaySlice.overlayVersion");
    assert_non_null(text);
    return text;
}

/* One mapper, one person, and what was made of them. */
struct pair {
    struct kit *kit;
    struct sketch *sketch;
    struct pk_map_request request;
    struct mapping mapping;
    struct pk_doc *persona; /* Or NULL. */
    bool is_plain;
    size_t fresh_cases;
};

static void pair_open(struct pair *pair, struct kit *kit, struct sketch *sketch, const char *mapper)
{
    pair->kit = kit;
    pair->sketch = sketch;
    pair->request = (struct pk_map_request){ .mapper = mapper, .person = sketch->person };
    pair->mapping = (struct mapping){ .personas = kit_personas(kit),
                                      .domain = &kit->domain,
                                      .request = &pair->request,
                                      .pinned = pk_scripts_pin(kit->domain.scripts) };
    pair->mapping.mapper = pk_generation_find(pair->mapping.pinned, PK_SCRIPT_MAPPER, mapper);
    assert_non_null(pair->mapping.mapper);
    variant_init(&pair->mapping.common, &pair->request, pair->mapping.mapper, false);
    variant_init(&pair->mapping.own, &pair->request, pair->mapping.mapper, false);
}

static void pair_done(struct pair *pair)
{
    variant_done(&pair->mapping.common);
    variant_done(&pair->mapping.own);
    pk_doc_unref(pair->persona);
    pk_generation_unpin(pair->mapping.pinned);
}

/* A persona made as of an instant, with those halves of 'base' that are not wanted. */
static struct pk_doc *make_at(struct pair *pair, int64_t now_ms, bool core, bool overlay,
                              struct pk_doc *base)
{
    PK_CLEANUP(made_done) struct made made = { 0 };
    struct product product = { 0 };
    bson_t document;
    sketch_document(pair->sketch, &document);
    pair->mapping.mindscape = pk_doc_new(&document);
    bson_destroy(&document);
    pair->mapping.now_ms = now_ms;
    pair->mapping.stored = base;
    assert_ok(persona_run(&pair->mapping, core, overlay, &made, &pair->kit->err), &pair->kit->err);
    assert_ok(
        persona_make(&pair->mapping, &made, &pair->mapping.common, base, &product, &pair->kit->err),
        &pair->kit->err);
    pk_doc_unref(pair->mapping.mindscape);
    pair->mapping.mindscape = NULL;
    return product.doc;
}

/* What is called fresh must be what a new mapping gives. */
static void compare_half(struct pair *pair, const struct pk_doc *persona, bool is_core,
                         uint64_t seed)
{
    const int64_t now =
        pair->is_plain
            ? pk_doc_date(persona, is_core ? "coreBasis.validFrom" : "overlayBasis.validFrom", 0)
            : kit_now(pair->kit);
    struct pk_doc *anew = make_at(pair, now, true, true, NULL);
    if (strcmp(version_of(persona, is_core), version_of(anew, is_core)) != 0) {
        bson_t was, is;
        pk_doc_view(persona, &was);
        pk_doc_view(anew, &is);
        fail_msg("seed %llu, mapper %s: its %s is called fresh: %s; made anew: %s",
                 (unsigned long long)seed, pair->request.mapper, is_core ? "core" : "overlay",
                 kit_text(&was), kit_text(&is));
    }
    pk_doc_unref(anew);
    pair->fresh_cases++;
}

static void step(struct pair *pair, uint64_t seed)
{
    struct pk_fresh fresh = { PK_STALE_READ, PK_STALE_READ };
    bson_t document, view;
    for (unsigned i = dice(3); i > 0; i--) {
        change(pair->sketch);
        pair->sketch->version += pair->sketch->has_changed;
        pair->sketch->has_changed = false;
    }
    if (dice(2)) {
        move_clock(pair->kit);
    }
    if (pair->persona) {
        sketch_document(pair->sketch, &document);
        pk_doc_view(pair->persona, &view);
        pk_fresh_persona(&view, "1.0.0", &document, NULL, kit_now(pair->kit), &fresh);
        bson_destroy(&document);
    }
    if (fresh.core == PK_FRESH) {
        compare_half(pair, pair->persona, true, seed);
    }
    if (fresh.overlay == PK_FRESH) {
        compare_half(pair, pair->persona, false, seed);
    }
    if (!pk_fresh_is(&fresh)) {
        struct pk_doc *made = make_at(pair, kit_now(pair->kit), fresh.core != PK_FRESH,
                                      fresh.overlay != PK_FRESH, pair->persona);
        pk_doc_unref(pair->persona);
        pair->persona = made;
    }
}

static uint64_t seed_of_run(void)
{
    const char *given = getenv("PK_TEST_SEED");
    return given ? strtoull(given, NULL, 10) : 20261121;
}

TEST(what_is_called_fresh_is_what_a_new_mapping_gives)
{
    KIT(kit, false);
    const uint64_t seed = seed_of_run();
    const int64_t start = kit_now(&kit);
    size_t fresh_cases = 0;
    dice_state = seed * 2654435761U + 1;
    for (unsigned number = 0; number < MAPPERS; number++) {
        char id[16];
        struct pair pair = { 0 };
        pk_clock_fake_set_wall(&kit.clock, start);
        SKETCH(sketch, &kit);
        (void)snprintf(id, sizeof(id), "m%u", number);
        const bool is_plain = put_mapper(&kit, number);
        pair_open(&pair, &kit, &sketch, id);
        pair.is_plain = is_plain;
        for (int i = 0; i < STEPS; i++) {
            step(&pair, seed);
        }
        fresh_cases += pair.fresh_cases;
        pair_done(&pair);
    }
    print_message("# %d cases, %zu halves were fresh\n", MAPPERS * STEPS, fresh_cases);
    assert_true(fresh_cases > MAPPERS * STEPS / 2);
}

/* ---- The same through the store ---- */

static void check_whole(bool is_mongo)
{
    KIT(kit, is_mongo);
    const uint64_t seed = seed_of_run();
    const int64_t start = kit_now(&kit);
    size_t fresh_cases = 0;
    dice_state = seed * 40503U + 7;
    for (unsigned number = 0; number < WHOLE_MAPPERS; number++) {
        char id[16];
        struct pair pair = { 0 };
        pk_clock_fake_set_wall(&kit.clock, start);
        SKETCH(sketch, &kit);
        (void)snprintf(id, sizeof(id), "m%u", number);
        const bool is_plain = put_mapper(&kit, number);
        pair_open(&pair, &kit, &sketch, id);
        pair.is_plain = is_plain;
        for (int i = 0; i < WHOLE_STEPS; i++) {
            struct pk_mapped mapped;
            for (unsigned changes = dice(3); changes > 0; changes--) {
                change(&sketch);
                sketch_write(&sketch);
            }
            if (dice(2)) {
                move_clock(&kit);
            }
            assert_ok(pk_persona_map(kit_personas(&kit), &pair.request, &mapped, &kit.err),
                      &kit.err);
            if (mapped.status == PK_PERSONA_FRESH) {
                compare_half(&pair, mapped.persona, true, seed);
                compare_half(&pair, mapped.persona, false, seed);
            }
            pk_mapped_done(&mapped);
        }
        fresh_cases += pair.fresh_cases;
        pair_done(&pair);
    }
    assert_true(fresh_cases > 0);
}

TEST(what_the_store_keeps_is_fresh_or_made_anew)
{
    check_whole(false);
}

TEST_WHEN(what_the_store_keeps_is_fresh_or_made_anew_on_mongodb, getenv("PK_TEST_MONGODB") != NULL)
{
    check_whole(true);
}
