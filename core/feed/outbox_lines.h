/* outbox_lines.h - What a node knows of the tasks that wait: who is next, and when.
 *
 * A person's tasks stand in a line, in the order in which they were written;
 * only its first may be taken, and while that one is held nobody moves up.
 *
 *     added ──▶ line ──first of it──▶ due ──pk_lines_take──▶ held ──▶ ended, the next moves up
 *                ▲                     ▲                       │
 *                │                     └──when its time comes──┤ rests: those behind it wait
 *                └──when its time comes, at the end────────────┘ leaves: those behind it do not
 *
 * Documents are not kept, so a task that waits takes about 200 bytes; a person
 * with tasks another 100. Nothing here locks or waits: the caller holds the
 * outbox's lock. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FEED_OUTBOX_LINES_H
#define PK_FEED_OUTBOX_LINES_H

#include "base/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_line; /* Opaque. */

enum pk_entry_state {
    PK_ENTRY_RESTS, /* Behind another one of its line, or until its time comes. */
    PK_ENTRY_DUE,   /* Whoever takes next takes it. */
    PK_ENTRY_HELD   /* Somebody has taken it. */
};

struct pk_entry {
    char id[PK_UUID_TEXT];
    struct pk_line *line; /* NULL: nobody's. */
    enum pk_entry_state state;
    bool is_in_line;
    int64_t created_ms;               /* Wall: of the task, or of the row that told of it. */
    uint64_t number;                  /* Rises with every one that joins a line. */
    int64_t wake_ms;                  /* Wall: when its time comes. */
    size_t heap_at;                   /* Place in the heap, from 1; 0: not there. */
    struct pk_entry *before, *behind; /* In the line. */
    struct pk_entry *next;            /* In a queue. */
    struct pk_entry *bucket_next;
};
struct pk_entries { /* A queue; '{ 0 }' is empty. */
    struct pk_entry *first, *last;
    size_t count;
};
void pk_entries_add(struct pk_entries *queue, struct pk_entry *entry);
struct pk_entry *pk_entries_take(struct pk_entries *queue); /* NULL: empty. */

struct pk_lines {
    struct pk_entries due;
    size_t count; /* Of all entries. */

    /* outbox_lines.c's own. */
    struct pk_entry **entry; /* By hash of the id. */
    struct pk_line **line;   /* By hash of the person. */
    size_t entry_buckets, line_buckets, line_count;
    struct pk_entry **heap; /* Of those whose time is to come; the earliest at 1. */
    size_t heap_count, heap_size;
    uint64_t number;
};
void pk_lines_init(struct pk_lines *lines);
void pk_lines_done(struct pk_lines *lines);

struct pk_entry *pk_lines_find(const struct pk_lines *lines, const char *id);
struct pk_entry_new {
    const char *id;
    const char *person; /* NULL: nobody's. */
    int64_t created_ms;
    int64_t wake_ms;  /* Not before; 0: now. */
    bool is_apart;    /* Until then it stands in no line. */
    bool is_inserted; /* By its time of creation; else at the end. */
};
/* There must be none of this id. */
struct pk_entry *pk_lines_add(struct pk_lines *lines, const struct pk_entry_new *made,
                              int64_t now_ms);

/* The next that is due, held from here on; NULL: none. */
struct pk_entry *pk_lines_take(struct pk_lines *lines);
/* Of one that is held: forgotten; in the line until 'wake_ms'; out of it until then. */
void pk_lines_end(struct pk_lines *lines, struct pk_entry *entry, int64_t now_ms);
void pk_lines_rest(struct pk_lines *lines, struct pk_entry *entry, int64_t wake_ms, int64_t now_ms);
void pk_lines_leave(struct pk_lines *lines, struct pk_entry *entry, int64_t wake_ms,
                    int64_t now_ms);
/* Its time, if it waits for one, has come. */
void pk_lines_nudge(struct pk_lines *lines, struct pk_entry *entry, int64_t now_ms);
/* All whose time has come are due. Returns when that is so for the next; INT64_MAX: for none. */
int64_t pk_lines_tick(struct pk_lines *lines, int64_t now_ms);

/* The person of an entry, or NULL. */
const char *pk_entry_person(const struct pk_entry *entry);
/* How many stand in a person's line. */
size_t pk_lines_length(const struct pk_lines *lines, const char *person);

#endif
