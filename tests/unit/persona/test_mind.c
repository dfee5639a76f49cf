/* test_mind.c - Operations in, documents out: what each verb leaves behind, whatever the order. */
/* SPDX-License-Identifier: MIT */
#include "mind_bed.h"

#include "base/buf.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/path.h"
#include "doc/schema.h"
#include "persona/mindscape.h"
#include "store/store.h"

#include <string.h>

TEST(an_observation_makes_a_trait_with_its_evidence)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "work_session", 1000, "x",
                 "[{'op':'reinforce','path':'work/focus','value':'deep','weight':0.7}]");
    assert_string_equal(mind_text_at(&bed, "traits.0.id"), "work.focus");
    assert_string_equal(mind_text_at(&bed, "traits.0.category"), "work");
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "deep");
    assert_string_equal(mind_text_at(&bed, "traits.0.dataType"), "categorical");
    assert_near(mind_number_at(&bed, "traits.0.confidence"), 0.7);
    assert_string_equal(mind_text_at(&bed, "traits.0.sources.0.obsId"), mind_obs(&bed, 1));
    assert_near(mind_number_at(&bed, "version"), 1);
    assert_near(mind_number_at(&bed, "seq"), 1);
    assert_near(mind_number_at(&bed, "versions.0.v"), 1);
    assert_string_equal(mind_text_at(&bed, "versions.0.key"), "work.focus");
}

/* ---- Evidence ---- */

#define CONFIDENCE             "traits.0.confidence"
#define SAY(verb, value, more) "[{'op':'" verb "','path':'a','value':" value more "}]"

TEST(equal_words_make_us_surer_and_keep_both_sources)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "chat_log", 0, "x", SAY("reinforce", "'deep'", ""));
    mind_observe(&bed, 2, "chat_log", 0, "x", SAY("reinforce", "'deep'", ",'weight':0.8"));
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.9);
    assert_near(mind_number_at(&bed, "traits.0.sourceCount"), 2);
    assert_string_equal(mind_text_at(&bed, "traits.0.sources.0.obsId"), mind_obs(&bed, 2));
    assert_string_equal(mind_text_at(&bed, "traits.0.sources.1.obsId"), mind_obs(&bed, 1));
}

TEST(confidence_decays_before_it_is_added_to)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.8"));
    mind_observe(&bed, 2, "x", 90 * MIND_DAY, "x", SAY("reinforce", "'deep'", ",'weight':0.5"));
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.7); /* 1 - (1 - 0.4)(1 - 0.5) */
}

TEST(scripts_never_make_us_quite_sure)
{
    MIND(bed, NULL);
    for (unsigned i = 1; i < 40; i++) {
        mind_observe(&bed, i, "x", 0, "x", SAY("reinforce", "'deep'", ",'weight':0.9"));
    }
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.99);
    assert_near(mind_number_at(&bed, "traits.0.sourceCount"), 39);
    assert_true(mind_has(&bed, "traits.0.sources.31"));
    assert_false(mind_has(&bed, "traits.0.sources.32"));
}

TEST(a_confidence_that_is_named_is_a_ceiling)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x",
                 SAY("reinforce", "'deep'", ",'weight':0.9,'confidence':0.6"));
    mind_observe(&bed, 2, "x", 0, "x",
                 SAY("reinforce", "'deep'", ",'weight':0.9,'confidence':0.7"));
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.7);
    mind_observe(&bed, 3, "x", 0, "x",
                 SAY("reinforce", "'deep'", ",'weight':0.9,'confidence':0.1"));
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.7);
}

TEST(a_number_moves_towards_what_is_said)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("reinforce", "90", ",'weight':0.5"));
    mind_observe(&bed, 2, "x", 0, "x", SAY("reinforce", "60", ",'weight':0.5"));
    assert_near(mind_number_at(&bed, "traits.0.value"), 75);
    assert_string_equal(mind_text_at(&bed, "traits.0.dataType"), "numeric");
    mind_observe(&bed, 3, "x", 0, "x", SAY("reinforce", "75", ",'weight':0"));
    assert_near(mind_number_at(&bed, "traits.0.value"), 75);
}

TEST(an_observation_counts_once_however_often_it_speaks)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x",
                 "[{'op':'reinforce','path':'a','value':1},{'op':'reinforce','path':'a','value':2},"
                 "{'op':'reinforce','path':'a','value':3}]");
    assert_near(mind_number_at(&bed, "traits.0.sourceCount"), 1);
    assert_int_equal(pk_mind_change_count(bed.mind), 1);
    assert_null(pk_mind_change(bed.mind, 0)->before);
}

