/* schema_persona.h - What a persona, and asking for one, look like over HTTP. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_PERSONA_H
#define PK_DOC_SCHEMA_PERSONA_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_persona_view;
extern const struct pk_schema pk_schema_map_request;
extern const struct pk_schema pk_schema_map_response;

#endif
