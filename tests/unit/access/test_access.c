/* test_access.c - The matrix: every action, every capability set, every kind of thing.
 *
 * What is expected is worked out here from the row in another way than
 * access.c does: a list of reasons to refuse, each with its code, of which the
 * first in the order of the contract counts. */
/* SPDX-License-Identifier: MIT */
#include "access/access.h"
#include "base/alloc.h"
#include "base/error.h"
#include "scene.h"

#include <stdio.h>
#include <string.h>

#define ME     "b7a1c0de-0000-4000-8000-00000000000a"
#define SEEN   "b7a1c0de-0000-4000-8000-000000000001"
#define UNSEEN "b7a1c0de-0000-4000-8000-000000000002"

static struct pk_principal *principal_of(const char *capabilities, const char *status,
                                         const char *key_status)
{
    char hash[65];
    memset(hash, 'a', 64);
    hash[64] = '\0';
    bson_t bson = json("{'_id':'" ME "','status':'%s','capabilities':%s,'apiKeys':[{'keyId':'k',"
                       "'keyHash':'%s','status':'%s'}]}",
                       status, capabilities, hash, key_status);
    struct pk_doc *doc = pk_doc_new(&bson);
    bson_destroy(&bson);
    struct pk_principal *principal = pk_principal_new(doc, "k");
    pk_doc_unref(doc);
    assert_non_null(principal);
    return principal;
}

static struct pk_principal *usual(void)
{
    return principal_of("{'maxDetailLevel':'balanced','allowedMappers':['may'],'people':['" SEEN
                        "'],'hiddenPaths':['health']}",
                        "active", "active");
}

static enum pk_code ask(const struct pk_principal *principal, enum pk_action action,
                        const struct pk_object *object)
{
    struct pk_error err = { .code = PK_OK };
    const bool ok = pk_access_check(principal, action, object, &err);
    assert_int_equal(ok, err.code == PK_OK);
    return err.code;
}

static bool text_is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* The same rules, as a list of reasons. */
static enum pk_code expected(const struct pk_action_row *row, unsigned capabilities,
                             bool sees_everyone, const struct pk_object *o)
{
    const bool has = !row->capabilities || (row->capabilities & capabilities);
    const bool own = o && text_is(o->owner, ME);
    const struct {
        bool is_so;
        enum pk_code code;
    } reason[] = {
        { row->is_public && o && o->is_missing, PK_NOT_FOUND },
        { row->is_public, PK_OK },
        { !has && !(row->needs & PK_OWN_SUFFICES), PK_FORBIDDEN },
        { !has && !o, PK_FORBIDDEN },
        { (row->needs & PK_NEEDS_EVERYONE) && !sees_everyone, PK_FORBIDDEN },
        { (row->needs & PK_NEEDS_DETAIL) && (!o || o->detail == PK_DETAIL_DEEP_DIVE),
          PK_FORBIDDEN },
        { o && o->is_missing, PK_NOT_FOUND },
        { (row->needs & PK_NEEDS_PERSON) && !(o && text_is(o->person, SEEN)), PK_NOT_FOUND },
        { (row->needs & PK_NEEDS_MAPPER) && !(o && text_is(o->mapper, "may")), PK_NOT_FOUND },
        { (row->needs & PK_NEEDS_PATH) && !(o && text_is(o->path, "work.focus")), PK_NOT_FOUND },
        { (row->needs & PK_NEEDS_OWN) && !own, PK_NOT_FOUND },
        { !has && !own, PK_NOT_FOUND },
    };
    for (size_t i = 0; i < PK_COUNT(reason); i++) {
        if (reason[i].is_so) {
            return reason[i].code;
        }
    }
    return PK_OK;
}

/* Every combination of parts, as a number. */
enum { OBJECTS = 3 * 3 * 3 * 3 * 3 * 2 };
static struct pk_object object_of(int number)
{
    static const char *const person[] = { NULL, SEEN, UNSEEN };
    static const char *const mapper[] = { NULL, "may", "may-not" };
    static const char *const path[] = { NULL, "work.focus", "health.sleep" };
    static const char *const owner[] = { NULL, ME, SEEN };
    struct pk_object object = { .person = person[number % 3],
                                .mapper = mapper[number / 3 % 3],
                                .path = path[number / 9 % 3],
                                .owner = owner[number / 27 % 3],
                                .detail = (enum pk_detail)(number / 81 % 3),
                                .is_missing = number / 243 % 2 };
    return object;
}

TEST(the_matrix_of_actions_capabilities_and_things)
{
    struct pk_principal *principal = usual();
    size_t cells = 0, granted = 0;
    for (int action = PK_ACT_NONE + 1; action < PK_ACT_COUNT; action++) {
        const struct pk_action_row *row = pk_action_get((enum pk_action)action);
        assert_non_null(row);
        for (unsigned capabilities = 0; capabilities <= PK_CAN_ALL; capabilities++) {
            principal->capabilities = capabilities;
            for (int number = -1; number < OBJECTS; number++) {
                const struct pk_object object = object_of(number < 0 ? 0 : number);
                const struct pk_object *given = number < 0 ? NULL : &object;
                const enum pk_code want = expected(row, capabilities, false, given);
                const enum pk_code got = ask(principal, (enum pk_action)action, given);
                if (got != want) {
                    fail_msg("%s, capabilities %u, thing %d: %s instead of %s", row->name,
                             capabilities, number, pk_code_name(got), pk_code_name(want));
                }
                cells++;
                granted += got == PK_OK;
            }
        }
    }
    print_message("# %zu cells, %zu of them yes\n", cells, granted);
    pk_principal_unref(principal);
}

