/* principal.h - Who asks, as far as yes and no depend on it.
 *
 * A principal is made from an actor's document and one of its keys. It is
 * immutable and shared by counting references, so any thread may hold one for
 * the length of a request. It says what the actor might do when it was read;
 * keyring.h knows whether that still holds. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_PRINCIPAL_H
#define PK_ACCESS_PRINCIPAL_H

#include "access/key.h"
#include "base/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;

/* What an actor may do, as bits. capability_table in principal.c has a row for each. */
enum pk_capability {
    PK_CAN_REQUEST = 1 << 0,  /* Request personas. */
    PK_CAN_FEEDBACK = 1 << 1, /* Provide feedback. */
    PK_CAN_OBSERVE = 1 << 2,  /* Write observations. */
    PK_CAN_APPROVE = 1 << 3,  /* Approve and reject what waits for a person. */
    PK_CAN_CURATE = 1 << 4,   /* Read and correct what is known of a person. */
    PK_CAN_AUTHOR = 1 << 5,   /* Write mappers and activate them. */
    PK_CAN_OPERATE = 1 << 6,  /* Run the server: actors, plugins, export, erasure. */
    PK_CAN_ALL = (1 << 7) - 1
};
enum { PK_CAPABILITIES = 7 };

/* How much a persona says; ordered. */
enum pk_detail { PK_DETAIL_INSTANT, PK_DETAIL_BALANCED, PK_DETAIL_DEEP_DIVE, PK_DETAIL_COUNT };

/* Names that an actor may use or see. */
struct pk_names_set {
    bool is_all;       /* '*' was among them. */
    char **name;       /* Sorted by bytes. */
    size_t name_count; /* 0 and not all: none. */
};

struct pk_principal {
    _Atomic uint32_t refs;
    char actor_id[PK_UUID_TEXT];
    char key_id[PK_KEY_ID + 1];
    char pepper_id[16];          /* "" when the key names none. */
    uint8_t hash[PK_HASH_BYTES]; /* Of the key. */
    unsigned capabilities;       /* PK_CAN_... */
    enum pk_detail max_detail;
    struct pk_names_set mappers;
    struct pk_names_set people;
    struct pk_names_set hidden; /* Trait paths; each hides what is below it, too. */
    uint8_t hidden_id[16];      /* Tells sets of hidden paths apart; all zero: nothing is hidden. */
    bool is_active;             /* The actor is active, and the key is not revoked. */
    int64_t expires_at_ms;      /* Wall; INT64_MAX: never. */
    uint64_t stamp;             /* The keyring's: what it had heard of when this was read. */
    size_t voided_place;        /* The keyring's: where it notes what voids this actor. */
};

/* NULL when the document has no such key. */
struct pk_principal *pk_principal_new(const struct pk_doc *actor, const char *key_id);
struct pk_principal *pk_principal_ref(struct pk_principal *principal);
void pk_principal_unref(struct pk_principal *principal); /* NULL is fine. */
void pk_principal_unrefp(struct pk_principal **principal);

bool pk_principal_may_use(const struct pk_principal *principal, const char *mapper);
bool pk_principal_may_see(const struct pk_principal *principal, const char *person);
/* True when anything at all is hidden from it. */
bool pk_principal_hides_any(const struct pk_principal *principal);
/* True for a hidden path and for those below it: 'work' hides 'work.focus'. */
bool pk_principal_hides(const struct pk_principal *principal, const char *path);
/* True when something hidden lies at, above or below 'path': for reads by prefix. */
bool pk_principal_hides_within(const struct pk_principal *principal, const char *path);

/* "write_observations" of its bit, and back; 0 for an unknown name. */
const char *pk_capability_name(enum pk_capability capability);
enum pk_capability pk_capability_find(const char *name);
/* The path of the stored flag ("canRequestPersonas"), or NULL: the name stands in 'grants'. */
const char *pk_capability_field(enum pk_capability capability);
const char *pk_capability_help(enum pk_capability capability);
/* PK_DETAIL_COUNT for an unknown name. */
enum pk_detail pk_detail_find(const char *name);
const char *pk_detail_name(enum pk_detail detail);

#endif
