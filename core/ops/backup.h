/* backup.h - The whole store in a folder, made while it is in use, and read again.
 *
 *     FOLDER/backup.json      what it is of, when, counts, and a checksum of every file
 *     FOLDER/personakit.db    of an embedded store: a database of its own
 *     FOLDER/<name>.bson, manifest.json       of MongoDB: the documents of each collection
 *
 * It is made beside its place, in FOLDER.partial, read again from end to end
 * and then renamed: what has that name is whole, and a folder without a
 * backup.json is no backup. Pepper, keys in files and erasures.log are no part
 * of it. Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_BACKUP_H
#define PK_OPS_BACKUP_H

#include "base/crypto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_inventory;
struct pk_store;

enum {
    PK_BACKUP_FORMAT = 1,       /* Of backup.json and what it describes. */
    PK_BACKUP_COLLECTIONS = 64, /* At most, in one. */
    PK_BACKUP_NAME = 40         /* Bytes of a backup's name, with its NUL. */
};

struct pk_backup_row {
    char collection[40];
    int64_t documents;
};
/* What backup.json says. */
struct pk_backup_info {
    char engine[16];           /* "sqlite" or "mongodb". */
    char program[32];          /* Version of the program that made it. */
    char epoch[40];            /* Of the store. */
    char name[PK_BACKUP_NAME]; /* Of this backup alone: from its checksum. */
    int64_t schema_version;
    int64_t made_ms;      /* When it was begun, wall. */
    int64_t delete_by_ms; /* When it should be gone: store.retention.backups. */
    int64_t bytes;        /* Of all its files. */
    size_t files;         /* That it names. */
    uint64_t stamp;       /* Tells these files from all others, for pk_backup_check_same. */
    int64_t documents;    /* Of all collections. */
    bool is_consistent;   /* One moment in all collections; on MongoDB it may be several. */
    struct pk_backup_row row[PK_BACKUP_COLLECTIONS];
    size_t count;
};

enum pk_backup_step { PK_BACKUP_COPYING, PK_BACKUP_READING, PK_BACKUP_CHECKING };
/* 'done' of 'all' (0: not known) documents, pages or bytes, by step. False stops it. */
typedef bool pk_backup_progress_fn(void *context, enum pk_backup_step step, const char *what,
                                   int64_t done, int64_t all);

struct pk_backup_options {
    const char *folder;
    const struct pk_inventory *inventory;
    const struct pk_clock *clock;
    int64_t keep_ms;                 /* Until 'deleteBy'. */
    pk_backup_progress_fn *progress; /* May be NULL. */
    void *context;
};
/* PK_CONFLICT: there is something of that name. PK_FULL: the disk is. PK_TIMEOUT: 'progress' has
 * stopped it. Whatever fails leaves nothing behind but, after a kill, FOLDER.partial, which the
 * next one clears. */
bool pk_backup_make(struct pk_store *store, const struct pk_backup_options *options,
                    struct pk_backup_info *out, struct pk_error *err);

/* Reads backup.json and holds every file against its checksum. PK_NOT_FOUND: there is no backup, or
 * one that was never finished; PK_INVALID: damaged; PK_UNSUPPORTED: a newer program's. */
bool pk_backup_read(const struct pk_backup_options *options, struct pk_backup_info *out,
                    struct pk_error *err);
/* Its files are those that were checked. PK_CONFLICT: somebody has changed them since. */
bool pk_backup_check_same(const char *folder, const struct pk_backup_info *info,
                          struct pk_error *err);

#endif