TEST(weakening_takes_confidence_and_leaves_the_value)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.8"));
    mind_observe(&bed, 2, "x", 0, "x", "[{'op':'weaken','path':'a','weight':0.25}]");
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.6);
    mind_observe(&bed, 3, "x", 0, "x", "[{'op':'weaken','path':'nothing'}]");
    assert_near(mind_number_at(&bed, "version"), 2); /* The third changed nothing ... */
    assert_near(mind_number_at(&bed, "seq"), 3);     /* ... and has its place. */
}

TEST(what_is_retracted_comes_back_with_newer_evidence_only)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 1000, "x", SAY("set", "'deep'", ""));
    mind_observe(&bed, 2, "x", 2000, "x", "[{'op':'retract','path':'a'}]");
    assert_false(mind_has(&bed, "traits.0"));
    assert_near(mind_number_at(&bed, "versions.0.v"), 2); /* A removal is a change, too. */
    mind_observe(&bed, 3, "x", 1500, "x", SAY("set", "'deep'", ""));
    assert_false(mind_has(&bed, "traits.0"));
    mind_observe(&bed, 4, "x", 2500, "x", SAY("set", "'deep'", ""));
    assert_true(mind_has(&bed, "traits.0"));
    assert_false(mind_has(&bed, "removed"));
}

/* ---- Who disagrees ---- */

TEST(latest_takes_what_came_last)
{
    MIND(bed, "a=latest");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.9"));
    mind_observe(&bed, 2, "y", 1, "x", SAY("contradict", "'light'", ",'confidence':0.1"));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "light");
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.1);
    assert_near(mind_number_at(&bed, "traits.0.sourceCount"), 1);
}

TEST(strongest_takes_the_surer_one_and_doubts_it_a_little)
{
    MIND(bed, "a=strongest");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.8"));
    mind_observe(&bed, 2, "y", 0, "x", SAY("contradict", "'light'", ",'confidence':0.5"));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "deep");
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.6); /* 0.8 * (1 - 0.5 / 2) */
    mind_observe(&bed, 3, "y", 0, "x", SAY("contradict", "'light'", ",'confidence':0.7"));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "light");
}

TEST(a_source_that_sets_again_is_not_in_conflict_with_itself)
{
    MIND(bed, "a=strongest");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "5", ",'confidence':0.9"));
    mind_observe(&bed, 2, "x", 1, "x", SAY("set", "7", ",'confidence':0.2"));
    assert_near(mind_number_at(&bed, "traits.0.value"), 7);
    mind_observe(&bed, 3, "y", 2, "x", SAY("set", "9", ",'confidence':0.1"));
    assert_near(mind_number_at(&bed, "traits.0.value"), 7);
}

TEST(keep_all_keeps_alternatives_and_the_surest_on_top)
{
    MIND(bed, "a=keep_all");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.6"));
    mind_observe(&bed, 2, "y", 0, "x",
                 SAY("contradict", "'light'", ",'weight':0.5,'confidence':0.5"));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "deep");
    assert_string_equal(mind_text_at(&bed, "traits.0.metadata.alternatives.0.value"), "light");
    mind_observe(&bed, 3, "y", 0, "x", SAY("contradict", "'light'", ",'weight':0.5"));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "light");
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.75);
    assert_string_equal(mind_text_at(&bed, "traits.0.metadata.alternatives.0.value"), "deep");
    assert_near(mind_number_at(&bed, "traits.0.metadata.alternatives.0.confidence"), 0.6);
    assert_false(mind_has(&bed, "traits.0.metadata.alternatives.1"));
}

TEST(alternatives_are_the_eight_surest)
{
    MIND(bed, "a=keep_all");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.95"));
    for (unsigned i = 2; i < 14; i++) {
        char operations[256];
        (void)snprintf(operations, sizeof(operations),
                       "[{'op':'contradict','path':'a','value':'v%u','confidence':0.%02u}]", i, i);
        mind_observe(&bed, i, "y", 0, "x", operations);
    }
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "deep");
    assert_string_equal(mind_text_at(&bed, "traits.0.metadata.alternatives.0.value"), "v13");
    assert_string_equal(mind_text_at(&bed, "traits.0.metadata.alternatives.7.value"), "v6");
    assert_false(mind_has(&bed, "traits.0.metadata.alternatives.8"));
}

