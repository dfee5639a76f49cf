/* write.c - Lists of writes: whole or not at all, versions, conflicts, counts, expects, limits. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include <string.h>

/* ---- Versions ---- */

TEST(every_replace_gives_a_version_that_the_id_never_had)
{
    BED(bed);
    bed_open(&bed);
    int64_t seen[12];
    seen[0] = put(&bed, "guards", doc("{'_id':'a','n':0}"));
    for (int i = 1; i < 12; i++) {
        LIST(list);
        if (i % 4 == 3) { /* Deleted and made again: still a new one. */
            LIST(gone);
            pk_writes_delete(&gone, "guards", "a", seen[i - 1]);
            must_commit(&bed, &gone, NULL);
            add_insert(&list, "guards", doc("{'_id':'a','n':%d}", i));
        } else {
            add_replace(&list, "guards", doc("{'_id':'a','n':%d}", i), seen[i - 1]);
        }
        must_commit(&bed, &list, NULL);
        seen[i] = list.write[0].version;
        assert_int_equal(seen[i], version_of(&bed, "guards", "a"));
        for (int j = 0; j < i; j++) {
            assert_true(seen[i] > 0 && seen[i] != seen[j]);
        }
    }
}

TEST(the_version_that_is_foretold_is_the_one_that_is_stored)
{
    BED(bed);
    bed_open(&bed);
    int64_t before = 0;
    for (int i = 0; i < 6; i++) {
        LIST(list);
        if (i % 2 == 0) { /* Made anew each time: never a version it had. */
            add_insert(&list, "guards", doc("{'_id':'a','n':%d}", i));
        } else {
            add_replace(&list, "guards", doc("{'_id':'a','n':%d}", i), before);
        }
        const int64_t told = pk_writes_version(&list, 0);
        assert_int_equal(pk_writes_version(&list, 0), told);
        assert_true(told > 0 && told != before);
        must_commit(&bed, &list, NULL);
        assert_int_equal(version_of(&bed, "guards", "a"), told);
        assert_int_equal(list.write[0].version, told);
        before = told;
        if (i % 2 == 1) {
            LIST(gone);
            pk_writes_delete(&gone, "guards", "a", told);
            must_commit(&bed, &gone, NULL);
        }
    }
}

TEST(a_list_that_is_sent_again_foretells_anew)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    add_insert(&list, "guards", doc("{'_id':'a'}"));
    const int64_t first = pk_writes_version(&list, 0);
    must_commit(&bed, &list, NULL);
    LIST(gone);
    pk_writes_delete(&gone, "guards", "a", first);
    must_commit(&bed, &gone, NULL);
    must_commit(&bed, &list, NULL);
    assert_true(version_of(&bed, "guards", "a") != first);
}

static void expect_conflict(struct bed *bed, struct pk_writes *list, int write, const char *index)
{
    struct pk_error err = { 0 };
    struct pk_commit out = { 0 };
    assert_false(commit(bed, list, &out, &err));
    assert_code(&err, PK_CONFLICT);
    assert_int_equal(out.conflict_write, write);
    assert_string_equal(out.conflict_index, index);
}

TEST(a_replace_or_delete_of_another_version_conflicts_and_names_the_write)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "guards", doc("{'_id':'a','n':1}"));
    LIST(list);
    add_insert(&list, "guards", doc("{'_id':'b'}"));
    add_replace(&list, "guards", doc("{'_id':'a','n':2}"), version + 7);
    expect_conflict(&bed, &list, 1, "");
    pk_writes_clear(&list);
    pk_writes_delete(&list, "guards", "a", version + 7);
    expect_conflict(&bed, &list, 0, "");
    pk_writes_clear(&list);
    pk_writes_delete(&list, "guards", "none", version);
    expect_conflict(&bed, &list, 0, "");
    pk_writes_clear(&list);
    add_replace(&list, "guards", doc("{'_id':'none'}"), version);
    expect_conflict(&bed, &list, 0, "");
    assert_int_equal(version_of(&bed, "guards", "a"), version);
    assert_int_equal(count_docs(&bed, "guards"), 1);
}

