/* client.c - One list, one client, one line said before and after. */
/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "journal.h"
#include "process.h"
#include "tap.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/store.h"

#include <dirent.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fault_record_init(struct fault_record *record, uint64_t seed)
{
    *record = (struct fault_record){ .seed = seed };
    (void)pthread_mutex_init(&record->lock, NULL);
}

void fault_record_done(struct fault_record *record)
{
    pk_buf_done(&record->lines);
    (void)pthread_mutex_destroy(&record->lock);
}

void fault_record_cut(struct fault_record *record, size_t size)
{
    record->lines.size = size;
}

size_t fault_record_size(struct fault_record *record)
{
    (void)pthread_mutex_lock(&record->lock);
    size_t size = record->lines.size;
    (void)pthread_mutex_unlock(&record->lock);
    return size;
}

void fault_record_journal(struct fault_record *record, size_t size, struct fault_journal *out)
{
    char line[128];
    fault_journal_init(out, record->seed);
    for (size_t at = 0; at < size;) {
        const char *start = record->lines.data + at;
        size_t length = (size_t)((char *)memchr(start, '\n', size - at) - start);
        (void)snprintf(line, sizeof(line), "%.*s", (int)length, start);
        fault_journal_line(out, line);
        at += length + 1;
    }
}

static void say(struct fault_record *record, const char *word, struct fault_name name,
                const char *rest)
{
    (void)pthread_mutex_lock(&record->lock);
    pk_buf_printf(&record->lines, "%s %u %u %u %s\n", word, name.run, name.thread, name.number,
                  rest);
    (void)pthread_mutex_unlock(&record->lock);
}

enum pk_code fault_client_do(struct fault_record *record, struct pk_store *store,
                             struct fault_name name, enum fault_kind kind, bool *out_is_tried,
                             struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char word[32] = { (char)kind };
    int64_t value;
    *err = (struct pk_error){ 0 };
    *out_is_tried = fault_list_fill(&list, store, record->seed, name, kind, 0, &value, err);
    if (!*out_is_tried) {
        return err->code;
    }
    say(record, "try", name, word);
    if (pk_store_commit(store, &list, 0, NULL, err)) {
        (void)snprintf(word, sizeof(word), "%" PRId64, value);
        say(record, "ok", name, word);
        return PK_OK;
    }
    (void)snprintf(word, sizeof(word), "%d", (int)err->code);
    say(record, err->code == PK_UNKNOWN ? "unknown" : "refused", name, word);
    return err->code;
}

bool fault_store_open(struct pk_store **out, const char *folder, struct pk_error *err)
{
    char url[1100];
    (void)snprintf(url, sizeof(url), "sqlite:%s", folder);
    struct pk_store_options options = { .url = url,
                                        .inventory = fault_inventory(),
                                        .clock = pk_clock_system() };
    *err = (struct pk_error){ 0 };
    *out = NULL;
    return pk_store_open(out, &options, err);
}

void fault_integrity(const char *folder, char *out, size_t size)
{
    char path[1100];
    sqlite3 *db = NULL;
    sqlite3_stmt *check = NULL;
    (void)snprintf(path, sizeof(path), "%s/personakit.db", folder);
    bool is_row =
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW;
    (void)snprintf(out, size, "%s",
                   is_row ? (const char *)sqlite3_column_text(check, 0) : sqlite3_errmsg(db));
    (void)sqlite3_finalize(check);
    (void)sqlite3_close(db);
}

/* ---- Folders ---- */

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    size_t got;
    FILE *in = fopen(from, "re");
    FILE *out = fopen(to, "we");
    if (!in || !out) {
        tap_bail("copy '%s' to '%s'", from, to);
    }
    while ((got = fread(bytes, 1, sizeof(bytes), in)) > 0) {
        if (fwrite(bytes, 1, got, out) != got) {
            tap_bail("write '%s'", to);
        }
    }
    (void)fclose(in);
    if (fclose(out) != 0) {
        tap_bail("write '%s'", to);
    }
}

/* Calls 'each' for the files of a folder that holds no folders. */
static void each_file(const char *path, void (*each)(const char *file, const char *to),
                      const char *to)
{
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        char from[1400];
        char target[1400] = "";
        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(from, sizeof(from), "%s/%s", path, entry->d_name);
        if (to) {
            (void)snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
        }
        each(from, target);
    }
    if (folder) {
        (void)closedir(folder);
    }
}

static void drop_file(const char *file, const char *to)
{
    (void)to;
    (void)unlink(file);
}

void fault_folder_copy(const char *from, const char *to)
{
    if (mkdir(to, 0700) != 0) {
        tap_bail("make '%s'", to);
    }
    each_file(from, copy_file, to);
}

void fault_folder_drop(const char *path)
{
    each_file(path, drop_file, NULL);
    (void)rmdir(path);
}

void fault_folder_new(char *out, size_t size, const char *what)
{
    static atomic_uint count;
    (void)snprintf(out, size, "%s/%s-%u", fault_folder(), what, atomic_fetch_add(&count, 1));
}