TEST(review_leaves_the_trait_and_asks_once)
{
    MIND(bed, "*=review");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'confidence':0.6"));
    mind_observe(&bed, 2, "y", 1, "x", SAY("contradict", "'light'", ",'reason':'he says so'"));
    mind_observe(&bed, 3, "y", 2, "x", SAY("contradict", "'light'", ""));
    mind_observe(&bed, 4, "y", 3, "x", SAY("contradict", "'dark'", ""));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "deep");
    assert_near(mind_number_at(&bed, "version"), 1);
    assert_int_equal(pk_mind_proposal_count(bed.mind), 3);
    const struct pk_proposal *first = pk_mind_proposal(bed.mind, 0);
    assert_string_equal(first->reason, "he says so");
    assert_string_equal(first->path, "a");
    assert_string_equal(first->obs_id, mind_obs(&bed, 2));
    assert_non_null(first->current);
    assert_string_equal(first->id, pk_mind_proposal(bed.mind, 1)->id);
    assert_string_not_equal(first->id, pk_mind_proposal(bed.mind, 2)->id);
}

/* ---- Late evidence, and clocks that jump ---- */

TEST(what_is_late_does_not_undo_what_is_newer)
{
    static const char *const policy[] = { "a=latest", "a=strongest", "a=keep_all" };
    for (size_t i = 0; i < PK_COUNT(policy); i++) {
        MIND(bed, policy[i]);
        mind_observe(&bed, 1, "x", 100 * MIND_DAY, "x", SAY("set", "'deep'", ",'confidence':0.3"));
        mind_observe(&bed, 2, "y", 0, "x", SAY("set", "'light'", ",'confidence':0.95"));
        assert_string_equal(mind_text_at(&bed, "traits.0.value"), "deep");
        assert_true(pk_doc_date(mind_doc(&bed), "traits.0.updatedAt", 0) ==
                    MIND_EPOCH + 100 * MIND_DAY);
        assert_true(pk_doc_date(mind_doc(&bed), "lastUpdated", 0) == MIND_EPOCH + 100 * MIND_DAY);
        mind_observe(&bed, 3, "y", 0, "x", "[{'op':'retract','path':'a'}]");
        assert_true(mind_has(&bed, "traits.0"));
    }
}

TEST(what_is_late_and_agrees_counts_less)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 90 * MIND_DAY, "x", SAY("set", "'deep'", ",'confidence':0.5"));
    mind_observe(&bed, 2, "x", 0, "x", SAY("reinforce", "'deep'", ",'weight':0.8"));
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.7); /* Its weight is 0.4 by now. */
}

/* ---- People ---- */

TEST(what_a_person_sets_no_processor_overwrites)
{
    MIND(bed, "*=latest");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ""));
    mind_observe(&bed, 2, "curation", 1, NULL, SAY("set", "'light'", ""));
    assert_near(mind_number_at(&bed, CONFIDENCE), 1);
    mind_observe(&bed, 3, "x", 2, "x", SAY("set", "'deep'", ",'confidence':0.99"));
    mind_observe(&bed, 4, "x", 3, "x", "[{'op':'weaken','path':'a'},{'op':'retract','path':'a'}]");
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "light");
    assert_near(mind_number_at(&bed, CONFIDENCE), 1);
    assert_string_equal(mind_text_at(&bed, "traits.0.metadata.alternatives.0.value"), "deep");
    mind_observe(&bed, 5, "curation", 4, NULL, SAY("set", "'dark'", ",'confidence':0.4"));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "dark");
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.4);
    assert_false(mind_has(&bed, "traits.0.metadata"));
}

TEST(a_person_is_never_late)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 1000, "x", SAY("set", "'deep'", ""));
    mind_observe(&bed, 2, "curation", 10, NULL, SAY("set", "'light'", ""));
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "light");
    assert_true(pk_doc_date(mind_doc(&bed), "traits.0.updatedAt", 0) == MIND_EPOCH + 1000);
}

