/* backup.c - Copy, read again, seal, rename.
 *
 *     clear FOLDER.partial ─▶ pk_store_backup ─▶ read every document ─▶ hash every file
 *          └──▶ backup.json ─▶ sync ─▶ rename to FOLDER ─▶ sync
 *
 * A backup that nobody has read is a hope, so all of it is read before it gets
 * its name. backup.json has a checksum of itself, over its canonical form
 * without that member.
 *
 * Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#include "ops/backup.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "ops/move.h"
#include "ops/move_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEAL "backup.json"
enum { SEAL_MAX_BYTES = 1024 * 1024, PIECE = 1024 * 1024, TELL_EVERY = 1000 };

static bool tell(const struct pk_backup_options *options, enum pk_backup_step step,
                 const char *what, int64_t done, int64_t all, struct pk_error *err)
{
    if (options->progress && !options->progress(options->context, step, what, done, all)) {
        return pk_fail(err, PK_TIMEOUT, "start it again when it may run to its end",
                       "it was stopped");
    }
    return true;
}

/* ---- Files ---- */

/* Names of ours: nobody else's file is ever deleted. */
static bool is_ours(const char *name)
{
    static const char *const whole[] = { "personakit.db",     "personakit.db-wal",
                                         "personakit.db-shm", "personakit.db-journal",
                                         "manifest.json",     SEAL };
    const size_t size = strlen(name);
    for (size_t i = 0; i < PK_COUNT(whole); i++) {
        if (strcmp(name, whole[i]) == 0) {
            return true;
        }
    }
    return size > 5 && strcmp(name + size - 5, ".bson") == 0;
}

/* Part of what is kept, and hashed. */
static bool is_content(const char *name)
{
    return is_ours(name) && strcmp(name, SEAL) != 0 && strncmp(name, "personakit.db-", 14) != 0;
}

static void clear(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        if (is_ours(entry->d_name)) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    if (dir) {
        (void)closedir(dir);
    }
}

static bool sync_folder(const char *path, struct pk_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    const int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok || pk_fail(err, PK_UNAVAILABLE, "check the device, then back up again",
                         "syncing '%s' failed: %s", path, strerror(why));
}

/* A plain file: whatever else has its name is not opened, or does not keep us waiting. */
static int open_plain(const char *path)
{
    struct stat about;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))) {
        (void)close(fd);
        errno = ELOOP;
        return -1;
    }
    return fd;
}

/* 'out' PK_HASH_TEXT bytes. 'done' counts bytes of all files. */
static bool hash_file(const struct pk_backup_options *options, const char *path, const char *name,
                      int64_t *done, int64_t all, char *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *piece = pk_alloc(PIECE);
    struct pk_hasher hasher;
    uint8_t hash[PK_HASH_BYTES];
    ssize_t size = 1;
    const int fd = open_plain(path);
    bool ok = fd >= 0;
    pk_hasher_init(&hasher);
    while (ok && (size = read(fd, piece, PIECE)) > 0) {
        pk_hasher_add(&hasher, piece, (size_t)size);
        *done += size;
        ok = tell(options, PK_BACKUP_CHECKING, name, *done, all, err);
    }
    const int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    pk_hasher_end(&hasher, hash);
    pk_hex(out, hash, sizeof(hash));
    if (fd < 0 || size < 0) {
        return pk_fail(err, why == ENOENT || why == ELOOP ? PK_INVALID : PK_UNAVAILABLE,
                       "use another backup, or check who may read this one",
                       "'%.100s' of the backup cannot be read: %s", name,
                       why == ELOOP ? "it is no plain file" : strerror(why));
    }
    return ok;
}

/* ---- Its documents ---- */

struct source {
    struct pk_move_options options; /* 'from' or 'from_folder'. */
    struct pk_store *store;         /* Ours to close, or NULL. */
};

