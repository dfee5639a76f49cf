/* folders_scan.c - What lies in the folders, whether it is still, and telling it once.
 *
 * A look at one script, when nothing has happened to it for the time to settle:
 *
 *     print ──▶ writers? ──▶ read ──▶ print again ──▶ events? ──▶ tell
 *       |           |                      |             |
 *       |       one of them, or it differs: look again later
 *       +── nothing there: tell that it has gone
 *
 * A print is a hash over names, inodes, sizes, modes and times of its files. It
 * changes with every write, but for two within one tick of the clock that files
 * are stamped with. So nothing is read whose last change is younger than the
 * time to settle: a write that begins after the question for writers changes
 * the print, whenever its event comes.
 *
 * Told is what differs from what was told last: by hash of the content (and its
 * signature), or by the words of the error. Saving without a change says
 * nothing.
 *
 * Thread: the watching one. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/log.h"
#include "script/folders_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 4096, /* Of a folder that are looked at. */
    TICKS_MS = 10       /* No less than one tick of the clock that files are stamped with. */
};

struct print {
    uint8_t hash[PK_HASH_BYTES];
    int64_t changed_ns; /* The last change of any of its files; wall. */
};

/* ---- Names ---- */

static bool ends_in(const char *name, const char *end)
{
    const size_t size = strlen(name), end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

static bool has_script_ending(const char *name)
{
    return ends_in(name, ".lua") || ends_in(name, ".json");
}

/* Hidden files, backups and what editors leave beside; tests of scripts. */
static bool is_ignored(const char *name)
{
    return name[0] == '.' || name[0] == '#' || ends_in(name, "~") ||
           strcmp(name, "spec.lua") == 0 || ends_in(name, "_spec.lua");
}

struct seen *folders_seen(struct pk_folders *folders, size_t folder, const char *name)
{
    char plain[256]; /* A signature belongs to the script beside it. */
    (void)snprintf(plain, sizeof(plain), "%s", name);
    if (ends_in(plain, ".sig")) {
        plain[strlen(plain) - 4] = '\0';
    }
    for (size_t i = 0; i < folders->count; i++) {
        if (folders->seen[i]->folder == folder && strcmp(folders->seen[i]->name, plain) == 0) {
            return folders->seen[i];
        }
    }
    if (is_ignored(plain)) {
        return NULL;
    }
    if (folders->count == SEEN_MAX) {
        if (!folders->was_full_told) {
            folders->was_full_told = true;
            pk_log_error(folders->log, "too many files in watched folders: some are not looked at",
                         PK_NUM("max", SEEN_MAX), PK_STR("first", plain));
        }
        return NULL;
    }
    struct seen *seen = pk_calloc(1, sizeof(*seen));
    seen->path = pk_strdupf("%s/%s", folders->folder[folder].path, plain);
    seen->name = strrchr(seen->path, '/') + 1;
    seen->lay_there = !folders->has_scanned;
    seen->folder = folder;
    seen->wd = -1;
    folders->seen = pk_realloc(folders->seen, (folders->count + 1) * sizeof(struct seen *));
    folders->seen[folders->count++] = seen;
    return seen;
}

void seen_free(struct pk_folders *folders, struct seen *seen)
{
    folders_unwatch(folders, &seen->wd);
    pk_free(seen->path);
    pk_free(seen);
}

/* ---- Prints ---- */

/* XORs one file into 'print': the order of a folder's entries does not matter. */
static void add_stat(struct print *print, const char *name, const struct stat *info)
{
    const int64_t changed_ns =
        (int64_t)info->st_ctim.tv_sec * 1000000000 + (int64_t)info->st_ctim.tv_nsec;
    const int64_t part[] = { (int64_t)info->st_ino,          (int64_t)info->st_mode,
                             (int64_t)info->st_size,         (int64_t)info->st_mtim.tv_sec,
                             (int64_t)info->st_mtim.tv_nsec, (int64_t)info->st_ctim.tv_sec,
                             (int64_t)info->st_ctim.tv_nsec, (int64_t)info->st_uid,
                             (int64_t)info->st_dev };
    uint8_t hash[PK_HASH_BYTES];
    struct pk_hasher hasher;

    pk_hasher_init(&hasher);
    pk_hasher_add(&hasher, part, sizeof(part));
    pk_hasher_add(&hasher, name, strlen(name));
    pk_hasher_end(&hasher, hash);
    for (size_t i = 0; i < PK_HASH_BYTES; i++) {
        print->hash[i] ^= hash[i];
    }
    print->changed_ns = changed_ns > print->changed_ns ? changed_ns : print->changed_ns;
}

static void close_folder(DIR **folder)
{
    if (*folder) {
        (void)closedir(*folder);
    }
}

static DIR *open_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !folder) {
        (void)close(fd);
    }
    return folder;
}

