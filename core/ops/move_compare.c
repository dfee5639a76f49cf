/* move_compare.c - Both stores read side by side, in order of '_id'.
 *
 *     source   a  b     d  e
 *     target   a  b  c  d' e        c is in one alone, d has other content
 *
 * Counts and sums are taken of what each store returns, so they prove the copy
 * and not our idea of it. A document whose time has passed meanwhile, and that
 * only one of them still shows, is left out of both sums and counted apart. */
/* SPDX-License-Identifier: MIT */
#include "ops/move_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"

#include <string.h>

enum {
    CLOCKS_APART_MS = 60 * 1000, /* Two stores may disagree by that much on what has expired. */
    TELL_EVERY = 1000            /* Documents between two reports. */
};

static bool may_have_expired(const struct pk_collection *collection, const struct pk_doc *doc,
                             const struct pk_clock *clock)
{
    return collection->ttl_path && pk_doc_date(doc, collection->ttl_path, INT64_MAX) <=
                                       pk_clock_wall_ms(clock) + CLOCKS_APART_MS;
}

static void note_difference(struct pk_move_row *row, const struct pk_doc *doc)
{
    if (!row->first_different) {
        row->first_different = pk_strdup(pk_doc_id(doc));
    }
}

static void add(struct pk_sum *sum, const struct pk_doc *doc, uint8_t digest[PK_HASH_BYTES])
{
    pk_digest_doc(doc, digest);
    pk_sum_add(sum, digest);
}

/* A document that one store alone has. */
static void add_single(struct pk_move_row *row, const struct pk_move_options *options,
                       const struct pk_collection *collection, struct pk_sum *sum,
                       const struct pk_doc *doc)
{
    uint8_t digest[PK_HASH_BYTES];
    if (may_have_expired(collection, doc, options->clock)) {
        row->expired++;
        return;
    }
    add(sum, doc, digest);
    note_difference(row, doc);
}

static void add_pair(struct pk_move_row *row, const struct pk_doc *from, const struct pk_doc *to)
{
    uint8_t from_digest[PK_HASH_BYTES];
    uint8_t to_digest[PK_HASH_BYTES];
    add(&row->from, from, from_digest);
    add(&row->to, to, to_digest);
    if (memcmp(from_digest, to_digest, sizeof(from_digest)) != 0) {
        note_difference(row, from);
    }
}

/* Our own note is in no sum. */
static bool skip_note(struct pk_move_reader *reader, struct pk_doc **doc, struct pk_error *err)
{
    while (*doc && strcmp(reader->collection, PK_MOVE_COLLECTION) == 0 &&
           strcmp(pk_doc_id(*doc), PK_MOVE_ID) == 0) {
        if (!pk_move_reader_next(reader, doc, err)) {
            return false;
        }
    }
    return true;
}

static bool next(struct pk_move_reader *reader, struct pk_doc **doc, struct pk_error *err)
{
    return pk_move_reader_next(reader, doc, err) && skip_note(reader, doc, err);
}

static bool compare_collection(const struct pk_move_options *options,
                               const struct pk_collection *collection, struct pk_move_row *row,
                               int64_t *done, int64_t all, struct pk_error *err)
{
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader from = pk_move_source(options, collection);
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader to = { .store = options->to,
                                 .clock = options->clock,
                                 .collection = collection->name };
    struct pk_doc *a;
    struct pk_doc *b;

    if (!next(&from, &a, err) || !next(&to, &b, err)) {
        return false;
    }
    while (a || b) {
        int order = !b ? -1 : !a ? 1 : strcmp(pk_doc_id(a), pk_doc_id(b));
        if (order < 0) {
            add_single(row, options, collection, &row->from, a);
        } else if (order > 0) {
            add_single(row, options, collection, &row->to, b);
        } else {
            add_pair(row, a, b);
        }
        if ((order <= 0 && !next(&from, &a, err)) || (order >= 0 && !next(&to, &b, err))) {
            return false;
        }
        if (++*done % TELL_EVERY == 0 &&
            !pk_move_tell(options, PK_MOVE_COMPARING, collection->name, *done, all, err)) {
            return false;
        }
    }
    return true;
}

bool pk_move_compare(const struct pk_move_options *options, int64_t all,
                     struct pk_move_result *result, struct pk_error *err)
{
    const struct pk_inventory *inventory = options->inventory;
    const struct pk_move_row *different = NULL;
    int64_t done = 0;

    result->row = pk_calloc(inventory->count, sizeof(*result->row));
    result->count = inventory->count;
    for (size_t i = 0; i < inventory->count; i++) {
        struct pk_move_row *row = &result->row[i];
        row->collection = inventory->collection[i].name;
        if (!compare_collection(options, &inventory->collection[i], row, &done, all, err)) {
            return pk_wrap(err, "compare '%s'", row->collection);
        }
        if (!different && (row->first_different || !pk_sum_equal(&row->from, &row->to))) {
            different = row;
        }
    }
    if (different) {
        return pk_fail(err, PK_CONFLICT,
                       "the source must not be written while it is moved: stop what uses it, and "
                       "move again into an empty target",
                       "the stores differ: '%s' has %lld documents in the source and %lld in the "
                       "target, and '%s' is the first that differs",
                       different->collection, (long long)different->from.count,
                       (long long)different->to.count,
                       different->first_different ? different->first_different : "?");
    }
    return true;
}
