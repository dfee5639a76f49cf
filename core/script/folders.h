/* folders.h - Folders of scripts that are watched: what was saved is handed on when it has settled.
 *
 *     folders = pk_folders_new(&options);     a thread with inotify
 *     'taken' is called there for each script that appeared, changed or went
 *
 * A script is a file or a folder directly in a watched folder (../script/bundle.h
 * says which). Editors write in many ways: into the file, to a temporary name
 * that is renamed over it, with backups beside. So nothing is looked at before
 * it has been still for 50 ms, and what changes while it is read is read again.
 * At the start every script that is there is told, to 'found'. When the kernel's queue
 * overflows, or inotify is not to be had, everything is looked at again. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_FOLDERS_H
#define PK_SCRIPT_FOLDERS_H

#include "script/bundle.h"

struct pk_folders; /* Opaque. */
struct pk_log;

/* On the watching thread; may block. 'bundle' (borrowed) is NULL when the script cannot be read
 * ('err' says why) or has gone ('err' is NULL). */
typedef void pk_folders_fn(void *context, const char *path, struct pk_bundle *bundle,
                           const struct pk_error *err);

struct pk_folders_options {
    const char *const *folder; /* May not exist yet; ended by NULL. */
    struct pk_log *log;
    pk_folders_fn *taken;
    pk_folders_fn *found; /* For the first telling of what lay there already; NULL: 'taken'. */
    void *context;
    int64_t settle_ms; /* 0: 50. */
};
struct pk_folders *pk_folders_new(const struct pk_folders_options *options, struct pk_error *err);
void pk_folders_free(struct pk_folders *folders); /* Stops the thread; NULL is fine. */
/* Waits until everything that was saved before this call has been told; false: it took too long. */
bool pk_folders_settle(struct pk_folders *folders, int64_t timeout_ms);

#endif
