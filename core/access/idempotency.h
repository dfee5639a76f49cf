/* idempotency.h - A repeated request has one effect and one answer.
 *
 * A client sends an Idempotency-Key with a POST; who repeats it within 24 h
 * gets the answer of the first one, byte for byte. The answer is a row in the
 * effect's own list of writes, unique by its id, so that effect and answer are
 * there together or not at all. A key belongs to one actor and one route.
 *
 *     PK_CLEANUP(pk_once_done) struct pk_once once = { 0 };
 *     PK_CLEANUP(pk_replay_done) struct pk_replay replay = { 0 };
 *     if (!pk_once_begin(&once, book, &request, deadline, &replay, err)) -> 400, 409, 422, 503
 *     if (replay.status) -> answer that, done
 *     ... read, decide, fill the list ...
 *     pk_once_add(&once, &answer, &list);   with the effect
 *     commit
 *
 * Two at once on one node: the second hears PK_CONFLICT ("in flight"). On two
 * nodes: the loser's commit conflicts on the row; pk_once_lost says so, and
 * pk_once_find gives it the winner's answer. A decision that is repeated after
 * a conflict (pk_store_decide) asks pk_once_find first. Failures are not kept:
 * nothing was done, so a repetition may try again. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_IDEMPOTENCY_H
#define PK_ACCESS_IDEMPOTENCY_H

#include "access/audit.h"
#include "base/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_commit;
struct pk_doc;
struct pk_error;
struct pk_idempotency; /* Opaque: what is in flight on this node. Any thread. */
struct pk_writes;

enum {
    PK_ANSWER_KEPT_MAX = 64 * 1024, /* Bytes of a body that is kept. */
    PK_IDEMPOTENCY_KEY_MAX = 255,   /* Bytes of a client's key. */
    PK_ONCE_ID = PK_UUID_TEXT + 1 + PK_HASH_TEXT
};

/* 'keep_ms' is store.retention.idempotency; 0: 24 h. */
struct pk_idempotency *pk_idempotency_new(const struct pk_books *books, int64_t keep_ms);
void pk_idempotency_free(struct pk_idempotency *idempotency); /* NULL is fine. */

/* What was asked. Borrowed for the length of pk_once_begin, 'actor_id' and 'route' of 'once'. */
struct pk_once_request {
    const char *actor_id; /* A UUID. */
    const char *key;      /* As sent: 1 to 255 visible characters of ASCII. */
    size_t key_size;
    const char *route;  /* "POST /v1/people/{person}/narratives" */
    const char *target; /* Path and query as sent. */
    const void *body;
    size_t body_size;
};

/* One request under way; on the stack of who runs it. { 0 } is none. */
struct pk_once {
    struct pk_idempotency *owner; /* NULL: none, or done. */
    char id[PK_ONCE_ID];          /* Of the row. */
    char hash[PK_HASH_TEXT];      /* Of the request. */
    const char *actor_id;
    const char *route;
};

/* The first answer. { 0 } is none. */
struct pk_replay {
    int status; /* HTTP; 0: there was no first request. */
    const char *body;
    size_t body_size;
    bool is_cut;        /* It was too large to be kept: 'body' is a note that says so. */
    struct pk_doc *row; /* Owns the texts. */
};

/* Failures: PK_INVALID (key), PK_CONFLICT (in flight here), PK_MISMATCH (another request came with
 * this key), PK_SHOWN (its answer held a secret), and the store's. */
bool pk_once_begin(struct pk_once *out, struct pk_idempotency *idempotency,
                   const struct pk_once_request *request, int64_t deadline_ns,
                   struct pk_replay *out_replay, struct pk_error *err);
/* Looks for the row once more; fails as above. */
bool pk_once_find(const struct pk_once *once, int64_t deadline_ns, struct pk_replay *out_replay,
                  struct pk_error *err);
void pk_once_done(struct pk_once *once);

struct pk_once_answer {
    int status;
    const struct pk_fact *header; /* To be sent again; ended by a NULL name; or NULL. */
    const char *body;             /* UTF-8. */
    size_t body_size;
    bool is_secret;            /* It shows a key: the body is not kept. */
    const char *const *person; /* Ids of the people it speaks of, so that erasing finds it. */
    size_t person_count;
};
/* Adds the row to the effect's list. */
void pk_once_add(const struct pk_once *once, const struct pk_once_answer *answer,
                 struct pk_writes *list);
/* True when a commit failed because another node was first with this key. */
bool pk_once_lost(const struct pk_once *once, const struct pk_writes *list,
                  const struct pk_commit *commit);

/* A header of the first answer, or NULL. */
const char *pk_replay_header(const struct pk_replay *replay, const char *name);
void pk_replay_done(struct pk_replay *replay);

#endif