static bool open_source(struct source *source, const struct pk_backup_options *options,
                        const char *folder, const char *engine, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options store = {
        .url = url, .inventory = options->inventory, .clock = options->clock, .is_read_only = true
    };
    const bool is_files = strcmp(engine, "sqlite") != 0;
    *source = (struct source){ .options = { .inventory = options->inventory,
                                            .clock = options->clock,
                                            .from_folder = is_files ? folder : NULL,
                                            .is_restore = true } };
    if (!is_files && !pk_store_open(&source->store, &store, err)) {
        return pk_wrap(err, "open the copy");
    }
    source->options.from = source->store;
    return true;
}

/* What SQLite leaves beside a database that was only read. */
static void close_source(struct source *source, const char *folder)
{
    PK_CLEANUP(pk_freep) char *wal = pk_strdupf("%s/personakit.db-wal", folder);
    PK_CLEANUP(pk_freep) char *shm = pk_strdupf("%s/personakit.db-shm", folder);
    struct stat about;
    if (!source->store) {
        return;
    }
    pk_store_close(source->store);
    source->store = NULL;
    if (stat(wal, &about) != 0 || about.st_size == 0) {
        (void)unlink(wal);
        (void)unlink(shm);
    }
}

static bool count_collection(const struct pk_backup_options *options, const struct source *source,
                             const struct pk_collection *collection, struct pk_backup_info *info,
                             struct pk_error *err)
{
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader reader = pk_move_source(&source->options, collection);
    struct pk_backup_row *row = &info->row[info->count++];
    struct pk_doc *doc;
    (void)snprintf(row->collection, sizeof(row->collection), "%s", collection->name);
    for (;;) {
        if (!pk_move_reader_next(&reader, &doc, err)) {
            return false;
        }
        if (!doc) {
            return true;
        }
        row->documents++;
        if (++info->documents % TELL_EVERY == 0 &&
            !tell(options, PK_BACKUP_READING, collection->name, info->documents, 0, err)) {
            return false;
        }
    }
}

static bool read_all(const struct pk_backup_options *options, const char *folder,
                     struct pk_backup_info *info, struct pk_error *err)
{
    struct source source;
    bool ok = open_source(&source, options, folder, info->engine, err);
    for (size_t i = 0; ok && i < options->inventory->count && i < PK_BACKUP_COLLECTIONS; i++) {
        ok = count_collection(options, &source, &options->inventory->collection[i], info, err);
    }
    close_source(&source, folder);
    return ok || pk_wrap(err, "read the copy again");
}

/* ---- The seal ---- */

static void put_time(bson_t *out, const char *name, int64_t ms)
{
    char text[PK_TIME_TEXT];
    pk_time_format(ms, text);
    BSON_APPEND_UTF8(out, name, text);
}

static void put_rows(bson_t *out, const struct pk_backup_info *info)
{
    bson_t rows, row;
    char name[16];
    const char *key;
    BSON_APPEND_ARRAY_BEGIN(out, "collections", &rows);
    for (size_t i = 0; i < info->count; i++) {
        (void)bson_uint32_to_string((uint32_t)i, &key, name, sizeof(name));
        BSON_APPEND_DOCUMENT_BEGIN(&rows, key, &row);
        BSON_APPEND_UTF8(&row, "name", info->row[i].collection);
        BSON_APPEND_INT64(&row, "documents", info->row[i].documents);
        bson_append_document_end(&rows, &row);
    }
    bson_append_array_end(out, &rows);
}

