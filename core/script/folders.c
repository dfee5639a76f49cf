/* folders.c - The thread that watches folders of scripts, by inotify or by looking each second.
 *
 *     kernel ──event──▶ mark the script ──still for 50 ms──▶ look (folders_scan.c) ──▶ taken
 *                            ▲
 *     scan: the start, a folder that came, an overflow, a request to settle
 *
 * An event only says where to look; what is told is what is found there. So
 * losing events costs a scan, never a change. Where not everything can be
 * watched (the system's limit is reached, or there is no inotify) there is a
 * scan each second, and one line in the log when that begins.
 *
 * Still is not enough where a writer pauses. Whether a file is open for writing
 * is asked of the kernel (folders_writers.c). Where it does not say, events
 * must do: a file that was changed and not closed yet is waited for, at most
 * 5 s, because some changes (truncate(2), a link that is written through
 * another name) have no closing.
 *
 * A watched folder itself may come, go, and be replaced: its path is looked at
 * each second while it is not there, else every five, because a folder above
 * it can be moved away without any event here.
 *
 * Thread: its own; 'mutex' covers the numbers of settling. 'taken' is called
 * with no lock held. */
/* SPDX-License-Identifier: MIT */
#include "script/folders.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "script/folders_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SETTLE_MS = 50, TICK_MS = 1000, TICK_QUIET_MS = 5000, EVENTS_BYTES = 64 * 1024 };

#define MS INT64_C(1000000)
#define INSIDE                                                                        \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | \
     IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK)

int64_t folders_now_ns(void)
{
    return pk_clock_mono_ns(pk_clock_system()); /* Stillness is real time. */
}

/* ---- Watching ---- */

void folders_unwatch(struct pk_folders *folders, int *wd)
{
    if (*wd >= 0 && folders->inotify >= 0) {
        (void)inotify_rm_watch(folders->inotify, *wd);
    }
    *wd = -1;
}

static void watch(struct pk_folders *folders, const char *path, int *wd)
{
    if (*wd < 0 && folders->inotify >= 0) {
        *wd = inotify_add_watch(folders->inotify, path, INSIDE);
        folders->is_polling = folders->is_polling || (*wd < 0 && errno == ENOSPC);
    }
}

void folders_watch_seen(struct pk_folders *folders, struct seen *seen)
{
    struct stat info;
    if (seen->wd < 0 && lstat(seen->path, &info) == 0 && S_ISDIR(info.st_mode)) {
        watch(folders, seen->path, &seen->wd);
    }
}

static void say_polling(struct pk_folders *folders)
{
    if (folders->is_polling && !folders->was_polling) {
        pk_log_warn(folders->log,
                    "the system's limit of inotify is reached: folders are looked at each second",
                    PK_STR("hint", "raise fs.inotify.max_user_watches and max_user_instances"));
    } else if (!folders->is_polling && folders->was_polling) {
        pk_log_info(folders->log, "folders are watched by inotify again");
    }
    folders->was_polling = folders->is_polling;
    const int64_t next = folders_now_ns() + TICK_MS * MS;
    if (folders->is_polling && folders->tick_ns > next) {
        folders->tick_ns = next;
    }
}

/* Watches what should be and is not, and sees whether each folder is still the one it was. */
static void check_folders(struct pk_folders *folders)
{
    bool is_missing = false;

    if (folders->inotify < 0) {
        folders->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        folders->needs_scan = true;
    }
    folders->is_polling = folders->inotify < 0;
    for (size_t i = 0; i < folders->folders; i++) {
        struct watched *watched = &folders->folder[i];
        if (folders_check(folders, watched)) {
            folders_unwatch(folders, &watched->wd);
            folders->needs_scan = true;
        }
        if (watched->is_there && !watched->is_refused && watched->wd < 0) {
            watch(folders, watched->path, &watched->wd);
            folders->needs_scan = true;
        }
        is_missing = is_missing || !watched->is_there;
    }
    for (size_t i = 0; i < folders->count; i++) {
        folders_watch_seen(folders, folders->seen[i]);
    }
    say_polling(folders);
    folders->needs_scan = folders->needs_scan || folders->is_polling;
    folders->tick_ns =
        folders_now_ns() + (folders->is_polling || is_missing ? TICK_MS : TICK_QUIET_MS) * MS;
}

/* ---- Events ---- */

