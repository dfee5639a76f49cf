/* mind_bed.h - A mind without a store, for tests of what operations do.
 *
 *     MIND(bed, "work.*=review");        policies, NULL-terminated by the macro; NULL: none
 *     mind_observe(&bed, 1, "chat_log", 1000, "x", "[{'op':'set', ...}]");
 *     assert_near(mind_number_at(&bed, "traits.0.confidence"), 0.8);
 *
 * Observation N has the id that mind_obs gives. Times are milliseconds after
 * MIND_EPOCH. The document is checked against its schema after every step. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_MIND_BED_H
#define PK_TEST_PERSONA_MIND_BED_H

#include "base/alloc.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "persona/mind.h"
#include "persona/trait.h"
#include "test.h"

#include <bson/bson.h>

#define MIND_EPOCH INT64_C(1760000000000)
#define MIND_DAY   INT64_C(86400000)

struct mind_bed {
    struct pk_policies *policies;
    struct pk_mind *mind;
    struct pk_doc *doc; /* As of the last step. */
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    struct pk_error err;
};
void mind_open(struct mind_bed *bed, const char *policy);
void mind_done(struct mind_bed *bed);
#define MIND(name, policy)                              \
    PK_CLEANUP(mind_done) struct mind_bed name = { 0 }; \
    mind_open(&name, policy)

/* The id of observation 'number'; valid until the next call. */
const char *mind_obs(struct mind_bed *bed, unsigned number);
/* JSON with ' for ". */
void mind_json(bson_t *out, const char *text);
/* One observation from begin to end; 'processor' NULL: a curation. Fails the case on an error. */
void mind_observe(struct mind_bed *bed, unsigned number, const char *type, int64_t after_ms,
                  const char *processor, const char *operations);
/* The same, for operations that are refused: 'err' says so with these words, and nothing changes.
 */
void mind_refuse(struct mind_bed *bed, const char *processor, const char *operations,
                 const char *words);
/* Written and opened again, as the next observation will find it. */
void mind_again(struct mind_bed *bed);
/* The document, checked; owned by 'bed'. */
struct pk_doc *mind_doc(struct mind_bed *bed);
const char *mind_text_at(struct mind_bed *bed, const char *path); /* "" when it is not there. */
double mind_number_at(struct mind_bed *bed, const char *path);    /* -1 likewise. */
bool mind_has(struct mind_bed *bed, const char *path);
void mind_expect_near(double a, double b, const char *file, int line);
#define assert_near(a, b) mind_expect_near((a), (b), __FILE__, __LINE__)

#endif
