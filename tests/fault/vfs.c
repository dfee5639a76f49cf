/* vfs.c - The shim, and its model of a disk.
 *
 * Each file has an image with two contents: 'now', what a program reads, and
 * 'durable', what is certain to be there after a power cut; a mark per sector
 * says where they may differ. Sectors are 512 bytes: SQLite trusts that a
 * sector is written whole or not at all and that its neighbours stay as they
 * are, and so do disks. Names obey the same: a file that was never synced may
 * be missing after a cut, and a deletion may have been forgotten.
 *
 * The shared-memory file of a WAL is rebuilt after a crash, so it has no image. */
/* SPDX-License-Identifier: MIT */
#include "vfs.h"

#include "list.h"
#include "tap.h"

#include "base/alloc.h"

#include <dirent.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, FILES_MAX = 64 };

/* How much of what was not synced has reached the disk: one time in four all of it, one time in
 * four nothing, else each sector and name by the toss of a coin. */
struct luck {
    uint64_t seed, draws;
};

enum mark { MARK_CLEAN, MARK_DIRTY, MARK_LOST };

struct image {
    char *path;
    uint8_t *now, *durable; /* Both 'capacity' bytes, zero behind their sizes. */
    uint8_t *mark;          /* Per sector. */
    size_t capacity;
    size_t now_size, durable_size;
    bool is_now, is_durable; /* The name is there. */
};

/* SQLite allocates szOsFile bytes: ours, then the real file's. */
struct shim_file {
    sqlite3_file base;
    sqlite3_file *real;
    struct image *image; /* NULL: a file that is of no interest. */
};

/* The shim of the program: SQLite's registry of file systems is global, too. */
static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    pthread_mutex_t lock;
    struct image image[FILES_MAX];
    size_t image_count;
    struct luck luck; /* Of failed syncs and deletions. */
    int64_t calls[VFS_CALL_COUNT];
    struct vfs_fault fault;
    int64_t fired;
    vfs_watch_fn *watch;
    void *watch_context;
} shim = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- Images ---- */