TEST(what_is_pinned_stays_and_numbers_do_not_drift)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "90", ",'confidence':0.5"));
    mind_observe(&bed, 2, "curation", 0, NULL, "[{'op':'pin','path':'a'}]");
    for (unsigned i = 3; i < 9; i++) {
        mind_observe(&bed, i, "x", i, "x", SAY("reinforce", "30", ""));
    }
    assert_near(mind_number_at(&bed, "traits.0.value"), 90);
    assert_near(mind_number_at(&bed, "traits.0.metadata.alternatives.0.value"), 30);
    assert_false(mind_has(&bed, "traits.0.metadata.alternatives.1"));
    mind_observe(&bed, 9, "curation", 500 * MIND_DAY, NULL, "[{'op':'unpin','path':'a'}]");
    assert_near(mind_number_at(&bed, CONFIDENCE), 0.5); /* It decays from here on. */
    assert_true(pk_doc_date(mind_doc(&bed), "traits.0.updatedAt", 0) ==
                MIND_EPOCH + 500 * MIND_DAY);
}

TEST(what_a_person_removed_is_proposed_not_brought_back)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ""));
    mind_observe(&bed, 2, "curation", 1, NULL, "[{'op':'retract','path':'a'}]");
    mind_again(&bed);
    mind_observe(&bed, 3, "x", 5, "x", SAY("set", "'deep'", ""));
    assert_false(mind_has(&bed, "traits.0"));
    assert_int_equal(pk_mind_proposal_count(bed.mind), 1);
    assert_null(pk_mind_proposal(bed.mind, 0)->current);
    mind_observe(&bed, 4, "curation", 6, NULL, SAY("set", "'deep'", ""));
    assert_true(mind_has(&bed, "traits.0"));
}

TEST(a_trait_is_restored_to_the_byte)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ",'metadata':{'k%2Ek':[1,{}]}"));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = pk_doc_ref(mind_doc(&bed));
    mind_observe(&bed, 2, "curation", 1, NULL, SAY("set", "'light'", ""));

    bson_t view, operations = BSON_INITIALIZER, operation = BSON_INITIALIZER;
    bson_iter_t iter;
    pk_doc_view(before, &view);
    assert_true(pk_path_find(&view, "traits.0", &iter));
    BSON_APPEND_UTF8(&operation, "op", "restore");
    BSON_APPEND_UTF8(&operation, "path", "a");
    (void)bson_append_iter(&operation, "trait", -1, &iter);
    BSON_APPEND_DOCUMENT(&operations, "0", &operation);
    (void)pk_mind_begin(bed.mind, &(struct pk_evidence){ .obs_id = mind_obs(&bed, 3),
                                                         .source_type = "curation",
                                                         .effective_at_ms = MIND_EPOCH + 2 });
    assert_ok(pk_mind_apply(bed.mind, &(struct pk_ran){ NULL, NULL }, &operations, &bed.err),
              &bed.err);
    pk_mind_end(bed.mind);
    bson_t now;
    bson_iter_t after;
    pk_doc_view(mind_doc(&bed), &now);
    assert_true(pk_path_find(&now, "traits.0", &after));
    assert_true(pk_trait_same_value(&iter, &after));
    bson_destroy(&operation);
    bson_destroy(&operations);
    mind_observe(&bed, 4, "curation", 3, NULL, "[{'op':'restore','path':'a','trait':null}]");
    assert_false(mind_has(&bed, "traits.0"));
}

/* ---- Goals, beliefs, the summary, what is true just now ---- */

TEST(the_same_words_are_the_same_goal)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 5, "x",
                 "[{'op':'goal','description':'Learn Rust','confidence':0.6}]");
    mind_observe(&bed, 2, "x", 9, "x",
                 "[{'op':'goal','description':' learn   rust.','priority':'high'}]");
    assert_false(mind_has(&bed, "goals.1"));
    assert_string_equal(mind_text_at(&bed, "goals.0.description"), "Learn Rust");
    assert_string_equal(mind_text_at(&bed, "goals.0.priority"), "high");
    assert_near(mind_number_at(&bed, "goals.0.confidence"), 0.72); /* 1 - 0.4 * 0.7 */
    assert_string_equal(mind_text_at(&bed, "goals.0.derivedFrom.1"), mind_obs(&bed, 2));
    assert_string_equal(mind_text_at(&bed, "versions.0.kind"), "goals");
}