TEST(an_insert_of_an_id_that_is_there_conflicts)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "guards", doc("{'_id':'a','n':1}"));
    LIST(list);
    add_insert(&list, "things", doc("{'_id':'t'}"));
    add_insert(&list, "guards", doc("{'_id':'a','n':2}"));
    expect_conflict(&bed, &list, 1, "_id");
    assert_int_equal(version_of(&bed, "guards", "a"), version);
    assert_int_equal(version_of(&bed, "things", "t"), 0);
}

TEST(a_list_that_conflicted_may_be_sent_again)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "guards", doc("{'_id':'a'}"));
    LIST(list);
    add_insert(&list, "guards", doc("{'_id':'a','n':2}"));
    add_insert(&list, "guards", doc("{'_id':'b','n':2}"));
    expect_conflict(&bed, &list, 0, "_id");
    LIST(gone);
    pk_writes_delete(&gone, "guards", "a", version);
    must_commit(&bed, &gone, NULL);
    must_commit(&bed, &list, NULL);
    assert_int_equal(count_docs(&bed, "guards"), 2);
}

/* ---- Whole or not at all ---- */

TEST(a_list_over_many_collections_is_whole_or_not_at_all)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "guards", doc("{'_id':'old','n':1}"));
    const int64_t doomed = put(&bed, "things", doc("{'_id':'doomed'}"));
    (void)put(&bed, "uniques", doc("{'_id':'u','slug':'u','email':'a@b.c'}"));
    LIST(list);
    add_insert(&list, "things", doc("{'_id':'new','tags':['x']}"));
    add_replace(&list, "guards", doc("{'_id':'old','n':2}"), version);
    pk_writes_delete(&list, "things", "doomed", doomed);
    pk_writes_count(&list, "uniques", "u", &(struct pk_count){ .path = "uses", .amount = 1 }, 1);
    add_announce(&list, doc("{'_id':'e1','type':'x'}"));
    add_insert(&list, "uniques", doc("{'_id':'v','slug':'v','email':'a@b.c'}")); /* Objects. */
    expect_conflict(&bed, &list, 5, "one_email");

    DOC(unique);
    unique = get(&bed, "uniques", "u");
    assert_int_equal(pk_doc_int(unique, "uses", -1), -1);
    assert_int_equal(version_of(&bed, "things", "new"), 0);
    assert_int_equal(version_of(&bed, "guards", "old"), version);
    assert_int_equal(version_of(&bed, "things", "doomed"), doomed);
    assert_int_equal(version_of(&bed, "events", "e1"), 0);
    expect_find(&bed,
                &(struct pk_query){ .collection = "things",
                                    .index = "by_tag",
                                    .equal = { PK_TEXT("x") },
                                    .equal_count = 1 },
                "");
}

TEST(a_thousand_writes_are_one_list_and_one_more_is_refused)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    for (int i = 0; i < PK_WRITES_MAX; i++) {
        add_insert(&list, "guards", doc("{'_id':'w%04d'}", i));
    }
    must_commit(&bed, &list, NULL);
    assert_int_equal(count_docs(&bed, "guards"), PK_WRITES_MAX);
    struct pk_error err = { 0 };
    add_insert(&list, "guards", doc("{'_id':'one more'}"));
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_TOO_LARGE);
    assert_non_null(err.hint);
}

TEST(an_empty_list_commits)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    must_commit(&bed, &list, NULL);
}

TEST(what_breaks_a_schema_or_a_rule_is_refused_and_nothing_is_written)
{
    BED(bed);
    bed_open(&bed);
    struct pk_error err = { 0 };
    LIST(list);
    add_insert(&list, "guards", doc("{'_id':'fine'}"));
    add_insert(&list, "typed", doc("{'_id':'bad','score':1.5,'unknown':1}"));
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_INVALID);
    assert_non_null(strstr(err.message, "score"));
    assert_int_equal(version_of(&bed, "guards", "fine"), 0);

    pk_writes_clear(&list);
    add_insert(&list, "nowhere", doc("{'_id':'x'}"));
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_INVALID);

    pk_writes_clear(&list);
    add_insert(&list, "guards", doc("{'no_id':1}"));
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_INVALID);

    pk_writes_clear(&list);
    pk_writes_expect_absent(&list, "things", "x"); /* Not guarded. */
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_INVALID);
    assert_true(try_insert(&bed, "typed", doc("{'_id':'good','score':0.5}"), NULL, &err));
}