static bool survives(struct luck *luck)
{
    uint64_t kind = fault_mix(~luck->seed, 0) % 4;
    return kind == 0 || (kind > 1 && (fault_mix(luck->seed, luck->draws++) & 1));
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static void grow(struct image *image, size_t size)
{
    if (size <= image->capacity) {
        return;
    }
    size_t old = image->capacity;
    image->capacity = (2 * size + SECTOR) / SECTOR * SECTOR;
    image->now = pk_realloc(image->now, image->capacity);
    image->durable = pk_realloc(image->durable, image->capacity);
    image->mark = pk_realloc(image->mark, image->capacity / SECTOR);
    memset(image->now + old, 0, image->capacity - old);
    memset(image->durable + old, 0, image->capacity - old);
    memset(image->mark + old / SECTOR, MARK_CLEAN, (image->capacity - old) / SECTOR);
}

static struct image *image_of(const char *path)
{
    for (size_t i = 0; i < shim.image_count; i++) {
        if (strcmp(shim.image[i].path, path) == 0) {
            return &shim.image[i];
        }
    }
    if (shim.image_count == FILES_MAX) {
        tap_bail("the fault file system knows %d files at most", FILES_MAX);
    }
    struct image *image = &shim.image[shim.image_count++];
    *image = (struct image){ .path = pk_strdup(path) };
    return image;
}

static void forget_contents(struct image *image)
{
    pk_free(image->now);
    pk_free(image->durable);
    pk_free(image->mark);
    *image = (struct image){ .path = image->path };
}

static void image_write(struct image *image, const void *data, size_t size, size_t offset)
{
    if (size == 0) {
        return;
    }
    grow(image, offset + size);
    memcpy(image->now + offset, data, size);
    for (size_t sector = offset / SECTOR; sector <= (offset + size - 1) / SECTOR; sector++) {
        image->mark[sector] = MARK_DIRTY;
    }
    if (offset + size > image->now_size) {
        image->now_size = offset + size;
    }
}

static void image_truncate(struct image *image, size_t size)
{
    grow(image, size);
    if (size < image->now_size) {
        memset(image->now + size, 0, image->now_size - size);
        for (size_t sector = size / SECTOR; sector * SECTOR < image->now_size; sector++) {
            image->mark[sector] = MARK_DIRTY;
        }
    }
    image->now_size = size;
}

/* The folder is synced: what was made and deleted in it is certain. */
static void sync_names(void)
{
    for (size_t i = 0; i < shim.image_count; i++) {
        if (shim.image[i].is_now) {
            shim.image[i].is_durable = true;
        } else {
            forget_contents(&shim.image[i]);
        }
    }
}

static void image_sync(struct image *image)
{
    bool is_first = !image->is_durable;
    for (size_t sector = 0; sector < image->capacity / SECTOR; sector++) {
        if (image->mark[sector] == MARK_DIRTY) {
            memcpy(image->durable + sector * SECTOR, image->now + sector * SECTOR, SECTOR);
            image->mark[sector] = MARK_CLEAN;
        }
    }
    image->durable_size = image->now_size;
    image->is_durable = true;
    if (is_first && !ends_with(image->path, ".db")) {
        sync_names(); /* SQLite syncs the folder with the first sync of a journal or WAL. */
    }
}

static void image_fail_sync(struct image *image)
{
    for (size_t sector = 0; sector < image->capacity / SECTOR; sector++) {
        if (image->mark[sector] == MARK_DIRTY && survives(&shim.luck)) {
            memcpy(image->durable + sector * SECTOR, image->now + sector * SECTOR, SECTOR);
            image->mark[sector] = MARK_CLEAN;
        } else if (image->mark[sector] == MARK_DIRTY) {
            image->mark[sector] = MARK_LOST;
        }
    }
}

static void image_open(struct image *image, bool is_there)
{
    if (!is_there && image->is_now) {
        tap_bail("'%s' has vanished behind the fault file system", image->path);
    }
    if (!image->is_now) {
        forget_contents(image); /* Made anew: what a file of that name held before is gone. */
        image->is_now = true;
    }
}

static void image_delete(struct image *image, bool is_synced)
{
    image->is_now = false;
    if (is_synced || survives(&shim.luck)) {
        forget_contents(image);
    }
}

/* ---- What a cut leaves ---- */

static bool write_cut(const struct image *image, const char *path, struct luck *luck)
{
    bool is_size_now = image->is_now && survives(luck);
    size_t size = is_size_now || !image->is_durable ? image->now_size : image->durable_size;
    FILE *file = fopen(path, "we");
    if (!file) {
        return false;
    }
    for (size_t at = 0; at < size; at += SECTOR) {
        uint8_t mark = image->mark[at / SECTOR];
        bool is_now = image->is_now && mark == MARK_DIRTY && survives(luck);
        const uint8_t *from = is_now ? image->now : image->durable;
        size_t length = size - at < SECTOR ? size - at : SECTOR;
        if (fwrite(from + at, 1, length, file) != length) {
            (void)fclose(file);
            return false;
        }
    }
    return fclose(file) == 0;
}

bool vfs_cut(const char *to, uint64_t seed)
{
    struct luck luck = { .seed = seed };
    bool ok = true;
    for (size_t i = 0; ok && i < shim.image_count; i++) {
        const struct image *image = &shim.image[i];
        char path[1024];
        bool is_left = image->is_durable || (image->is_now && survives(&luck));
        (void)snprintf(path, sizeof(path), "%s/%s", to, strrchr(image->path, '/') + 1);
        ok = !is_left || write_cut(image, path, &luck);
    }
    return ok;
}

static void adopt_file(const char *path, size_t size)
{
    struct image *image = image_of(path);
    FILE *file = fopen(path, "re");
    grow(image, size + 1);
    if (!file || fread(image->durable, 1, size, file) != size) {
        tap_bail("read '%s'", path);
    }
    (void)fclose(file);
    memcpy(image->now, image->durable, size);
    image->now_size = image->durable_size = size;
    image->is_now = image->is_durable = true;
}

void vfs_adopt(const char *folder)
{
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        char path[1024];
        struct stat info;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        bool is_ours = ends_with(path, ".db") || ends_with(path, "-wal");
        if (is_ours && stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
            adopt_file(path, (size_t)info.st_size);
        }
    }
    if (directory) {
        (void)closedir(directory);
    }
}

