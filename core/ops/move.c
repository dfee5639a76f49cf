/* move.c - One list after the other, each with the note of how far it brings us.
 *
 *     check ──▶ note ──▶ count ──▶ copy ──▶ compare ──▶ note "finished"
 *                                  (note with every list)
 *
 * A list that fails for a passing reason, or whose outcome nobody knows, costs
 * nothing: the note is read again, and it says which documents are there.
 *
 * Rows of the feed are announced again in the order in which they were, so they
 * get positions of the target, whose epoch is new: followers of the source see
 * a gap and start afresh, those of the target see them in order. */
/* SPDX-License-Identifier: MIT */
#include "ops/move.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "ops/move_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LIST_MAX = PK_WRITES_MAX - 1,     /* Documents; the note is one more. */
    LIST_MAX_BYTES = 8 * 1024 * 1024, /* A single larger document goes alone. */
    ATTEMPTS_MAX = 8,                 /* For one list, of a store that comes and goes. */
    ATTEMPT_MS = 250                  /* Wait before the second; one more each time. */
};

/* ---- Reading ---- */

void pk_move_reader_done(struct pk_move_reader *reader)
{
    pk_page_done(&reader->page);
    pk_free(reader->last);
    reader->last = NULL;
    if (reader->file) {
        bson_reader_destroy(reader->file);
        reader->file = NULL;
    }
}

struct pk_move_reader pk_move_source(const struct pk_move_options *options,
                                     const struct pk_collection *collection)
{
    return (struct pk_move_reader){ .store = options->from,
                                    .folder = options->from_folder,
                                    .ttl_path = collection->ttl_path,
                                    .clock = options->clock,
                                    .collection = collection->name };
}

static bool read_page(struct pk_move_reader *reader, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page before = reader->page; /* Owns the cursor. */
    struct pk_query query = { .collection = reader->collection,
                              .index = reader->expiry_path ? PK_MOVE_EXPIRY : "_id",
                              .limit = PK_MOVE_PAGE,
                              .cursor = before.next };
    reader->page = (struct pk_page){ 0 };
    reader->at = 0;
    if (reader->last) { /* Not exclusive by date: others may have the same one. */
        query.min = (struct pk_bound){ .is_set = true,
                                       .is_exclusive = !reader->expiry_path,
                                       .value = reader->expiry_path ? PK_DATE(reader->last_ms)
                                                                    : PK_TEXT(reader->last) };
    }
    if (!pk_store_find(reader->store, &query, pk_deadline_in_ms(reader->clock, PK_MOVE_CALL_MS),
                       &reader->page, err)) {
        return pk_wrap(err, "read '%s' from the %s store", reader->collection,
                       pk_store_engine(reader->store));
    }
    reader->is_end = reader->page.next == NULL;
    return true;
}

/* By date the first page begins with what a move before this one has copied already. */
static bool is_copied(const struct pk_move_reader *reader, const struct pk_doc *doc)
{
    return reader->expiry_path && reader->last &&
           pk_doc_date(doc, reader->expiry_path, 0) == reader->last_ms &&
           strcmp(pk_doc_id(doc), reader->last) <= 0;
}

bool pk_move_reader_next(struct pk_move_reader *reader, struct pk_doc **out, struct pk_error *err)
{
    *out = NULL;
    for (;;) {
        while (reader->at < reader->page.count) {
            struct pk_doc *doc = reader->page.doc[reader->at++];
            if (!is_copied(reader, doc)) {
                *out = doc;
                return true;
            }
        }
        if (reader->is_end) {
            return true;
        }
        if (reader->store ? !read_page(reader, err) : !pk_move_read_file(reader, err)) {
            return false;
        }
    }
}

bool pk_move_tell(const struct pk_move_options *options, enum pk_move_step step,
                  const char *collection, int64_t done, int64_t all, struct pk_error *err)
{
    const struct pk_move_progress progress = { step, collection, done, all };
    if (options->progress && !options->progress(options->context, &progress)) {
        return pk_fail(err, PK_TIMEOUT, "run the same command again to go on where it stopped",
                       "the move was stopped");
    }
    return true;
}

