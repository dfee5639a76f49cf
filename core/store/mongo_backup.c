/* mongo_backup.c - A consistent copy of the store into files, while it is in use.
 *
 *     FOLDER/<collection>.bson   the documents, one behind the other
 *     FOLDER/manifest.json       counts, checksums, epoch, schema, position of the feed
 *
 * Documents are as their owners know them: without '_rev', without what has
 * expired, without rows that only move the feed. Importing them is restoring.
 *
 * All collections are read from one snapshot. The server keeps a snapshot for
 * minSnapshotHistoryWindowInSeconds (300 by default); a store that takes longer
 * to copy is copied again by majority reads, collection by collection, and the
 * manifest says "consistent": false. Its "position" of the feed was taken
 * before the first read, so a follower that starts there sees every change
 * that a later collection may or may not have had.
 *
 * The manifest is written last: a folder without one is no backup.
 * Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "store/mongo_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROGRESS_EVERY = 256 /* Documents. */ };

struct backup {
    struct pk_store *store;
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* NULL: majority reads. */
    const char *folder;
    pk_progress_fn *progress;
    void *context;
    int64_t done, all;      /* Documents. */
    bool is_too_old;        /* The snapshot is gone. */
    struct pk_buf manifest; /* The rows of the collections. */
    char position[PK_POSITION_TEXT];
};

/* ---- The folder ---- */

static bool make_folder(const char *folder, struct pk_error *err)
{
    if (!pk_folder_make(folder, 0700, err)) {
        return false;
    }
    DIR *dir = opendir(folder);
    bool is_empty = dir != NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        is_empty =
            is_empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    }
    if (dir) {
        (void)closedir(dir);
    }
    if (!is_empty) {
        return pk_fail(err, PK_INVALID, "name a new or empty folder",
                       "the folder '%s' is not empty", folder);
    }
    return chmod(folder, 0700) == 0 ||
           pk_fail(err, PK_UNAVAILABLE, "name a folder of your own",
                   "cannot set the mode of '%s': %s", folder, strerror(errno));
}

static bool fail_to_write(const char *path, struct pk_error *err)
{
    const int why = errno;
    return pk_fail(err, why == ENOSPC || why == EDQUOT ? PK_FULL : PK_UNAVAILABLE,
                   "make room, or choose another folder", "cannot write '%s': %s", path,
                   strerror(why));
}

/* ---- One collection ---- */

struct copy {
    FILE *file;
    char *path;
    struct pk_hasher hasher;
    int64_t count, bytes;
};

static bool copy_doc(struct copy *copy, const bson_t *stored)
{
    struct pk_doc *doc = mongo_is_barrier(stored) ? NULL : mongo_doc(stored);
    if (!doc) {
        return true;
    }
    const size_t size = pk_doc_size(doc);
    pk_hasher_add(&copy->hasher, pk_doc_data(doc), size);
    const bool ok = fwrite(pk_doc_data(doc), 1, size, copy->file) == size;
    copy->count++;
    copy->bytes += (int64_t)size;
    pk_doc_unref(doc);
    return ok;
}

static bool report(struct backup *backup, struct pk_error *err)
{
    if (backup->progress && !backup->progress(backup->context, backup->done, backup->all)) {
        return pk_fail(err, PK_INVALID, "delete the folder and start again",
                       "the backup was stopped");
    }
    return true;
}

static bool copy_all(struct backup *backup, mongoc_cursor_t *cursor, struct copy *copy,
                     struct pk_error *err)
{
    const bson_t *stored = NULL;
    bson_error_t error;

    while (mongoc_cursor_next(cursor, &stored)) {
        if (!copy_doc(copy, stored)) {
            return fail_to_write(copy->path, err);
        }
        if (++backup->done % PROGRESS_EVERY == 0 && !report(backup, err)) {
            return false;
        }
    }
    if (mongoc_cursor_error(cursor, &error)) {
        backup->is_too_old = error.code == MONGO_CODE_SNAPSHOT_TOO_OLD ||
                             error.code == MONGO_CODE_SNAPSHOT_UNAVAILABLE;
        return mongo_fail(err, &error, "read a collection");
    }
    return true;
}

static mongoc_cursor_t *open_cursor(struct backup *backup, const struct pk_collection *collection,
                                    mongoc_collection_t *handle)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    bson_t sort;

    mongo_append_live(collection, mongo_now_ms(mongo_of(backup->store)), &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "sort", &sort);
    BSON_APPEND_INT32(&sort, "_id", 1);
    (void)bson_append_document_end(&opts, &sort);
    if (backup->session) {
        (void)mongoc_client_session_append(backup->session, &opts, NULL);
    }
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(handle, &filter, &opts, NULL);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return cursor;
}

static void add_to_manifest(struct backup *backup, const struct pk_collection *collection,
                            struct copy *copy)
{
    uint8_t hash[PK_HASH_BYTES];
    char text[PK_HASH_TEXT];

    pk_hasher_end(&copy->hasher, hash);
    pk_hex(text, hash, sizeof(hash));
    pk_buf_printf(&backup->manifest, "%s\n    {\"name\": ", backup->manifest.size ? "," : "");
    pk_json_add_string(&backup->manifest, collection->name, strlen(collection->name));
    pk_buf_printf(&backup->manifest, ", \"documents\": %lld, \"bytes\": %lld, \"blake2b\": \"%s\"}",
                  (long long)copy->count, (long long)copy->bytes, text);
}

