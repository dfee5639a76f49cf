/* test_mind_laws.c - What holds whatever is said: thousands of made-up observations.
 *
 *     the order of observations of different things leaves no trace
 *     the same from the same start gives the same bytes
 *     what is taken back leaves no trace
 *     confidence lies in [0, 1], and every document fits its schema
 *     history is a chain from nothing to what is held
 *     history that is taken back leaves what there was
 *     a replay gives what was held
 *
 * Cases are made from a number, which a failure names. */
/* SPDX-License-Identifier: MIT */
#include "mind_bed.h"

#include "base/buf.h"
#include "doc/path.h"

#include <string.h>

enum { CASES = 1500 };

/* ---- Chance ---- */

static uint64_t next(uint64_t *chance)
{
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance;
}

static unsigned below(uint64_t *chance, unsigned count)
{
    return (unsigned)(next(chance) % count);
}

static const char *pick(uint64_t *chance, const char *const *word, size_t count)
{
    return word[below(chance, (unsigned)count)];
}
#define PICK(chance, array) pick((chance), (array), PK_COUNT(array))

/* ---- Observations ---- */

static const char *const verb[] = { "set",    "reinforce",  "reinforce",
                                    "weaken", "contradict", "retract" };
static const char *const value[] = { "1",    "2.5",  "-7", "'deep'", "'light'", "{'a':[1,null]}",
                                     "true", "1e300" };
static const char *const volatility[] = { "low", "medium", "high" };
static const char *const source[] = { "chat_log", "work_session", "assessment", "user_input" };
static const char *const policy[] = { "*=latest", "*=strongest", "*=keep_all", "*=review" };

/* One operation on trait 't<thing>'. */
static void add_trait(struct pk_buf *out, uint64_t *chance, unsigned thing)
{
    const char *op = PICK(chance, verb);
    pk_buf_printf(out, "{'op':'%s','path':'t%u.x'", op, thing);
    if (strcmp(op, "weaken") != 0 && strcmp(op, "retract") != 0) {
        pk_buf_printf(out, ",'value':%s", PICK(chance, value));
        if (below(chance, 3) == 0) {
            pk_buf_printf(out, ",'confidence':0.%u", below(chance, 100));
        }
    }
    if (strcmp(op, "retract") != 0 && below(chance, 2) == 0) {
        pk_buf_printf(out, ",'weight':0.%u", below(chance, 100));
    }
    if ((strcmp(op, "set") == 0 || strcmp(op, "reinforce") == 0) && below(chance, 4) == 0) {
        pk_buf_printf(out, ",'volatility':'%s','metadata':{'m%u':%u}", PICK(chance, volatility),
                      below(chance, 3), below(chance, 9));
    }
    pk_buf_add_text(out, "}");
}

/* Up to three operations, all on what belongs to 'thing'; with 'is_all' also of what belongs to no
 * thing: the one summary, and what is true until what is known is newer. */
static void make_operations(struct pk_buf *out, uint64_t *chance, unsigned thing, bool is_all)
{
    const unsigned count = 1 + below(chance, 3);
    pk_buf_clear(out);
    pk_buf_add_text(out, "[");
    for (unsigned i = 0; i < count; i++) {
        pk_buf_add_text(out, i ? "," : "");
        switch (below(chance, is_all ? 8 : 6)) {
        case 0:
            pk_buf_printf(out, "{'op':'goal','description':'goal %u','confidence':0.%u}", thing,
                          below(chance, 100));
            break;
        case 1:
            pk_buf_printf(out, "{'op':'belief','statement':'belief %u','strength':0.%u}", thing,
                          below(chance, 100));
            break;
        case 6:
            pk_buf_printf(out, "{'op':'now','key':'k%u','value':%u,'ttl':%u}", thing,
                          below(chance, 9), 86400 * (1 + below(chance, 30)));
            break;
        case 7:
            pk_buf_printf(out, "{'op':'summary','summary':'%u of %u'}", below(chance, 9), thing);
            break;
        default:
            add_trait(out, chance, thing);
        }
    }
    pk_buf_add_text(out, "]");
}