/* The print of a folder. True when it holds a script. */
static bool print_folder(const char *path, struct print *print)
{
    PK_CLEANUP(close_folder) DIR *folder = open_folder(path);
    const struct dirent *entry;
    bool is_script = false;
    struct stat info;

    for (size_t i = 0; folder && i < ENTRIES_MAX && (entry = readdir(folder)); i++) {
        if (entry->d_name[0] != '.' &&
            fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            add_stat(print, entry->d_name, &info);
            is_script = is_script || strcmp(entry->d_name, "init.lua") == 0;
        }
    }
    return is_script;
}

enum shape {
    SHAPE_NOTHING, /* Not there, or no business of ours. */
    SHAPE_FOLDER,  /* A folder that is no script yet. */
    SHAPE_SCRIPT   /* Also when it cannot be read: that is told. */
};

static enum shape take_print(const char *path, struct print *print)
{
    const char *name = strrchr(path, '/') + 1;
    struct stat info, target;

    *print = (struct print){ 0 };
    if (lstat(path, &info) != 0) {
        return SHAPE_NOTHING;
    }
    add_stat(print, "", &info);
    if (has_script_ending(name)) {
        PK_CLEANUP(pk_freep) char *signature = pk_strdupf("%s.sig", path);
        if (lstat(signature, &info) == 0) {
            add_stat(print, ".sig", &info);
        }
        return SHAPE_SCRIPT;
    }
    if (S_ISDIR(info.st_mode)) {
        return print_folder(path, print) ? SHAPE_SCRIPT : SHAPE_FOLDER;
    }
    const bool is_linked_folder =
        S_ISLNK(info.st_mode) && stat(path, &target) == 0 && S_ISDIR(target.st_mode);
    return is_linked_folder ? SHAPE_SCRIPT : SHAPE_NOTHING;
}

/* ---- Marking ---- */

void folders_mark(struct pk_folders *folders, struct seen *seen)
{
    seen->is_dirty = true;
    seen->is_sampled = false;
    seen->due_ns = folders_now_ns() + folders->settle_ns;
}

/* What a scan found: marks it when it is not as it was. */
static void compare(struct pk_folders *folders, struct seen *seen, const struct print *print)
{
    seen->is_listed = true;
    if (seen->wd < 0) {
        folders_watch_seen(folders, seen);
    }
    if ((seen->is_dirty && !seen->is_sampled) ||
        (seen->has_print && memcmp(print->hash, seen->print, PK_HASH_BYTES) == 0)) {
        return;
    }
    folders_mark(folders, seen);
    seen->is_sampled = true;
    seen->has_print = true;
    memcpy(seen->print, print->hash, PK_HASH_BYTES);
}

static void scan_name(struct pk_folders *folders, size_t number, const char *name)
{
    const size_t known = folders->count;
    struct seen *seen = folders_seen(folders, number, name);
    struct print print;

    if (!seen || seen->is_listed) {
        return;
    }
    const enum shape shape = take_print(seen->path, &print);
    if (shape == SHAPE_NOTHING && folders->count > known) {
        seen_free(folders, folders->seen[--folders->count]); /* A README, for instance. */
    } else {
        compare(folders, seen, &print);
    }
}

