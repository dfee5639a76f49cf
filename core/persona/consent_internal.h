/* consent_internal.h - What consent.c and consent_resume.c share; nobody else includes it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_CONSENT_INTERNAL_H
#define PK_PERSONA_CONSENT_INTERNAL_H

#include "base/id.h"
#include "persona/consent.h"

/* Adds the task PK_RESUME_TASK, from 'from_ms' on (wall; 0: now); 'by' NULL: nobody asked. */
void consent_add_resume(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                        int64_t from_ms, struct pk_writes *list, char out_task[PK_UUID_TEXT]);
/* 'message' is what pk_consent_check says when there is no consent to processing. */
bool consent_is_why(const char *message);

#endif
