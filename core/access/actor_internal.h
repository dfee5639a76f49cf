/* actor_internal.h - What actor.c, actor_doc.c and admin.c share; nobody else includes it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_ACTOR_INTERNAL_H
#define PK_ACCESS_ACTOR_INTERNAL_H

#include "access/actor.h"

#include <stddef.h>

struct pk_pepper;

/* What an actor becomes. Texts are borrowed; { 0 } changes nothing. */
struct actor_edit {
    const bson_t *wanted;           /* Fields that a client set, checked; or NULL. */
    const char *status;             /* The actor's new status; or NULL. */
    const struct pk_key *new_key;   /* A key to add; or NULL. */
    const struct pk_pepper *pepper; /* That it is hashed with. */
    const char *key_name;           /* Of the new key. */
    int64_t key_expires_at_ms;      /* Of the new key; 0: never. */
    const char *revoked_key;        /* Id of a key to revoke; or NULL. */
    bool is_all_revoked;            /* All keys that were there are revoked. */
};

/* Checks what a client sent beyond what the schema says. The words of a refusal never repeat an
 * email. */
bool actor_wanted_check(const bson_t *wanted, bool is_new, struct pk_error *err);
/* The email that 'wanted' sets, in lower case, for the caller to free; NULL: none. */
char *actor_wanted_email(const bson_t *wanted);
/* The names of the fields that 'wanted' sets: "name, capabilities"; the caller frees it. */
char *actor_wanted_names(const bson_t *wanted);

/* A fresh actor's document; 'id' NULL draws one. */
struct pk_doc *actor_doc_new(const char *id, const struct actor_edit *edit, int64_t now_ms);
/* The document after the edit. */
struct pk_doc *actor_doc_edit(const struct pk_doc *old, const struct actor_edit *edit,
                              int64_t now_ms);

/* The place of a key in 'apiKeys', or -1; and one of its fields, or NULL. */
int actor_key_find(const struct pk_doc *actor, const char *key_id);
const char *actor_key_text(const struct pk_doc *actor, int number, const char *field);
size_t actor_key_count(const struct pk_doc *actor);

/* Refused when 'after' takes away the last actor who may run the server and has a working key.
 * Else 'list' gets what makes sure that another one stays (operator.c). */
bool actor_keep_operator(struct pk_writes *list, const struct pk_books *books, int64_t deadline_ns,
                         const struct pk_doc *before, const struct pk_doc *after,
                         struct pk_error *err);

/* Adds the audit row and the event of a change that stands in 'list'. */
void actor_note(struct pk_writes *list, const struct pk_books *books, const struct pk_by *by,
                const char *what, const char *actor_id, const struct pk_fact *fact);

#endif