/* ---- Counting and failing ---- */

/* Counts a call; the code with which it fails, or SQLITE_OK. The lock is held. */
static int count(enum vfs_call call)
{
    int64_t index = ++shim.calls[call];
    const struct vfs_fault *fault = &shim.fault;
    if (shim.watch) {
        shim.watch(shim.watch_context, call, index);
    }
    if (fault->at > 0 && fault->call == call && index >= fault->at &&
        index - fault->at < fault->length) {
        shim.fired++;
        return fault->result;
    }
    return SQLITE_OK;
}

/* ---- The methods of a file ---- */

static struct shim_file *shim_of(sqlite3_file *file)
{
    return (struct shim_file *)file;
}

static int shim_close(sqlite3_file *file)
{
    return shim_of(file)->real->pMethods->xClose(shim_of(file)->real);
}

static int shim_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    struct shim_file *self = shim_of(file);
    int result = SQLITE_OK;
    if (self->image) {
        (void)pthread_mutex_lock(&shim.lock);
        result = count(VFS_READ);
        (void)pthread_mutex_unlock(&shim.lock);
    }
    return result ? result : self->real->pMethods->xRead(self->real, data, size, offset);
}

static int shim_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct shim_file *self = shim_of(file);
    if (!self->image) {
        return self->real->pMethods->xWrite(self->real, data, size, offset);
    }
    (void)pthread_mutex_lock(&shim.lock);
    int result = count(VFS_WRITE);
    int done = result == SQLITE_OK ? size : shim.fault.is_short ? size / 2 : 0;
    int real = done > 0 ? self->real->pMethods->xWrite(self->real, data, done, offset) : SQLITE_OK;
    if (real == SQLITE_OK) {
        image_write(self->image, data, (size_t)done, (size_t)offset);
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return result ? result : real;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct shim_file *self = shim_of(file);
    if (!self->image) {
        return self->real->pMethods->xTruncate(self->real, size);
    }
    (void)pthread_mutex_lock(&shim.lock);
    int result = count(VFS_TRUNCATE);
    if (result == SQLITE_OK) {
        result = self->real->pMethods->xTruncate(self->real, size);
    }
    if (result == SQLITE_OK) {
        image_truncate(self->image, (size_t)size);
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return result;
}

static int shim_sync(sqlite3_file *file, int flags)
{
    struct shim_file *self = shim_of(file);
    (void)flags;
    if (!self->image) {
        return SQLITE_OK;
    }
    (void)pthread_mutex_lock(&shim.lock);
    int result = count(VFS_SYNC);
    if (result == SQLITE_OK) {
        image_sync(self->image);
    } else {
        image_fail_sync(self->image);
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return result;
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int is_extend, void volatile **out)
{
    struct shim_file *self = shim_of(file);
    (void)pthread_mutex_lock(&shim.lock);
    int result = is_extend ? count(VFS_SHM) : SQLITE_OK;
    (void)pthread_mutex_unlock(&shim.lock);
    if (result != SQLITE_OK) {
        *out = NULL;
        return result;
    }
    return self->real->pMethods->xShmMap(self->real, page, size, is_extend, out);
}

/* The rest goes through as it is. */
#define REAL(file) (shim_of(file)->real)

static int shim_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return REAL(file)->pMethods->xFileSize(REAL(file), out);
}

static int shim_lock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xLock(REAL(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), level);
}

static int shim_check_lock(sqlite3_file *file, int *out)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), out);
}

static int shim_control(sqlite3_file *file, int op, void *argument)
{
    return REAL(file)->pMethods->xFileControl(REAL(file), op, argument);
}

