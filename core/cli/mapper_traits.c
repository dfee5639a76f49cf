/* mapper_traits.c - Known trait paths: of a file, and of the people in a store.
 *
 * A path that nobody has is most often misspelt, so an author may have his
 * compared with what there is. The store is read as it is, and nothing of a
 * person but the names of traits is kept. */
/* SPDX-License-Identifier: MIT */
#include "cli/mapper_traits.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/cli.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 16 << 20, PEOPLE_MAX = 10000, PATHS_MAX = 100000 };

static void add(struct pk_known_traits *known, const char *path, size_t size)
{
    if (known->count < PATHS_MAX) {
        known->path = pk_realloc(known->path, (known->count + 1) * sizeof(*known->path));
        known->path[known->count++] = pk_strndup(path, size);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts, and drops what is there twice. */
static void tidy(struct pk_known_traits *known)
{
    size_t kept = 0;
    if (known->count == 0) {
        return;
    }
    qsort(known->path, known->count, sizeof(*known->path), by_text);
    for (size_t i = 0; i < known->count; i++) {
        if (kept > 0 && strcmp(known->path[kept - 1], known->path[i]) == 0) {
            pk_free(known->path[i]);
        } else {
            known->path[kept++] = known->path[i];
        }
    }
    known->count = kept;
}

/* One path per line; '#' begins a comment. */
static bool read_file(struct pk_known_traits *known, const char *file, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    if (!pk_file_read(&text, file, FILE_MAX, err)) {
        return false;
    }
    for (const char *at = pk_buf_text(&text); *at;) {
        const char *from = at + strspn(at, " \t");
        const size_t size = strcspn(from, " \t#\r\n");
        if (size > 0) {
            add(known, from, size);
        }
        at += strcspn(at, "\r\n");
        at += strspn(at, "\r\n");
    }
    return true;
}

static bool add_trait(void *context, const char *below, const bson_iter_t *value)
{
    uint32_t size = 0;
    (void)below;
    if (BSON_ITER_HOLDS_UTF8(value)) {
        const char *path = bson_iter_utf8(value, &size);
        add(context, path, size);
    }
    return true;
}

static bool read_people(struct pk_known_traits *known, struct pk_store *store, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    size_t people = 0;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = "mindscapes", .index = "_id", .limit = PK_PAGE_MAX, .cursor = cursor
        };
        if (!pk_store_find(store, &query, 0, &page, err)) {
            return pk_wrap(err, "look for traits");
        }
        for (size_t i = 0; i < page.count; i++) {
            bson_t view;
            pk_doc_view(page.doc[i], &view);
            (void)pk_path_each(&view, "traits[].id", add_trait, known);
        }
        people += page.count;
        tidy(known);
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor && people < PEOPLE_MAX);
    return true;
}

static bool read_store(struct pk_known_traits *known, const struct pk_call *call,
                       const struct pk_config *config, struct pk_error *err)
{
    struct pk_open_store open = { .lock_fd = -1 };
    PK_CLEANUP(pk_freep) char *url = pk_cli_store_url(config);
    const bool is_ok = pk_cli_store_open(call->app, url, NULL, PK_OPEN_READ, &open, err) &&
                       read_people(known, open.store, err);
    pk_cli_store_close(&open);
    return is_ok;
}

bool pk_known_traits_read(struct pk_known_traits *known, const struct pk_call *call,
                          const struct pk_config *config, struct pk_error *err)
{
    const char *file = pk_call_option(call, "--traits");
    const bool is_known = pk_call_option(call, "--known") != NULL;
    if (!file && !is_known) {
        return true;
    }
    known->path = pk_calloc(1, sizeof(*known->path));
    if ((file && !read_file(known, file, err)) ||
        (is_known && !read_store(known, call, config, err))) {
        return false;
    }
    tidy(known);
    return true;
}

void pk_known_traits_done(struct pk_known_traits *known)
{
    for (size_t i = 0; i < known->count; i++) {
        pk_free(known->path[i]);
    }
    pk_free(known->path);
    *known = (struct pk_known_traits){ 0 };
}
