/* trial.h - Versions of a mapper tried out: on one mindscape, or two of them on a sample of people.
 *
 * Any stored version will do, drafts too. It runs on scripts apart, so it
 * counts for nobody; and nothing is written. What is made is what a request to
 * map would be given at that instant, less the cache. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_TRIAL_H
#define PK_PERSONA_TRIAL_H

#include "access/principal.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;

struct pk_trial {
    const char *mapper, *version;
    const char *person;      /* Whose stored mindscape; NULL: 'mindscape'. */
    const bson_t *mindscape; /* A GivenMindscape (doc/schema_trial.h), accepted; or NULL. */
    enum pk_detail detail;
    const bson_t *context;          /* Of the request; or NULL. */
    int64_t now_ms;                 /* The instant that it is made for (wall); 0: now. */
    const struct pk_principal *who; /* What is hidden from him is not there; NULL: nothing is. */
    int64_t deadline_ns;
};
/* 'out' is a DryRunResult (doc/schema_trial.h), initialised here, on success only. PK_NOT_FOUND: no
 * such version or person; PK_REFUSED: the mapper failed, with file and line. A trait that it
 * requires and that is not known is no failure here: the answer says so. */
bool pk_trial_run(const struct pk_domain *domain, const struct pk_trial *trial, bson_t *out,
                  struct pk_error *err);

struct pk_trial_pair {
    const char *mapper, *version, *against;
    enum pk_detail detail;
    const bson_t *context; /* Or NULL. */
    size_t sample;         /* People. The same ones each time, as long as there are no others. */
    int64_t budget_ms;     /* When it has run for so long, the rest of the sample is left out. */
    const struct pk_principal *who;
    int64_t deadline_ns; /* Of each single look at the store and the registry. */
};
/* 'out' is a MapperDiffResult, initialised here, on success only. */
bool pk_trial_differ(const struct pk_domain *domain, const struct pk_trial_pair *pair, bson_t *out,
                     struct pk_error *err);

#endif
