/* restore.c - Load, compare, look for whom to erase, erase, say so, done.
 *
 *     load and compare (move.c) ─▶ look at every document of a person
 *          ─▶ erase who is in erasures.log, or was being erased when the backup was made
 *          ─▶ ask for the forgotten to be forgotten ─▶ settle ─▶ audit row
 *
 * Who is looked for is hashed as the log names him. A person (or observation)
 * that was made after the erasure of one with the same id is another one, and
 * stays. Who was merged is erased as one; so when people were one in the backup,
 * and only some of them were erased after they had been parted, nothing is done
 * and that is said: erasing would take the others along.
 *
 * Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#include "ops/restore.h"

#include "access/audit.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "ops/move_internal.h"
#include "persona/domain.h"
#include "persona/erase.h"
#include "persona/erase_log.h"
#include "persona/merge.h"
#include "persona/people.h"
#include "persona/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TELL_EVERY = 1000, NUMBER_TEXT = 24 };

/* Ids, each once when 'sort' was called. */
struct names {
    char **name;
    size_t count, capacity;
};

struct restoring {
    const struct pk_restore_options *options;
    struct pk_restore_result *result;
    struct names person;      /* To be erased. */
    struct names observation; /* To be forgotten. */
    char *last;               /* Of whom the document before was. */
    int64_t looked;           /* Documents. */
    size_t at;                /* Of 'person'. */
    int64_t begun_ms;         /* Wall. */
};

static const struct pk_by by = { .actor_id = "personakit" };

static bool tell(const struct restoring *restoring, enum pk_restore_step step, const char *what,
                 int64_t done, int64_t all, struct pk_error *err)
{
    const struct pk_restore_options *options = restoring->options;
    if (options->progress && !options->progress(options->context, step, what, done, all)) {
        return pk_fail(err, PK_TIMEOUT, "run the same command again to go on where it stopped",
                       "the restore was stopped");
    }
    return true;
}

/* ---- Names ---- */

static void add_name(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? names->capacity * 2 : 64;
        names->name = pk_realloc(names->name, names->capacity * sizeof(*names->name));
    }
    names->name[names->count++] = pk_strdup(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct names *names)
{
    size_t kept = 0;
    if (names->count > 0) {
        qsort(names->name, names->count, sizeof(*names->name), compare_names);
    }
    for (size_t i = 0; i < names->count; i++) {
        if (kept > 0 && strcmp(names->name[kept - 1], names->name[i]) == 0) {
            pk_free(names->name[i]);
        } else {
            names->name[kept++] = names->name[i];
        }
    }
    names->count = kept;
}

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        pk_free(names->name[i]);
    }
    pk_free(names->name);
    *names = (struct names){ 0 };
}

/* ---- Looking ---- */

static int64_t erased_at(const struct restoring *restoring, enum pk_erased kind, const char *id)
{
    return pk_erase_log_find(restoring->options->erasures,
                             restoring->options->domain->books->peppers, kind, id);
}

/* A person who was made after an erasure by that id is somebody else. */
static bool is_person_of_then(const struct restoring *restoring, const char *person,
                              int64_t erased_ms, bool *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    const int64_t deadline_ns = pk_deadline_in_ms(restoring->options->clock, PK_MOVE_CALL_MS);
    if (!pk_store_get(restoring->options->to, "people", person, deadline_ns, &doc, err)) {
        return false;
    }
    *out = !doc || pk_doc_date(doc, "createdAt", 0) <= erased_ms;
    return true;
}

static bool look_at_person(struct restoring *restoring, const char *person, struct pk_error *err)
{
    bool is_of_then = false;
    if (restoring->last && strcmp(restoring->last, person) == 0) {
        return true;
    }
    pk_free(restoring->last);
    restoring->last = pk_strdup(person);
    const int64_t erased_ms = erased_at(restoring, PK_ERASED_PERSON, person);
    if (erased_ms && !is_person_of_then(restoring, person, erased_ms, &is_of_then, err)) {
        return false;
    }
    if (is_of_then) {
        add_name(&restoring->person, person);
    }
    return true;
}

/* 'userId', '_id', or all of 'userIds[]'. */
static bool look_at_people(struct restoring *restoring, const struct pk_collection *collection,
                           const struct pk_doc *doc, struct pk_error *err)
{
    const size_t size = strlen(collection->person_path);
    const bool is_list = size > 2 && strcmp(collection->person_path + size - 2, "[]") == 0;
    char path[80];
    for (size_t i = 0;; i++) {
        if (is_list) {
            (void)snprintf(path, sizeof(path), "%.*s.%zu", (int)size - 2, collection->person_path,
                           i);
        }
        const char *person = pk_doc_text(doc, is_list ? path : collection->person_path);
        if (!person || !look_at_person(restoring, person, err)) {
            return person == NULL;
        }
        if (!is_list) {
            return true;
        }
    }
}

