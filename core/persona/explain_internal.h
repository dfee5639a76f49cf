/* explain_internal.h - What the files of explanations share.
 *
 *     explain.c         what is explained, and what would have been
 *     explain_past.c    the mindscape as it was read, and the mapper that was active
 *     explain_lines.c   lines, rules, and the lines of the mapper's source
 *     explain_traits.c  what was read, and what that rests on
 *     explain_facts.c   facts as they were read, and who told them
 *     explain_stale.c   what has changed since, and what it would do
 *     explain_print.c   for people */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_EXPLAIN_INTERNAL_H
#define PK_PERSONA_EXPLAIN_INTERNAL_H

#include "doc/peek.h"
#include "persona/explain.h"
#include "persona/persona_internal.h"
#include "store/store.h"

/* One explanation under way. */
struct explaining {
    struct pk_personas *personas;
    const struct pk_domain *domain;
    const struct pk_explain_request *request;
    struct pk_persona_name name;
    int64_t now_ms, then_ms; /* Of asking; of the mapping. */
    bool is_made;            /* What would have been; else what is cached. */
    struct pk_doc *persona;  /* References, all of them. */
    struct pk_doc *now;      /* The mindscape as it is, ... */
    struct pk_doc *then;     /* ... and as it was read; both without what is hidden. */
    struct pk_script *mapper;
    struct pk_page facts;    /* As they were read, by key. */
    const bson_t *knowledge; /* The same as scripts get them; NULL: as they are now. */
    bson_t knowledge_made;   /* What 'knowledge_view' is a view of, when there is one. */
    bool has_knowledge_made;
    bson_t knowledge_view;
};

/* ---- explain.c ---- */

/* A view of an object or array of 'doc'; false: there is none. */
bool explain_view(const bson_t *doc, const char *path, bson_t *out);
/* An array under construction: its next element's key. */
const char *explain_key(uint32_t *count, char room[16]);
/* What 'mapper' makes of a mindscape and facts (NULL: those of now) at an instant; '*out' is a
 * reference. Nothing is written. */
bool explain_make(const struct explaining *it, struct pk_script *mapper,
                  const struct pk_doc *mindscape, const bson_t *knowledge, int64_t at_ms,
                  struct pk_doc **out, struct pk_error *err);

/* ---- explain_past.c ---- */

/* As of a time: what was known then. */
bool explain_as_of(const struct explaining *it, int64_t at_ms, struct pk_doc **out,
                   struct pk_error *err);
/* As a persona has read it: of the traits that it read or missed, those that are newer than
 * 'version' are put back. */
bool explain_put_back(const struct explaining *it, int64_t version, int64_t at_ms,
                      struct pk_doc **out, struct pk_error *err);
/* The version of a mapper that was active at an instant. PK_NOT_FOUND: none was. */
bool explain_active_version(const struct explaining *it, int64_t at_ms, char out[PK_SCRIPT_VERSION],
                            struct pk_error *err);

/* ---- explain_lines.c ---- */

/* Appends 'lines' and 'rules'. */
bool explain_add_lines(const struct explaining *it, bson_t *out, struct pk_error *err);

/* ---- explain_traits.c ---- */

/* Appends 'traits', 'missed' and 'reads'. */
bool explain_add_traits(const struct explaining *it, bson_t *out, struct pk_error *err);
/* The trait of a mindscape; a view. */
bool explain_find_trait(const struct pk_doc *mindscape, const char *path, bson_t *out);
/* Each row of both halves' read sets. */
typedef void explain_read_fn(void *context, const bson_t *row);
void explain_each_read(const struct pk_doc *persona, explain_read_fn *each, void *context);

/* Which traits a persona has read, and those that it looked for in vain when they are wanted. The
 * texts are the persona's. */
struct explain_reads {
    const char **path; /* Sorted. */
    size_t count, capacity;
    const char **prefix;
    size_t prefix_count;
    bool has_misses;
};
void explain_reads_of(const struct pk_doc *persona, bool has_misses, struct explain_reads *out);
void explain_reads_sort(struct explain_reads *reads); /* After adding to it by hand. */
void explain_reads_done(struct explain_reads *reads);
bool explain_reads_have(const struct explain_reads *reads, const char *path);

/* Appends 'observationId' and, unless it 'is_name_only' or has gone, of what sort the observation
 * is and from when. */
bool explain_put_observation(const struct explaining *it, const char *id, bool is_name_only,
                             bson_t *out, struct pk_error *err);

/* ---- explain_facts.c ---- */

/* Once 'then' is known: facts as they were read, or as of then. */
bool explain_find_facts(struct explaining *it, struct pk_error *err);
void explain_facts_done(struct explaining *it);
/* Appends 'facts', those that were read. */
bool explain_add_facts(const struct explaining *it, bson_t *out, struct pk_error *err);

/* ---- explain_stale.c ---- */

/* Appends 'staleness'. */
bool explain_add_stale(const struct explaining *it, bson_t *out, struct pk_error *err);

#endif
