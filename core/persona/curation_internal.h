/* curation_internal.h - What curation.c and review.c share; nobody else includes it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_CURATION_INTERNAL_H
#define PK_PERSONA_CURATION_INTERNAL_H

#include "persona/curation.h"
#include "store/store.h"

/* Operations as they are added to a curation's content. */
struct curation_list {
    bson_t *structured;
    bson_t operations;
    uint32_t count;
};
void curation_begin(struct curation_list *list, bson_t *structured);
void curation_end(struct curation_list *list);
void curation_open(struct curation_list *list, bson_t *operation, const char *op);
void curation_close(struct curation_list *list, bson_t *operation);

/* The person's mindscape; PK_NOT_FOUND when there is no such person. */
bool curation_find_mindscape(const struct pk_domain *domain, const struct pk_by *by,
                             const char *person, struct pk_doc **out, struct pk_error *err);
/* Adds the observation, its task and its audit row; what it will change is touched in 'mindscape',
 * which was read for the decision. */
bool curation_write(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                    const bson_t *structured, const struct pk_doc *mindscape, const char *action,
                    struct pk_writes *list, struct pk_curated *out, struct pk_error *err);

#endif
