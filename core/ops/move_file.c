/* move_file.c - A collection of a backup, read from its file as if it were a store's.
 *
 * FOLDER/<collection>.bson is documents, one behind the other, in order of
 * '_id'. Pages of them are made here, so that whoever reads a store reads a
 * file in the same way. Thread: the move's. */
/* SPDX-License-Identifier: MIT */
#include "ops/move_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"

#include <string.h>

enum { PAGE_BYTES = 8 * 1024 * 1024 };

static bool open_file(struct pk_move_reader *reader, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *path = pk_strdupf("%s/%s.bson", reader->folder, reader->collection);
    bson_error_t error;
    reader->file = bson_reader_new_from_file(path, &error);
    return reader->file || pk_fail(err, PK_UNAVAILABLE, "check who may read the backup",
                                   "'%s' cannot be read: %s", path, error.message);
}

static bool fail_damaged(const struct pk_move_reader *reader, struct pk_error *err)
{
    return pk_fail(err, PK_INVALID, "use another backup", "'%s.bson' of the backup is damaged",
                   reader->collection);
}

static bool is_wanted(const struct pk_move_reader *reader, const struct pk_doc *doc)
{
    return !(reader->last && strcmp(pk_doc_id(doc), reader->last) <= 0) &&
           !(reader->ttl_path &&
             pk_doc_date(doc, reader->ttl_path, INT64_MAX) <= pk_clock_wall_ms(reader->clock));
}

/* Whoever has written the file: what is no document of ours, or out of its place, is not taken. */
static bool is_good(const bson_t *bson, const struct pk_page *page, const struct pk_doc *doc)
{
    const char *id = pk_doc_id(doc);
    return id && bson_validate(bson, BSON_VALIDATE_NONE, NULL) &&
           (page->count == 0 || strcmp(pk_doc_id(page->doc[page->count - 1]), id) < 0);
}

bool pk_move_read_file(struct pk_move_reader *reader, struct pk_error *err)
{
    struct pk_page *page = &reader->page;
    const bson_t *bson = NULL;
    size_t bytes = 0;
    pk_page_done(page);
    *page = (struct pk_page){ .doc = pk_calloc(PK_MOVE_PAGE, sizeof(struct pk_doc *)) };
    reader->at = 0;
    if (!reader->file && !open_file(reader, err)) {
        return false;
    }
    while (page->count < PK_MOVE_PAGE && bytes < PAGE_BYTES &&
           (bson = bson_reader_read(reader->file, &reader->is_end)) != NULL) {
        struct pk_doc *doc = pk_doc_take(bson_copy(bson));
        bytes += pk_doc_size(doc);
        if (!is_good(bson, page, doc)) {
            pk_doc_unref(doc);
            return fail_damaged(reader, err);
        }
        if (is_wanted(reader, doc)) {
            page->doc[page->count++] = doc;
        } else {
            pk_doc_unref(doc);
        }
    }
    if (!bson && !reader->is_end) {
        return fail_damaged(reader, err);
    }
    return true;
}