/* ---- Checks before ---- */

/* On MongoDB a server that uses the source holds a lease; a folder has a lock instead. */
static bool check_quiet(const struct pk_move_options *options, struct pk_error *err)
{
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader reader = { .store = options->from,
                                     .clock = options->clock,
                                     .collection = "nodes" };
    int64_t now_ms = pk_clock_wall_ms(options->clock);
    struct pk_doc *node;
    if (options->is_restore || strcmp(pk_store_engine(options->from), "sqlite") == 0) {
        return true;
    }
    do {
        if (!pk_move_reader_next(&reader, &node, err)) {
            return false;
        }
        if (node && pk_doc_date(node, "leaseUntil", 0) > now_ms) {
            return pk_fail(err, PK_BUSY, "stop the servers that use the source, then move",
                           "the source is in use: '%s' holds a lease", pk_doc_id(node));
        }
    } while (node);
    return true;
}

static bool check_empty(const struct pk_move_options *options, struct pk_error *err)
{
    for (size_t i = 0; i < options->inventory->count; i++) {
        PK_CLEANUP(pk_move_reader_done)
        struct pk_move_reader reader = { .store = options->to,
                                         .clock = options->clock,
                                         .collection = options->inventory->collection[i].name };
        struct pk_doc *doc;
        if (!pk_move_reader_next(&reader, &doc, err)) {
            return false;
        }
        if (doc) {
            return pk_fail(err, PK_CONFLICT,
                           options->is_restore
                               ? "choose an empty target, or, when what is there may go, add "
                                 "--replace"
                               : "choose an empty target: a folder that does not exist yet, or "
                                 "another database name",
                           "the target has documents of its own (in '%s'), and stores are never "
                           "mixed",
                           reader.collection);
        }
    }
    return true;
}

/* ---- Counting ---- */

/* The note as it is now. */
static bool save(const struct pk_move_options *options, struct pk_move_state *state,
                 struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    pk_move_state_save(state, &list);
    if (!pk_store_commit(options->to, &list, pk_deadline_in_ms(options->clock, PK_MOVE_CALL_MS),
                         NULL, err)) {
        return false;
    }
    state->version = list.write[0].version;
    return true;
}

static bool is_note(const struct pk_move_part *part, const struct pk_doc *doc)
{
    return strcmp(part->collection->name, PK_MOVE_COLLECTION) == 0 &&
           strcmp(pk_doc_id(doc), PK_MOVE_ID) == 0;
}

static bool count_part(const struct pk_move_options *options, struct pk_move_part *part,
                       int64_t *counted, struct pk_error *err)
{
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader reader = pk_move_source(options, part->collection);
    struct pk_doc *doc;
    do {
        if (!pk_move_reader_next(&reader, &doc, err)) {
            return false;
        }
        if (doc && !is_note(part, doc)) {
            part->all++;
            ++*counted;
        }
        if (reader.at == 1 &&
            !pk_move_tell(options, PK_MOVE_COUNTING, part->collection->name, *counted, 0, err)) {
            return false;
        }
    } while (doc);
    return true;
}

static const char *name_of(const struct pk_move_options *options)
{
    return options->from_name ? options->from_name : pk_store_epoch(options->from);
}

/* Writes the first note, before anything takes long: from here on the target is not a new one. */
static bool begin(const struct pk_move_options *options, struct pk_move_state *state,
                  struct pk_error *err)
{
    if (!check_empty(options, err)) {
        return false;
    }
    (void)snprintf(state->from_epoch, sizeof(state->from_epoch), "%s", name_of(options));
    state->is_restore = options->is_restore;
    state->is_counting = true;
    state->started_at_ms = pk_clock_wall_ms(options->clock);
    return save(options, state, err);
}