/* A made-up history: each observation is of one thing. */
enum { THINGS = 4, EACH = 4, ALL = THINGS * EACH };
struct said {
    unsigned number, thing;
    int64_t after_ms;
    const char *source;
    bool is_person;
    char *operations;
};

static void make_history(struct said *said, uint64_t *chance, bool is_all)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    for (unsigned i = 0; i < ALL; i++) {
        make_operations(&text, chance, i / EACH, is_all);
        said[i] = (struct said){
            .number = i + 1,
            .thing = i / EACH,
            .after_ms = (int64_t)below(chance, 200) * MIND_DAY,
            .source = PICK(chance, source),
            .is_person = below(chance, 8) == 0,
            .operations = pk_strdup(pk_buf_text(&text)),
        };
    }
}

static void free_history(struct said *said)
{
    for (size_t i = 0; i < ALL; i++) {
        pk_free(said[i].operations);
    }
}

static void say(struct mind_bed *bed, const struct said *said)
{
    mind_observe(bed, said->number, said->is_person ? "curation" : said->source, said->after_ms,
                 said->is_person ? NULL : "x", said->operations);
}

/* Another order, in which those of one thing keep theirs. */
static void interleave(const struct said *said, struct said *out, uint64_t *chance)
{
    unsigned at[THINGS] = { 0 };
    for (unsigned i = 0; i < ALL;) {
        const unsigned thing = below(chance, THINGS);
        if (at[thing] < EACH) {
            out[i++] = said[thing * EACH + at[thing]++];
        }
    }
}

/* ---- Comparing ---- */

static void expect_same_part(struct pk_doc *a, struct pk_doc *b, const char *name, uint64_t number)
{
    bson_t left, right;
    bson_iter_t x, y;
    pk_doc_view(a, &left);
    pk_doc_view(b, &right);
    assert_true(bson_iter_init_find(&x, &left, name) && bson_iter_init_find(&y, &right, name));
    if (x.next_off - x.d1 != y.next_off - y.d1 ||
        memcmp(x.raw + x.d1, y.raw + y.d1, x.next_off - x.d1) != 0) {
        char *p = bson_as_relaxed_extended_json(&left, NULL);
        char *q = bson_as_relaxed_extended_json(&right, NULL);
        print_message("%s\n%s\n", p, q);
        bson_free(p);
        bson_free(q);
        fail_msg("case %llu: '%s' differs", (unsigned long long)number, name);
    }
}

static void expect_same(struct pk_doc *a, struct pk_doc *b, uint64_t number)
{
    if (pk_doc_size(a) != pk_doc_size(b) ||
        memcmp(pk_doc_data(a), pk_doc_data(b), pk_doc_size(a)) != 0) {
        fail_msg("case %llu: other bytes", (unsigned long long)number);
    }
}

/* ---- The laws ---- */

TEST(the_order_of_observations_of_different_things_leaves_no_trace)
{
    for (uint64_t number = 1; number <= CASES; number++) {
        uint64_t chance = number * 0x9E3779B97F4A7C15u;
        struct said said[ALL], other[ALL];
        MIND(one, policy[number % PK_COUNT(policy)]);
        MIND(two, policy[number % PK_COUNT(policy)]);
        make_history(said, &chance, false);
        interleave(said, other, &chance);
        for (size_t i = 0; i < ALL; i++) {
            say(&one, &said[i]);
            say(&two, &other[i]);
            if (i % 5 == 4) {
                mind_again(&two); /* Nor does writing and reading. */
            }
        }
        expect_same_part(mind_doc(&one), mind_doc(&two), "traits", number);
        expect_same_part(mind_doc(&one), mind_doc(&two), "goals", number);
        expect_same_part(mind_doc(&one), mind_doc(&two), "beliefs", number);
        expect_same_part(mind_doc(&one), mind_doc(&two), "lastUpdated", number);
        free_history(said);
    }
}

