/* move_internal.h - Between the files of moving, backing up and restoring alone. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_MOVE_INTERNAL_H
#define PK_OPS_MOVE_INTERNAL_H

#include "doc/inventory.h"
#include "ops/move.h"
#include "store/store.h"

#include <bson/bson.h>

#define PK_MOVE_COLLECTION "settings"
#define PK_MOVE_ID         "move"
#define PK_MOVE_EXPIRY     "by_expiry" /* The index that every collection with a TTL has. */

enum {
    PK_MOVE_CALL_MS = 60 * 1000, /* For one call of a store. */
    PK_MOVE_PAGE = 1000          /* Documents read at a time. */
};

/* How far one collection has got. */
struct pk_move_part {
    const struct pk_collection *collection;
    int64_t all;     /* In the source when it was counted. */
    int64_t done;    /* Copied. */
    char *last;      /* '_id' of the last one copied, or NULL. */
    int64_t last_ms; /* When that one expires; of the feed alone. */
    bool is_done;
};

/* The document in the target. */
struct pk_move_state {
    char from_epoch[40];
    int64_t started_at_ms, finished_at_ms; /* Finished 0: not yet. */
    int64_t compared_at_ms;                /* Of a restore: all is there. 0: not yet. */
    bool is_restore;
    bool is_counting;          /* The source is not counted yet, and nothing copied. */
    struct pk_move_part *part; /* One per collection, in the inventory's order. */
    size_t count;
    int64_t version; /* Of the stored document; 0: there is none. */
};
void pk_move_state_init(struct pk_move_state *state, const struct pk_inventory *inventory);
void pk_move_state_done(struct pk_move_state *state);
/* Replaces 'state' by what is stored; 'state->version' stays 0 when nothing is. */
bool pk_move_state_load(struct pk_move_state *state, struct pk_store *store,
                        const struct pk_clock *clock, struct pk_error *err);
/* Adds the write that stores it. */
void pk_move_state_save(const struct pk_move_state *state, struct pk_writes *list);

/* Reads a collection from end to end, in order of '_id'. '{ .store = ..., ... }' starts it.
 *
 * With 'expiry_path' it reads in order of that date, then '_id': rows of the feed are kept equally
 * long, so this is the order in which they were announced, to the millisecond. */
struct pk_move_reader {
    struct pk_store *store; /* NULL: 'folder' is read, where expired documents are passed over. */
    const char *folder;
    const char *ttl_path; /* With 'folder'. */
    bson_reader_t *file;
    const struct pk_clock *clock;
    const char *collection;
    const char *expiry_path;
    struct pk_page page;
    size_t at;
    char *last;      /* Begin behind this '_id'; NULL: with the first. */
    int64_t last_ms; /* With 'expiry_path': the date of that one. */
    bool is_end;
};
void pk_move_reader_done(struct pk_move_reader *reader);
/* A reader of the source, from its start. */
struct pk_move_reader pk_move_source(const struct pk_move_options *options,
                                     const struct pk_collection *collection);
/* The next page of a file. */
bool pk_move_read_file(struct pk_move_reader *reader, struct pk_error *err);
/* The next document, owned by the reader until the next call; NULL at the end. */
bool pk_move_reader_next(struct pk_move_reader *reader, struct pk_doc **out, struct pk_error *err);

/* Tells the caller; PK_TIMEOUT when he wants to stop. */
bool pk_move_tell(const struct pk_move_options *options, enum pk_move_step step,
                  const char *collection, int64_t done, int64_t all, struct pk_error *err);

/* Fills result->row. False with PK_CONFLICT when the stores differ. */
bool pk_move_compare(const struct pk_move_options *options, int64_t all,
                     struct pk_move_result *result, struct pk_error *err);

#endif