/* ---- Unique indexes ---- */

TEST(each_kind_of_unique_index_objects_by_name)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "uniques",
              doc("{'_id':'a','slug':'s','number':1,'email':'e','group':'g','status':'active'}"));
    (void)put(&bed, "uniques",
              doc("{'_id':'a2','slug':'s','number':2,'group':'g','status':'old',"
                  "'isDefault':true}"));
    (void)put(&bed, "things", doc("{'_id':'t','keys':[{'keyId':'k1'},{'keyId':'k2'}]}"));
    static const struct {
        const char *collection, *json, *index;
    } clash[] = {
        { "uniques", "{'_id':'b','slug':'s','number':1}", "one_slug" },
        { "uniques", "{'_id':'b','slug':'z','number':1,'email':'e'}", "one_email" },
        { "uniques", "{'_id':'b','slug':'z','number':1,'group':'g','status':'active'}",
          "one_active" },
        { "uniques", "{'_id':'b','slug':'z','number':1,'group':'g','isDefault':true}",
          "one_default" },
        { "things", "{'_id':'b','keys':[{'keyId':'k3'},{'keyId':'k2'}]}", "one_key_id" },
    };
    for (size_t i = 0; i < PK_COUNT(clash); i++) {
        LIST(list);
        add_insert(&list, clash[i].collection, doc("%s", clash[i].json));
        expect_conflict(&bed, &list, 0, clash[i].index);
    }
    /* None of these is in the way of the same index. */
    (void)put(&bed, "uniques", doc("{'_id':'c','slug':'s','number':3,'group':'g','status':'old'}"));
    (void)put(&bed, "uniques",
              doc("{'_id':'d','slug':'s','number':4,'group':'g','isDefault':false}"));
    (void)put(&bed, "uniques",
              doc("{'_id':'f','slug':'s','number':5,'group':'h','status':'active'}"));
    (void)put(&bed, "uniques", doc("{'_id':'n1','slug':'s','number':6,'email':null}"));
    (void)put(&bed, "uniques", doc("{'_id':'n2','slug':'s','number':7,'email':null}"));
    (void)put(&bed, "things", doc("{'_id':'v','keys':[]}"));
    (void)put(&bed, "things", doc("{'_id':'w','keys':[]}"));
    (void)put(&bed, "things", doc("{'_id':'x'}"));
}

TEST(a_replace_into_a_taken_key_conflicts_and_a_freed_key_is_free)
{
    BED(bed);
    bed_open(&bed);
    const int64_t a = put(&bed, "uniques", doc("{'_id':'a','slug':'s','number':1,'email':'x'}"));
    const int64_t b = put(&bed, "uniques", doc("{'_id':'b','slug':'s','number':2,'email':'y'}"));
    LIST(list);
    add_replace(&list, "uniques", doc("{'_id':'b','slug':'s','number':2,'email':'x'}"), b);
    expect_conflict(&bed, &list, 0, "one_email");

    /* Itself is not in its own way. */
    pk_writes_clear(&list);
    add_replace(&list, "uniques", doc("{'_id':'b','slug':'s','number':2,'email':'y','n':1}"), b);
    must_commit(&bed, &list, NULL);
    const int64_t b2 = list.write[0].version;

    /* The one list gives the key up and takes it, in this order. */
    pk_writes_clear(&list);
    pk_writes_delete(&list, "uniques", "a", a);
    add_replace(&list, "uniques", doc("{'_id':'b','slug':'s','number':2,'email':'x'}"), b2);
    must_commit(&bed, &list, NULL);
    expect_find(&bed,
                &(struct pk_query){ .collection = "uniques",
                                    .index = "one_email",
                                    .equal = { PK_TEXT("x") },
                                    .equal_count = 1 },
                "b");
}

