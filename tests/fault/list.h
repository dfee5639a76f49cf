/* list.h - What fault tests commit: lists of the main path, each known by its name alone.
 *
 * A list is named by (run, thread, number) of its writer. Its four documents
 * (observation, task, event, idempotency row) follow from that name and the
 * seed, contents and ids both, so whoever finds a document can say which list
 * it belongs to and what every byte of it should be. Some lists do more: they
 * raise a counter (read, add one, replace), look at one, or insert an
 * observation that is there already, which must refuse the whole list. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_LIST_H
#define PK_FAULT_LIST_H

#include "base/id.h"

#include <stdbool.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_inventory;
struct pk_store;
struct pk_writes;

enum {
    FAULT_RUNS_MAX = 1 << 14,   /* Starts of a writer on one store. */
    FAULT_THREADS_MAX = 1 << 8, /* Clients of one writer. */
    FAULT_SHARED_COUNT = 4      /* Counters that all clients raise. */
};

struct fault_name {
    uint32_t run;    /* Below FAULT_RUNS_MAX. */
    uint32_t thread; /* Below FAULT_THREADS_MAX. */
    uint32_t number; /* Of the thread's lists in this run. */
};

enum fault_part { FAULT_OBSERVATION, FAULT_TASK, FAULT_EVENT, FAULT_KEY, FAULT_PART_COUNT };
enum { FAULT_WHOLE = (1 << FAULT_PART_COUNT) - 1 }; /* All parts, as a mask. */

/* What a list does besides inserting its four documents. */
enum fault_kind {
    FAULT_PLAIN = 'p',
    FAULT_OWN = 'o',    /* Raises its thread's counter: nobody else does. */
    FAULT_SHARED = 's', /* Raises a counter that others raise too: may conflict. */
    FAULT_LOOK = 'l',   /* Expects its thread's counter to stay as it is. */
    FAULT_TWICE = 't'   /* Its observation is that of the list before: must be refused. */
};
/* The kind that falls to this number. */
enum fault_kind fault_kind_of(uint32_t number);

/* Collections "observations", "outbox", "events", "idempotency" and "counters", with the kinds of
 * index the store offers. */
const struct pk_inventory *fault_inventory(void);
const char *fault_collection(enum fault_part part);

/* The id of a part; and back: false for an id that no list of this seed has. */
void fault_id(char out[PK_UUID_TEXT], uint64_t seed, struct fault_name name, enum fault_part part);
bool fault_id_read(const char *id, uint64_t seed, struct fault_name *out_name,
                   enum fault_part *out_part);

/* The document that must be there. The caller's reference. */
struct pk_doc *fault_doc(uint64_t seed, struct fault_name name, enum fault_part part);
/* The person whose observation it is: one per thread. */
void fault_person(char out[PK_UUID_TEXT], uint64_t seed, uint32_t thread);

/* Ids of counters, and what they say. */
void fault_own_id(char out[32], uint32_t thread);
void fault_shared_id(char out[32], struct fault_name name);
int64_t fault_counter_value(const struct pk_doc *counter); /* 0 for NULL. */

/* Fills the empty list, reading counters as its kind needs. '*out_value' is what its counter will
 * say, or 0. False when the store could not be read. */
bool fault_list_fill(struct pk_writes *list, struct pk_store *store, uint64_t seed,
                     struct fault_name name, enum fault_kind kind, int64_t deadline_ns,
                     int64_t *out_value, struct pk_error *err);

/* A number from a seed and a counter: the same everywhere, forever. */
uint64_t fault_mix(uint64_t seed, uint64_t value);

#endif
