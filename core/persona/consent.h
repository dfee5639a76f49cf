/* consent.h - What a person's data may be used for: recorded by purpose, asked before each use.
 *
 * A record is never deleted but with its person: what is withdrawn stays, with
 * its dates. A purpose that a request names must be granted and valid. The
 * purpose "processing" is the server's own: without a record it is allowed;
 * when there is one it must be granted and valid, else observations of the
 * person are not processed: their tasks fail, and are tried again by the task
 * PK_RESUME_TASK when it is granted anew.
 *
 *     struct pk_consent consent;
 *     if (!pk_consent_check(domain, person, purpose, now_ms, deadline_ns, &consent, err)) -> 403
 *     ... what comes of it is good until consent.until_ms ...
 *     pk_consent_expect(list, person, purpose, &consent);    it still holds when the list commits
 *
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_CONSENT_H
#define PK_PERSONA_CONSENT_H

#include "feed/outbox.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_page;
struct pk_writes;

enum { PK_PURPOSE_MAX = 190 }; /* Bytes of a purpose: "consent:" stands before it in the feed. */
#define PK_PURPOSE_PROCESSING "processing"

#define PK_RESUME_TASK "resume_processing"
pk_task_fn pk_consent_resume_run; /* 'context' is the domain. */

/* What was found. */
struct pk_consent {
    int64_t version;  /* Of the record; 0: there is none. */
    int64_t until_ms; /* What rests on it is good until then (wall); 0: without end. */
};
/* PK_FORBIDDEN: not granted, withdrawn, not valid yet or any more. 'out' may be NULL. */
bool pk_consent_check(const struct pk_domain *domain, const char *person, const char *purpose,
                      int64_t now_ms, int64_t deadline_ns, struct pk_consent *out,
                      struct pk_error *err);
/* The record is still as it was found when the list commits (or there is still none). */
void pk_consent_expect(struct pk_writes *list, const char *person, const char *purpose,
                       const struct pk_consent *consent);

/* '*out' is a reference, or NULL: there is no record. */
bool pk_consent_get(const struct pk_domain *domain, const char *person, const char *purpose,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
/* In the order of the purposes. */
bool pk_consent_list(const struct pk_domain *domain, const char *person, size_t limit,
                     const char *cursor, struct pk_page *out, struct pk_error *err);

/* Records what the person has said: 'wanted' is { status, validFrom, validUntil, evidence } in its
 * stored form; what it lacks, the record lacks from now on. NULL: withdrawn, the rest stays. The
 * same again changes nothing. 'version': of the record as it was read, or 0. With audit row and
 * event (consent.granted, consent.withdrawn), and the mindscape's 'versions' touched. */
bool pk_consent_record(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                       const char *purpose, int64_t version, const bson_t *wanted,
                       struct pk_doc **out, struct pk_error *err);

#endif
