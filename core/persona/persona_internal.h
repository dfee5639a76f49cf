/* persona_internal.h - What the files of personas share.
 *
 *     persona.c          the object: reading, listing, freshness in answers
 *     persona_map.c      a request to map: what is cached, who maps, what is written
 *     persona_variant.c  what makes one persona of a person and mapper differ from another
 *     persona_instead.c  what serves somebody for whom the version that is tried fails
 *     persona_run.c      the call of the mapper
 *     persona_half.c     what it gave for core or overlay, checked, and what that rests on
 *     persona_made.c     the document made of both, and the record of its making
 *     persona_prompt.c   prompts of sections, filled and counted
 *     persona_use.c      use counts, written every few seconds
 *     persona_expire.c   'persona.expired', once */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PERSONA_INTERNAL_H
#define PK_PERSONA_PERSONA_INTERNAL_H

#include "persona/consent.h"
#include "persona/flight.h"
#include "persona/fresh.h"
#include "persona/persona.h"
#include "script/scripts.h"

#include <stdatomic.h>

enum {
    PERSONA_ID = 320,          /* A composite id with its NUL. */
    PERSONA_VARIANT = 33,      /* A variant's name with its NUL. */
    PERSONA_VARIANTS_MAX = 32, /* Kept per person, mapper and detail. */
    PERSONA_MAX_BYTES =
        512 * 1024 /* Of core and overlay together, when no setting says more or less. */
};

struct uses;
struct pk_personas {
    const struct pk_domain *domain;
    struct pk_flights *flights;
    struct uses *uses;
    _Atomic uint64_t generation; /* Of scripts, when pk_personas_scripts_changed was asked last. */
    _Atomic uint64_t by_status[3], unchanged, fallbacks;
};

/* ---- persona_variant.c ---- */

struct variant {
    char name[PERSONA_VARIANT]; /* "" in the common case. */
    char id[PERSONA_ID];
    bson_t values;        /* What the name is a hash of. */
    bson_t context, task; /* Those values of the request that the mapper declares; for its call. */
};
/* 'has_hidden': what is hidden from who asks is part of it. */
void variant_init(struct variant *variant, const struct pk_map_request *request,
                  const struct pk_script *mapper, bool has_hidden);
/* The same, of a version that is tried on the person. */
void variant_init_canary(struct variant *variant, const struct pk_map_request *request,
                         const struct pk_script *canary, bool has_hidden);
/* The id of what a canary makes for who asks without more; to be freed. */
char *variant_canary_id(const struct pk_persona_name *name, const struct pk_script *canary);
void variant_done(struct variant *variant);
/* ---- persona_instead.c ---- */

/* True when 'persona' (or NULL) stands in for what 'tried' would make of this mindscape, on which
 * that was seen to fail. */
bool persona_is_instead(const struct pk_doc *persona, const char *tried,
                        const struct pk_doc *mindscape);
/* The version of its mapper that has to have made 'persona' for it to be what serves the person:
 * the one that is tried on him, or the active one; NULL: none serves. Lives with the pin. */
const struct pk_script *persona_serving(const struct pk_generation *pinned,
                                        const struct pk_doc *persona,
                                        const struct pk_doc *mindscape);
/* Keeps with what was served that 'tried' failed on that version of the mindscape. What cannot be
 * kept now is left: the next mapping says it again. */
void persona_note_instead(const struct pk_domain *domain, const struct pk_doc *served,
                          const char *tried, int64_t mindscape_version, int64_t deadline_ns);

/* ---- persona_prompt.c ---- */

/* Prompts of a template's sections, filled. '{ 0 }' is none. */
struct prompts {
    bool is_filled;
    bson_t list; /* { section, text, tokens }, 'count' of them. */
    uint32_t count;
    bson_t reads; /* Rows of a read set. */
    uint32_t read_count;
    bson_t warnings;
    uint32_t warning_count;
    int64_t until_ms; /* The first instant at which something looked up turns; INT64_MAX: none. */
    int64_t tokens;   /* Of all texts. */
};
/* 'input' is what the mapper is handed. */
void prompts_fill(struct prompts *prompts, const struct pk_script *mapper, enum pk_detail detail,
                  const bson_t *input, int64_t now_ms);
