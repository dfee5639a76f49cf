/* sqlite_wal.c - The writer's log in large writes.
 *
 * SQLite writes each frame of its log with two calls: 24 bytes that say which
 * page it is, then the page. A group of lists has hundreds of frames, one
 * behind the other, so the writer's handle of the log gets methods of ours,
 * which collect what is contiguous and hand it on as one.
 *
 * Nothing is late: what was collected is written before the log is synced,
 * read, measured, cut or closed by this handle, and as soon as the frame that
 * commits is whole (its second number is the size of the file, and not 0).
 * Other connections read no frame before it is committed. A write that fails
 * is told to whoever caused it, and what was collected is dropped: SQLite
 * writes those frames again, or not at all.
 *
 * The methods stand in front of whatever file system SQLite uses.
 *
 * Thread: the leader's, under the write lock. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "store/sqlite_internal.h"

#include <string.h>

/* SQLite writes less than 128 KiB at a time: the size of a write is cut to 17 bits. */
enum { COLLECTED_MAX = 120 * 1024, FRAME_HEAD = 24 };

struct pk_sql_wal {
    sqlite3_io_methods methods;      /* First: what the file points at is this. */
    const sqlite3_io_methods *below; /* Those that it had. */
    sqlite3_int64 at;                /* Where in the file the collected bytes begin. */
    int used;
    bool is_commit; /* The frame whose head came last commits. */
    uint8_t data[COLLECTED_MAX];
};

static struct pk_sql_wal *wal_of(const sqlite3_file *file)
{
    return (struct pk_sql_wal *)(uintptr_t)file->pMethods;
}

static int flush(sqlite3_file *file)
{
    struct pk_sql_wal *wal = wal_of(file);
    const int size = wal->used;
    wal->used = 0;
    return size ? wal->below->xWrite(file, wal->data, size, wal->at) : SQLITE_OK;
}

static int wal_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
    struct pk_sql_wal *wal = wal_of(file);
    const uint8_t *head = data;
    int code = SQLITE_OK;

    if (wal->used && (at != wal->at + wal->used || size > COLLECTED_MAX - wal->used)) {
        code = flush(file);
    }
    if (code == SQLITE_OK && size > COLLECTED_MAX) {
        return wal->below->xWrite(file, data, size, at);
    }
    if (code != SQLITE_OK) {
        return code;
    }
    wal->at = wal->used ? wal->at : at;
    memcpy(wal->data + wal->used, data, (size_t)size);
    wal->used += size;
    if (size == FRAME_HEAD) {
        wal->is_commit = head[4] || head[5] || head[6] || head[7];
        return SQLITE_OK;
    }
    return wal->is_commit ? flush(file) : SQLITE_OK;
}

static int wal_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at)
{
    const int code = flush(file);
    return code == SQLITE_OK ? wal_of(file)->below->xRead(file, data, size, at) : code;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    const int code = flush(file);
    return code == SQLITE_OK ? wal_of(file)->below->xTruncate(file, size) : code;
}

static int wal_sync(sqlite3_file *file, int flags)
{
    const int code = flush(file);
    return code == SQLITE_OK ? wal_of(file)->below->xSync(file, flags) : code;
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *out)
{
    const int code = flush(file);
    return code == SQLITE_OK ? wal_of(file)->below->xFileSize(file, out) : code;
}

static int wal_close(sqlite3_file *file)
{
    (void)flush(file); /* Whatever is left was never committed. */
    file->pMethods = wal_of(file)->below;
    return file->pMethods->xClose(file);
}

void pk_sql_wal_open(struct pk_sqlite *sqlite)
{
    sqlite3_file *file = NULL;
    const int code = sqlite3_file_control(sqlite->writer.db, "main", SQLITE_FCNTL_JOURNAL_POINTER,
                                          (void *)&file);
    if (code != SQLITE_OK || !file || !file->pMethods) {
        return; /* It goes without. */
    }
    struct pk_sql_wal *wal = pk_calloc(1, sizeof(*wal));
    wal->below = file->pMethods;
    wal->methods = *file->pMethods;
    wal->methods.xWrite = wal_write;
    wal->methods.xRead = wal_read;
    wal->methods.xTruncate = wal_truncate;
    wal->methods.xSync = wal_sync;
    wal->methods.xFileSize = wal_size;
    wal->methods.xClose = wal_close;
    file->pMethods = &wal->methods;
    sqlite->wal = wal;
}

void pk_sql_wal_free(struct pk_sqlite *sqlite)
{
    pk_free(sqlite->wal);
    sqlite->wal = NULL;
}