TEST(people_remove_goals_and_beliefs_for_good)
{
    MIND(bed, NULL);
    char operations[256];
    mind_observe(
        &bed, 1, "x", 5, "x",
        "[{'op':'goal','description':'g'},{'op':'belief','statement':'b','strength':0.9}]");
    (void)snprintf(operations, sizeof(operations), "[{'op':'removeGoal','goalId':'%s'}",
                   mind_text_at(&bed, "goals.0.goalId"));
    const size_t length = strlen(operations);
    (void)snprintf(operations + length, sizeof(operations) - length,
                   ",{'op':'removeBelief','beliefId':'%s'}]",
                   mind_text_at(&bed, "beliefs.0.beliefId"));
    mind_observe(&bed, 2, "curation", 6, NULL, operations);
    mind_observe(&bed, 3, "x", 9, "x",
                 "[{'op':'goal','description':'g'},{'op':'belief','statement':'b'}]");
    assert_false(mind_has(&bed, "goals.0"));
    assert_false(mind_has(&bed, "beliefs.0"));
    mind_observe(&bed, 4, "curation", 10, NULL, "[{'op':'goal','description':'g'}]");
    assert_true(mind_has(&bed, "goals.0"));
}

TEST(a_summary_of_a_person_stands_and_an_older_one_is_left)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 5, "x", "[{'op':'summary','summary':'one','keyThemes':['t']}]");
    mind_observe(&bed, 2, "x", 3, "x", "[{'op':'summary','summary':'older'}]");
    assert_string_equal(mind_text_at(&bed, "narrative.summary"), "one");
    mind_observe(&bed, 3, "curation", 7, NULL, "[{'op':'summary','summary':'mine'}]");
    mind_observe(&bed, 4, "x", 9, "x", "[{'op':'summary','summary':'newer'}]");
    assert_string_equal(mind_text_at(&bed, "narrative.summary"), "mine");
    assert_string_equal(mind_text_at(&bed, "narrative.keyThemes.0"), "t");
}

TEST(what_is_true_just_now_goes_by_itself)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x",
                 "[{'op':'now','key':'mood','value':'calm','ttl':10},{'op':'now','key':'energy',"
                 "'value':3,'ttl':100},{'op':'now','key':'availability','value':true}]");
    assert_string_equal(mind_text_at(&bed, "highVolatileCache.mood"), "calm");
    assert_string_equal(mind_text_at(&bed, "highVolatileCache.availability"), "true");
    assert_true(pk_doc_date(mind_doc(&bed), "highVolatileUntil.mood", 0) == MIND_EPOCH + 10000);
    mind_observe(&bed, 2, "x", 10000, "x", "[]");
    assert_false(mind_has(&bed, "highVolatileCache.mood"));
    assert_near(mind_number_at(&bed, "highVolatileCache.energy"), 3);
    mind_observe(&bed, 3, "x", 5000, "x", "[{'op':'now','key':'mood','value':'late','ttl':2}]");
    assert_false(mind_has(&bed, "highVolatileCache.mood"));
    mind_observe(&bed, 4, "x", 11000, "x", "[{'op':'now','key':'energy','value':null}]");
    assert_false(mind_has(&bed, "highVolatileCache.energy"));
}

TEST(what_lies_elsewhere_is_handed_on_and_touched)
{
    MIND(bed, NULL);
    const char *const *name = NULL;
    mind_observe(
        &bed, 1, "x", 0, "x",
        "[{'op':'set','path':'a','value':1},{'op':'narrative','text':'t','traits':['a','b'],"
        "'linkType':'supports'},{'op':'remember','key':'role','value':'cook'},"
        "{'op':'learn','content':'c'},{'op':'node','label':'n'},"
        "{'op':'edge','source':'self','target':'n','edgeType':'knows'}]");
    assert_int_equal(pk_mind_joined_count(bed.mind), 5);
    assert_string_equal(mind_text_at(&bed, "traits.0.links.0.narrativeId"),
                        pk_mind_joined(bed.mind, 0)->id);
    assert_int_equal(pk_mind_touched(bed.mind, &name), 5);
    assert_string_equal(name[0], "graph");
    assert_string_equal(name[1], "hot:role");
    assert_string_equal(name[2], "narratives");
    assert_string_equal(name[3], "trait:a");
    assert_string_equal(name[4], "warm");
}

/* ---- Versions ---- */