TEST(the_same_from_the_same_start_gives_the_same_bytes)
{
    for (uint64_t number = 1; number <= CASES / 3; number++) {
        uint64_t chance = number * 0x9E3779B97F4A7C15u;
        struct said said[ALL];
        MIND(one, policy[number % PK_COUNT(policy)]);
        MIND(two, policy[number % PK_COUNT(policy)]);
        make_history(said, &chance, true);
        for (size_t i = 0; i < ALL; i++) {
            say(&one, &said[i]);
            say(&two, &said[i]);
            expect_same(mind_doc(&one), mind_doc(&two), number);
            mind_again(&two);
        }
        free_history(said);
    }
}

TEST(what_is_taken_back_leaves_no_trace)
{
    for (uint64_t number = 1; number <= CASES / 3; number++) {
        uint64_t chance = number * 0x9E3779B97F4A7C15u;
        struct said said[ALL];
        MIND(bed, policy[number % PK_COUNT(policy)]);
        make_history(said, &chance, true);
        for (size_t i = 0; i < ALL; i++) {
            say(&bed, &said[i]);
        }
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = pk_doc_ref(mind_doc(&bed));
        const size_t changes = pk_mind_change_count(bed.mind);
        const size_t proposals = pk_mind_proposal_count(bed.mind);
        for (size_t i = 0; i < ALL; i++) {
            PK_CLEANUP(pk_freep) char *text = pk_strdup(said[i].operations);
            text[strlen(text) - 1] = '\0';
            PK_CLEANUP(pk_freep) char *operations = pk_strdupf("%s,{'op':'none'}]", text);
            mind_refuse(&bed, "x", operations, "'op' is not");
        }
        expect_same(before, mind_doc(&bed), number);
        assert_int_equal(pk_mind_change_count(bed.mind), changes);
        assert_int_equal(pk_mind_proposal_count(bed.mind), proposals);
        free_history(said);
    }
}

static bool same_bson(const bson_t *a, const bson_t *b)
{
    return a && b ? a->len == b->len && memcmp(bson_get_data(a), bson_get_data(b), a->len) == 0
                  : a == b;
}

static void expect_chain(struct mind_bed *bed, uint64_t number)
{
    bson_t view;
    bson_iter_t iter, item;
    size_t held = 0;
    for (size_t i = 0; i < pk_mind_change_count(bed->mind); i++) {
        const struct pk_trait_change *change = pk_mind_change(bed->mind, i);
        const bson_t *before = NULL;
        if (strcmp(change->path, PK_MIND_REST) == 0) {
            continue;
        }
        for (size_t k = 0; k < i; k++) {
            const struct pk_trait_change *other = pk_mind_change(bed->mind, k);
            if (strcmp(other->path, change->path) == 0) {
                before = other->after;
            }
        }
        if (!same_bson(before, change->before) || same_bson(change->before, change->after)) {
            fail_msg("case %llu: a broken chain", (unsigned long long)number);
        }
        held += (change->after != NULL);
        held -= (change->before != NULL);
    }
    pk_doc_view(mind_doc(bed), &view);
    assert_true(bson_iter_init_find(&iter, &view, "traits") && bson_iter_recurse(&iter, &item));
    while (bson_iter_next(&item)) {
        held--;
        bson_iter_t confidence;
        assert_true(bson_iter_recurse(&item, &confidence) &&
                    bson_iter_find(&confidence, "confidence"));
        assert_true(bson_iter_double(&confidence) >= 0 && bson_iter_double(&confidence) <= 1);
    }
    assert_int_equal(held, 0);
}

TEST(history_is_a_chain_from_nothing_to_what_is_held)
{
    for (uint64_t number = 1; number <= CASES / 3; number++) {
        uint64_t chance = number * 0x9E3779B97F4A7C15u;
        struct said said[ALL];
        MIND(bed, policy[number % PK_COUNT(policy)]);
        make_history(said, &chance, true);
        for (size_t i = 0; i < ALL; i++) {
            say(&bed, &said[i]);
        }
        expect_chain(&bed, number);
        free_history(said);
    }
}