static FILE *create_file(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (fd >= 0 && !file) {
        (void)close(fd);
    }
    return file;
}

static bool copy_collection(struct backup *backup, const struct pk_collection *collection,
                            struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s.bson", backup->folder, collection->name);
    struct copy copy = { .path = path, .file = create_file(path) };

    if (!copy.file) {
        return fail_to_write(path, err);
    }
    pk_hasher_init(&copy.hasher);
    struct mongo *mongo = mongo_of(backup->store);
    mongoc_collection_t *handle =
        backup->session
            ? mongo_snapshot_collection(mongo, backup->client, collection->name)
            : mongoc_client_get_collection(backup->client, mongo->database, collection->name);
    mongoc_cursor_t *cursor = open_cursor(backup, collection, handle);
    bool ok = copy_all(backup, cursor, &copy, err);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(handle);
    if (ok && (fflush(copy.file) != 0 || fsync(fileno(copy.file)) != 0)) {
        ok = fail_to_write(path, err);
    }
    if (fclose(copy.file) != 0 && ok) {
        ok = fail_to_write(path, err);
    }
    if (ok) {
        add_to_manifest(backup, collection, &copy);
    }
    return ok || pk_wrap(err, "back up '%s'", collection->name);
}

/* ---- All of them ---- */

static bool copy_store(struct backup *backup, struct pk_error *err)
{
    const struct pk_inventory *inventory = backup->store->inventory;
    bool ok = true;

    pk_buf_clear(&backup->manifest);
    backup->done = 0;
    for (size_t i = 0; ok && i < inventory->count; i++) {
        ok = copy_collection(backup, &inventory->collection[i], err);
    }
    return ok && report(backup, err);
}

static void estimate(struct backup *backup)
{
    const struct pk_inventory *inventory = backup->store->inventory;
    for (size_t i = 0; i < inventory->count; i++) {
        mongoc_collection_t *handle = mongoc_client_get_collection(
            backup->client, mongo_of(backup->store)->database, inventory->collection[i].name);
        const int64_t count =
            mongoc_collection_estimated_document_count(handle, NULL, NULL, NULL, NULL);
        backup->all += count > 0 ? count : 0;
        mongoc_collection_destroy(handle);
    }
}

static bool note_position(struct backup *backup, struct pk_error *err)
{
    struct pk_feed feed = { .store = backup->store };
    struct pk_feed_item item = { 0 };

    if (!mongo_feed_open(&feed, "", err)) {
        return false;
    }
    const bool ok = mongo_feed_next(&feed, 0, &item, err);
    if (ok) {
        (void)snprintf(backup->position, sizeof(backup->position), "%s", item.position);
    }
    pk_doc_unref(item.doc);
    mongo_feed_close(&feed);
    return ok;
}

static bool copy_snapshot(struct backup *backup, struct pk_error *err)
{
    mongoc_session_opt_t *opts = mongoc_session_opts_new();
    bson_error_t error;

    mongoc_session_opts_set_causal_consistency(opts, false);
    mongoc_session_opts_set_snapshot(opts, true);
    backup->session = mongoc_client_start_session(backup->client, opts, &error);
    mongoc_session_opts_destroy(opts);
    if (!backup->session) {
        return mongo_fail(err, &error, "start a snapshot");
    }
    const bool ok = copy_store(backup, err);
    mongoc_client_session_destroy(backup->session);
    backup->session = NULL;
    return ok;
}

static bool write_manifest(const struct backup *backup, bool is_consistent, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/manifest.json", backup->folder);
    char when[PK_TIME_TEXT];

    pk_time_format(pk_clock_wall_ms(backup->store->clock), when);
    pk_buf_printf(
        &text,
        "{\n  \"engine\": \"mongodb\",\n  \"program\": \"%s\",\n"
        "  \"schemaVersion\": %lld,\n  \"epoch\": \"%s\",\n  \"position\": \"%s\",\n"
        "  \"createdAt\": \"%s\",\n  \"consistent\": %s,\n  \"collections\": [%s\n  ]\n}\n",
        PK_VERSION, (long long)backup->store->inventory->schema_version, backup->store->epoch,
        backup->position, when, is_consistent ? "true" : "false", pk_buf_text(&backup->manifest));
    return pk_file_write(path, text.data, text.size, 0600, err);
}

bool mongo_backup(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                  void *context, struct pk_error *err)
{
    struct mongo *mongo = mongo_of(store);
    struct backup backup = {
        .store = store, .folder = folder, .progress = progress, .context = context
    };
    if (!make_folder(folder, err) || !(backup.client = mongo_pop(mongo, err))) {
        return false;
    }
    estimate(&backup);
    bool is_consistent = true;
    bool ok = note_position(&backup, err) && copy_snapshot(&backup, err);
    if (!ok && backup.is_too_old) {
        is_consistent = false;
        ok = copy_store(&backup, err);
    }
    ok = ok && write_manifest(&backup, is_consistent, err);
    mongo_push(mongo, backup.client);
    pk_buf_done(&backup.manifest);
    return ok;
}
