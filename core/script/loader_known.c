/* loader_known.c - What was found good before is not tried again by the same program.
 *
 *     DATA/known/<program>/<content>     32 bytes of hash, then what 'describe' gave
 *
 * <program> is a hash over all that takes part in a verdict and is not the
 * script: the version, the worker's executable, the library's texts, the
 * limits of this server. A folder of another program is removed. What is kept
 * is never needed: a file that is missing, cut short or damaged only has the
 * script be described and tried as if it were new. So nothing is synced, and a
 * full disk is no failure.
 *
 * The manifest that is read from here goes through the same checks as one that
 * was just given. Where signatures are required nothing is kept: what serves
 * is then made from signed files each time. Any thread. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/file.h"
#include "script/loader_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KNOWN_MAX = 512,            /* Contents; the oldest go. */
    KNOWN_MAX_BYTES = 1 << 20,  /* Of each; what is larger is not kept. */
    WORKER_MAX_BYTES = 64 << 20 /* Of the executable. */
};

struct known {
    char *folder; /* Of this program. */
    _Atomic unsigned
        writes; /* Since it was last looked at as a whole; names what is half written. */
};

/* ---- The folder ---- */

static char *path_in(const char *folder, const char *name)
{
    return pk_strdupf("%s/%s", folder, name);
}

/* Removes the files of a folder; the folder itself goes if nothing else is in it. What a link
 * points to is not ours. */
static void remove_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
        }
    }
    (void)closedir(folder);
    (void)rmdir(path);
}

static void remove_others(const char *above, const char *mine)
{
    DIR *folder = opendir(above);
    if (!folder) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, mine) != 0) {
            PK_CLEANUP(pk_freep) char *path = path_in(above, entry->d_name);
            remove_folder(path);
        }
    }
    (void)closedir(folder);
}

struct kept {
    char name[PK_HASH_TEXT];
    struct timespec used; /* Last. */
};

static int newest_first(const void *a, const void *b)
{
    const struct timespec *left = &((const struct kept *)a)->used;
    const struct timespec *right = &((const struct kept *)b)->used;
    if (left->tv_sec != right->tv_sec) {
        return left->tv_sec < right->tv_sec ? 1 : -1;
    }
    return (left->tv_nsec < right->tv_nsec) - (left->tv_nsec > right->tv_nsec);
}

/* Leaves the newest; what was half written when a process ended goes, too. */
static void trim(const char *path)
{
    DIR *folder = opendir(path);
    struct kept *kept = NULL;
    size_t count = 0;
    if (!folder) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct stat info;
        if (entry->d_name[0] == '.' || fstatat(dirfd(folder), entry->d_name, &info, 0) != 0) {
            continue;
        }
        if (strlen(entry->d_name) != PK_HASH_TEXT - 1) {
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
            continue;
        }
        kept = pk_realloc(kept, (count + 1) * sizeof(*kept));
        kept[count].used = info.st_mtim;
        memcpy(kept[count++].name, entry->d_name, PK_HASH_TEXT);
    }
    if (count > KNOWN_MAX) {
        qsort(kept, count, sizeof(*kept), newest_first);
    }
    for (size_t i = KNOWN_MAX; i < count; i++) {
        (void)unlinkat(dirfd(folder), kept[i].name, 0);
    }
    (void)closedir(folder);
    pk_free(kept);
}

/* Everything that takes part in a verdict, but for the script. False: it cannot be told. */
static bool name_program(const struct pk_loader *loader, char out[PK_HASH_TEXT])
{
    PK_CLEANUP(pk_buf_done) struct pk_buf worker = { 0 };
    const struct pk_jail_limits *max = &loader->limits_max;
    const int64_t limit[] = { max->soft_ms, max->hard_ms, (int64_t)max->memory_bytes,
                              max->output_bytes };
    struct pk_hasher hasher;
    uint8_t hash[PK_HASH_BYTES];

    if (!pk_file_read(&worker, pk_jail_worker_path(loader->jail), WORKER_MAX_BYTES, NULL)) {
        return false;
    }
    pk_hasher_init(&hasher);
    pk_hasher_add(&hasher, PK_VERSION, sizeof(PK_VERSION));
    pk_hasher_add(&hasher, limit, sizeof(limit));
    pk_hasher_add(&hasher, loader->full->hash, sizeof(loader->full->hash));
    pk_hasher_add(&hasher, loader->lean_hash, sizeof(loader->lean_hash));
    pk_hasher_add(&hasher, worker.data, worker.size);
    pk_hasher_end(&hasher, hash);
    pk_hex(out, hash, sizeof(hash));
    return true;
}

struct known *known_open(const struct pk_loader *loader, const char *folder)
{
    char program[PK_HASH_TEXT];
    if (!name_program(loader, program)) {
        return NULL;
    }
    struct known *known = pk_calloc(1, sizeof(*known));
    known->folder = path_in(folder, program);
    remove_others(folder, program);
    if (!pk_folder_make(known->folder, 0700, NULL)) {
        known_close(known);
        return NULL;
    }
    trim(known->folder);
    return known;
}

void known_close(struct known *known)
{
    if (known) {
        pk_free(known->folder);
        pk_free(known);
    }
}

/* ---- One content ---- */

bool known_read(const struct known *known, const struct pk_bundle *bundle, struct pk_buf *out)
{
    PK_CLEANUP(pk_freep) char *path = path_in(known->folder, bundle->hash_text);
    PK_CLEANUP(pk_buf_done) struct pk_buf file = { 0 };
    uint8_t hash[PK_HASH_BYTES];
    bson_t view;

    if (!pk_file_read(&file, path, KNOWN_MAX_BYTES + sizeof(hash), NULL) ||
        file.size <= sizeof(hash)) {
        return false;
    }
    const uint8_t *data = (const uint8_t *)file.data + sizeof(hash);
    const size_t size = file.size - sizeof(hash);
    pk_hash(hash, data, size, bundle->hash, sizeof(bundle->hash));
    if (memcmp(hash, file.data, sizeof(hash)) != 0 || !bson_init_static(&view, data, size) ||
        !bson_validate(&view, BSON_VALIDATE_NONE, NULL)) {
        return false;
    }
    pk_buf_add(out, (const char *)data, size);
    (void)utimensat(AT_FDCWD, path, NULL, 0); /* It is in use. */
    return true;
}

/* What is written has another name until it is whole. */
static bool write_whole(const char *path, const char *half, const uint8_t *hash, const void *data,
                        size_t size)
{
    const int fd = open(half, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return false;
    }
    const bool is_written =
        write(fd, hash, PK_HASH_BYTES) == PK_HASH_BYTES && write(fd, data, size) == (ssize_t)size;
    const bool is_done = close(fd) == 0 && is_written && rename(half, path) == 0;
    if (!is_done) {
        (void)unlink(half);
    }
    return is_done;
}

void known_keep(struct known *known, const struct pk_bundle *bundle, const void *described,
                size_t size)
{
    const unsigned number = ++known->writes;
    PK_CLEANUP(pk_freep) char *path = path_in(known->folder, bundle->hash_text);
    PK_CLEANUP(pk_freep) char *half = pk_strdupf("%s-%u", path, number);
    uint8_t hash[PK_HASH_BYTES];

    if (size > KNOWN_MAX_BYTES) {
        return;
    }
    pk_hash(hash, described, size, bundle->hash, sizeof(bundle->hash));
    (void)write_whole(path, half, hash, described, size);
    if (number % KNOWN_MAX == 0) {
        trim(known->folder);
    }
}
