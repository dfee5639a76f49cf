/* faulty.c - The VFS of faulty.h. */
/* SPDX-License-Identifier: MIT */
#include "faulty.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct {
    _Atomic int call;
    char suffix[16];
    atomic_int skip;
    int code;
} plan;

static sqlite3_vfs *real_vfs;
static sqlite3_vfs faulty_vfs;

/* One open file: the real one lies behind this head, in the same memory. */
struct faulty_file {
    sqlite3_file head;
    sqlite3_io_methods methods; /* The real ones with two replaced. */
    const sqlite3_io_methods *real;
    char name[512];
};

static struct faulty_file *self_of(sqlite3_file *file)
{
    return (struct faulty_file *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(self_of(file) + 1);
}

static bool must_fail(const struct faulty_file *file, enum faulty_call call)
{
    const size_t name = strlen(file->name), suffix = strlen(plan.suffix);
    if (atomic_load(&plan.call) != (int)call || name < suffix ||
        strcmp(file->name + name - suffix, plan.suffix) != 0) {
        return false;
    }
    return atomic_fetch_sub(&plan.skip, 1) <= 0;
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    return must_fail(self_of(file), FAULTY_SYNC) ? plan.code
                                                 : self_of(file)->real->xSync(real_of(file), flags);
}

static int faulty_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
    return must_fail(self_of(file), FAULTY_WRITE)
               ? plan.code
               : self_of(file)->real->xWrite(real_of(file), data, size, at);
}

/* Everything else goes to the real file. */
#define PASS(name, parameters, arguments)        \
    static int pass_##name parameters            \
    {                                            \
        return self_of(f)->real->name arguments; \
    }
PASS(xRead, (sqlite3_file * f, void *to, int size, sqlite3_int64 at), (real_of(f), to, size, at))
PASS(xTruncate, (sqlite3_file * f, sqlite3_int64 size), (real_of(f), size))
PASS(xFileSize, (sqlite3_file * f, sqlite3_int64 *out), (real_of(f), out))
PASS(xLock, (sqlite3_file * f, int level), (real_of(f), level))
PASS(xUnlock, (sqlite3_file * f, int level), (real_of(f), level))
PASS(xCheckReservedLock, (sqlite3_file * f, int *out), (real_of(f), out))
PASS(xFileControl, (sqlite3_file * f, int op, void *arg), (real_of(f), op, arg))
PASS(xSectorSize, (sqlite3_file * f), (real_of(f)))
PASS(xDeviceCharacteristics, (sqlite3_file * f), (real_of(f)))
PASS(xShmMap, (sqlite3_file * f, int page, int size, int extend, void volatile **out),
     (real_of(f), page, size, extend, out))
PASS(xShmLock, (sqlite3_file * f, int at, int n, int flags), (real_of(f), at, n, flags))
PASS(xShmUnmap, (sqlite3_file * f, int erase), (real_of(f), erase))
PASS(xFetch, (sqlite3_file * f, sqlite3_int64 at, int size, void **out),
     (real_of(f), at, size, out))
PASS(xUnfetch, (sqlite3_file * f, sqlite3_int64 at, void *page), (real_of(f), at, page))

static void pass_barrier(sqlite3_file *f)
{
    self_of(f)->real->xShmBarrier(real_of(f));
}

static int faulty_close(sqlite3_file *file)
{
    return self_of(file)->real->xClose(real_of(file));
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct faulty_file *self = self_of(file);
    (void)vfs;
    memset(self, 0, sizeof(*self));
    const int code = real_vfs->xOpen(real_vfs, name, real_of(file), flags, out);
    if (!real_of(file)->pMethods) {
        return code;
    }
    strncpy(self->name, name ? name : "", sizeof(self->name) - 1);
    self->real = real_of(file)->pMethods;
    self->methods = (sqlite3_io_methods){
        .iVersion = self->real->iVersion,
        .xClose = faulty_close,
        .xRead = pass_xRead,
        .xWrite = faulty_write,
        .xTruncate = pass_xTruncate,
        .xSync = faulty_sync,
        .xFileSize = pass_xFileSize,
        .xLock = pass_xLock,
        .xUnlock = pass_xUnlock,
        .xCheckReservedLock = pass_xCheckReservedLock,
        .xFileControl = pass_xFileControl,
        .xSectorSize = pass_xSectorSize,
        .xDeviceCharacteristics = pass_xDeviceCharacteristics,
        .xShmMap = pass_xShmMap,
        .xShmLock = pass_xShmLock,
        .xShmBarrier = pass_barrier,
        .xShmUnmap = pass_xShmUnmap,
        .xFetch = pass_xFetch,
        .xUnfetch = pass_xUnfetch,
    };
    self->head.pMethods = &self->methods;
    return code;
}

void faulty_plan(enum faulty_call call, const char *suffix, int skip, int code)
{
    atomic_store(&plan.call, FAULTY_NONE);
    strncpy(plan.suffix, suffix, sizeof(plan.suffix) - 1);
    plan.code = code;
    atomic_store(&plan.skip, skip);
    atomic_store(&plan.call, call);
}

void faulty_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
    faulty_vfs.xOpen = faulty_open;
    faulty_plan(FAULTY_NONE, "", 0, 0);
    if (sqlite3_vfs_register(&faulty_vfs, 1) != SQLITE_OK) {
        abort();
    }
}

void faulty_remove(void)
{
    faulty_plan(FAULTY_NONE, "", 0, 0);
    (void)sqlite3_vfs_unregister(&faulty_vfs);
    (void)sqlite3_vfs_register(real_vfs, 1);
}
