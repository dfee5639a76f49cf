/* domain.h - What every file of this room works with: made once at the start, outlives its users.
 */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_DOMAIN_H
#define PK_PERSONA_DOMAIN_H

#include "access/audit.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_error;

struct pk_access_log;
struct pk_hot;
struct pk_log;
struct pk_minds;
struct pk_outbox;
struct pk_people;
struct pk_personas;
struct pk_policies;
struct pk_registry;
struct pk_scripts;

struct pk_domain {
    const struct pk_books *books;     /* Store, clock, peppers, node, retention. */
    struct pk_scripts *scripts;       /* Those that serve. */
    struct pk_registry *registry;     /* All versions. */
    struct pk_outbox *outbox;         /* Work for later. */
    struct pk_hot *hot;               /* Ready answers, and the counters by person. */
    struct pk_people *people;         /* people.h; NULL: nobody is known without a look. */
    struct pk_minds *minds;           /* mindscape.h */
    struct pk_personas *personas;     /* persona.h */
    struct pk_access_log *access_log; /* access_log.h; NULL: reads are not noted. */
    struct pk_log *log;
    const struct pk_policies *policies; /* trait.h: conflicts and decay. */
    const char *const *approve_sources; /* Sources whose observations wait for a person's approval
                                         * ("*": all); NULL-terminated. */
    const char *data;                   /* The data folder: erasures.log lies there. */
    int64_t persona_max_bytes;          /* personas.max_bytes */
    /* What processors may ask ("http", "search") when their manifest was granted it; as
     * pk_jail_ask; NULL: nothing is answered. */
    bool (*ask)(void *context, const char *name, const bson_t *question, bson_t *answer,
                struct pk_error *err);
    void *ask_context;
    int64_t persona_ttl_ms;      /* personas.ttl: when a mapper says nothing. */
    int64_t persona_log_keep_ms; /* store.retention.persona_log */
    int64_t tombstone_keep_ms;   /* store.retention.tombstones */
    int64_t person_max_bytes;    /* person.max_bytes; 0: no limit. */
    int64_t backup_keep_ms;      /* store.retention.backups */
};

#endif