static bool count_all(const struct pk_move_options *options, struct pk_move_state *state,
                      struct pk_error *err)
{
    int64_t counted = 0;
    for (size_t i = 0; i < state->count; i++) {
        state->part[i].all = 0;
        if (!count_part(options, &state->part[i], &counted, err)) {
            return pk_wrap(err, "count the source");
        }
    }
    state->is_counting = false;
    return save(options, state, err);
}

/* ---- Copying ---- */

/* Takes what fits into one list. 'reader' keeps the document that did not fit for the next. */
static bool fill_list(struct pk_move_reader *reader, struct pk_move_part *part,
                      struct pk_writes *list, struct pk_error *err)
{
    struct pk_doc *doc;
    while (list->count < LIST_MAX) {
        if (!pk_move_reader_next(reader, &doc, err)) {
            return false;
        }
        if (!doc) {
            part->is_done = true;
            return true;
        }
        if (is_note(part, doc)) {
            continue;
        }
        if (list->count > 0 && list->bytes + pk_doc_size(doc) > LIST_MAX_BYTES) {
            reader->at--;
            return true;
        }
        if (part->collection->is_feed) {
            pk_writes_announce(list, doc);
            part->last_ms = pk_doc_date(doc, part->collection->ttl_path, 0);
        } else {
            pk_writes_insert(list, part->collection->name, doc);
        }
        pk_free(part->last);
        part->last = pk_strdup(pk_doc_id(doc));
        part->done++;
    }
    return true;
}

static int64_t count_done(const struct pk_move_state *state, int64_t *out_all)
{
    int64_t done = 0;
    *out_all = 0;
    for (size_t i = 0; i < state->count; i++) {
        done += state->part[i].done;
        *out_all += state->part[i].all;
    }
    return done;
}

/* Copies what is left of one collection, until an error. */
static bool copy_part(const struct pk_move_options *options, struct pk_move_state *state,
                      struct pk_move_part *part, int *attempts, struct pk_move_result *result,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader reader = pk_move_source(options, part->collection);
    int64_t all;

    reader.expiry_path =
        part->collection->is_feed && options->from ? part->collection->ttl_path : NULL;
    reader.last = part->last ? pk_strdup(part->last) : NULL;
    reader.last_ms = part->last_ms;
    while (!part->is_done) {
        pk_writes_clear(&list);
        if (!fill_list(&reader, part, &list, err)) {
            return false;
        }
        size_t documents = list.count;
        pk_move_state_save(state, &list);
        if (!pk_store_commit(options->to, &list, pk_deadline_in_ms(options->clock, PK_MOVE_CALL_MS),
                             NULL, err)) {
            return pk_wrap(err, "write '%s' to the target", part->collection->name);
        }
        state->version = list.write[list.count - 1].version;
        result->copied += (int64_t)documents;
        *attempts = 0;
        int64_t done = count_done(state, &all);
        if (!pk_move_tell(options, PK_MOVE_COPYING, part->collection->name, done, all, err)) {
            return false;
        }
    }
    return true;
}

/* True when the failure may pass, or its outcome must be looked up in the note. */
static bool may_repeat(const struct pk_error *err)
{
    return err->code == PK_UNKNOWN || err->code == PK_UNAVAILABLE || err->code == PK_BUSY ||
           err->code == PK_CONFLICT;
}

/* Waits a little longer each time, then reads what the target really has. */
static bool look_again(const struct pk_move_options *options, struct pk_move_state *state,
                       int *attempts)
{
    while (++*attempts < ATTEMPTS_MAX) {
        struct timespec wait = { .tv_sec = *attempts * ATTEMPT_MS / 1000,
                                 .tv_nsec = *attempts * ATTEMPT_MS % 1000 * 1000000L };
        (void)nanosleep(&wait, NULL);
        if (pk_move_state_load(state, options->to, options->clock, NULL)) {
            return true;
        }
    }
    return false;
}

