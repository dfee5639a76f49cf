/* client.h - Clients within the test program itself, for faults that are injected there. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_CLIENT_H
#define PK_FAULT_CLIENT_H

#include "list.h"

#include "base/buf.h"
#include "base/error.h"

#include <pthread.h>

struct fault_journal;
struct pk_store;

/* The lines that clients have said, in order; any prefix of it is what the world knew at some
 * moment. Any thread. */
struct fault_record {
    uint64_t seed;
    pthread_mutex_t lock;
    struct pk_buf lines;
};
void fault_record_init(struct fault_record *record, uint64_t seed);
void fault_record_done(struct fault_record *record);
/* Drops what was said after 'size'. */
void fault_record_cut(struct fault_record *record, size_t size);
size_t fault_record_size(struct fault_record *record);
/* The journal of the first 'size' bytes. */
void fault_record_journal(struct fault_record *record, size_t size, struct fault_journal *out);

/* Commits one list and says so; what the client was told: PK_OK or a code. '*out_is_tried' is
 * false when its counters could not be read, so that it was never handed over. */
enum pk_code fault_client_do(struct fault_record *record, struct pk_store *store,
                             struct fault_name name, enum fault_kind kind, bool *out_is_tried,
                             struct pk_error *err);

/* Opens the store in 'folder', as a server would. */
bool fault_store_open(struct pk_store **out, const char *folder, struct pk_error *err);
/* SQLite's own opinion of a database that is not open: "ok", or what is wrong. */
void fault_integrity(const char *folder, char *out, size_t size);

/* Folders of databases. */
void fault_folder_copy(const char *from, const char *to); /* 'to' is made. */
void fault_folder_drop(const char *path);
/* A new path in the program's folder; nothing is there yet. */
void fault_folder_new(char *out, size_t size, const char *what);

#endif
