/* mind_say.c - The verbs about traits: what is said is weighed, and the outcome put in its place.
 *
 * What a person removed stays removed: a processor that says it again makes a
 * proposal. What a processor retracted comes back with newer evidence, never
 * with older. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/json.h"

#include <string.h>

static const enum pk_verb verb_of[MIND_VERBS] = {
    [MIND_SET] = PK_VERB_SET,         [MIND_REINFORCE] = PK_VERB_REINFORCE,
    [MIND_WEAKEN] = PK_VERB_WEAKEN,   [MIND_CONTRADICT] = PK_VERB_CONTRADICT,
    [MIND_RETRACT] = PK_VERB_RETRACT, [MIND_PIN] = PK_VERB_PIN,
    [MIND_UNPIN] = PK_VERB_UNPIN,
};

/* Whether the observation under way has changed the trait before: it counts once. */
static bool is_more(const struct pk_mind *mind, const char *path)
{
    for (size_t i = mind->start.notes; i < mind->note_count; i++) {
        if (mind->note[i].kind == MIND_TRAIT && strcmp(mind->note[i].before.key, path) == 0) {
            return true;
        }
    }
    return false;
}

/* The same proposal has the same id, whichever observation makes it: a person is asked once. A
 * number that moves is one proposal. */
static void name_proposal(const struct pk_mind *mind, const char *path, const bson_t *proposed,
                          char out[PK_UUID_TEXT])
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_t value = BSON_INITIALIZER;
    bson_iter_t field;

    if (bson_iter_init_find(&field, proposed, "value") && !BSON_ITER_HOLDS_DOUBLE(&field) &&
        !BSON_ITER_HOLDS_INT(&field)) {
        (void)bson_append_iter(&value, "v", 1, &field);
    }
    (void)pk_json_write(&text, &value, PK_JSON_CANONICAL, NULL);
    bson_destroy(&value);
    PK_CLEANUP(pk_freep) char *what = pk_strdupf("%s=%s", path, pk_buf_text(&text));
    pk_mind_id(out, mind->person, "review", what, 0);
}

static void propose(struct pk_mind *mind, const struct mind_operation *operation,
                    const struct mind_thing *held, const bson_t *proposed, const char *why)
{
    const char *reason = mind_text(operation, "reason");
    struct pk_proposal proposal = {
        .path = operation->path,
        .reason = reason ? mind_cut(mind, reason, 2000) : why,
        .obs_id = operation->obs[0],
        .current = held ? mind_view(mind, held->doc) : NULL,
        .proposed = mind_view(mind, mind_keep(mind, proposed)),
        .effective_at_ms = mind->evidence.effective_at_ms,
    };
    name_proposal(mind, operation->path, proposed, proposal.id);
    MIND_ROOM(mind, mind->proposal, mind->proposal_count, mind->proposal_capacity);
    mind->proposal[mind->proposal_count++] = proposal;
}

static bool check_room(const struct pk_mind *mind, struct pk_error *err)
{
    if (mind->table[MIND_TRAIT].count >= MIND_TRAITS_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "retract traits that nobody reads",
                       "the person has %d traits already", (int)MIND_TRAITS_MAX);
    }
    return true;
}

/* Details that only the verbs with a value have. */
static void read_details(struct pk_mind *mind, const struct mind_operation *operation,
                         struct pk_said *said)
{
    const char *category = mind_text(operation, "category");
    said->volatility = mind_text(operation, "volatility");
    said->category = category ? mind_cut(mind, category, 200) : NULL;
    said->has_valid_from = mind_instant(operation, "validFrom", &said->valid_from_ms);
}

static bool read_metadata(const struct mind_operation *operation, bson_t *out)
{
    bson_iter_t field;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    if (!bson_iter_init_find(&field, operation->doc, "metadata") ||
        !BSON_ITER_HOLDS_DOCUMENT(&field)) {
        return false;
    }
    bson_iter_document(&field, &size, &data);
    return bson_init_static(out, data, size);
}