static void scan_folder(struct pk_folders *folders, size_t number)
{
    const struct watched *watched = &folders->folder[number];
    PK_CLEANUP(close_folder)
    DIR *folder = watched->is_there && !watched->is_refused ? open_folder(watched->path) : NULL;
    const struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        scan_name(folders, number, entry->d_name);
    }
}

void folders_scan(struct pk_folders *folders)
{
    for (size_t i = 0; i < folders->count; i++) {
        folders->seen[i]->is_listed = false;
    }
    for (size_t i = 0; i < folders->folders; i++) {
        scan_folder(folders, i);
    }
    for (size_t i = 0; i < folders->count; i++) {
        struct seen *seen = folders->seen[i];
        if (!seen->is_listed && !seen->is_dirty) {
            folders_mark(folders, seen); /* It has gone, or its folder has. */
        }
    }
    folders->has_scanned = true;
}

/* ---- Telling ---- */

static void hash_bundle(const struct pk_bundle *bundle, uint8_t out[PK_HASH_BYTES])
{
    const struct pk_bundle_signature *signature = &bundle->signature;
    struct pk_hasher hasher;

    pk_hasher_init(&hasher);
    pk_hasher_add(&hasher, bundle->hash, sizeof(bundle->hash));
    if (signature->is_there) {
        pk_hasher_add(&hasher, signature->key, sizeof(signature->key));
        pk_hasher_add(&hasher, signature->sig, sizeof(signature->sig));
    }
    pk_hasher_end(&hasher, out);
}

static void tell(struct pk_folders *folders, struct seen *seen, struct pk_bundle *bundle,
                 const struct pk_error *err)
{
    const enum told told = bundle ? TOLD_BUNDLE : TOLD_ERROR;
    uint8_t hash[PK_HASH_BYTES];

    if (bundle) {
        hash_bundle(bundle, hash);
    } else {
        pk_hash(hash, err->message, strlen(err->message), NULL, 0);
    }
    if (seen->told != told || memcmp(seen->told_hash, hash, sizeof(hash)) != 0) {
        pk_folders_fn *say = seen->lay_there ? folders->found : folders->taken;
        seen->told = told;
        seen->lay_there = false;
        memcpy(seen->told_hash, hash, sizeof(hash));
        say(folders->context, seen->path, bundle, bundle ? NULL : err);
    }
}

static void tell_gone(struct pk_folders *folders, struct seen *seen)
{
    if (seen->told != TOLD_NOTHING) {
        seen->told = TOLD_NOTHING;
        folders->taken(folders->context, seen->path, NULL, NULL);
    }
}

static bool fail_folder(struct pk_error *err, const struct watched *watched,
                        const struct stat *info)
{
    if (S_ISLNK(info->st_mode)) {
        return pk_fail(err, PK_INVALID, "name the folder itself",
                       "the watched folder '%.160s' is a symbolic link", watched->path);
    }
    if (!S_ISDIR(info->st_mode)) {
        return pk_fail(err, PK_INVALID, "put a folder there", "'%.160s' is no folder",
                       watched->path);
    }
    if (info->st_mode & S_IWOTH) {
        return pk_fail(err, PK_FORBIDDEN, "take the right away: chmod o-w",
                       "anybody may write to the watched folder '%.160s'", watched->path);
    }
    return access(watched->path, R_OK | X_OK) == 0 ||
           pk_fail(err, PK_FORBIDDEN, "give this user access to it",
                   "the watched folder '%.160s' may not be read", watched->path);
}

bool folders_check(struct pk_folders *folders, struct watched *watched)
{
    struct stat info;
    struct pk_error err = { 0 };
    const bool was_there = watched->is_there, was_refused = watched->is_refused;
    const dev_t device = watched->device;
    const ino_t inode = watched->inode;

    watched->is_there = lstat(watched->path, &info) == 0;
    watched->is_refused = watched->is_there && !fail_folder(&err, watched, &info);
    watched->device = watched->is_there ? info.st_dev : 0;
    watched->inode = watched->is_there ? info.st_ino : 0;
    if (watched->is_refused && !was_refused) {
        pk_log_error(folders->log, "watched folder refused", PK_ERR(&err));
        folders->taken(folders->context, watched->path, NULL, &err);
    } else if (was_refused && !watched->is_refused) {
        folders->taken(folders->context, watched->path, NULL, NULL);
    }
    return was_there != watched->is_there || was_refused != watched->is_refused ||
           device != watched->device || inode != watched->inode;
}