TEST(a_version_is_given_once_an_observation_and_only_to_what_changed)
{
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x",
                 "[{'op':'set','path':'a','value':1},"
                 "{'op':'set','path':'b','value':1}]");
    mind_observe(&bed, 2, "x", 0, "x", "[{'op':'set','path':'b','value':2}]");
    assert_near(mind_number_at(&bed, "version"), 2);
    assert_near(mind_number_at(&bed, "versions.0.v"), 1);
    assert_near(mind_number_at(&bed, "versions.1.v"), 2);
    pk_mind_touch(bed.mind, "consent", NULL);
    pk_mind_touch(bed.mind, "hot", "role");
    assert_near(mind_number_at(&bed, "version"), 3);
    mind_again(&bed);
    pk_mind_touch(bed.mind, "consent", NULL);
    assert_near(mind_number_at(&bed, "version"), 4);
}

TEST(lines_of_what_is_gone_fold_into_the_floor)
{
    MIND(bed, NULL);
    for (unsigned i = 1; i <= 2100; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "k%u", i);
        mind_again(&bed);
        pk_mind_touch(bed.mind, "hot", key);
        if (i % 500 != 0 && i < 2090) {
            continue; /* mind_again checks the document each time anyway. */
        }
    }
    assert_near(mind_number_at(&bed, "floor"), 100);
    assert_true(mind_has(&bed, "versions.2000")); /* 2,000, and that there are facts. */
    assert_false(mind_has(&bed, "versions.2001"));
}

/* ---- What is wrong ---- */

TEST(a_wrong_operation_takes_back_the_others_and_is_named)
{
    static const struct {
        const char *operations, *words;
    } row[] = {
        { "[{'op':'set','path':'a','value':1},{'op':'fly'}]", "operation 2: 'op' is not" },
        { "[7]", "operation 1: it is no object" },
        { "[{'path':'a'}]", "'op' is not" },
        { "[{'op':'set','path':'a'}]", "'set' has no 'value'" },
        { "[{'op':'set','path':'a','value':null}]", "'value' of 'set'" },
        { "[{'op':'set','path':'a b','value':1}]", "'path' of 'set'" },
        { "[{'op':'set','path':'','value':1}]", "'path' of 'set'" },
        { "[{'op':'set','path':'a','value':1,'weight':2}]", "'weight' of 'set'" },
        { "[{'op':'set','path':'a','value':1,'weight':-0.1}]", "'weight' of 'set'" },
        { "[{'op':'set','path':'a','value':1,'volatility':'some'}]", "'volatility' of 'set'" },
        { "[{'op':'set','path':'a','value':1,'wait':1}]", "'set' has no field 'wait'" },
        { "[{'op':'set','path':'a','value':1,'derivedFrom':['x']}]", "'derivedFrom'" },
        { "[{'op':'set','path':'a','value':1,'derivedFrom':'x'}]", "'derivedFrom'" },
        { "[{'op':'set','path':'a','value':1,'validFrom':'soon'}]", "'validFrom' of 'set'" },
        { "[{'op':'pin','path':'a'}]", "'pin' is for people" },
        { "[{'op':'removeGoal','goalId':'x'}]", "'removeGoal' is for people" },
        { "[{'op':'restore','path':'a','trait':null}]", "'restore' is for people" },
        { "[{'op':'goal','description':''}]", "'description' of 'goal'" },
        { "[{'op':'now','key':'k','value':1,'ttl':0.5}]", "'ttl' of 'now'" },
        { "[{'op':'now','key':'mood','value':{'a':1}}]", "'mood' is not a text" },
        { "[{'op':'narrative','text':'t','traits':['a b']}]", "'traits' of 'narrative'" },
        { "[{'op':'edge','source':'a','target':'b'}]", "'edge' has no 'edgeType'" },
    };
    MIND(bed, NULL);
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ""));
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        mind_refuse(&bed, "x", row[i].operations, row[i].words);
    }
    mind_refuse(&bed, NULL, "[{'op':'restore','path':'a','trait':{'id':'a'}}]", "'trait' of");
}

