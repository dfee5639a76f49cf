/* access.h - The one function that says yes or no.
 *
 * Whoever wants to do something names it (an action, a row of the table in
 * access.c) and what it would be done to. The row says which capability is
 * needed and what the thing must satisfy; what no row allows is refused. The
 * rows carry their help: the reference pages and the authorisation tests are
 * made from them.
 *
 * What a refusal says:
 *
 *     PK_UNAUTHORIZED  nobody is asking; the same whatever is asked for
 *     PK_FORBIDDEN     who asks lacks a capability or asks for too much detail: it depends on him
 *                      and on his request alone, never on what there is
 *     PK_NOT_FOUND     there is no such thing, or none that he may see: the same words for both
 *
 * So call it with 'is_missing' for a thing that was looked for in vain, and
 * answer with what it says. It takes no lock and no time; any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_ACCESS_H
#define PK_ACCESS_ACCESS_H

#include "access/principal.h"

#include <stdbool.h>
#include <stddef.h>

struct pk_error;

enum pk_action {
    PK_ACT_NONE, /* What forgot to say: refused to everybody. */
    PK_ACT_LOOK_PUBLIC,
    PK_ACT_PERSONA_MAP,
    PK_ACT_PERSONA_READ,
    PK_ACT_PERSONA_LIST,
    PK_ACT_NARRATIVE_SEARCH,
    PK_ACT_MODEL_EVALUATE,
    PK_ACT_EVENT_STREAM,
    PK_ACT_SYNC,
    PK_ACT_DEVICE_READ,
    PK_ACT_DEVICE_CHANGE,
    PK_ACT_FEEDBACK_WRITE,
    PK_ACT_FEEDBACK_READ,
    PK_ACT_OBSERVATION_WRITE,
    PK_ACT_OBSERVATION_READ,
    PK_ACT_OBSERVATION_DECIDE,
    PK_ACT_OBSERVATION_FORGET,
    PK_ACT_NARRATIVE_WRITE,
    PK_ACT_KNOWLEDGE_READ,
    PK_ACT_KNOWLEDGE_WRITE,
    PK_ACT_REVIEW_READ,
    PK_ACT_REVIEW_DECIDE,
    PK_ACT_MINDSCAPE_READ,
    PK_ACT_MINDSCAPE_CHANGE,
    PK_ACT_TRAIT_READ,
    PK_ACT_TRAIT_CHANGE,
    PK_ACT_CONSENT_READ,
    PK_ACT_CONSENT_CHANGE,
    PK_ACT_PERSON_LIST,
    PK_ACT_PERSON_MERGE,
    PK_ACT_PERSON_REPLAY,
    PK_ACT_PERSON_EXPORT,
    PK_ACT_PERSON_ERASE,
    PK_ACT_PERSON_ACCESS_LOG,
    PK_ACT_MAPPER_LIST,
    PK_ACT_MAPPER_READ,
    PK_ACT_MAPPER_WRITE,
    PK_ACT_MAPPER_ACTIVATE,
    PK_ACT_MAPPER_TRY,
    PK_ACT_MAPPER_DIFF,
    PK_ACT_MODEL_READ,
    PK_ACT_MODEL_WRITE,
    PK_ACT_TASK_READ,
    PK_ACT_ACTOR_SELF,
    PK_ACT_ACTOR_READ,
    PK_ACT_ACTOR_CHANGE,
    PK_ACT_KEY_READ,
    PK_ACT_KEY_ADD,
    PK_ACT_KEY_REVOKE,
    PK_ACT_WEBHOOK_MANAGE,
    PK_ACT_PLUGIN_MANAGE,
    PK_ACT_SETTING_CHANGE,
    PK_ACT_OUTBOX_MANAGE,
    PK_ACT_AUDIT_READ,
    PK_ACT_METRICS_READ,
    PK_ACT_COUNT
};

/* What the thing must satisfy, as bits. A part that is asked for and not given is a no. */
enum pk_needs {
    PK_NEEDS_PERSON = 1 << 0,   /* object.person may be seen. */
    PK_NEEDS_MAPPER = 1 << 1,   /* object.mapper may be used. */
    PK_NEEDS_DETAIL = 1 << 2,   /* object.detail is within the actor's greatest. */
    PK_NEEDS_PATH = 1 << 3,     /* object.path is not hidden. */
    PK_NEEDS_EVERYONE = 1 << 4, /* All people may be seen, and no path is hidden. */
    PK_NEEDS_OWN = 1 << 5,      /* object.owner is who asks. */
    PK_OWN_SUFFICES = 1 << 6    /* object.owner who asks needs no capability. */
};

struct pk_action_row {
    const char *name;      /* "persona.map": in routes, audit rows and docs. */
    unsigned capabilities; /* PK_CAN_...: any one of them is enough; 0: every actor has it. */
    unsigned needs;        /* PK_NEEDS_... */
    bool is_public;        /* Nobody need ask by name. */
    const char *noun;      /* What a 404 calls the thing: "there is no such persona". */
    const char *help;      /* A sentence. */
};

/* What is asked for. Parts that the action does not need are ignored; texts are borrowed. */
struct pk_object {
    const char *person;    /* Id of the person it is about. */
    const char *mapper;    /* Mapper id. */
    enum pk_detail detail; /* Of the persona asked for. */
    const char *path;      /* Trait path. */
    const char *owner;     /* Actor that it belongs to; for actors, their own id. */
    bool is_missing;       /* It was looked for, and is not there. */
};

/* 'principal' is NULL for who has no key, 'object' NULL for what concerns no thing. */
bool pk_access_check(const struct pk_principal *principal, enum pk_action action,
                     const struct pk_object *object, struct pk_error *err);

/* The part of it that depends on who asks alone: what is refused here is refused whatever it would
 * be done to. What passes is still to be checked. */
bool pk_access_may_ask(const struct pk_principal *principal, enum pk_action action,
                       struct pk_error *err);

/* The row; NULL for what is no action. */
const struct pk_action_row *pk_action_get(enum pk_action action);
/* By name; PK_ACT_COUNT when there is none. */
enum pk_action pk_action_find(const char *name);

#endif