/* ---- Looking ---- */

/* Reads it, and is sure that nobody wrote meanwhile. False: it was marked again. */
static bool read_still(struct pk_folders *folders, struct seen *seen, const struct print *before,
                       struct pk_bundle **out, struct pk_error *err)
{
    struct print after;

    seen->is_dirty = false;
    const bool is_read = pk_bundle_read(seen->path, out, err);
    (void)take_print(seen->path, &after);
    folders_take_events(folders);
    if (seen->is_dirty || memcmp(before->hash, after.hash, sizeof(after.hash)) != 0 ||
        (!is_read && err->code == PK_BUSY)) {
        folders_mark(folders, seen);
        return false;
    }
    return true;
}

/* How long it must still be left alone, by the times of its files. Somebody may be about to say
 * what he has done to them. Times in the future mean that a clock was set back. */
static int64_t too_young_ns(const struct pk_folders *folders, const struct print *print)
{
    const int64_t least = TICKS_MS * INT64_C(1000000);
    const int64_t age = folders->settle_ns > least ? folders->settle_ns : least;
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    const int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    const int64_t left = print->changed_ns + age - now_ns;
    return print->changed_ns > now_ns || left < 0 ? 0 : left;
}

static bool is_being_written(const struct seen *seen)
{
    const enum writing writing = folders_writing(seen->path);
    return writing == WRITING_YES || (writing == WRITING_UNKNOWN && seen->writers &&
                                      folders_now_ns() < seen->writers_until_ns);
}

static void keep_print(struct seen *seen, const struct print *print)
{
    seen->has_print = true;
    memcpy(seen->print, print->hash, sizeof(seen->print));
}

/* False: it is nothing any more, and its entry can go. */
static bool look_at(struct pk_folders *folders, struct seen *seen)
{
    const struct watched *watched = &folders->folder[seen->folder];
    struct print print;
    struct pk_bundle *bundle = NULL;
    struct pk_error err = { 0 };
    const enum shape shape = take_print(seen->path, &print);

    if (seen->is_sampled && memcmp(print.hash, seen->print, sizeof(print.hash)) != 0) {
        keep_print(seen, &print); /* Not still since the scan. */
        seen->due_ns = folders_now_ns() + folders->settle_ns;
        return true;
    }
    if (shape != SHAPE_SCRIPT || !watched->is_there || watched->is_refused) {
        seen->is_dirty = false;
        keep_print(seen, &print);
        tell_gone(folders, seen);
        return shape == SHAPE_FOLDER && watched->is_there && !watched->is_refused;
    }
    const int64_t left = too_young_ns(folders, &print);
    if (left > 0) {
        seen->due_ns = folders_now_ns() + left;
        return true;
    }
    if (is_being_written(seen)) {
        seen->owed = 0; /* It has not been saved yet. */
        seen->due_ns = folders_now_ns() + folders->settle_ns;
        return true;
    }
    seen->writers = 0;
    if (read_still(folders, seen, &print, &bundle, &err)) {
        keep_print(seen, &print);
        tell(folders, seen, bundle, &err);
    }
    pk_bundle_unref(bundle);
    return true;
}

static bool is_due(const struct seen *seen, int64_t now)
{
    return seen->is_dirty && seen->due_ns <= now;
}

void folders_look(struct pk_folders *folders)
{
    for (size_t i = 0; i < folders->count;) {
        struct seen *seen = folders->seen[i];
        const int64_t now = folders_now_ns();
        bool stays = true;

        if (is_due(seen, now)) {
            stays = look_at(folders, seen);
        }
        if (!seen->is_dirty) {
            seen->owed = 0;
        }
        if (stays || seen->is_dirty) {
            i++;
        } else {
            folders->seen[i] = folders->seen[--folders->count];
            seen_free(folders, seen);
        }
    }
}