static uint64_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) {
        hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void forget_writer(struct seen *seen, uint64_t name)
{
    for (size_t i = 0; i < seen->writers; i++) {
        if (seen->writer[i] == name) {
            seen->writer[i--] = seen->writer[--seen->writers];
        }
    }
}

static void note_writer(struct seen *seen, uint64_t name)
{
    forget_writer(seen, name);
    if (seen->writers < WRITERS_MAX) {
        seen->writer[seen->writers++] = name;
    }
    seen->writers_until_ns = folders_now_ns() + WRITER_MAX_MS * MS;
}

/* A new file that has one name and is no link was made by somebody who will close it. */
static bool will_be_closed(const char *folder, const char *name)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, name);
    struct stat info;
    return lstat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1;
}

static void note_event(struct pk_folders *folders, struct seen *seen, const char *folder,
                       const struct inotify_event *event)
{
    const uint64_t name = hash_name(event->name);

    if (!(event->mask & IN_ISDIR)) {
        if ((event->mask & IN_MODIFY) ||
            ((event->mask & IN_CREATE) && will_be_closed(folder, event->name))) {
            note_writer(seen, name);
        } else if (event->mask & (IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)) {
            forget_writer(seen, name);
        }
    }
    folders_mark(folders, seen);
}

static void take_folder_event(struct pk_folders *folders, size_t number,
                              const struct inotify_event *event)
{
    struct watched *watched = &folders->folder[number];

    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
        folders_unwatch(folders, &watched->wd);
        folders->tick_ns = 0;
        folders->needs_scan = true;
        return;
    }
    struct seen *seen = event->len ? folders_seen(folders, number, event->name) : NULL;
    if (!seen) {
        return;
    }
    if (event->mask & IN_ISDIR && event->mask & (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM)) {
        folders_unwatch(folders, &seen->wd); /* It may be another folder of that name. */
        folders_watch_seen(folders, seen);
        say_polling(folders);
    }
    note_event(folders, seen, watched->path, event);
}

static void take_event(struct pk_folders *folders, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        pk_log_info(folders->log, "events of watched folders were lost: all is looked at again");
        folders->needs_scan = true;
        folders->tick_ns = 0;
        for (size_t i = 0; i < folders->count; i++) {
            folders->seen[i]->writers = 0;
            folders_mark(folders, folders->seen[i]);
        }
        return;
    }
    for (size_t i = 0; i < folders->folders; i++) {
        if (folders->folder[i].wd == event->wd) {
            take_folder_event(folders, i, event);
            return;
        }
    }
    for (size_t i = 0; i < folders->count; i++) {
        struct seen *seen = folders->seen[i];
        if (seen->wd == event->wd) {
            if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
                folders_unwatch(folders, &seen->wd);
                folders_mark(folders, seen);
            } else if (event->len && event->name[0] != '.') {
                note_event(folders, seen, seen->path, event);
            }
            return;
        }
    }
}