static bool put_outcome(struct pk_mind *mind, const struct mind_operation *operation,
                        const struct mind_thing *held, const struct pk_said *said,
                        struct pk_error *err)
{
    static const char disagrees[] = "it disagrees with what is held, and the policy is 'review'";
    static const char removed[] = "a person has removed it";
    struct mind_removal removal = { 0 };
    const char *path = operation->path;
    bson_t held_view, made;

    const bool was_removed = !held && mind_is_removed(mind, "trait", path, &removal);
    if (was_removed && !said->is_person && said->at_ms <= removal.at_ms) {
        return true; /* It was known when that was decided. */
    }
    const bool has_view = held && slice_view(held->doc, &held_view);
    const enum pk_outcome outcome =
        pk_trait_weigh(mind->policies, has_view ? &held_view : NULL, said, &made);
    if (outcome == PK_OUTCOME_REMOVED) {
        mind_put(mind, MIND_TRAIT, path, NULL);
        mind_remember_removal(mind, "trait", path, said->is_person);
        return true;
    }
    if (outcome == PK_OUTCOME_NONE) {
        return true;
    }
    bool is_ok = true;
    if (outcome == PK_OUTCOME_PROPOSED) {
        propose(mind, operation, held, &made, disagrees);
    } else if (was_removed && removal.is_by_person && !said->is_person) {
        propose(mind, operation, NULL, &made, removed);
    } else if (held || check_room(mind, err)) {
        mind_put(mind, MIND_TRAIT, path, &made);
        if (was_removed) {
            mind_forget_removal(mind, "trait", path);
        }
    } else {
        is_ok = false;
    }
    bson_destroy(&made);
    return is_ok;
}

bool mind_say_trait(struct pk_mind *mind, const struct pk_ran *ran,
                    const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    bson_t metadata;
    struct pk_said said = {
        .verb = verb_of[operation->verb],
        .path = operation->path,
        .value = bson_empty(&operation->value) ? NULL : &operation->value,
        .weight = mind_unit(operation, "weight", -1),
        .confidence = mind_unit(operation, "confidence", -1),
        .source_type = ran->processor_id ? mind->evidence.source_type : "curation",
        .is_person = ran->processor_id == NULL,
        .at_ms = mind->evidence.effective_at_ms,
        .obs = operation->obs,
        .obs_count = operation->obs_count,
        .is_more = is_more(mind, operation->path),
    };
    (void)index;
    read_details(mind, operation, &said);
    said.metadata = read_metadata(operation, &metadata) ? &metadata : NULL;
    return put_outcome(mind, operation, mind_find(mind, MIND_TRAIT, operation->path), &said, err);
}

/* The trait becomes exactly what it was: a person takes a decision back. */
bool mind_restore(struct pk_mind *mind, const struct pk_ran *ran,
                  const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    const char *path = operation->path;
    const struct mind_thing *held = mind_find(mind, MIND_TRAIT, path);
    bson_iter_t field, id;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    bson_t trait;

    (void)ran;
    (void)index;
    if (!bson_iter_init_find(&field, operation->doc, "trait") || BSON_ITER_HOLDS_NULL(&field)) {
        if (held) {
            mind_put(mind, MIND_TRAIT, path, NULL);
            mind_remember_removal(mind, "trait", path, true);
        }
        return true;
    }
    bson_iter_document(&field, &size, &data);
    if (!bson_init_static(&trait, data, size) || !bson_iter_init_find(&id, &trait, "id") ||
        strcmp(bson_iter_utf8(&id, NULL), path) != 0) {
        return pk_fail(err, PK_INVALID, "give the trait of that path",
                       "the trait to restore is not '%s'", path);
    }
    if (!held && !check_room(mind, err)) {
        return false;
    }
    mind_put(mind, MIND_TRAIT, path, &trait);
    mind_forget_removal(mind, "trait", path);
    return true;
}
