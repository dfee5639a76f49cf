/* store_limit.h - What the engines themselves can do on the same rows.
 *
 * The rows are read back from the store that we filled, so the limit writes
 * exactly what we wrote: same columns, same indexes, same sizes. Only then a
 * ratio means something. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BENCH_STORE_LIMIT_H
#define PK_BENCH_STORE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limit_result {
    int64_t lists; /* Lists (callers' transactions) made durable. */
    int64_t ns;    /* In that time. */
    int64_t cpu_ns;
};

/* A plain C loop on SQLite: rows of 'tables' (NULL-terminated) from the database file in
 * 'from_folder' go to a new file in 'to_folder' with the same schema and settings, 'group' lists
 * per transaction, for 'seconds'. */
struct limit_result limit_sqlite(const char *from_folder, const char *to_folder,
                                 const char *const *tables, unsigned group, double seconds);

/* Who writes, and how. */
struct limit_shape {
    unsigned group, writers; /* Lists per durable write, by each of so many threads. */
    bool is_transaction;     /* A transaction even for one table. */
};

/* libmongoc bulks: documents of 'tables' from database 'from' go to database 'to' (which has the
 * same indexes). One table is one ordered bulk with w:majority, j:true, unless the shape says
 * otherwise; several are always one transaction of one bulk each. */
struct limit_result limit_mongo(const char *url, const char *from, const char *to,
                                const char *const *tables, const struct limit_shape *shape,
                                double seconds);

/* libmongoc reads: documents of 'table' in database 'from', found by '_id' as the store finds them
 * (a majority read), random ones of 'ids', by each of 'readers' threads. A list is a document. */
struct limit_result limit_mongo_gets(const char *url, const char *from, const char *table,
                                     char (*id)[37], size_t ids, unsigned readers, double seconds);

#endif