TEST(the_active_one_of_a_group_is_changed_in_one_list)
{
    BED(bed);
    bed_open(&bed);
    const int64_t one = put(
        &bed, "uniques", doc("{'_id':'v1','slug':'m','number':1,'group':'g','status':'active'}"));
    const int64_t two = put(&bed, "uniques",
                            doc("{'_id':'v2','slug':'m','number':2,'group':'g','status':'draft'}"));
    LIST(list);
    add_replace(&list, "uniques",
                doc("{'_id':'v1','slug':'m','number':1,'group':'g','status':'old'}"), one);
    add_replace(&list, "uniques",
                doc("{'_id':'v2','slug':'m','number':2,'group':'g','status':'active'}"), two);
    must_commit(&bed, &list, NULL);
    expect_find(&bed,
                &(struct pk_query){ .collection = "uniques",
                                    .index = "one_active",
                                    .equal = { PK_TEXT("g") },
                                    .equal_count = 1 },
                "v2");
}

/* ---- Counts ---- */

TEST(counts_add_and_raise_and_change_no_version)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version =
        put(&bed, "things", doc("{'_id':'a','use':{'n':5},'x':1.5,'seen':{'$date':2000}}"));
    const struct pk_count count[] = {
        { .path = "use.n", .amount = 3 },
        { .path = "use.fresh.deep", .amount = 2 },
        { .path = "x", .amount = 1 },
        { .path = "seen", .is_date = true, .amount = 3000 },
        { .path = "use.last", .is_date = true, .amount = 4000 },
        { .path = "use.by", .text = "ann" },
        { .path = "who.last", .text = "ann" },
    };
    LIST(list);
    pk_writes_count(&list, "things", "a", count, PK_COUNT(count));
    must_commit(&bed, &list, NULL);
    pk_writes_clear(&list);
    const struct pk_count again[] = {
        { .path = "use.n", .amount = -1 },
        { .path = "seen", .is_date = true, .amount = 2500 }, /* Earlier: stays. */
        { .path = "use.by", .text = "bob" },
    };
    pk_writes_count(&list, "things", "a", again, PK_COUNT(again));
    must_commit(&bed, &list, NULL);

    DOC(found);
    found = get(&bed, "things", "a");
    assert_int_equal(pk_doc_version(found), version);
    assert_int_equal(pk_doc_int(found, "use.n", -1), 7);
    assert_int_equal(pk_doc_int(found, "use.fresh.deep", -1), 2);
    assert_true(pk_doc_number(found, "x", -1) == 2.5);
    assert_int_equal(pk_doc_date(found, "seen", -1), 3000);
    assert_int_equal(pk_doc_date(found, "use.last", -1), 4000);
    assert_string_equal(pk_doc_text(found, "use.by"), "bob");
    assert_string_equal(pk_doc_text(found, "who.last"), "ann");

    /* Whoever read it before the counts may still replace it. */
    pk_writes_clear(&list);
    add_replace(&list, "things", doc("{'_id':'a'}"), version);
    must_commit(&bed, &list, NULL);
}

TEST(counts_of_what_is_gone_do_nothing_and_spoil_nothing)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    pk_writes_count(&list, "things", "gone", &(struct pk_count){ .path = "n", .amount = 1 }, 1);
    add_insert(&list, "things", doc("{'_id':'b'}"));
    must_commit(&bed, &list, NULL);
    assert_int_equal(version_of(&bed, "things", "gone"), 0);
    assert_true(version_of(&bed, "things", "b") > 0);
}

TEST(counts_move_indexed_numbers)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "things", doc("{'_id':'a','rank':1}"));
    (void)put(&bed, "things", doc("{'_id':'b','rank':2}"));
    LIST(list);
    pk_writes_count(&list, "things", "a", &(struct pk_count){ .path = "rank", .amount = 5 }, 1);
    must_commit(&bed, &list, NULL);
    expect_find(&bed, &(struct pk_query){ .collection = "things", .index = "by_rank" }, "b a");
}

/* ---- Expects ---- */

TEST(an_expect_holds_the_list_to_what_was_read)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "guards", doc("{'_id':'consent'}"));
    LIST(list);
    pk_writes_expect(&list, "guards", "consent", version);
    add_insert(&list, "things", doc("{'_id':'a'}"));
    must_commit(&bed, &list, NULL);
    assert_int_equal(version_of(&bed, "guards", "consent"),
                     version); /* Expecting is not writing. */

    LIST(change);
    add_replace(&change, "guards", doc("{'_id':'consent','no':true}"), version);
    must_commit(&bed, &change, NULL);
    pk_writes_clear(&list);
    add_insert(&list, "things", doc("{'_id':'b'}"));
    pk_writes_expect(&list, "guards", "consent", version);
    expect_conflict(&bed, &list, 1, "");
    assert_int_equal(version_of(&bed, "things", "b"), 0);
}