/* As trait_history has it. */
static void make_row(const struct pk_trait_change *change, bson_t *out)
{
    bson_init(out);
    BSON_APPEND_UTF8(out, "path", change->path);
    BSON_APPEND_INT64(out, "seq", change->seq);
    if (change->before) {
        BSON_APPEND_DOCUMENT(out, "before", change->before);
    }
    if (change->after) {
        BSON_APPEND_DOCUMENT(out, "after", change->after);
    }
}

/* Takes back what came behind 'seq'; '*at' changes are left. */
static void take_back(struct pk_mind *mind, const struct mind_bed *bed, int64_t seq, size_t *at)
{
    while (*at > 0 && pk_mind_change(bed->mind, *at - 1)->seq > seq) {
        bson_t row;
        make_row(pk_mind_change(bed->mind, --*at), &row);
        pk_mind_take_back(mind, &row);
        bson_destroy(&row);
    }
}

static bool has_part(const struct pk_doc *doc, const char *name)
{
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(doc, &view);
    return bson_iter_init_find(&iter, &view, name);
}

TEST(history_that_is_taken_back_leaves_what_there_was)
{
    static const char *const part[] = { "traits",    "goals",
                                        "beliefs",   "highVolatileCache",
                                        "narrative", "highVolatileUntil" };
    for (uint64_t number = 1; number <= CASES / 3; number++) {
        uint64_t chance = number * 0x9E3779B97F4A7C15u;
        struct said said[ALL];
        struct pk_doc *was[ALL + 1];
        MIND(bed, policy[number % PK_COUNT(policy)]);
        make_history(said, &chance, true);
        was[0] = pk_doc_ref(mind_doc(&bed));
        for (size_t i = 0; i < ALL; i++) {
            say(&bed, &said[i]);
            was[i + 1] = pk_doc_ref(mind_doc(&bed));
        }
        bson_t view, taken;
        size_t left = pk_mind_change_count(bed.mind);
        pk_doc_view(was[ALL], &view);
        struct pk_mind *mind = pk_mind_open(&view, bed.policies);
        for (size_t i = ALL + 1; i-- > 0;) {
            take_back(mind, &bed, (int64_t)i, &left);
            assert_ok(pk_mind_document(mind, 0, &taken, &bed.err), &bed.err);
            PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = pk_doc_take(&taken);
            for (size_t k = 0; k < PK_COUNT(part); k++) {
                if (has_part(was[i], part[k])) {
                    expect_same_part(was[i], now, part[k], number);
                }
            }
        }
        pk_mind_free(mind);
        for (size_t i = 0; i <= ALL; i++) {
            pk_doc_unref(was[i]);
        }
        free_history(said);
    }
}

static struct pk_doc *essence(struct pk_doc *doc)
{
    bson_t view, out;
    pk_doc_view(doc, &view);
    pk_mind_essence(&view, &out);
    return pk_doc_take(&out);
}

TEST(a_replay_gives_what_was_held_and_its_versions_only_rise)
{
    for (uint64_t number = 1; number <= CASES / 3; number++) {
        uint64_t chance = number * 0x9E3779B97F4A7C15u;
        struct said said[ALL];
        MIND(live, policy[number % PK_COUNT(policy)]);
        make_history(said, &chance, true);
        for (size_t i = 0; i < ALL; i++) {
            say(&live, &said[i]);
        }
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = pk_doc_ref(mind_doc(&live));
        bson_t view;
        pk_doc_view(before, &view);
        struct pk_mind *again = pk_mind_open_again(&view, live.policies);
        pk_mind_free(live.mind);
        live.mind = again;
        for (size_t i = 0; i < ALL; i++) {
            say(&live, &said[i]);
        }
        pk_mind_settle(live.mind);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *one = essence(before);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *two = essence(mind_doc(&live));
        expect_same(one, two, number);
        expect_same_part(before, mind_doc(&live), "versions", number); /* Nothing differs. */
        assert_near(mind_number_at(&live, "version"), pk_doc_number(before, "version", 0) + 1);
        assert_near(mind_number_at(&live, "epoch"), 1);
        free_history(said);
    }
}
