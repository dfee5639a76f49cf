/* schema_task.h - What a task of the outbox looks like over HTTP. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_TASK_H
#define PK_DOC_SCHEMA_TASK_H

#include "doc/schema.h"

extern const char *const pk_task_status[]; /* pending, in_progress, done, failed, discarded */

extern const struct pk_schema pk_schema_task_view;

#endif
