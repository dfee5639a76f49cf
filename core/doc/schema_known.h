/* schema_known.h - What is known of a person, as HTTP shows it: mindscapes and traits. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_KNOWN_H
#define PK_DOC_SCHEMA_KNOWN_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_mindscape_view;
extern const struct pk_schema pk_schema_trait_view;   /* One of a list. */
extern const struct pk_schema pk_schema_trait_detail; /* With where it comes from. */

#endif