/* All files of the folder, with their sizes and hashes. */
static bool put_files(bson_t *out, const struct pk_backup_options *options, const char *folder,
                      struct pk_backup_info *info, struct pk_error *err)
{
    bson_t files, file;
    char number[16], hash[PK_HASH_TEXT];
    const char *key;
    uint32_t count = 0;
    bool ok = true;
    DIR *dir = opendir(folder);
    if (!dir) {
        return pk_fail(err, PK_UNAVAILABLE, "back up again", "'%s' cannot be read: %s", folder,
                       strerror(errno));
    }
    BSON_APPEND_ARRAY_BEGIN(out, "files", &files);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        const int64_t before = info->bytes;
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, entry->d_name);
        if (!is_content(entry->d_name)) {
            continue;
        }
        ok = hash_file(options, path, entry->d_name, &info->bytes, 0, hash, err);
        (void)bson_uint32_to_string(count++, &key, number, sizeof(number));
        BSON_APPEND_DOCUMENT_BEGIN(&files, key, &file);
        BSON_APPEND_UTF8(&file, "name", entry->d_name);
        BSON_APPEND_INT64(&file, "bytes", info->bytes - before);
        BSON_APPEND_UTF8(&file, "blake2b", hash);
        bson_append_document_end(&files, &file);
    }
    bson_append_array_end(out, &files);
    (void)closedir(dir);
    return ok;
}

/* Over all but "check", whatever the order and the white space. */
static bool check_of(const bson_t *seal, char out[PK_HASH_TEXT], struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    uint8_t hash[PK_HASH_BYTES];
    bson_t rest = BSON_INITIALIZER;
    bson_copy_to_excluding_noinit(seal, &rest, "check", NULL);
    const bool ok = pk_json_write(&text, &rest, PK_JSON_CANONICAL, err);
    bson_destroy(&rest);
    pk_hash(hash, text.data, text.size, NULL, 0);
    pk_hex(out, hash, sizeof(hash));
    return ok;
}

static bool fill_seal(bson_t *out, const struct pk_backup_options *options, const char *folder,
                      struct pk_backup_info *info, struct pk_error *err)
{
    char check[PK_HASH_TEXT];
    BSON_APPEND_INT64(out, "format", PK_BACKUP_FORMAT);
    BSON_APPEND_UTF8(out, "engine", info->engine);
    BSON_APPEND_UTF8(out, "program", info->program);
    BSON_APPEND_INT64(out, "schemaVersion", info->schema_version);
    BSON_APPEND_UTF8(out, "epoch", info->epoch);
    put_time(out, "madeAt", info->made_ms);
    put_time(out, "deleteBy", info->delete_by_ms);
    BSON_APPEND_BOOL(out, "consistent", info->is_consistent);
    put_rows(out, info);
    if (!put_files(out, options, folder, info, err) || !check_of(out, check, err)) {
        return false;
    }
    BSON_APPEND_UTF8(out, "check", check);
    (void)snprintf(info->name, sizeof(info->name), "backup %.32s", check);
    return true;
}

static bool write_seal(const struct pk_backup_options *options, const char *folder,
                       struct pk_backup_info *info, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, SEAL);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_t seal = BSON_INITIALIZER;
    const bool ok = fill_seal(&seal, options, folder, info, err) &&
                    pk_json_write(&text, &seal, PK_JSON_PRETTY, err);
    bson_destroy(&seal);
    pk_buf_add_text(&text, "\n");
    return ok && pk_file_write(path, text.data, text.size, 0600, err);
}

/* ---- Making one ---- */

/* On MongoDB the engine says in its own manifest whether all is of one moment. */
static bool was_consistent(const char *folder)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/manifest.json", folder);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    return !pk_file_read(&text, path, SEAL_MAX_BYTES, NULL) ||
           memmem(pk_buf_text(&text), text.size, "\"consistent\": true", 18) != NULL;
}

static bool on_copied(void *context, int64_t done, int64_t all)
{
    const struct pk_backup_options *options = context;
    struct pk_error ignored;
    return tell(options, PK_BACKUP_COPYING, "", done, all, &ignored);
}

static bool fill_partial(struct pk_store *store, const struct pk_backup_options *options,
                         const char *partial, struct pk_backup_info *info, struct pk_error *err)
{
    if (!pk_move_check_finished(store, options->clock, err) ||
        !pk_store_backup(store, partial, on_copied, (void *)(uintptr_t)options, err)) {
        return false;
    }
    info->is_consistent = was_consistent(partial);
    return read_all(options, partial, info, err) && write_seal(options, partial, info, err) &&
           sync_folder(partial, err);
}

