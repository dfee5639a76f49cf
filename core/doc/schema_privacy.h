/* schema_privacy.h - Erasing a person and what is left to say of it, over HTTP. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_PRIVACY_H
#define PK_DOC_SCHEMA_PRIVACY_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_erasure_view;
extern const struct pk_schema pk_schema_merge_people; /* The body of a merge. */
extern const struct pk_schema pk_schema_merge_view;   /* What is answered to it. */

#endif
