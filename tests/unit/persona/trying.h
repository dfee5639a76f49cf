/* trying.h - Canaries of the mapper "daily" in tests: shorter words for the registry's. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_TRYING_H
#define PK_TEST_PERSONA_TRYING_H

#include "bed.h"

/* What went wrong is in bed->err. '*out' (or NULL): the active version. */
bool begin_canary(struct bed *bed, struct node *node, const char *version, double share,
                  struct pk_doc **out);
bool end_canary(struct bed *bed, struct node *node, const char *version);
/* The version that is tried on a node; "" when none is. Static memory. */
const char *tried(struct node *node, double *out_share);

#endif
