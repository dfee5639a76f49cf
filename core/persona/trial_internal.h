/* trial_internal.h - What the files of trials share.
 *
 *     trial.c          a version that runs apart; one dry run
 *     trial_given.c    a mindscape that came with the request
 *     trial_differ.c   two versions on a sample of people
 *     trial_compare.c  where two personas differ */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_TRIAL_INTERNAL_H
#define PK_PERSONA_TRIAL_INTERNAL_H

#include "persona/persona_half_internal.h"
#include "persona/trial.h"

struct pk_doc;

/* ---- trial.c ---- */

/* A version that can be run on one mindscape after another. '{ 0 }' is none. */
struct stage {
    struct pk_domain domain; /* With scripts of its own. */
    struct pk_script *mapper;
    struct pk_generation *pinned;
};
bool trial_open(struct stage *stage, const struct pk_domain *domain, const char *mapper,
                const char *version, int64_t deadline_ns, struct pk_error *err);
void trial_done(struct stage *stage);

/* What came of one mindscape. '{ 0 }' is nothing. */
struct attempt {
    struct pk_doc *persona; /* NULL: there is none, and 'why' says what is wrong. */
    struct pk_error why;    /* PK_CONFLICT: something is missing; else the mapper failed. */
    struct list missing;    /* Paths; once it ran. */
    bool has_missing;       /* 'missing' is there. */
    int64_t took_ns;
};
/* False: the store or the machine failed; what the mapper did wrong is in 'out'. */
bool trial_try(const struct stage *stage, const struct pk_map_request *request,
               struct pk_doc *mindscape, int64_t now_ms, struct attempt *out, struct pk_error *err);
void attempt_done(struct attempt *attempt);
/* Appends the ids of the rules that fired in either half. */
void attempt_add_rules(const struct attempt *attempt, struct list *out);

/* ---- trial_given.c ---- */

/* The stored form of a mindscape that is given; a reference. */
struct pk_doc *trial_given(const struct pk_domain *domain, const bson_t *given, int64_t now_ms);

/* ---- trial_compare.c ---- */

/* Appends what differs to 'out' (a DifferenceOfPersona less its person); false: nothing does. */
bool trial_compare(const struct attempt *version, const struct attempt *against, bson_t *out);

#endif
