/* mindscape_internal.h - What the files of mindscape.h share. For mindscape_*.c only. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_MINDSCAPE_INTERNAL_H
#define PK_PERSONA_MINDSCAPE_INTERNAL_H

#include "persona/mindscape.h"

/* The mindscape as of 'at_ms', a reference; its version, 'versions', 'removed' and counts are those
 * of now. */
bool mindscape_past(const struct pk_domain *domain, const struct pk_doc *mindscape, int64_t at_ms,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
/* Appends traits as a nested object of their values, 'traits'; 'list' is sorted by path. */
void mindscape_tree(const bson_t *list, bson_t *out);
/* Appends 'hotLayer' and 'warmLayer', in HTTP's spelling: as they are, or as they lay beside
 * 'mindscape' when that is of a past time. */
bool mindscape_layers(const struct pk_domain *domain, const struct pk_doc *mindscape,
                      const struct pk_mindscape_view *how, int64_t deadline_ns, bson_t *out,
                      struct pk_error *err);
/* Adds 'embedding' and 'embeddingModel' to those traits of 'list' (HTTP's spelling) that have one,
 * and had it at 'at_ms' (0: now); 'out' is initialised here, on success only. */
bool mindscape_embed(const struct pk_domain *domain, const char *person, const bson_t *list,
                     int64_t at_ms, int64_t deadline_ns, bson_t *out, struct pk_error *err);

#endif