void folders_take_events(struct pk_folders *folders)
{
    _Alignas(struct inotify_event) char bytes[EVENTS_BYTES];
    ssize_t size;

    while (folders->inotify >= 0 && (size = read(folders->inotify, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
            take_event(folders, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

/* ---- The thread ---- */

/* The number of the last request; what is dirty now is owed to it. */
static uint64_t take_request(struct pk_folders *folders, bool *out_is_stopping)
{
    uint64_t woken;
    (void)!read(folders->wake, &woken, sizeof(woken));
    (void)pthread_mutex_lock(&folders->mutex);
    const uint64_t requested = folders->requested;
    *out_is_stopping = folders->is_stopping;
    (void)pthread_mutex_unlock(&folders->mutex);
    return requested;
}

static void owe(struct pk_folders *folders, uint64_t request)
{
    for (size_t i = 0; i < folders->count; i++) {
        struct seen *seen = folders->seen[i];
        if (seen->is_dirty && seen->owed == 0) {
            seen->owed = request;
        }
    }
}

static void settle(struct pk_folders *folders, uint64_t request)
{
    uint64_t settled = request;
    for (size_t i = 0; i < folders->count; i++) {
        const uint64_t owed = folders->seen[i]->owed;
        if (owed && owed <= settled) {
            settled = owed - 1;
        }
    }
    (void)pthread_mutex_lock(&folders->mutex);
    if (settled > folders->settled) {
        folders->settled = settled;
        (void)pthread_cond_broadcast(&folders->changed);
    }
    (void)pthread_mutex_unlock(&folders->mutex);
}

static int wait_ms(const struct pk_folders *folders)
{
    int64_t until = folders->tick_ns;
    for (size_t i = 0; i < folders->count; i++) {
        const struct seen *seen = folders->seen[i];
        if (seen->is_dirty && seen->due_ns < until) {
            until = seen->due_ns;
        }
    }
    const int64_t left = until - folders_now_ns();
    return left > 0 ? (int)(left / MS) + 1 : 0;
}

static void *run_folders(void *context)
{
    struct pk_folders *folders = context;
    uint64_t request = 0;

    for (;;) {
        bool is_stopping;
        const uint64_t requested = take_request(folders, &is_stopping);
        if (is_stopping) {
            return NULL;
        }
        folders_take_events(folders);
        if (requested != request || folders_now_ns() >= folders->tick_ns) {
            check_folders(folders);
        }
        if (requested != request || folders->needs_scan) {
            folders->needs_scan = false;
            folders_scan(folders);
            say_polling(folders);
        }
        if (requested != request) {
            request = requested;
            owe(folders, request);
        }
        folders_look(folders);
        settle(folders, request);
        struct pollfd wanted[] = { { folders->wake, POLLIN, 0 }, { folders->inotify, POLLIN, 0 } };
        (void)poll(wanted, PK_COUNT(wanted), wait_ms(folders));
    }
}

/* ---- The interface ---- */

static void free_all(struct pk_folders *folders)
{
    while (folders->count) {
        seen_free(folders, folders->seen[--folders->count]);
    }
    for (size_t i = 0; i < folders->folders; i++) {
        pk_free(folders->folder[i].path);
    }
    if (folders->inotify >= 0) {
        (void)close(folders->inotify);
    }
    if (folders->wake >= 0) {
        (void)close(folders->wake);
    }
    (void)pthread_cond_destroy(&folders->changed);
    (void)pthread_mutex_destroy(&folders->mutex);
    pk_free(folders->seen);
    pk_free(folders->folder);
    pk_free(folders);
}

static char *without_slashes(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return pk_strndup(path, size);
}

static struct pk_folders *make(const struct pk_folders_options *options)
{
    struct pk_folders *folders = pk_calloc(1, sizeof(*folders));

    folders->log = options->log;
    folders->taken = options->taken;
    folders->found = options->found ? options->found : options->taken;
    folders->context = options->context;
    folders->settle_ns = (options->settle_ms ? options->settle_ms : SETTLE_MS) * MS;
    folders->inotify = -1;
    folders->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    while (options->folder[folders->folders]) {
        folders->folders++;
    }
    folders->folder = pk_calloc(folders->folders + 1, sizeof(*folders->folder));
    for (size_t i = 0; i < folders->folders; i++) {
        folders->folder[i].path = without_slashes(options->folder[i]);
        folders->folder[i].wd = -1;
    }
    (void)pthread_mutex_init(&folders->mutex, NULL);
    pk_cond_init(&folders->changed);
    return folders;
}

struct pk_folders *pk_folders_new(const struct pk_folders_options *options, struct pk_error *err)
{
    struct pk_folders *folders = make(options);
    sigset_t all, before;

    (void)sigfillset(&all); /* Signals are for the main thread. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed =
        folders->wake < 0 ? errno : pthread_create(&folders->thread, NULL, run_folders, folders);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free_all(folders);
        (void)pk_fail(err, PK_UNAVAILABLE, "raise the limits of files and threads",
                      "cannot start the thread that watches folders: error %d", failed);
        return NULL;
    }
    return folders;
}

static void wake(const struct pk_folders *folders)
{
    const uint64_t one = 1;
    (void)!write(folders->wake, &one, sizeof(one));
}

void pk_folders_free(struct pk_folders *folders)
{
    if (!folders) {
        return;
    }
    (void)pthread_mutex_lock(&folders->mutex);
    folders->is_stopping = true;
    (void)pthread_mutex_unlock(&folders->mutex);
    wake(folders);
    (void)pthread_join(folders->thread, NULL);
    free_all(folders);
}

bool pk_folders_settle(struct pk_folders *folders, int64_t timeout_ms)
{
    const struct timespec until = pk_cond_in_ms(timeout_ms);

    (void)pthread_mutex_lock(&folders->mutex);
    const uint64_t request = ++folders->requested;
    wake(folders);
    while (folders->settled < request && pk_cond_wait(&folders->changed, &folders->mutex, until)) {
    }
    const bool is_settled = folders->settled >= request;
    (void)pthread_mutex_unlock(&folders->mutex);
    return is_settled;
}
