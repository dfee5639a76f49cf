/* vfs.h - A file system for SQLite that fails on command and can lose power.
 *
 * A shim over SQLite's own: installed as the default, it sees every call on
 * database, journal and WAL files. It counts them by kind, fails the calls it
 * was told to, and keeps for each file what a power cut would leave: the bytes
 * of the last sync, and all, none or some of the 512-byte sectors written since.
 *
 * A sync that is made to fail behaves as on Linux: what was dirty is marked
 * clean, some of it has reached the disk and the rest never will, unless it is
 * written again; the next sync succeeds. Real syncs are not done: the model is
 * the disk.
 *
 * The one shim of a program; its functions are for any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_VFS_H
#define PK_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum vfs_call {
    VFS_WRITE,
    VFS_SYNC,
    VFS_TRUNCATE,
    VFS_READ,
    VFS_OPEN,
    VFS_SHM, /* The WAL's index grows. */
    VFS_CALL_COUNT
};

struct vfs_fault {
    enum vfs_call call;
    int64_t at;     /* The how-manieth such call fails, from 1; 0: none. */
    int64_t length; /* So many in a row. */
    int result;     /* SQLite's code for it. */
    bool is_short;  /* A write: half of it is done before it fails. */
};

/* Called before a counted call is done, with what it will be; no call of SQLite may be made. */
typedef void vfs_watch_fn(void *context, enum vfs_call call, int64_t index);

void vfs_install(void);
/* Forgets counts, faults, watcher and files; the power is on. No store may be open. */
void vfs_reset(uint64_t seed);
void vfs_set_fault(const struct vfs_fault *fault); /* NULL: no more. Counting starts at 0. */
void vfs_set_watch(vfs_watch_fn *watch, void *context);
int64_t vfs_calls(enum vfs_call call);
int64_t vfs_fired(void); /* Calls failed since vfs_set_fault. */

/* Makes the files of 'from' known as they are: all of it synced. Before a store is opened there. */
void vfs_adopt(const char *folder);
/* Writes into the empty folder 'to' what a power cut now would leave. 'seed' says which sectors
 * made it. Also from within a watcher. */
bool vfs_cut(const char *to, uint64_t seed);

#endif
