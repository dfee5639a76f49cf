/* persona_half_internal.h - Core and overlay, one at a time: what was said, and what it rests on.
 */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PERSONA_HALF_INTERNAL_H
#define PK_PERSONA_PERSONA_HALF_INTERNAL_H

#include "persona/persona_internal.h"

/* What a half is called where. */
struct half {
    const char *name;     /* In what a mapper gives. */
    const char *snapshot; /* In a persona: what was said ... */
    const char *version;  /* ... with the hash of it ... */
    const char *basis;    /* ... and what it rests on; the same in what a mapper gives. */
    const char *ttl;      /* In a mapper's manifest. */
    bool is_core;
};
enum { HALVES = 2, HALF_READS_MAX = 20000 };
extern const struct half half_table[HALVES]; /* Core, overlay. */

/* ---- Pieces of BSON ---- */

/* A view of an object or array of 'doc'. */
bool half_find(const bson_t *doc, const char *name, bson_type_t type, bson_t *out);
const char *half_text(const bson_t *doc, const char *name); /* NULL: there is none. */
/* An array under construction: { BSON_INITIALIZER, 0 }. */
struct list {
    bson_t bson;
    uint32_t count;
};
void list_add_text(struct list *list, const char *text, size_t length);
void list_add_doc(struct list *list, const bson_t *doc);
/* Appends the texts of an array of 'doc', each once, cut to 'length_max', up to 'max' in all. */
void list_add_texts(struct list *list, const bson_t *doc, const char *name, uint32_t max,
                    uint32_t length_max);

/* ---- A half that was run ---- */

/* Its checked sections, their hash and the time; 'out' is initialised on success. PK_REFUSED. */
bool half_sections(const struct mapping *mapping, const struct made *made, const struct half *half,
                   bson_t *out, struct pk_error *err);
/* Version, stretch of time, read set, rules and warnings. */
bool half_basis(const struct mapping *mapping, const struct made *made, const struct half *half,
                bson_t *out, struct pk_error *err);
/* What the mapper says under 'name', or of its personas, or the setting. */
int64_t half_ttl_ms(const struct mapping *mapping, const char *name);

#endif
