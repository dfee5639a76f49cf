/* json_internal.h - The keys an object has had so far, to find repeated ones. For json.c only. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_JSON_INTERNAL_H
#define PK_DOC_JSON_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_buf;

/* The keys of all objects that are open while JSON is read, innermost last. '{ 0 }' is empty. */
struct pk_json_key {
    uint32_t at;     /* Offset of the key in the output. */
    uint32_t length; /* Bytes. */
    uint32_t hash;   /* Kept for objects with a set. */
};
struct pk_json_keys {
    struct pk_json_key *key; /* A stack. */
    size_t count;
    size_t capacity;
    uint64_t seed; /* 0 until a set was needed. */
};
/* The keys of one object: those of the stack from 'first' on. */
struct pk_json_scope {
    size_t first;
    uint32_t *slot;    /* Large objects: a hash set of indexes into the stack plus 1; or NULL. */
    size_t slot_count; /* A power of two. */
};

void pk_json_keys_done(struct pk_json_keys *keys);
void pk_json_scope_begin(struct pk_json_keys *keys, struct pk_json_scope *scope);
void pk_json_scope_end(struct pk_json_keys *keys, struct pk_json_scope *scope);
/* Adds the key at 'at' of 'output'; false when this object has it already. */
bool pk_json_scope_add(struct pk_json_keys *keys, struct pk_json_scope *scope,
                       const struct pk_buf *output, size_t at, size_t length);

#endif