TEST(without_a_working_key_all_but_the_public_is_401_whatever_there_is)
{
    struct pk_principal *nobody[] = {
        NULL, principal_of("{'grants':['operate'],'people':['*']}", "suspended", "active"),
        principal_of("{'grants':['operate'],'people':['*']}", "archived", "active"),
        principal_of("{'grants':['operate'],'people':['*']}", "active", "revoked")
    };
    for (size_t i = 0; i < PK_COUNT(nobody); i++) {
        for (int action = PK_ACT_NONE + 1; action < PK_ACT_COUNT; action++) {
            const bool is_public = pk_action_get((enum pk_action)action)->is_public;
            for (int number = 0; number < OBJECTS; number++) {
                const struct pk_object object = object_of(number);
                const enum pk_code want = !is_public          ? PK_UNAUTHORIZED
                                          : object.is_missing ? PK_NOT_FOUND
                                                              : PK_OK;
                assert_int_equal(ask(nobody[i], (enum pk_action)action, &object), want);
            }
        }
        pk_principal_unref(nobody[i]);
    }
}

TEST(hidden_and_missing_are_told_in_the_same_words)
{
    struct pk_principal *principal = usual();
    principal->capabilities = PK_CAN_ALL & ~(unsigned)PK_CAN_OPERATE;
    for (int action = PK_ACT_NONE + 1; action < PK_ACT_COUNT; action++) {
        struct pk_error missing = { 0 };
        const struct pk_object gone = { .person = SEEN, .mapper = "may", .is_missing = true };
        if (pk_access_check(principal, (enum pk_action)action, &gone, &missing) ||
            missing.code != PK_NOT_FOUND) {
            continue;
        }
        for (int number = 0; number < OBJECTS; number++) {
            struct pk_error hidden = { 0 };
            struct pk_object object = object_of(number);
            object.detail = PK_DETAIL_INSTANT;
            if (!pk_access_check(principal, (enum pk_action)action, &object, &hidden)) {
                assert_int_equal(hidden.code, missing.code);
                assert_string_equal(hidden.message, missing.message);
                assert_string_equal(hidden.hint, missing.hint);
            }
        }
    }
    pk_principal_unref(principal);
}

TEST(a_refusal_for_lack_of_capability_does_not_depend_on_the_thing)
{
    struct pk_principal *principal = usual();
    for (int action = PK_ACT_NONE + 1; action < PK_ACT_COUNT; action++) {
        const struct pk_action_row *row = pk_action_get((enum pk_action)action);
        if (!row->capabilities || (row->needs & PK_OWN_SUFFICES)) {
            continue;
        }
        struct pk_error first = { 0 };
        principal->capabilities = PK_CAN_ALL & ~row->capabilities;
        assert_false(pk_access_check(principal, (enum pk_action)action, NULL, &first));
        assert_int_equal(first.code, PK_FORBIDDEN);
        for (int number = 0; number < OBJECTS; number++) {
            struct pk_error other = { 0 };
            const struct pk_object object = object_of(number);
            assert_false(pk_access_check(principal, (enum pk_action)action, &object, &other));
            assert_int_equal(other.code, PK_FORBIDDEN);
            assert_string_equal(first.message, other.message);
        }
    }
    pk_principal_unref(principal);
}

TEST(what_may_not_even_be_asked_is_refused_whatever_it_is_done_to)
{
    struct pk_principal *principal = usual();
    for (int action = PK_ACT_NONE + 1; action < PK_ACT_COUNT; action++) {
        for (unsigned capabilities = 0; capabilities <= PK_CAN_ALL; capabilities++) {
            bool is_ever_granted = false;
            principal->capabilities = capabilities;
            for (int number = 0; number < OBJECTS; number++) {
                const struct pk_object object = object_of(number);
                is_ever_granted |= ask(principal, (enum pk_action)action, &object) == PK_OK;
            }
            is_ever_granted |= ask(principal, (enum pk_action)action, NULL) == PK_OK;
            assert_int_equal(pk_access_may_ask(principal, (enum pk_action)action, NULL),
                             is_ever_granted);
        }
    }
    assert_false(pk_access_may_ask(NULL, PK_ACT_ACTOR_SELF, NULL));
    assert_true(pk_access_may_ask(NULL, PK_ACT_LOOK_PUBLIC, NULL));
    pk_principal_unref(principal);
}