void prompts_done(struct prompts *prompts);
/* Counts up to 'max' tokens; '*out_size' bytes have so many. */
int64_t persona_tokens(const char *text, size_t size, int64_t max, size_t *out_size);

/* ---- persona_run.c ---- */

/* What a mapper gave. '{ 0 }' is nothing; ended with made_done. */
struct made {
    struct pk_scripts_result result;
    const struct pk_script *ran; /* Lives with the pin. */
    bson_t output;               /* A view. */
    bool has_core, has_overlay;  /* Which halves were run. */
    int64_t took_ns;
    struct prompts prompts; /* When the overlay was run. */
};
struct mapping;
/* PK_REFUSED when the mapper failed, with file and line; PK_BUSY and the like when it did not run.
 */
bool persona_run(const struct mapping *mapping, bool wants_core, bool wants_overlay,
                 struct made *out, struct pk_error *err);
void made_done(struct made *made);

/* ---- persona_map.c ---- */

/* One request on its way. */
struct mapping {
    struct pk_personas *personas;
    const struct pk_domain *domain;
    const struct pk_map_request *request;
    int64_t now_ms, started_ns;
    struct pk_generation *pinned;
    const struct pk_script *mapper;
    bool is_canary;           /* 'mapper' is a version that is tried on the person. */
    struct pk_doc *mindscape; /* Read first. */
    const bson_t *knowledge;  /* Facts of then, an array; NULL: as they are now. */
    int64_t seen_version;     /* Of the mindscape that was read last; -1: none was. */
    struct variant common;    /* As if nothing were hidden from who asks. */
    struct variant own;       /* The same when nothing is. */
    bool has_hidden;
    struct variant *place;     /* Where 'stored' lies, or what is made will lie. */
    struct pk_doc *stored;     /* Or NULL. */
    bool is_read;              /* 'stored' was just read from the store, not found ready. */
    struct pk_consent consent; /* For the purpose that was named. */
    struct pk_fresh fresh;     /* Of 'stored'. */
};

/* ---- persona.c ---- */

/* Reads what is needed to say whether a persona is fresh, and says so. '*mindscape' is read when it
 * is NULL, and again straight from the store when it is older than the persona. */
bool persona_is_fresh(const struct pk_domain *domain, const struct pk_doc *persona,
                      const char *mapper_version, int64_t now_ms, int64_t deadline_ns,
                      struct pk_doc **mindscape, struct pk_fresh *out, struct pk_error *err);
/* True when something in either half's read set is hidden from 'who'. */
bool persona_meets_hidden(const struct pk_doc *persona, const struct pk_principal *who);

/* ---- persona_made.c ---- */

/* The document of what was made, with those halves of 'base' (or NULL) that were not run. */
struct product {
    struct pk_doc *doc;
    bool is_new; /* Another generation; else 'base' lives on, good for longer. */
};
/* PK_REFUSED: a section is not of its type; PK_TOO_LARGE names the largest sections; PK_CONFLICT: a
 * trait that is required is not known. */
bool persona_make(const struct mapping *mapping, const struct made *made, const struct variant *as,
                  const struct pk_doc *base, struct product *out, struct pk_error *err);
/* The record of a generation, for 'persona_log'. */
struct pk_doc *persona_log_row(const struct mapping *mapping, const struct made *made,
                               const struct pk_doc *persona);
/* A copy with 'isStale' as given, under the same version. */
struct pk_doc *persona_marked(const struct pk_doc *persona, bool is_stale);
/* ---- persona_use.c ---- */

struct uses *uses_new(const struct pk_domain *domain);
void uses_stop(struct uses *uses); /* The thread, if there is one. */
void uses_free(struct uses *uses);
/* 'version' is that of the mapper that made it; "": the one that is active. */
void uses_add(struct uses *uses, const char *id, const char *version, const char *actor);

#endif