/* The folder is nobody's, or empty: a rename replaces nothing else. */
static bool publish(const char *partial, const char *folder, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *above = pk_strdup(folder);
    char *slash = strrchr(above, '/');
    if (rename(partial, folder) != 0) {
        return pk_fail(err, errno == ENOTEMPTY || errno == EEXIST ? PK_CONFLICT : PK_UNAVAILABLE,
                       "name a folder that is not there yet",
                       "the backup cannot be given the name '%s': %s", folder, strerror(errno));
    }
    if (slash == above) {
        slash[1] = '\0';
    } else if (slash) {
        *slash = '\0';
    }
    return sync_folder(slash ? above : ".", err);
}

static bool check_free(const char *folder, struct pk_error *err)
{
    struct stat about;
    DIR *dir = opendir(folder);
    int entries = 0;
    const bool is_there = dir || lstat(folder, &about) == 0;
    while (dir && entries < 3 && readdir(dir)) {
        entries++;
    }
    if (dir) {
        (void)closedir(dir);
    }
    return !is_there || (dir && entries <= 2) ||
           pk_fail(err, PK_CONFLICT,
                   "name a folder that is not there yet: backups are never written "
                   "over",
                   "there is something at '%s'", folder);
}

/* Made and locked: two backups do not write into one folder. */
static bool take_partial(const char *partial, int *out_fd, struct pk_error *err)
{
    if (!pk_folder_make(partial, 0700, err)) {
        return false;
    }
    *out_fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out_fd < 0 || flock(*out_fd, LOCK_EX | LOCK_NB) != 0) {
        return pk_fail(err, PK_CONFLICT, "wait for it, or name another folder",
                       "another backup writes into '%s'", partial);
    }
    clear(partial);
    return true;
}

bool pk_backup_make(struct pk_store *store, const struct pk_backup_options *options,
                    struct pk_backup_info *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(options->folder);
    for (size_t size = strlen(folder); size > 1 && folder[size - 1] == '/'; size--) {
        folder[size - 1] = '\0';
    }
    PK_CLEANUP(pk_freep) char *partial = pk_strdupf("%s.partial", folder);
    int lock = -1;
    *out = (struct pk_backup_info){ .schema_version = options->inventory->schema_version,
                                    .made_ms = pk_clock_wall_ms(options->clock) };
    out->delete_by_ms = out->made_ms + options->keep_ms;
    (void)snprintf(out->engine, sizeof(out->engine), "%s", pk_store_engine(store));
    (void)snprintf(out->program, sizeof(out->program), "%s", PK_VERSION);
    (void)snprintf(out->epoch, sizeof(out->epoch), "%s", pk_store_epoch(store));
    if (!check_free(folder, err)) {
        return false;
    }
    bool ok = take_partial(partial, &lock, err);
    if (ok) {
        ok = fill_partial(store, options, partial, out, err) && publish(partial, folder, err);
        if (!ok) {
            clear(partial);
            (void)rmdir(partial);
        }
    }
    if (lock >= 0) {
        (void)close(lock);
    }
    return ok;
}

/* ---- Reading one ---- */

static bool fail_damaged(struct pk_error *err, const char *what)
{
    return pk_fail(err, PK_INVALID, "use another backup: nothing was restored of this one",
                   "the backup is damaged: %s", what);
}

static void take_text(const struct pk_doc *seal, const char *name, char *out, size_t size)
{
    const char *text = pk_doc_text(seal, name);
    (void)snprintf(out, size, "%s", text ? text : "");
}

static int64_t take_time(const struct pk_doc *seal, const char *name)
{
    const char *text = pk_doc_text(seal, name);
    int64_t ms = 0;
    return text && pk_time_parse(text, strlen(text), &ms, NULL) ? ms : 0;
}