TEST(a_key_in_another_than_its_stored_form_is_refused)
{
    MIND(bed, NULL);
    bson_t operations = BSON_INITIALIZER, operation = BSON_INITIALIZER, value = BSON_INITIALIZER;
    BSON_APPEND_INT64(&value, "a.b", 1);
    BSON_APPEND_UTF8(&operation, "op", "set");
    BSON_APPEND_UTF8(&operation, "path", "a");
    BSON_APPEND_DOCUMENT(&operation, "value", &value);
    BSON_APPEND_DOCUMENT(&operations, "0", &operation);
    (void)pk_mind_begin(bed.mind, &(struct pk_evidence){ .obs_id = mind_obs(&bed, 1),
                                                         .source_type = "x",
                                                         .effective_at_ms = MIND_EPOCH });
    assert_false(pk_mind_apply(bed.mind, &(struct pk_ran){ "x", "1.0.0" }, &operations, &bed.err));
    pk_mind_undo(bed.mind);
    bson_destroy(&value);
    bson_destroy(&operation);
    bson_destroy(&operations);
}

TEST(a_mindscape_that_is_too_large_names_its_largest_traits)
{
    MIND(bed, NULL);
    bson_t out;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    for (unsigned i = 0; i < 6; i++) {
        pk_buf_clear(&text);
        pk_buf_printf(&text, "[{'op':'set','path':'big.t%u','value':'", i);
        for (size_t k = 0; k < 700000 + i * 20000; k++) {
            pk_buf_add_char(&text, 'x');
        }
        pk_buf_add_text(&text, "'}]");
        (void)pk_mind_begin(bed.mind, &(struct pk_evidence){ .obs_id = mind_obs(&bed, i + 1),
                                                             .source_type = "x",
                                                             .effective_at_ms = MIND_EPOCH });
        bson_t wrapped, array;
        bson_iter_t iter;
        const uint8_t *data = NULL;
        uint32_t size = 0;
        mind_json(&wrapped, pk_buf_text(&text));
        assert_true(bson_iter_init_find(&iter, &wrapped, "a"));
        bson_iter_array(&iter, &size, &data);
        assert_true(bson_init_static(&array, data, size));
        assert_ok(pk_mind_apply(bed.mind, &(struct pk_ran){ "x", "1.0.0" }, &array, &bed.err),
                  &bed.err);
        pk_mind_end(bed.mind);
        bson_destroy(&wrapped);
    }
    assert_false(pk_mind_document(bed.mind, 0, &out, &bed.err));
    assert_int_equal(bed.err.code, PK_TOO_LARGE);
    assert_non_null(strstr(bed.err.message, "'big.t5' ("));
    assert_non_null(strstr(bed.err.message, "'big.t3' ("));
    assert_null(strstr(bed.err.message, "'big.t1' ("));
}

TEST(ids_are_uuids_and_depend_on_every_part)
{
    char id[6][PK_UUID_TEXT];
    pk_mind_id(id[0], "a", "b", "c", 0);
    pk_mind_id(id[1], "ab", "", "c", 0);
    pk_mind_id(id[2], "a", "bc", "", 0);
    pk_mind_id(id[3], "a", "b", "c", 1);
    pk_mind_id(id[4], "b", "b", "c", 0);
    pk_mind_id(id[5], "a", "b", "c", 0);
    assert_string_equal(id[0], id[5]);
    for (size_t i = 0; i < 5; i++) {
        assert_true(pk_uuid_is_v4(id[i], strlen(id[i])));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(id[i], id[k]);
        }
    }
}

TEST(ids_near_an_observation_begin_as_its_own)
{
    const char *const obs = "0196f2aa-51b3-4c07-8a11-c0ffee000001";
    char id[PK_UUID_TEXT], other[PK_UUID_TEXT];
    pk_mind_id_near(id, obs, "b", "c", 0);
    pk_mind_id_near(other, obs, "b", "c", 1);
    assert_memory_equal(id, obs, strlen("0196f2aa-51b3"));
    assert_memory_equal(other, id, strlen("0196f2aa-51b3-4"));
    assert_string_not_equal(id, other);
    assert_true(pk_uuid_is_v4(id, strlen(id)));
    pk_mind_id_near(id, "no id", "b", "c", 0);
    pk_mind_id(other, "no id", "b", "c", 0);
    assert_string_equal(id, other);
}

/* Two who are parted again are each made anew of what came under either's name: in one epoch, and
 * of one observation while the other's rows are still there. */