TEST(an_expected_absence_holds_and_can_be_broken)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    pk_writes_expect_absent(&list, "guards", "tombstone");
    add_insert(&list, "things", doc("{'_id':'a'}"));
    must_commit(&bed, &list, NULL);
    assert_int_equal(version_of(&bed, "guards", "tombstone"), 0); /* No guard row is ever seen. */
    assert_int_equal(count_docs(&bed, "guards"), 0);

    const int64_t version = put(&bed, "guards", doc("{'_id':'tombstone'}"));
    pk_writes_clear(&list);
    pk_writes_expect_absent(&list, "guards", "tombstone");
    add_insert(&list, "things", doc("{'_id':'b'}"));
    expect_conflict(&bed, &list, 0, "");
    assert_int_equal(version_of(&bed, "things", "b"), 0);

    LIST(gone);
    pk_writes_delete(&gone, "guards", "tombstone", version);
    must_commit(&bed, &gone, NULL);
    must_commit(&bed, &list, NULL);
    assert_true(version_of(&bed, "things", "b") > 0);
}

/* ---- Deciding ---- */

struct decision {
    struct bed *bed;
    int calls;
    int disturb; /* So many times somebody else's write comes first. */
};

static bool decide_add_one(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct decision *decision = context;
    struct pk_doc *found = NULL;
    if (!pk_store_get(decision->bed->store, "guards", "n", 0, &found, err)) {
        return false;
    }
    decision->calls++;
    const int64_t n = pk_doc_int(found, "n", 0);
    if (decision->disturb-- > 0) {
        LIST(other);
        add_replace(&other, "guards", doc("{'_id':'n','n':%d}", (int)n + 100),
                    pk_doc_version(found));
        if (!commit(decision->bed, &other, NULL, err)) {
            pk_doc_unref(found);
            return false;
        }
    }
    add_replace(list, "guards", doc("{'_id':'n','n':%d}", (int)n + 1), pk_doc_version(found));
    pk_doc_unref(found);
    return true;
}

static bool decide_nothing(void *context, struct pk_writes *list, struct pk_error *err)
{
    (void)context;
    (void)list;
    (void)err;
    return true;
}

static bool decide_to_fail(void *context, struct pk_writes *list, struct pk_error *err)
{
    (void)context;
    (void)list;
    return pk_fail(err, PK_FORBIDDEN, NULL, "no");
}

TEST(decide_reads_again_after_a_conflict)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "guards", doc("{'_id':'n','n':0}"));
    struct decision decision = { .bed = &bed, .disturb = 3 };
    struct pk_error err = { 0 };
    struct pk_commit out = { 0 };
    assert_ok(pk_store_decide(bed.store, decide_add_one, &decision, 0, &out, &err), &err);
    assert_int_equal(decision.calls, 4);
    assert_true(out.cursor[0] != '\0');
    DOC(found);
    found = get(&bed, "guards", "n");
    assert_int_equal(pk_doc_int(found, "n", -1), 301);
    assert_ok(pk_store_decide(bed.store, decide_nothing, NULL, 0, NULL, &err), &err);
    assert_false(pk_store_decide(bed.store, decide_to_fail, NULL, 0, NULL, &err));
    assert_code(&err, PK_FORBIDDEN);
}

/* ---- Deadlines ---- */

TEST(what_comes_after_its_deadline_is_not_done)
{
    BED(bed);
    bed_open(&bed);
    const int64_t past = pk_clock_mono_ns(pk_clock_system()) - 1000000;
    struct pk_error err = { 0 };
    LIST(list);
    add_insert(&list, "things", doc("{'_id':'late'}"));
    assert_false(pk_store_commit(bed.store, &list, past, NULL, &err));
    assert_true(err.code == PK_BUSY || err.code == PK_TIMEOUT);
    assert_int_equal(version_of(&bed, "things", "late"), 0);
    must_commit(&bed, &list, NULL);
}