static void take_rows(const struct pk_doc *seal, struct pk_backup_info *out)
{
    char path[64];
    for (; out->count < PK_BACKUP_COLLECTIONS; out->count++) {
        struct pk_backup_row *row = &out->row[out->count];
        (void)snprintf(path, sizeof(path), "collections.%zu.name", out->count);
        if (!pk_doc_text(seal, path)) {
            return;
        }
        take_text(seal, path, row->collection, sizeof(row->collection));
        (void)snprintf(path, sizeof(path), "collections.%zu.documents", out->count);
        row->documents = pk_doc_int(seal, path, 0);
        if (row->documents < 0 ||
            __builtin_add_overflow(out->documents, row->documents, &out->documents)) {
            row->documents = out->documents = 0; /* Nobody counts so: it is shown, no more. */
        }
    }
}

/* A file that it may name: none elsewhere. */
static bool is_listable(const char *name)
{
    return is_content(name) && strchr(name, '/') == NULL;
}

static bool check_file(const struct pk_backup_options *options, const char *name,
                       const char *wanted, int64_t *done, struct pk_error *err)
{
    char hash[PK_HASH_TEXT], what[64];
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", options->folder, name);
    if (!is_listable(name)) {
        return fail_damaged(err, "backup.json names what is no file of a backup");
    }
    if (!hash_file(options, path, name, done, 0, hash, err)) {
        return false;
    }
    if (strcmp(hash, wanted) != 0) {
        (void)snprintf(what, sizeof(what), "'%.40s' has changed", name);
        return fail_damaged(err, what);
    }
    return true;
}

/* What the folder has: how many files of a backup, and what tells these from all others. */
struct folder {
    size_t count;
    uint64_t stamp;
    char log[32]; /* One of SQLite's, with something in it: it would change what the database says.
                   */
};

static uint64_t stamp_of(const char *name, const struct stat *about)
{
    static const uint8_t key[PK_SHORT_KEY_BYTES] = { 'b', 'a', 'c', 'k', 'u', 'p' };
    uint64_t hash[2];
    char text[400];
    const int size =
        snprintf(text, sizeof(text), "%ju %ju %jd %jd.%09ld %.256s", (uintmax_t)about->st_dev,
                 (uintmax_t)about->st_ino, (intmax_t)about->st_size,
                 (intmax_t)about->st_ctim.tv_sec, about->st_ctim.tv_nsec, name);
    pk_hash_short(hash, text, (size_t)size, key);
    return hash[0];
}

