/* audit.h - Who changed what: rows that are only ever added.
 *
 * Every change of an actor, key, script or setting carries its audit row in
 * its own list of writes, so a change without one cannot exist. People are
 * named by a keyed hash (pepper.h): it finds a person's rows for who has the
 * person's id, and says nothing to others. Facts are ids and names of fields,
 * never values of a person and never a secret. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_AUDIT_H
#define PK_ACCESS_AUDIT_H

#include "base/crypto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_doc;
struct pk_error;
struct pk_peppers;
struct pk_store;
struct pk_writes;

/* What every function of this room that writes needs. Made once at start; outlives its users. */
struct pk_books {
    struct pk_store *store;
    const struct pk_clock *clock;
    const struct pk_peppers *peppers;
    const char *node;      /* This node's name, for events. */
    int64_t event_keep_ms; /* store.retention.events */
    int64_t audit_keep_ms; /* store.retention.audit; 0: for ever. */
};

/* Who asks for a change, and what he wants to go with it. */
struct pk_by {
    const char *actor_id;   /* Or "personakit" for what the server does by itself. */
    const char *request_id; /* NULL: there is no request. */
    int64_t deadline_ns;    /* For the store; 0: its default. */
    /* Adds to the decided list what is to be committed with it, such as the row of an
     * Idempotency-Key; 'doc' is the changed document with the version it will have. Asked again
     * when the decision is repeated, and also when there is nothing to change. NULL: nothing. */
    bool (*complete)(void *context, struct pk_writes *list, const struct pk_doc *doc,
                     struct pk_error *err);
    void *context;
    char *cursor; /* PK_POSITION_TEXT bytes for the commit's cursor; untouched when nothing was
                   * written; or NULL. */
};

/* pk_store_decide (store.h) for somebody: until his deadline, and its cursor for him. */
bool pk_by_decide(const struct pk_by *by, const struct pk_books *books,
                  bool (*decide)(void *context, struct pk_writes *list, struct pk_error *err),
                  void *context, struct pk_error *err);

struct pk_fact {
    const char *name; /* A literal: no dots. NULL ends a list. */
    const char *text; /* NULL: left out. */
};

struct pk_audit {
    const char *action;         /* "actor.created": the event's type, when there is one. */
    const char *person;         /* A bare id, hashed here; or NULL. */
    const char *target_type;    /* A collection or a setting. */
    const char *target_id;      /* Never one that contains a person's id. */
    const char *outcome;        /* NULL: "done"; "refused", "failed". */
    const char *purpose;        /* For a read: what it was allowed for; or NULL. */
    const struct pk_fact *fact; /* Ended by a NULL name; or NULL. */
};
/* Adds the row to 'list'. */
void pk_audit_add(struct pk_writes *list, const struct pk_books *books, const struct pk_by *by,
                  const struct pk_audit *audit);

/* How audit rows name a person: 64 hexadecimal digits. */
void pk_audit_person(const struct pk_peppers *peppers, const char *person, char out[PK_HASH_TEXT]);

/* What followers are told: a type, ids and a version, never documents. */
struct pk_news {
    const char *type;        /* "actor.created" */
    const char *entity_type; /* "actor" */
    const char *entity_id;   /* Its id. */
    const char *service;     /* The part of the server that says so; NULL: "access". */
    const char *person;      /* The person it happened to; or NULL. */
    const char *const *path; /* What changed in it; 'path_count' of them. */
    size_t path_count;
    int64_t version;            /* The version after the change; 0: left out. */
    const struct pk_fact *fact; /* Further ids; ended by a NULL name; or NULL. */
};
/* Adds the feed's row to 'list'. */
void pk_news_add(struct pk_writes *list, const struct pk_books *books, const struct pk_news *news);

#endif
