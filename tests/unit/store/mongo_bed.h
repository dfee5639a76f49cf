/* mongo_bed.h - A database of its own for each case of the MongoDB engine's tests.
 *
 * PK_TEST_MONGODB is the URL of a replica set that was started with
 * enableTestCommands=1; without it a case is skipped. The database is dropped
 * at the case's end. Faults are the server's own failpoints, switched off then,
 * too. JSON is written with ' for ". */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_MONGO_BED_H
#define PK_TEST_MONGO_BED_H

#include "store/mongo_internal.h"
#include "test.h"

/* notes, briefs (expire), locks (guarded), events (the feed). */
extern const struct pk_inventory mongo_bed_inventory;
#define INDEXES(array) .index = (array), .index_count = PK_COUNT(array)
#define OTHERS(briefs)                                                \
    { .name = "briefs", INDEXES(briefs), .ttl_path = "expiresAt" },   \
        { .name = "locks", .is_guarded = true, .ttl_path = "until" }, \
    {                                                                 \
        .name = "events", .is_feed = true, .ttl_path = "expiresAt"    \
    }

struct bed {
    struct pk_store *store;
    char *url;
    char database[64];
    bool is_snapshot_wanted; /* By the case of the backup, until it is lost. */
};

/* Runs a command on a database; the case fails when it fails. */
void run_admin(struct bed *bed, const char *database, const char *json);
void bed_open(struct bed *bed);
void bed_done(struct bed *bed);
#define BED(name)                                 \
    PK_CLEANUP(bed_done) struct bed name = { 0 }; \
    bed_open(&name)

/* A deadline. */
int64_t in_ms(int64_t ms);
struct pk_doc *json_doc(const char *json);
/* Inserts a document, or announces it when 'collection' is NULL. */
bool write_one(struct bed *bed, const char *collection, const char *json, int64_t deadline_ns,
               struct pk_commit *out, struct pk_error *err);
bool is_there(struct bed *bed, const char *collection, const char *id);
uint64_t groups_of(struct bed *bed);

#endif
