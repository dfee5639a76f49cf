/* actor.h - Actors and their keys: who may ask.
 *
 * An actor is an agent, a human or a system; what it may do is in its
 * capabilities (principal.h). Each change is one list of writes: the actor,
 * its audit row and the event that tells every node's keyring. Documents come
 * and go in their stored form.
 *
 * A version is pk_doc_version of the actor as the caller last read it: when it
 * has moved on, the change is refused with PK_PRECONDITION. 0 means "whatever
 * it is now". An archived actor never changes again. '*out' (NULL: not wanted)
 * is the actor afterwards, a reference of the caller's.
 *
 * Everything here blocks; any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_ACTOR_H
#define PK_ACCESS_ACTOR_H

#include "access/audit.h"
#include "access/key.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_page;

enum { PK_ACTOR_KEYS_MAX = 100 }; /* Of one actor; the oldest revoked ones make room. */

/* 'wanted' has the fields a client may set: actorType and name, and if it likes description,
 * email, authenticationMethod and capabilities (all of it no by default). PK_CONFLICT: the email is
 * taken. */
bool pk_actor_create(const struct pk_books *books, const struct pk_by *by, const bson_t *wanted,
                     struct pk_doc **out, struct pk_error *err);
/* Sets the fields that 'wanted' has; of 'capabilities' likewise, one by one. An email of null is
 * taken away. */
bool pk_actor_change(const struct pk_books *books, const struct pk_by *by, const char *id,
                     int64_t version, const bson_t *wanted, struct pk_doc **out,
                     struct pk_error *err);

enum pk_actor_move { PK_ACTOR_SUSPEND, PK_ACTOR_RESUME, PK_ACTOR_ARCHIVE };
/* PK_CONFLICT when its status does not allow it; to be there already is fine. */
bool pk_actor_move(const struct pk_books *books, const struct pk_by *by, const char *id,
                   int64_t version, enum pk_actor_move move, struct pk_doc **out,
                   struct pk_error *err);

/* '*out_key' is the only time that the secret is seen: wipe it. 'expires_at_ms' 0: never. */
bool pk_actor_add_key(const struct pk_books *books, const struct pk_by *by, const char *id,
                      int64_t version, const char *name, int64_t expires_at_ms,
                      struct pk_key *out_key, struct pk_doc **out, struct pk_error *err);
/* PK_NOT_FOUND when the actor has no such key; one that is revoked already is fine. */
bool pk_actor_revoke_key(const struct pk_books *books, const struct pk_by *by, const char *id,
                         int64_t version, const char *key_id, struct pk_doc **out,
                         struct pk_error *err);

bool pk_actor_get(const struct pk_books *books, const char *id, struct pk_doc **out,
                  struct pk_error *err);
/* In order of ids; 'status' NULL: all. 'cursor' as in pk_store_find. */
bool pk_actor_list(const struct pk_books *books, const char *status, size_t limit,
                   const char *cursor, struct pk_page *out, struct pk_error *err);

#endif