static bool copy(const struct pk_move_options *options, struct pk_move_state *state,
                 struct pk_move_result *result, struct pk_error *err)
{
    struct pk_error reason = { 0 };
    int attempts = 0;
    for (size_t i = 0; i < state->count;) {
        if (copy_part(options, state, &state->part[i], &attempts, result, &reason)) {
            i++;
        } else if (!may_repeat(&reason) || !look_again(options, state, &attempts)) {
            if (err) {
                *err = reason;
            }
            return false;
        }
    }
    return true;
}

/* ---- The whole ---- */

static bool check_source(const struct pk_move_options *options, struct pk_error *err)
{
    if (!options->from) {
        return true;
    }
    if (strcmp(pk_store_epoch(options->from), pk_store_epoch(options->to)) == 0) {
        return pk_fail(err, PK_INVALID, "name two different stores",
                       "source and target are the same store");
    }
    return pk_move_check_finished(options->from, options->clock, err) ||
           pk_wrap(err, "use the source"); /* Half a store would be moved as a whole one. */
}

/* Everything that comes before 'then'. */
static bool move_all(const struct pk_move_options *options, struct pk_move_state *state,
                     struct pk_move_result *result, struct pk_error *err)
{
    int64_t all;
    if (!check_quiet(options, err) || (!state->version && !begin(options, state, err)) ||
        (state->is_counting && !count_all(options, state, err)) ||
        !copy(options, state, result, err)) {
        return false;
    }
    (void)count_done(state, &all);
    if (!pk_move_compare(options, all, result, err)) {
        return false;
    }
    state->compared_at_ms = pk_clock_wall_ms(options->clock);
    return !options->then || save(options, state, err);
}

static bool run(const struct pk_move_options *options, struct pk_move_state *state,
                struct pk_move_result *result, struct pk_error *err)
{
    if (!check_source(options, err) ||
        !pk_move_state_load(state, options->to, options->clock, err)) {
        return false;
    }
    if (state->version && (strcmp(state->from_epoch, name_of(options)) != 0 ||
                           state->is_restore != options->is_restore)) {
        return pk_fail(err, PK_CONFLICT, "choose an empty target, or the source it began with",
                       "the target holds a %s from another %s",
                       state->is_restore ? "restore" : "move",
                       state->is_restore ? "backup" : "store");
    }
    if (state->finished_at_ms) {
        result->is_old = true;
        result->finished_at_ms = state->finished_at_ms;
        return true;
    }
    result->is_resumed = state->version != 0;
    if (!state->compared_at_ms && !move_all(options, state, result, err)) {
        return false;
    }
    if (options->then && !options->then(options->context, err)) {
        return false;
    }
    state->finished_at_ms = pk_clock_wall_ms(options->clock);
    result->finished_at_ms = state->finished_at_ms;
    return save(options, state, err);
}

bool pk_move_run(const struct pk_move_options *options, struct pk_move_result *result,
                 struct pk_error *err)
{
    struct pk_move_state state;
    *result = (struct pk_move_result){ 0 };
    pk_move_state_init(&state, options->inventory);
    bool is_ok = run(options, &state, result, err);
    pk_move_state_done(&state);
    return is_ok;
}

void pk_move_result_done(struct pk_move_result *result)
{
    for (size_t i = 0; i < result->count && result->row; i++) {
        pk_free(result->row[i].first_different);
    }
    pk_free(result->row);
    *result = (struct pk_move_result){ 0 };
}

bool pk_move_check_finished(struct pk_store *store, const struct pk_clock *clock,
                            struct pk_error *err)
{
    static const struct pk_inventory nothing = { 0 };
    struct pk_move_state state;
    pk_move_state_init(&state, &nothing);
    bool is_read = pk_move_state_load(&state, store, clock, err);
    bool is_half = is_read && state.version && !state.finished_at_ms;
    bool is_restore = state.is_restore;
    pk_move_state_done(&state);
    if (is_half) {
        return pk_fail(err, PK_PRECONDITION,
                       is_restore ? "run the same 'personakit restore' again to finish it"
                                  : "run the same 'personakit move' again to finish it, or use "
                                    "another store",
                       "a %s into this store was begun and is not finished",
                       is_restore ? "restore" : "move");
    }
    return is_read;
}
