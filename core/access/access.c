/* access.c - The table of actions, and the one function that reads it.
 *
 * The order of the questions is what keeps secrets: first those that depend on
 * who asks and how (401, 403), then those that depend on the thing (404, with
 * one text for "hidden" and "not there"). A question about the thing must
 * never come before one about who asks, and never have an answer of its own.
 *
 * If you add an action: its name in access.h, a row here. The matrix in
 * tests/unit/access and the reference pages follow. */
/* SPDX-License-Identifier: MIT */
#include "access/access.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

enum {
    OF_PERSON = PK_NEEDS_PERSON,
    OF_TRAIT = PK_NEEDS_PERSON | PK_NEEDS_PATH,
    OF_VIEW = PK_NEEDS_PERSON | PK_NEEDS_MAPPER | PK_NEEDS_DETAIL
};

static const struct pk_action_row action_table[PK_ACT_COUNT] = {
    [PK_ACT_LOOK_PUBLIC] = { "public.look", 0, 0, true, "page",
                             "Ask whether the server lives, and how it is spoken to." },

    [PK_ACT_PERSONA_MAP] = { "persona.map", PK_CAN_REQUEST, OF_VIEW, false, "person or mapper",
                             "Have a persona made of a person by a mapper." },
    [PK_ACT_PERSONA_READ] = { "persona.read", PK_CAN_REQUEST, OF_VIEW, false, "persona",
                              "Read a persona and what explains it." },
    [PK_ACT_PERSONA_LIST] = { "persona.list", PK_CAN_REQUEST, OF_PERSON, false, "person",
                              "See which personas of a person are cached." },
    [PK_ACT_NARRATIVE_SEARCH] = { "narrative.search", PK_CAN_REQUEST | PK_CAN_CURATE, OF_PERSON,
                                  false, "person", "Search the narratives of a person." },
    [PK_ACT_MODEL_EVALUATE] = { "model.evaluate", PK_CAN_REQUEST, OF_PERSON, false, "model",
                                "Have a person's active model evaluated." },
    [PK_ACT_EVENT_STREAM] = { "event.stream", PK_CAN_REQUEST | PK_CAN_CURATE | PK_CAN_OPERATE, 0,
                              false, "stream",
                              "Follow the events of those people whom the actor may see." },
    [PK_ACT_SYNC] = { "sync.run", PK_CAN_REQUEST | PK_CAN_OBSERVE, OF_PERSON, false, "person",
                      "Synchronise a device of a person." },
    [PK_ACT_DEVICE_READ] = { "device.read", PK_CAN_REQUEST | PK_CAN_OBSERVE, OF_PERSON, false,
                             "device", "Read how far a device of a person has got." },
    [PK_ACT_DEVICE_CHANGE] = { "device.change", PK_CAN_REQUEST | PK_CAN_OBSERVE, OF_PERSON, false,
                               "device", "Register or change a device of a person." },

    [PK_ACT_FEEDBACK_WRITE] = { "feedback.write", PK_CAN_FEEDBACK,
                                PK_NEEDS_PERSON | PK_NEEDS_MAPPER, false, "persona",
                                "Send feedback on a persona." },
    [PK_ACT_FEEDBACK_READ] = { "feedback.read", PK_CAN_AUTHOR, PK_NEEDS_MAPPER | PK_OWN_SUFFICES,
                               false, "feedback",
                               "Read feedback on a mapper; everybody may read his own." },

    [PK_ACT_OBSERVATION_WRITE] = { "observation.write", PK_CAN_OBSERVE, OF_PERSON, false, "person",
                                   "Send observations of a person." },
    [PK_ACT_OBSERVATION_READ] = { "observation.read", PK_CAN_CURATE, OF_PERSON | PK_OWN_SUFFICES,
                                  false, "observation",
                                  "Read an observation; everybody may read what he sent." },
    [PK_ACT_OBSERVATION_DECIDE] = { "observation.decide", PK_CAN_APPROVE, OF_PERSON, false,
                                    "observation", "Approve or reject an observation." },
    [PK_ACT_OBSERVATION_FORGET] = { "observation.forget", PK_CAN_CURATE, OF_PERSON, false,
                                    "observation", "Forget an observation and what rested on it." },
    [PK_ACT_NARRATIVE_WRITE] = { "narrative.write", PK_CAN_OBSERVE | PK_CAN_CURATE, OF_PERSON,
                                 false, "person", "Add to the narratives of a person." },
    [PK_ACT_KNOWLEDGE_READ] = { "knowledge.read", PK_CAN_CURATE, OF_PERSON, false, "person",
                                "Read the knowledge layers of a person." },
    [PK_ACT_KNOWLEDGE_WRITE] = { "knowledge.write", PK_CAN_OBSERVE | PK_CAN_CURATE, OF_PERSON,
                                 false, "person", "Add to the knowledge layers of a person." },

    [PK_ACT_REVIEW_READ] = { "review.read", PK_CAN_APPROVE | PK_CAN_CURATE, OF_PERSON, false,
                             "review", "See what waits for a decision." },
    [PK_ACT_REVIEW_DECIDE] = { "review.decide", PK_CAN_APPROVE, OF_PERSON, false, "review",
                               "Approve, decline and undo." },
    [PK_ACT_MINDSCAPE_READ] = { "mindscape.read", PK_CAN_CURATE, OF_PERSON, false, "person",
                                "Read what is known of a person, less hidden traits." },
    [PK_ACT_MINDSCAPE_CHANGE] = { "mindscape.change", PK_CAN_CURATE, OF_PERSON, false, "person",
                                  "Correct what is known of a person." },
    [PK_ACT_TRAIT_READ] = { "trait.read", PK_CAN_CURATE, OF_TRAIT, false, "trait",
                            "Read a trait with its sources and history." },
    [PK_ACT_TRAIT_CHANGE] = { "trait.change", PK_CAN_CURATE, OF_TRAIT, false, "trait",
                              "Correct, pin and unpin a trait." },
    [PK_ACT_CONSENT_READ] = { "consent.read", PK_CAN_CURATE | PK_CAN_APPROVE, OF_PERSON, false,
                              "person", "Read what a person has agreed to." },
    [PK_ACT_CONSENT_CHANGE] = { "consent.change", PK_CAN_APPROVE, OF_PERSON, false, "person",
                                "Record what a person agrees to, or withdraws." },

    [PK_ACT_PERSON_LIST] = { "person.list", PK_CAN_CURATE | PK_CAN_OPERATE, 0, false, "person",
                             "List those people whom the actor may see." },
    [PK_ACT_PERSON_MERGE] = { "person.merge", PK_CAN_OPERATE, OF_PERSON, false, "person",
                              "Merge two people, or undo it; asked once for each." },
    [PK_ACT_PERSON_REPLAY] = { "person.replay", PK_CAN_OPERATE, OF_PERSON, false, "person",
                               "Make a mindscape anew from its observations." },
    [PK_ACT_PERSON_EXPORT] = { "person.export", PK_CAN_OPERATE, OF_PERSON, false, "person",
                               "Export everything there is of a person." },
    [PK_ACT_PERSON_ERASE] = { "person.erase", PK_CAN_OPERATE, OF_PERSON, false, "person",
                              "Erase a person, for good." },
    [PK_ACT_PERSON_ACCESS_LOG] = { "person.access_log", PK_CAN_CURATE | PK_CAN_OPERATE, OF_PERSON,
                                   false, "person", "See who read what of a person." },

    [PK_ACT_MAPPER_LIST] = { "mapper.list", PK_CAN_REQUEST | PK_CAN_AUTHOR, 0, false, "mapper",
                             "List those mappers that the actor may use." },
    [PK_ACT_MAPPER_READ] = { "mapper.read", PK_CAN_REQUEST | PK_CAN_AUTHOR, PK_NEEDS_MAPPER, false,
                             "mapper", "Read a mapper and its versions." },
    [PK_ACT_MAPPER_WRITE] = { "mapper.write", PK_CAN_AUTHOR, PK_NEEDS_MAPPER, false, "mapper",
                              "Save a draft of a mapper." },
    [PK_ACT_MAPPER_ACTIVATE] = { "mapper.activate", PK_CAN_AUTHOR, PK_NEEDS_MAPPER, false, "mapper",
                                 "Activate, deprecate, roll back and try out with a part." },
    [PK_ACT_MAPPER_TRY] = { "mapper.try", PK_CAN_AUTHOR, PK_NEEDS_MAPPER | PK_NEEDS_PERSON, false,
                            "mapper or person", "Run a version on one person, to no effect." },
    [PK_ACT_MAPPER_DIFF] = { "mapper.diff", PK_CAN_AUTHOR, PK_NEEDS_MAPPER | PK_NEEDS_EVERYONE,
                             false, "mapper",
                             "Run two versions on stored mindscapes and see what differs." },
    [PK_ACT_MODEL_READ] = { "model.read", PK_CAN_REQUEST | PK_CAN_AUTHOR, OF_PERSON, false, "model",
                            "Read a person's behavioural models." },
    [PK_ACT_MODEL_WRITE] = { "model.write", PK_CAN_AUTHOR, OF_PERSON, false, "model",
                             "Add models and artifacts of a person, and activate one." },

    [PK_ACT_TASK_READ] = { "task.read", PK_CAN_OPERATE, PK_OWN_SUFFICES, false, "task",
                           "See how far long work has got; everybody may see his own." },
    [PK_ACT_ACTOR_SELF] = { "actor.self", 0, 0, false, "actor", "See what one may do oneself." },
    [PK_ACT_ACTOR_READ] = { "actor.read", PK_CAN_OPERATE, PK_OWN_SUFFICES, false, "actor",
                            "Read an actor; everybody may read himself." },
    [PK_ACT_ACTOR_CHANGE] = { "actor.change", PK_CAN_OPERATE, 0, false, "actor",
                              "Create, change, suspend, resume and archive actors." },
    [PK_ACT_KEY_READ] = { "key.read", PK_CAN_OPERATE, PK_OWN_SUFFICES, false, "actor",
                          "List an actor's keys, never their secrets; everybody his own." },
    [PK_ACT_KEY_ADD] = { "key.add", PK_CAN_OPERATE, 0, false, "actor", "Give an actor a key." },
    [PK_ACT_KEY_REVOKE] = { "key.revoke", PK_CAN_OPERATE, PK_OWN_SUFFICES, false, "key",
                            "Revoke a key; everybody may revoke his own." },
    [PK_ACT_WEBHOOK_MANAGE] = { "webhook.manage", PK_CAN_OPERATE, 0, false, "webhook",
                                "See and change webhooks and their deliveries." },
    [PK_ACT_PLUGIN_MANAGE] = { "plugin.manage", PK_CAN_OPERATE, 0, false, "plugin",
                               "See, add, activate and remove plugins and processors." },
    [PK_ACT_SETTING_CHANGE] = { "setting.change", PK_CAN_OPERATE, 0, false, "setting",
                                "Change settings of the running server." },
    [PK_ACT_OUTBOX_MANAGE] = { "outbox.manage", PK_CAN_OPERATE, 0, false, "task",
                               "See, retry and discard work that waits." },
    [PK_ACT_AUDIT_READ] = { "audit.read", PK_CAN_OPERATE, 0, false, "row",
                            "Read who changed what." },
    [PK_ACT_METRICS_READ] = { "metrics.read", PK_CAN_OPERATE, 0, false, "page",
                              "Read metrics and the reasons of readiness." },
};

