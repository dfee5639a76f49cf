/* kit.h - A domain on a fresh store, for tests of this room.
 *
 *     KIT(kit, false);                            true: on MongoDB
 *     kit_processor(&kit, "return pk.processor {...}");    it serves from here on
 *     pk_observation_accept(&kit.domain, &kit.bed.by, ...);
 *     kit_work(&kit);                             all tasks have been carried out
 *     doc = kit_get(&kit, "mindscapes", person);
 *
 * The wall clock stands still until pk_clock_fake_advance(&kit.clock, ms) moves
 * it; it starts at the machine's time, for MongoDB's own TTL goes by that.
 * Options differ from their defaults when they are set before kit_open:
 *
 *     struct kit kit = { .is_mongo = true, .conflict = conflict };
 *     kit_open(&kit); ... kit_done(&kit); */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_KIT_H
#define PK_TEST_PERSONA_KIT_H

#include "bed.h"
#include "feed/outbox.h"
#include "persona/domain.h"

#include <bson/bson.h>

struct pk_watch;

struct kit {
    /* Set before kit_open. */
    bool is_mongo;
    const char *const *conflict; /* Policies: "work.*=review" ...; NULL-terminated; or NULL. */
    const char *const *approve;  /* domain.approve_sources; NULL: none. */

    struct bed bed; /* Store, jail, scripts, registry; 'bed.by' is the actor "tester". */
    struct pk_clock_fake clock;
    struct pk_domain domain; /* personas and outbox: when they were asked for. */
    struct pk_watch *watch;  /* Runs once kit_outbox or kit_work was called. */
    struct pk_task_type type[16];
    struct pk_error err;
};
void kit_open(struct kit *kit);
void kit_done(struct kit *kit);
#define KIT(name, is_mongo_)                                          \
    PK_CLEANUP(kit_done) struct kit name = { .is_mongo = is_mongo_ }; \
    kit_open(&name)

/* ---- Parts that have threads: made when they are asked for ---- */

struct pk_outbox *kit_outbox(struct kit *kit); /* It works from then on. */
struct pk_personas *kit_personas(struct kit *kit);
/* Waits until no task is pending or under way; failed ones are left. */
void kit_work(struct kit *kit);

/* ---- Scripts: the text behind 'local pk = require "personakit"' ---- */

/* On a crowded machine, or under a sanitizer, a call may stand still for longer than the usual
 * 100 ms, and a task that failed so twice would stay failed. */
#define AT_LEISURE "limits = { soft_ms = 1000, hard_ms = 5000 },"
/* Drafts and activates; 'format' like "return pk.processor { id = ... }". */
void kit_script(struct kit *kit, enum pk_script_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A processor "ID" of 'version' that accepts 'type' and whose function(obs, m, t, ctx) has this
 * body; 's' is obs.content.structured there. */
void kit_processor(struct kit *kit, const char *id, const char *version, const char *type,
                   const char *body);
/* A mapper "ID" whose function(m, ctx) for core has this body. */
void kit_mapper(struct kit *kit, const char *id, const char *version, const char *body);

/* ---- Documents: JSON with ' for " ---- */

/* The JSON as BSON; ended by the caller. */
void kit_json(bson_t *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Inserts a document in its stored form (dates are ISO 8601 texts, brought into their form by the
 * collection's schema). */
void kit_put(struct kit *kit, const char *collection, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A person with an empty mindscape, straight into the store; 'out' gets the id. */
void kit_person(struct kit *kit, char out[PK_UUID_TEXT]);
/* An approved observation with its task, straight into the store; 'out' gets the id; 'structured'
 * is JSON with ' for ". The clock moves by a millisecond, and it is effective then. */
void kit_observe(struct kit *kit, const char *person, const char *type, const char *structured,
                 char out[PK_UUID_TEXT]);
/* The same with another status ("pending", "rejected"). */
void kit_observe_as(struct kit *kit, const char *person, const char *type, const char *structured,
                    const char *status, char out[PK_UUID_TEXT]);
void kit_drop(struct kit *kit, const char *collection, const char *id); /* Deletes it. */
/* A reference, or NULL. */
struct pk_doc *kit_get(struct kit *kit, const char *collection, const char *id);
size_t kit_count(struct kit *kit, const char *collection, const char *path, const char *text);
/* As JSON, for messages and comparisons; freed by the caller. */
char *kit_text(const bson_t *bson);
int64_t kit_now(const struct kit *kit);

#endif
