/* schema_manifest.h - What scripts of each kind may say of themselves.
 *
 * The manifest is what 'describe' of the authors' library gives: in the
 * documents' names, values in one form (lua/personakit/manifest.lua). */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_MANIFEST_H
#define PK_DOC_SCHEMA_MANIFEST_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_mapper_manifest;
extern const struct pk_schema pk_schema_processor_manifest;
extern const struct pk_schema pk_schema_condition_manifest;

#endif