static void look_at_observation(struct restoring *restoring, const struct pk_doc *doc)
{
    const char *id = pk_doc_id(doc);
    const int64_t forgotten_ms = erased_at(restoring, PK_ERASED_OBSERVATION, id);
    if (forgotten_ms && pk_doc_date(doc, "createdAt", 0) <= forgotten_ms) {
        add_name(&restoring->observation, id);
    }
}

static bool look_at(struct restoring *restoring, const struct pk_collection *collection,
                    const struct pk_doc *doc, struct pk_error *err)
{
    if (strcmp(collection->name, "tombstones") == 0) {
        if (pk_doc_date(doc, "erasedAt", 0) && !pk_doc_date(doc, "completedAt", 0)) {
            /* The backup was made in the middle of it. */
            add_name(&restoring->person, pk_doc_id(doc));
        }
        return true;
    }
    if (strcmp(collection->name, "observations") == 0) {
        look_at_observation(restoring, doc);
    }
    return look_at_people(restoring, collection, doc, err);
}

static bool look_in(struct restoring *restoring, const struct pk_collection *collection,
                    struct pk_error *err)
{
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader reader = { .store = restoring->options->to,
                                     .clock = restoring->options->clock,
                                     .collection = collection->name };
    struct pk_doc *doc;
    while (pk_move_reader_next(&reader, &doc, err)) {
        if (!doc) {
            return true;
        }
        if (!look_at(restoring, collection, doc, err) ||
            (++restoring->looked % TELL_EVERY == 0 &&
             !tell(restoring, PK_RESTORE_LOOKING, collection->name, restoring->looked,
                   restoring->options->info->documents, err))) {
            return false;
        }
    }
    return false;
}

static bool look(struct restoring *restoring, struct pk_error *err)
{
    const struct pk_inventory *inventory = restoring->options->inventory;
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        const bool is_wanted =
            collection->erase == PK_ERASE_DELETE || strcmp(collection->name, "tombstones") == 0;
        if (is_wanted && collection->person_path && !look_in(restoring, collection, err)) {
            return pk_wrap(err, "look for the erased in '%s'", collection->name);
        }
    }
    sort_names(&restoring->person);
    sort_names(&restoring->observation);
    return true;
}

/* ---- Merged people ---- */

static bool is_named(const struct names *names, const char *name)
{
    return names->count > 0 &&
           bsearch(&name, names->name, names->count, sizeof(*names->name), compare_names) != NULL;
}

/* All who are one with him go, or nobody does. */
static bool check_whole(const struct restoring *restoring, const char *person, struct pk_error *err)
{
    const struct pk_domain *domain = restoring->options->domain;
    const struct pk_person_ref ref = { .id = person };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *whole = NULL;
    PK_CLEANUP(pk_person_ids_done) struct pk_person_ids ids = { 0 };
    if (!pk_person_find(domain, &ref, 0, &whole, err) ||
        (whole && !pk_person_ids(domain, pk_doc_id(whole), 0, &ids, err))) {
        return false;
    }
    for (size_t i = 0; i < ids.count; i++) {
        if (!is_named(&restoring->person, pk_doc_id(ids.doc[i]))) {
            return pk_fail(err, PK_CONFLICT,
                           "restore a backup that was made after they were parted; or restore this "
                           "one with --replace --without-erasures, part them ('person unmerge') "
                           "and erase again",
                           "two people are one in this backup, of whom one was erased later and "
                           "the other, '%s', was not",
                           pk_doc_id(ids.doc[i]));
        }
    }
    return true;
}

static bool check_all_whole(const struct restoring *restoring, struct pk_error *err)
{
    for (size_t i = 0; i < restoring->person.count; i++) {
        if (!check_whole(restoring, restoring->person.name[i], err)) {
            return false;
        }
    }
    return true;
}

/* ---- Erasing ---- */

static bool on_step(void *context, struct pk_error *err)
{
    const struct restoring *restoring = context;
    return tell(restoring, PK_RESTORE_ERASING, "", (int64_t)restoring->at,
                (int64_t)restoring->person.count, err);
}

/* One who was merged with another has gone with him. */
static bool is_done(const struct restoring *restoring, const char *person, bool *out,
                    struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!pk_erase_receipt(restoring->options->domain, person, 0, &tombstone, err)) {
        return false;
    }
    *out = tombstone && pk_doc_date(tombstone, "completedAt", 0) >= restoring->begun_ms;
    return true;
}

static bool erase(struct restoring *restoring, const char *person, struct pk_error *err)
{
    const bool is_logged = erased_at(restoring, PK_ERASED_PERSON, person) != 0;
    bool is_old = false;
    if (!is_done(restoring, person, &is_old, err)) {
        return false;
    }
    if (!is_old && !pk_erase_again(restoring->options->domain, &by, person, is_logged, on_step,
                                   restoring, err)) {
        return false;
    }
    restoring->result->erased++;
    return true;
}