const struct pk_action_row *pk_action_get(enum pk_action action)
{
    const size_t i = (size_t)action;
    return i < PK_ACT_COUNT && action_table[i].name ? &action_table[i] : NULL;
}

enum pk_action pk_action_find(const char *name)
{
    for (size_t i = 0; i < PK_ACT_COUNT; i++) {
        if (action_table[i].name && strcmp(action_table[i].name, name) == 0) {
            return (enum pk_action)i;
        }
    }
    return PK_ACT_COUNT;
}

/* ---- Who asks ---- */

static bool has_capability(const struct pk_principal *principal, const struct pk_action_row *row)
{
    return row->capabilities == 0 || (principal->capabilities & row->capabilities) != 0;
}

static bool is_owner(const struct pk_principal *principal, const struct pk_object *object)
{
    return object && object->owner && strcmp(object->owner, principal->actor_id) == 0;
}

/* "'curate' or 'operate'": what each of them would do for. */
static void name_capabilities(const struct pk_action_row *row, char *out, size_t size)
{
    size_t length = 0;
    for (unsigned bit = 1; bit <= PK_CAN_ALL && length < size; bit <<= 1) {
        if (row->capabilities & bit) {
            length += (size_t)snprintf(out + length, size - length, "%s'%s'", length ? " or " : "",
                                       pk_capability_name((enum pk_capability)bit));
        }
    }
}