TEST(a_change_has_an_id_of_its_own_for_each_person_and_epoch)
{
    static const struct {
        const char *person;
        int64_t epoch;
    } of[] = { { "00000001-0000-4000-8000-0000000000aa", 1 },
               { "00000001-0000-4000-8000-0000000000bb", 1 },
               { "00000001-0000-4000-8000-0000000000bb", 2 } };
    MIND(bed, NULL);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ""));
    const size_t count = pk_mind_change_count(bed.mind);
    for (size_t i = 0; i < PK_COUNT(of); i++) {
        pk_mindscape_add_history(bed.mind, of[i].person, of[i].epoch, 0, count, MIND_EPOCH, &list);
    }
    assert_true(count > 0 && list.count == PK_COUNT(of) * count);
    for (size_t i = 0; i < list.count; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(list.write[i].id, list.write[k].id);
        }
    }
}

TEST(an_observation_that_corrects_itself_counts_once)
{
    MIND(bed, "*=latest");
    mind_observe(&bed, 1, "x", 0, "x",
                 "[{'op':'set','path':'a','value':'x'},{'op':'set','path':'a','value':'y'}]");
    assert_string_equal(mind_text_at(&bed, "traits.0.value"), "y");
    assert_near(mind_number_at(&bed, "traits.0.sourceCount"), 1);
}

TEST(sources_of_one_weight_stand_by_their_ids)
{
    MIND(bed, NULL);
    mind_observe(
        &bed, 1, "x", 0, "x",
        "[{'op':'set','path':'a','value':1,'derivedFrom':["
        "'00000002-0000-4000-8000-00000000000b','00000002-0000-4000-8000-00000000000a']}]");
    assert_string_equal(mind_text_at(&bed, "traits.0.sources.0.obsId"), mind_obs(&bed, 10));
    assert_string_equal(mind_text_at(&bed, "traits.0.sources.1.obsId"), mind_obs(&bed, 11));
}

TEST(an_observation_is_given_up_with_what_its_processors_did)
{
    static const char *const done[] = { "[{'op':'retract','path':'a'},{'op':'goal',"
                                        "'description':'g'},{'op':'learn','content':'c'}]",
                                        "[{'op':'set','path':'b','value':1}]" };
    MIND(bed, "*=review");
    mind_observe(&bed, 1, "x", 0, "x", SAY("set", "'deep'", ""));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = pk_doc_ref(mind_doc(&bed));
    (void)pk_mind_begin(bed.mind, &(struct pk_evidence){ .obs_id = mind_obs(&bed, 2),
                                                         .source_type = "x",
                                                         .effective_at_ms = MIND_EPOCH + 5 });
    for (size_t i = 0; i < PK_COUNT(done); i++) {
        bson_t wrapped, array;
        bson_iter_t iter;
        const uint8_t *data = NULL;
        uint32_t size = 0;
        mind_json(&wrapped, done[i]);
        assert_true(bson_iter_init_find(&iter, &wrapped, "a"));
        bson_iter_array(&iter, &size, &data);
        assert_true(bson_init_static(&array, data, size));
        assert_ok(pk_mind_apply(bed.mind, &(struct pk_ran){ "x", "1.0.0" }, &array, &bed.err),
                  &bed.err);
        bson_destroy(&wrapped);
    }
    assert_int_equal(pk_mind_change_count(bed.mind), 3);
    pk_mind_undo(bed.mind);
    assert_int_equal(pk_mind_change_count(bed.mind), 1);
    assert_int_equal(pk_mind_joined_count(bed.mind), 0);
    struct pk_doc *after = mind_doc(&bed);
    assert_int_equal(pk_doc_size(before), pk_doc_size(after));
    assert_memory_equal(pk_doc_data(before), pk_doc_data(after), pk_doc_size(before));
}

TEST(metadata_is_merged_and_keeps_to_its_room)
{
    MIND(bed, NULL);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    for (unsigned i = 0; i < 6; i++) {
        pk_buf_clear(&text);
        pk_buf_add_text(&text, "[{'op':'set','path':'a','value':1,'metadata':{");
        for (unsigned k = 0; k < 50; k++) {
            pk_buf_printf(&text, "'k%u':%u,", i * 50 + k, k);
        }
        pk_buf_add_text(&text, "'same':1,'alternatives':[1]}}]");
        mind_observe(&bed, i + 1, "x", i, "x", pk_buf_text(&text));
    }
    assert_false(mind_has(&bed, "traits.0.metadata.k100"));
    assert_true(mind_has(&bed, "traits.0.metadata.k101"));
    assert_true(mind_has(&bed, "traits.0.metadata.k299"));
    assert_true(mind_has(&bed, "traits.0.metadata.same"));
    assert_false(mind_has(&bed, "traits.0.metadata.alternatives"));
}