TEST(sets_of_hidden_paths_are_told_apart_whatever_their_order)
{
    static const char *const set[] = { "{}", "{'hiddenPaths':['a','b']}",
                                       "{'hiddenPaths':['b','a']}", "{'hiddenPaths':['ab']}",
                                       "{'hiddenPaths':['*']}" };
    static const uint8_t none[16] = { 0 };
    struct pk_principal *principal[PK_COUNT(set)];
    for (size_t i = 0; i < PK_COUNT(set); i++) {
        principal[i] = principal_of(set[i], "active", "active");
        for (size_t j = 0; j < i; j++) {
            const bool is_same = memcmp(principal[i]->hidden_id, principal[j]->hidden_id, 16) == 0;
            assert_int_equal(is_same, i == 2 && j == 1);
        }
    }
    assert_memory_equal(principal[0]->hidden_id, none, 16);
    for (size_t i = 0; i < PK_COUNT(set); i++) {
        pk_principal_unref(principal[i]);
    }
}

TEST(who_sees_everyone_and_everything_may_diff)
{
    struct pk_principal *principal = principal_of(
        "{'grants':['author_mappers'],'allowedMappers':['*'],'people':['*']}", "active", "active");
    const struct pk_object object = { .mapper = "any" };
    assert_int_equal(ask(principal, PK_ACT_MAPPER_DIFF, &object), PK_OK);
    pk_principal_unref(principal);
    principal = principal_of("{'grants':['author_mappers'],'allowedMappers':['*'],'people':['*'],"
                             "'hiddenPaths':['a']}",
                             "active", "active");
    assert_int_equal(ask(principal, PK_ACT_MAPPER_DIFF, &object), PK_FORBIDDEN);
    pk_principal_unref(principal);
}

TEST(what_is_no_action_is_refused)
{
    struct pk_principal *principal = usual();
    principal->capabilities = PK_CAN_ALL;
    assert_int_equal(ask(principal, PK_ACT_NONE, NULL), PK_FORBIDDEN); /* What forgot to say. */
    assert_int_equal(ask(NULL, PK_ACT_NONE, NULL), PK_FORBIDDEN);
    assert_false(pk_access_may_ask(principal, PK_ACT_NONE, NULL));
    assert_int_equal(ask(principal, PK_ACT_COUNT, NULL), PK_FORBIDDEN);
    assert_int_equal(ask(principal, (enum pk_action) - 1, NULL), PK_FORBIDDEN);
    assert_int_equal(ask(principal, (enum pk_action)100000, NULL), PK_FORBIDDEN);
    pk_principal_unref(principal);
}

TEST(every_action_has_a_name_of_its_own_and_its_help)
{
    for (int action = PK_ACT_NONE + 1; action < PK_ACT_COUNT; action++) {
        const struct pk_action_row *row = pk_action_get((enum pk_action)action);
        assert_int_equal(pk_action_find(row->name), action);
        assert_true(row->help && row->help[strlen(row->help) - 1] == '.');
        assert_true(row->noun && *row->noun);
        assert_int_equal(row->capabilities & ~(unsigned)PK_CAN_ALL, 0);
        assert_true(!row->is_public || (row->capabilities == 0 && row->needs == 0));
    }
    assert_int_equal(pk_action_find("fly"), PK_ACT_COUNT);
    assert_true(pk_action_get(PK_ACT_LOOK_PUBLIC)->is_public);
    for (int action = PK_ACT_LOOK_PUBLIC + 1; action < PK_ACT_COUNT; action++) { /* Nothing else. */
        assert_false(pk_action_get((enum pk_action)action)->is_public);
    }
}

TEST(every_capability_has_one_name)
{
    for (unsigned bit = 1; bit & PK_CAN_ALL; bit <<= 1) {
        const enum pk_capability capability = (enum pk_capability)bit;
        assert_int_equal(pk_capability_find(pk_capability_name(capability)), capability);
        assert_non_null(pk_capability_help(capability));
    }
    assert_int_equal(pk_capability_find("fly"), 0);
}

TEST(a_word_that_grants_nothing_grants_nothing)
{
    struct pk_principal *principal =
        principal_of("{'canRequestPersonas':'yes','grants':['request_personas','all','*',7],"
                     "'maxDetailLevel':'everything','allowedMappers':'*','people':[['*']]}",
                     "active", "active");
    assert_int_equal(principal->capabilities, 0);
    assert_int_equal(principal->max_detail, PK_DETAIL_INSTANT);
    assert_false(pk_principal_may_use(principal, "any"));
    pk_principal_unref(principal);
}

TEST(a_hidden_path_hides_what_is_below_and_not_its_neighbours)
{
    struct pk_principal *principal =
        principal_of("{'hiddenPaths':['work','health.sleep']}", "active", "active");
    assert_true(pk_principal_hides(principal, "work"));
    assert_true(pk_principal_hides(principal, "work.focus.peak"));
    assert_false(pk_principal_hides(principal, "workshop"));
    assert_true(pk_principal_hides(principal, "health.sleep.hours"));
    assert_false(pk_principal_hides(principal, "health"));
    assert_true(pk_principal_hides_within(principal, "health"));
    assert_false(pk_principal_hides_within(principal, "mood"));
    pk_principal_unref(principal);
}