static bool look_at_folder(const char *path, struct folder *out, struct pk_error *err)
{
    struct stat about;
    DIR *dir = opendir(path);
    *out = (struct folder){ .count = 0 };
    if (!dir) {
        return pk_fail(err, PK_UNAVAILABLE, "check who may read the backup",
                       "'%s' cannot be read: %s", path, strerror(errno));
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        const bool is_log =
            strcmp(name, "personakit.db-wal") == 0 || strcmp(name, "personakit.db-journal") == 0;
        if ((!is_log && !is_content(name)) ||
            fstatat(dirfd(dir), name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (!is_log) {
            out->count++;
            out->stamp += stamp_of(name, &about); /* In whatever order they come. */
        } else if (!S_ISREG(about.st_mode) || about.st_size > 0) {
            (void)snprintf(out->log, sizeof(out->log), "%.30s", name);
        }
    }
    (void)closedir(dir);
    return true;
}

/* What nobody has hashed must not be read. */
static bool check_others(const char *path, struct pk_backup_info *info, struct pk_error *err)
{
    struct folder folder;
    char what[96] = "";
    if (!look_at_folder(path, &folder, err)) {
        return false;
    }
    if (folder.log[0]) {
        (void)snprintf(what, sizeof(what), "somebody has written to its database: '%s'",
                       folder.log);
    } else if (folder.count != info->files) {
        (void)snprintf(what, sizeof(what), "it has %zu files, and backup.json names %zu",
                       folder.count, info->files);
    }
    info->stamp = folder.stamp;
    return !what[0] || fail_damaged(err, what);
}

bool pk_backup_check_same(const char *path, const struct pk_backup_info *info, struct pk_error *err)
{
    struct folder folder;
    return look_at_folder(path, &folder, err) &&
           ((folder.count == info->files && folder.stamp == info->stamp && !folder.log[0]) ||
            pk_fail(err, PK_CONFLICT,
                    "find out who writes there; then begin again, in an empty store",
                    "the backup was changed while it was being restored"));
}

static bool check_files(const struct pk_backup_options *options, const struct pk_doc *seal,
                        struct pk_backup_info *out, struct pk_error *err)
{
    char at[64];
    out->bytes = 0;
    for (out->files = 0;; out->files++) {
        (void)snprintf(at, sizeof(at), "files.%zu.name", out->files);
        const char *name = pk_doc_text(seal, at);
        (void)snprintf(at, sizeof(at), "files.%zu.blake2b", out->files);
        const char *wanted = pk_doc_text(seal, at);
        if (!name || !wanted) {
            break;
        }
        if (!check_file(options, name, wanted, &out->bytes, err)) {
            return false;
        }
    }
    return check_others(options->folder, out, err);
}

static bool read_seal(const struct pk_backup_options *options, struct pk_doc **out,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", options->folder, SEAL);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error own = { 0 };
    bson_t seal;
    if (!pk_file_read(&text, path, SEAL_MAX_BYTES, &own)) {
        return pk_fail(err, own.code,
                       "name the folder that 'personakit backup' has made; one whose "
                       "name ends in '.partial' was never finished",
                       "'%s' is no backup: %s", options->folder, own.message);
    }
    if (!pk_json_read(&seal, text.data, text.size, NULL, &own)) {
        return fail_damaged(err, "backup.json cannot be read");
    }
    *out = pk_doc_take(bson_copy(&seal));
    bson_destroy(&seal);
    return true;
}

/* First the format: of a newer one nothing else is known. */
static bool check_seal(const struct pk_doc *seal, const struct pk_backup_options *options,
                       struct pk_backup_info *out, struct pk_error *err)
{
    char check[PK_HASH_TEXT];
    bson_t view;
    const char *wanted = pk_doc_text(seal, "check");
    pk_doc_view(seal, &view);
    if (pk_doc_int(seal, "format", 0) > PK_BACKUP_FORMAT ||
        out->schema_version > options->inventory->schema_version) {
        return pk_fail(err, PK_UNSUPPORTED,
                       "restore it with the program that made it, or a newer one",
                       "the backup was made by a newer program, personakit %s", out->program);
    }
    if (!wanted || !check_of(&view, check, err) || strcmp(check, wanted) != 0) {
        return fail_damaged(err, "backup.json has changed");
    }
    (void)snprintf(out->name, sizeof(out->name), "backup %.32s", check);
    return true;
}

bool pk_backup_read(const struct pk_backup_options *options, struct pk_backup_info *out,
                    struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *seal = NULL;
    *out = (struct pk_backup_info){ 0 };
    if (!read_seal(options, &seal, err)) {
        return false;
    }
    take_text(seal, "engine", out->engine, sizeof(out->engine));
    take_text(seal, "program", out->program, sizeof(out->program));
    take_text(seal, "epoch", out->epoch, sizeof(out->epoch));
    out->schema_version = pk_doc_int(seal, "schemaVersion", 0);
    out->made_ms = take_time(seal, "madeAt");
    out->delete_by_ms = take_time(seal, "deleteBy");
    out->is_consistent = pk_doc_bool(seal, "consistent", true);
    take_rows(seal, out);
    return check_seal(seal, options, out, err) && check_files(options, seal, out, err);
}