/* Depends on who asks alone; 'may_own': what he asks for may turn out to be his own. */
static bool check_asker(const struct pk_principal *principal, const struct pk_action_row *row,
                        bool may_own, struct pk_error *err)
{
    if (!has_capability(principal, row) && !may_own) {
        char names[128] = "";
        name_capabilities(row, names, sizeof(names));
        return pk_fail(err, PK_FORBIDDEN, "ask an operator to grant it, or use another key",
                       "this key may not do '%s', which takes the capability %s", row->name, names);
    }
    if ((row->needs & PK_NEEDS_EVERYONE) &&
        !(principal->people.is_all && !pk_principal_hides_any(principal))) {
        return pk_fail(err, PK_FORBIDDEN, "it takes a key that may see all people and traits",
                       "this key may not do '%s'", row->name);
    }
    return true;
}

/* Depends on who asks and how, not on what there is. */
static bool check_detail(const struct pk_principal *principal, const struct pk_action_row *row,
                         const struct pk_object *object, struct pk_error *err)
{
    if ((row->needs & PK_NEEDS_DETAIL) && (!object || object->detail > principal->max_detail)) {
        return pk_fail(err, PK_FORBIDDEN, "ask for less detail",
                       "this key may ask for detail up to '%s'",
                       pk_detail_name(principal->max_detail));
    }
    return true;
}