static bool erase_all(struct restoring *restoring, struct pk_error *err)
{
    for (restoring->at = 0; restoring->at < restoring->person.count; restoring->at++) {
        if (!on_step(restoring, err) ||
            !erase(restoring, restoring->person.name[restoring->at], err)) {
            return pk_wrap(err, "erase again whom the backup has brought back");
        }
    }
    return true;
}

/* Asked for as it was then: it takes the processors that a server has. */
static bool forget_all(struct restoring *restoring, struct pk_error *err)
{
    char task[PK_UUID_TEXT];
    for (size_t i = 0; i < restoring->observation.count; i++) {
        const char *id = restoring->observation.name[i];
        struct pk_error own = { 0 };
        if (pk_replay_forget(restoring->options->domain, &by, id, task, &own)) {
            restoring->result->forgotten++;
        } else if (own.code != PK_NOT_FOUND) { /* It went with its person. */
            *err = own;
            return pk_wrap(err, "forget again what the backup has brought back");
        }
    }
    return true;
}

static bool note(const struct restoring *restoring, struct pk_error *err)
{
    const struct pk_restore_options *options = restoring->options;
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char made[PK_TIME_TEXT], erased[NUMBER_TEXT], forgotten[NUMBER_TEXT];
    pk_time_format(options->info->made_ms, made);
    (void)snprintf(erased, sizeof(erased), "%" PRId64, restoring->result->erased);
    (void)snprintf(forgotten, sizeof(forgotten), "%" PRId64, restoring->result->forgotten);
    pk_audit_add(
        &list, options->domain->books, &by,
        &(struct pk_audit){ .action = "store.restored",
                            .target_type = "settings",
                            .target_id = PK_MOVE_ID,
                            .fact = (const struct pk_fact[]){
                                { "backupMadeAt", made },
                                { "backupEpoch", options->info->epoch },
                                { "erasures", options->erasures ? "applied" : "left out as told" },
                                { "peopleErased", erased },
                                { "observationsForgotten", forgotten },
                                { NULL, NULL } } });
    return pk_store_commit(options->to, &list, pk_deadline_in_ms(options->clock, PK_MOVE_CALL_MS),
                           NULL, err);
}

/* Between the comparison and the last word of the note. */
static bool finish(void *context, struct pk_error *err)
{
    struct restoring *restoring = context;
    const struct pk_restore_options *options = restoring->options;
    if (!pk_backup_check_same(options->folder, options->info, err) ||
        (options->loaded && !options->loaded(options->context, err))) {
        return false;
    }
    if (options->erasures &&
        (!look(restoring, err) || !check_all_whole(restoring, err) || !erase_all(restoring, err) ||
         !forget_all(restoring, err) || !pk_store_settle(options->to, 0, err))) {
        return false;
    }
    return note(restoring, err);
}

/* ---- The whole ---- */

static bool on_move(void *context, const struct pk_move_progress *now)
{
    static const enum pk_restore_step step[] = {
        [PK_MOVE_COUNTING] = PK_RESTORE_COUNTING,
        [PK_MOVE_COPYING] = PK_RESTORE_LOADING,
        [PK_MOVE_COMPARING] = PK_RESTORE_COMPARING,
    };
    const struct restoring *restoring = context;
    struct pk_error ignored;
    return tell(restoring, step[now->step], now->collection, now->done, now->all, &ignored);
}

static bool open_backup(const struct pk_restore_options *options, struct pk_store **out,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", options->folder);
    const struct pk_store_options store = {
        .url = url, .inventory = options->inventory, .clock = options->clock, .is_read_only = true
    };
    return strcmp(options->info->engine, "sqlite") != 0 || pk_store_open(out, &store, err) ||
           pk_wrap(err, "open the backup");
}

bool pk_restore_run(const struct pk_restore_options *options, struct pk_restore_result *result,
                    struct pk_error *err)
{
    struct restoring restoring = { .options = options,
                                   .result = result,
                                   .begun_ms = pk_clock_wall_ms(options->clock) };
    struct pk_store *from = NULL;
    *result = (struct pk_restore_result){ 0 };
    if (!open_backup(options, &from, err)) {
        return false;
    }
    const struct pk_move_options move = {
        .from = from,
        .from_folder = from ? NULL : options->folder,
        .from_name = options->info->name,
        .to = options->to,
        .is_restore = true,
        .then = finish,
        .inventory = options->inventory,
        .clock = options->clock,
        .progress = on_move,
        .context = &restoring,
    };
    const bool ok = pk_move_run(&move, &result->move, err);
    pk_store_close(from);
    names_done(&restoring.person);
    names_done(&restoring.observation);
    pk_free(restoring.last);
    return ok;
}

void pk_restore_result_done(struct pk_restore_result *result)
{
    pk_move_result_done(&result->move);
}