static int shim_sector_size(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int shim_characteristics(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int shim_shm_unmap(sqlite3_file *file, int is_delete)
{
    return REAL(file)->pMethods->xShmUnmap(REAL(file), is_delete);
}

static int shim_fetch(sqlite3_file *file, sqlite3_int64 offset, int size, void **out)
{
    return REAL(file)->pMethods->xFetch(REAL(file), offset, size, out);
}

static int shim_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    return REAL(file)->pMethods->xUnfetch(REAL(file), offset, page);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 3,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check_lock,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector_size,
    .xDeviceCharacteristics = shim_characteristics,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
    .xFetch = shim_fetch,
    .xUnfetch = shim_unfetch,
};

/* ---- The methods of the file system ---- */

static int shim_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    static const int of_interest = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
    struct shim_file *self = shim_of(file);
    bool is_ours = name && (flags & of_interest) != 0;
    bool is_there = false;
    int result = SQLITE_OK;
    (void)vfs;
    self->base.pMethods = NULL;
    self->image = NULL;
    self->real = (sqlite3_file *)(self + 1);
    (void)pthread_mutex_lock(&shim.lock);
    if (is_ours) {
        is_there = access(name, F_OK) == 0; /* SQLite's xAccess sees no empty files. */
        result = count(VFS_OPEN);
    }
    if (result == SQLITE_OK) {
        result = shim.real->xOpen(shim.real, name, self->real, flags, out_flags);
    }
    if (result == SQLITE_OK && is_ours) {
        self->image = image_of(name);
        image_open(self->image, is_there);
    }
    (void)pthread_mutex_unlock(&shim.lock);
    if (result == SQLITE_OK) {
        self->base.pMethods = &shim_methods;
    }
    return result;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int is_synced)
{
    (void)vfs;
    (void)pthread_mutex_lock(&shim.lock);
    int result = shim.real->xDelete(shim.real, name, 0);
    for (size_t i = 0; result == SQLITE_OK && i < shim.image_count; i++) {
        if (strcmp(shim.image[i].path, name) == 0) {
            image_delete(&shim.image[i], is_synced != 0);
        }
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return result;
}

void vfs_install(void)
{
    shim.real = sqlite3_vfs_find(NULL);
    shim.vfs = *shim.real; /* What is not ours stays SQLite's: those need no file of ours. */
    shim.vfs.zName = "fault";
    shim.vfs.pNext = NULL;
    shim.vfs.szOsFile = (int)sizeof(struct shim_file) + shim.real->szOsFile;
    shim.vfs.xOpen = shim_open;
    shim.vfs.xDelete = shim_delete;
    if (sqlite3_vfs_register(&shim.vfs, 1) != SQLITE_OK) {
        tap_bail("register the fault file system");
    }
}

void vfs_reset(uint64_t seed)
{
    (void)pthread_mutex_lock(&shim.lock);
    for (size_t i = 0; i < shim.image_count; i++) {
        forget_contents(&shim.image[i]);
        pk_free(shim.image[i].path);
    }
    shim.image_count = 0;
    shim.luck = (struct luck){ .seed = seed };
    memset(shim.calls, 0, sizeof(shim.calls));
    shim.fault = (struct vfs_fault){ 0 };
    shim.fired = 0;
    shim.watch = NULL;
    (void)pthread_mutex_unlock(&shim.lock);
}

void vfs_set_fault(const struct vfs_fault *fault)
{
    (void)pthread_mutex_lock(&shim.lock);
    memset(shim.calls, 0, sizeof(shim.calls));
    shim.fault = fault ? *fault : (struct vfs_fault){ 0 };
    shim.fired = fault ? 0 : shim.fired;
    (void)pthread_mutex_unlock(&shim.lock);
}

void vfs_set_watch(vfs_watch_fn *watch, void *context)
{
    (void)pthread_mutex_lock(&shim.lock);
    shim.watch = watch;
    shim.watch_context = context;
    (void)pthread_mutex_unlock(&shim.lock);
}

int64_t vfs_calls(enum vfs_call call)
{
    (void)pthread_mutex_lock(&shim.lock);
    int64_t calls = shim.calls[call];
    (void)pthread_mutex_unlock(&shim.lock);
    return calls;
}

int64_t vfs_fired(void)
{
    (void)pthread_mutex_lock(&shim.lock);
    int64_t fired = shim.fired;
    (void)pthread_mutex_unlock(&shim.lock);
    return fired;
}
