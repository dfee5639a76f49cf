/* folders_internal.h - What folders.c and folders_scan.c share. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_FOLDERS_INTERNAL_H
#define PK_SCRIPT_FOLDERS_INTERNAL_H

#include "base/error.h"
#include "script/folders.h"

#include <pthread.h>
#include <sys/types.h>

enum { SEEN_MAX = 4096, WRITERS_MAX = 8, WRITER_MAX_MS = 5000 };

/* A folder that is watched. */
struct watched {
    char *path;
    int wd; /* inotify's; -1: none. */
    bool is_there;
    bool is_refused; /* It is there, and was told to be bad. */
    dev_t device;    /* That is there; another one behind the same path is another folder. */
    ino_t inode;
};

enum told { TOLD_NOTHING, TOLD_BUNDLE, TOLD_ERROR };

/* Something in a watched folder that is a script or may become one. */
struct seen {
    char *path;
    const char *name; /* Its last part. */
    size_t folder;    /* Which it lies in. */
    int wd;           /* Of a folder; -1: none. */
    bool is_listed;   /* The scan under way has met it. */
    bool lay_there;   /* The first scan has met it, and it was not told yet. */

    bool is_dirty;   /* Something changed since it was looked at. */
    int64_t due_ns;  /* When to look, if nothing changes until then. */
    uint64_t owed;   /* The request to settle that waits for it; 0: none. */
    bool is_sampled; /* 'print' was taken when a scan found it changed: it must still be so. */

    bool has_print;
    uint8_t print[PK_HASH_BYTES]; /* Names, sizes, times, inodes of its files. */

    uint64_t writer[WRITERS_MAX]; /* Hashes of names that are being written: not yet closed. */
    size_t writers;
    int64_t writers_until_ns; /* Then they are no longer waited for. */

    enum told told;
    uint8_t told_hash[PK_HASH_BYTES]; /* Of the bundle, or of the error. */
};

struct pk_folders {
    struct pk_log *log;
    pk_folders_fn *taken, *found;
    void *context;
    int64_t settle_ns;

    /* Of the thread. */
    struct watched *folder;
    size_t folders;
    struct seen **seen;
    size_t count;
    int inotify;        /* -1: there is none, ... */
    bool is_polling;    /* ... or not everything can be watched. */
    bool was_polling;   /* It was said. */
    bool has_scanned;   /* What comes from now on was saved while we watched. */
    bool needs_scan;    /* Something is not known that an event would have said. */
    bool was_full_told; /* SEEN_MAX was logged. */
    int64_t tick_ns;    /* When folders are looked at even if nothing happens. */

    int wake; /* An eventfd. */
    pthread_t thread;
    pthread_mutex_t mutex; /* Covers the rest. */
    pthread_cond_t changed;
    uint64_t requested, settled; /* Requests to settle, numbered. */
    bool is_stopping;
};

/* ---- folders.c ---- */

int64_t folders_now_ns(void);
/* What the kernel has to say, without waiting. */
void folders_take_events(struct pk_folders *folders);
/* Watches a folder that is a script. */
void folders_watch_seen(struct pk_folders *folders, struct seen *seen);
void folders_unwatch(struct pk_folders *folders, int *wd);

/* ---- folders_writers.c ---- */

enum writing { WRITING_NO, WRITING_UNKNOWN, WRITING_YES };
/* Whether somebody has the file, or a file of the folder, open for writing. */
enum writing folders_writing(const char *path);

/* ---- folders_scan.c ---- */

/* The entry for a name in a watched folder; made when it is new. NULL: it cannot be a script, or
 * there are too many. */
struct seen *folders_seen(struct pk_folders *folders, size_t folder, const char *name);
/* Something happened to it: look when it has been still. */
void folders_mark(struct pk_folders *folders, struct seen *seen);
/* Compares everything with what was looked at last and marks what differs. */
void folders_scan(struct pk_folders *folders);
/* Looks whether the watched folder is there and may be read; tells when it may not. True: it is
 * another one than the last time, or has come, or gone. */
bool folders_check(struct pk_folders *folders, struct watched *watched);
/* Looks at what is due and tells what is new. */
void folders_look(struct pk_folders *folders);
void seen_free(struct pk_folders *folders, struct seen *seen);

#endif
