/* schema_train.h - Training of mappers, over HTTP: the body and the answer. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_TRAIN_H
#define PK_DOC_SCHEMA_TRAIN_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_train;         /* The body. */
extern const struct pk_schema pk_schema_training_view; /* The answer. */

#endif