/* There is such an action, and somebody asks for it. */
static bool check_known(const struct pk_principal *principal, const struct pk_action_row *row,
                        struct pk_error *err)
{
    if (!row) {
        return pk_fail(err, PK_FORBIDDEN, "every action has its row in the table",
                       "there is no such action");
    }
    if (!row->is_public && (!principal || !principal->is_active)) {
        return pk_fail(err, PK_UNAUTHORIZED, "send 'Authorization: Bearer' and a valid key",
                       "the key is missing or not valid");
    }
    return true;
}

bool pk_access_may_ask(const struct pk_principal *principal, enum pk_action action,
                       struct pk_error *err)
{
    const struct pk_action_row *row = pk_action_get(action);
    return check_known(principal, row, err) &&
           (row->is_public ||
            check_asker(principal, row, (row->needs & PK_OWN_SUFFICES) != 0, err));
}

/* ---- What it is done to ---- */

static bool is_in_sight(const struct pk_principal *principal, const struct pk_action_row *row,
                        const struct pk_object *object)
{
    const unsigned needs = row->needs;

    if (!object) {
        return (needs & (PK_NEEDS_PERSON | PK_NEEDS_MAPPER | PK_NEEDS_PATH | PK_NEEDS_OWN)) == 0;
    }
    if (object->is_missing) {
        return false;
    }
    if ((needs & PK_NEEDS_PERSON) &&
        !(object->person && pk_principal_may_see(principal, object->person))) {
        return false;
    }
    if ((needs & PK_NEEDS_MAPPER) &&
        !(object->mapper && pk_principal_may_use(principal, object->mapper))) {
        return false;
    }
    if ((needs & PK_NEEDS_PATH) &&
        !(object->path && !pk_principal_hides(principal, object->path))) {
        return false;
    }
    if ((needs & PK_NEEDS_OWN) && !is_owner(principal, object)) {
        return false;
    }
    return has_capability(principal, row) || is_owner(principal, object);
}

bool pk_access_check(const struct pk_principal *principal, enum pk_action action,
                     const struct pk_object *object, struct pk_error *err)
{
    const struct pk_action_row *row = pk_action_get(action);
    const bool may_own = row && (row->needs & PK_OWN_SUFFICES) && object;

    if (!check_known(principal, row, err)) {
        return false;
    }
    if (!row->is_public && (!check_asker(principal, row, may_own, err) ||
                            !check_detail(principal, row, object, err))) {
        return false;
    }
    const bool is_there =
        row->is_public ? !object || !object->is_missing : is_in_sight(principal, row, object);
    if (!is_there) {
        return pk_fail(err, PK_NOT_FOUND, "check its id; it may also be out of this key's sight",
                       "there is no such %s", row->noun);
    }
    return true;
}
