/* contract.h - The bed that every case of the contract is tried on.
 *
 * PK_TEST_STORE says which engine ("sqlite", the default, or "mongodb");
 * PK_TEST_MONGODB is the URL of a replica set. A case opens a bed (a fresh
 * folder or a fresh database), and bed_done takes it away again. Documents are
 * written as JSON with single quotes; {'$date':MS} is a date.
 *
 * Threads must not assert (cmocka jumps): they count, the case asserts. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CONTRACT_H
#define PK_CONTRACT_H

#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "contract_inventory.h"
#include "doc/doc.h"
#include "store/store.h"

#include <pthread.h>

struct bed {
    struct pk_store *store;               /* Open. */
    char *url;                            /* Of this bed alone. */
    char *place;                          /* The folder, or the name of the database. */
    const struct pk_inventory *inventory; /* What the store was opened with. */
    struct pk_clock_fake fake;            /* Used instead of the machine's when is_fake. */
    bool is_fake;
};

bool is_mongodb(void); /* The engine under test. */

/* A case about what only one engine has. On the other it is not there at all: nothing is counted
 * that cannot fail. */
#define TEST_SQLITE(name)  TEST_WHEN(name, !is_mongodb())
#define TEST_MONGODB(name) TEST_WHEN(name, is_mongodb())

/* Opens a fresh store on the test inventory, on 'inventory', or with a clock that the case moves.
 * All fail the case when that does not work. */
void bed_open(struct bed *bed);
void bed_open_inventory(struct bed *bed, const struct pk_inventory *inventory);
void bed_open_fake(struct bed *bed, int64_t wall_ms);
/* Makes only the place and the URL. */
void bed_prepare(struct bed *bed, const struct pk_inventory *inventory);
/* Closes and opens the same store again. */
void bed_reopen(struct bed *bed);
void bed_close(struct bed *bed);
void bed_done(struct bed *bed);
struct pk_store_options bed_options(const struct bed *bed);
const struct pk_clock *bed_clock(const struct bed *bed);
int64_t soon(const struct bed *bed); /* A deadline that a working store meets. */

#define BED(name)  PK_CLEANUP(bed_done) struct bed name = { 0 }
#define LIST(name) PK_CLEANUP(pk_writes_done) struct pk_writes name = { 0 }
#define DOC(name)  PK_CLEANUP(pk_doc_unrefp) struct pk_doc *name = NULL

/* ---- Documents ---- */

/* printf, then ' becomes ". Fails the case when it is not JSON. */
struct pk_doc *doc(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* 'size' bytes in all, give or take a few. */
struct pk_doc *big_doc(const char *id, size_t size);

/* One list with one write, and what came of it; 'json' is taken as it is. */
bool try_insert(struct bed *bed, const char *collection, struct pk_doc *taken,
                struct pk_commit *out, struct pk_error *err);
/* Inserts and returns the version; fails the case when that does not work. */
int64_t put(struct bed *bed, const char *collection, struct pk_doc *taken);
/* A new reference or NULL; fails the case when the store does not answer. */
struct pk_doc *get(struct bed *bed, const char *collection, const char *id);
int64_t version_of(struct bed *bed, const char *collection, const char *id); /* 0: not there. */
bool commit(struct bed *bed, struct pk_writes *list, struct pk_commit *out, struct pk_error *err);
void must_commit(struct bed *bed, struct pk_writes *list, struct pk_commit *out);
/* Adds to the list and gives the reference away. */
void add_insert(struct pk_writes *list, const char *collection, struct pk_doc *taken);
void add_replace(struct pk_writes *list, const char *collection, struct pk_doc *taken,
                 int64_t version);
void add_announce(struct pk_writes *list, struct pk_doc *taken);

/* ---- Finding ---- */

/* All pages of a query, 'limit' at a time, as ids joined by blanks. Owned by the caller. */
char *find_all(struct bed *bed, const struct pk_query *query, size_t limit);
/* Asked whole, in pages of 1, of 2 and of 7, the answer is always 'ids'. */
void expect_find(struct bed *bed, const struct pk_query *query, const char *ids);
/* How many documents the collection has, counted by reading them. */
size_t count_docs(struct bed *bed, const char *collection);

/* ---- Many at once ---- */

/* Runs 'work(context, number)' on 'count' threads that start together, and waits for all. */
void run_threads(size_t count, void (*work)(void *context, size_t number), void *context);

/* ---- The server ---- */

/* Runs a command of the server, JSON with single quotes; the answer is the caller's to destroy. */
bson_t *mongo_command(const char *database, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Runs tests/support/mongod with these arguments; its first line of output, the caller's. */
char *mongod_control(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A server of this case's own, for what would disturb others: a set of 'members' (0: none) made
 * by tests/support/mongod with 'options'. Beds opened until own_server_done are on it. */
struct own_server {
    char *folder; /* For mongod_control. */
    char *url;
    char *before; /* What PK_TEST_MONGODB was. */
};
void own_server_start(struct own_server *own, int members, const char *options);
void own_server_done(struct own_server *own);

#define assert_code(err, expected)                                                              \
    do {                                                                                        \
        if ((err)->code != (expected)) {                                                        \
            fail_msg("%s instead of %s: %s", pk_code_name((err)->code), pk_code_name(expected), \
                     (err)->message);                                                           \
        }                                                                                       \
    } while (0)

/* Tries a condition until it holds; fails the case after 30 s. */
#define wait_until(condition)                                                               \
    do {                                                                                    \
        const int64_t wait_end = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS); \
        while (!(condition)) {                                                              \
            if (pk_deadline_passed(pk_clock_system(), wait_end)) {                          \
                fail_msg("waited in vain for %s", #condition);                              \
            }                                                                               \
            (void)sched_yield();                                                            \
        }                                                                                   \
    } while (0)

#endif
