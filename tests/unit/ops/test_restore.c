/* test_restore.c - Backups are whole or not there, and restores are stopped everywhere and go on.
 *
 * What commands say, MongoDB, kill -9 and what a disk holds are in
 * tests/e2e/restore.sh; here everything is stopped at every step that tells of
 * its progress. */
/* SPDX-License-Identifier: MIT */
#include "ops/restore.h"

#include "access/audit.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "generate.h"
#include "ops/move_internal.h"
#include "persona/domain.h"
#include "persona/erase.h"
#include "persona/erase_log.h"
#include "store/store.h"
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OTHER  "22222222-2222-4222-8222-222222222222"

enum { EACH = 3, DAY_MS = 24 * 3600 * 1000 };

/* A store, what belongs to it, and a backup beside it. */
struct world {
    char *folder, *backup;
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_books books;
    struct pk_domain domain;
    struct pk_error err;
};

static struct pk_store *open_in(const char *folder)
{
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    const struct pk_store_options options = { .url = url,
                                              .inventory = pk_inventory_builtin(),
                                              .clock = pk_clock_system() };
    assert_ok(pk_store_open(&store, &options, &err), &err);
    return store;
}

static void world_open(struct world *world, const char *folder)
{
    *world = (struct world){ .folder = pk_strdup(folder) };
    world->backup = pk_strdupf("%s/backup", folder);
    world->store = open_in(folder);
    assert_ok(pk_peppers_open(&world->peppers, folder, world->store, false, &world->err),
              &world->err);
    world->books = (struct pk_books){ .store = world->store,
                                      .clock = pk_clock_system(),
                                      .peppers = world->peppers,
                                      .node = "test",
                                      .event_keep_ms = DAY_MS };
    world->domain = (struct pk_domain){ .books = &world->books,
                                        .data = world->folder,
                                        .tombstone_keep_ms = DAY_MS,
                                        .backup_keep_ms = DAY_MS };
}

static void world_done(struct world *world)
{
    pk_store_close(world->store);
    pk_peppers_free(world->peppers);
    pk_free(world->folder);
    pk_free(world->backup);
}

static void plant(struct world *world, const char *person, uint64_t seed)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        const uint64_t count = collection->is_person_id ? 1 : EACH;
        for (uint64_t n = 0; collection->erase == PK_ERASE_DELETE && n < count; n++) {
            PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
            PK_CLEANUP(pk_doc_unrefp)
            struct pk_doc *doc = pk_generate_doc(
                collection,
                &(struct pk_generate){ .seed = seed + n, .is_full = true, .person = person });
            if (collection->is_feed) {
                pk_writes_announce(&list, doc);
            } else {
                pk_writes_insert(&list, collection->name, doc);
            }
            assert_ok(pk_store_commit(world->store, &list, 0, NULL, &world->err), &world->err);
        }
    }
}

/* Documents that have this text, apart from what an erasure leaves. */
static size_t count_of(struct pk_store *store, const char *person)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    size_t count = 0;
    for (size_t i = 0; i < inventory->count; i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        struct pk_error err = { 0 };
        const struct pk_query query = { .collection = inventory->collection[i].name,
                                        .index = "_id",
                                        .limit = 1000 };
        assert_ok(pk_store_find(store, &query, 0, &page, &err), &err);
        for (size_t n = 0; n < page.count; n++) {
            const char *type = pk_doc_text(page.doc[n], "eventType");
            const bool is_left = strcmp(query.collection, "tombstones") == 0 ||
                                 (type && strncmp(type, "person.erase", 12) == 0);
            count += !is_left && memmem(pk_doc_data(page.doc[n]), pk_doc_size(page.doc[n]), person,
                                        strlen(person)) != NULL;
        }
    }
    return count;
}

/* ---- Stopping ---- */

struct stop {
    int at, calls; /* The call that says no; 0: none. */
    int seen[PK_RESTORE_ERASING + 1];
};

static bool on_backup(void *context, enum pk_backup_step step, const char *what, int64_t done,
                      int64_t all)
{
    struct stop *stop = context;
    (void)step;
    (void)what;
    (void)done;
    (void)all;
    return ++stop->calls != stop->at;
}

static bool on_restore(void *context, enum pk_restore_step step, const char *what, int64_t done,
                       int64_t all)
{
    struct stop *stop = context;
    (void)what;
    (void)done;
    (void)all;
    stop->seen[step]++;
    return ++stop->calls != stop->at;
}

static bool back_up(struct world *world, struct stop *stop, struct pk_backup_info *out,
                    struct pk_error *err)
{
    return pk_backup_make(world->store,
                          &(struct pk_backup_options){ .folder = world->backup,
                                                       .inventory = pk_inventory_builtin(),
                                                       .clock = pk_clock_system(),
                                                       .keep_ms = DAY_MS,
                                                       .progress = on_backup,
                                                       .context = stop },
                          out, err);
}

static bool restore(struct world *from, struct world *to, struct stop *stop,
                    struct pk_restore_result *result, struct pk_error *err)
{
    PK_CLEANUP(pk_erase_log_done) struct pk_erase_log log = { 0 };
    struct pk_backup_info info;
    assert_ok(pk_erase_log_read(&log, from->folder, &from->err), &from->err);
    assert_ok(pk_backup_read(&(struct pk_backup_options){ .folder = from->backup,
                                                          .inventory = pk_inventory_builtin(),
                                                          .clock = pk_clock_system() },
                             &info, &from->err),
              &from->err);
    to->books.peppers = from->peppers; /* It goes along. */
    return pk_restore_run(&(struct pk_restore_options){ .folder = from->backup,
                                                        .info = &info,
                                                        .to = to->store,
                                                        .inventory = pk_inventory_builtin(),
                                                        .clock = pk_clock_system(),
                                                        .domain = &to->domain,
                                                        .erasures = &log,
                                                        .progress = on_restore,
                                                        .context = stop },
                          result, err);
}

/* ---- Cases ---- */

TEST(a_backup_that_is_stopped_anywhere_leaves_nothing)
{
    struct world world;
    struct pk_backup_info info;
    struct stop stop = { .at = 0 };
    world_open(&world, pk_test_folder());
    plant(&world, PERSON, 1000);
    PK_CLEANUP(pk_freep) char *partial = pk_strdupf("%s.partial", world.backup);
    for (int at = 1;; at++) {
        struct pk_error err = { 0 };
        stop = (struct stop){ .at = at };
        if (back_up(&world, &stop, &info, &err)) {
            break;
        }
        assert_int_equal(err.code, PK_TIMEOUT);
        assert_int_not_equal(access(world.backup, F_OK), 0);
        assert_int_not_equal(access(partial, F_OK), 0);
    }
    assert_true(stop.calls >= 2);
    assert_int_equal(info.delete_by_ms, info.made_ms + DAY_MS);
    assert_true(info.is_consistent);
    world_done(&world);
}

TEST(a_restore_that_is_stopped_anywhere_goes_on_and_erases)
{
    struct world from, to;
    struct pk_backup_info info;
    struct pk_restore_result result;
    struct stop stop = { .at = 0 };
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    int attempts = 0, erasing = 0, at = 1;
    bool has_counted = false;
    world_open(&from, folder);
    plant(&from, PERSON, 1000);
    plant(&from, OTHER, 2000);
    assert_ok(back_up(&from, &stop, &info, &from.err), &from.err);
    assert_ok(pk_erase_log_add(&from.domain, PK_ERASED_PERSON, PERSON,
                               pk_clock_wall_ms(pk_clock_system()), &from.err),
              &from.err);
    world_open(&to, pk_test_folder());
    for (;; attempts++) {
        struct pk_error err = { 0 };
        stop = (struct stop){ .at = at };
        const bool is_done = restore(&from, &to, &stop, &result, &err);
        erasing += stop.seen[PK_RESTORE_ERASING] > 0;
        if (is_done) {
            break;
        }
        assert_int_equal(err.code, PK_TIMEOUT);
        assert_false(pk_move_check_finished(to.store, pk_clock_system(), &err));
        assert_int_equal(err.code, PK_PRECONDITION);
        has_counted = has_counted || stop.seen[PK_RESTORE_LOADING] > 0;
        assert_true(has_counted || count_of(to.store, OTHER) == 0);
        /* Counting begins anew until it is done; later each attempt gets a step further. */
        at = has_counted ? 1 + attempts % 3 : at + 7;
        assert_true(attempts < 2000);
        pk_restore_result_done(&result);
    }
    assert_true(attempts > 5 && erasing > 2);
    assert_ok(pk_move_check_finished(to.store, pk_clock_system(), &to.err), &to.err);
    pk_restore_result_done(&result);
    assert_int_equal(count_of(to.store, PERSON), 0);
    assert_true(count_of(to.store, OTHER) > 40);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    assert_ok(pk_erase_receipt(&to.domain, PERSON, 0, &tombstone, &to.err), &to.err);
    assert_true(tombstone && pk_doc_date(tombstone, "completedAt", 0) > 0);
    assert_int_equal(pk_doc_int(tombstone, "counts.observations", 0), EACH);
    assert_string_not_equal(pk_store_epoch(to.store), pk_store_epoch(from.store));
    world_done(&to);
    world_done(&from);
}

/* The id may be somebody else's by the time of the backup: he is left alone. */
TEST(who_was_made_after_an_erasure_is_somebody_else)
{
    struct world from, to;
    struct pk_backup_info info;
    struct pk_restore_result result;
    struct stop stop = { .at = 0 };
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    world_open(&from, folder);
    plant(&from, PERSON, 1000);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    assert_ok(pk_store_get(from.store, "people", PERSON, 0, &person, &from.err), &from.err);
    const int64_t made_ms = pk_doc_date(person, "createdAt", 0);
    assert_true(made_ms > 0);
    assert_ok(back_up(&from, &stop, &info, &from.err), &from.err);
    assert_ok(pk_erase_log_add(&from.domain, PK_ERASED_PERSON, PERSON, made_ms - 1, &from.err),
              &from.err);
    world_open(&to, pk_test_folder());
    assert_ok(restore(&from, &to, &stop, &result, &to.err), &to.err);
    assert_int_equal(result.erased, 0);
    pk_restore_result_done(&result);
    assert_int_equal(count_of(to.store, PERSON), count_of(from.store, PERSON));
    world_done(&to);
    world_done(&from);
}

/* The backup was made in the middle of an erasure, whose line is in nobody's log yet. */
TEST(an_erasure_that_was_under_way_is_carried_to_its_end)
{
    struct world from, to;
    struct pk_backup_info info;
    struct pk_restore_result result;
    struct stop stop = { .at = 0 };
    char task[PK_UUID_TEXT];
    const struct pk_by by = { .actor_id = "tester" };
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    world_open(&from, folder);
    plant(&from, PERSON, 1000);
    assert_ok(pk_erase_person(&from.domain, &by, PERSON, task, &from.err), &from.err);
    assert_ok(back_up(&from, &stop, &info, &from.err), &from.err);
    assert_ok(pk_erase_log_make(from.folder, &from.err), &from.err);
    world_open(&to, pk_test_folder());
    assert_ok(restore(&from, &to, &stop, &result, &to.err), &to.err);
    assert_int_equal(result.erased, 1);
    pk_restore_result_done(&result);
    assert_int_equal(count_of(to.store, PERSON), 0);
    PK_CLEANUP(pk_erase_log_done) struct pk_erase_log log = { 0 };
    assert_ok(pk_erase_log_read(&log, to.folder, &to.err), &to.err);
    assert_int_equal(log.count, 1);
    world_done(&to);
    world_done(&from);
}

/* ---- Somebody else writes there ---- */

struct swap {
    const char *file;
    int steps;
};

/* The same bytes, and yet another file than the one that was hashed. */
static bool on_swap(void *context, enum pk_restore_step step, const char *what, int64_t done,
                    int64_t all)
{
    struct swap *swap = context;
    PK_CLEANUP(pk_buf_done) struct pk_buf bytes = { 0 };
    struct pk_error err = { 0 };
    (void)what;
    (void)done;
    (void)all;
    (void)step;
    if (swap->steps++ == 0) {
        assert_ok(pk_file_read(&bytes, swap->file, 64 * 1024 * 1024, &err), &err);
        assert_ok(pk_file_write(swap->file, bytes.data, bytes.size, 0600, &err), &err);
    }
    return true;
}

TEST(a_backup_that_changes_meanwhile_is_not_taken)
{
    struct world from, to;
    struct pk_backup_info info;
    struct pk_restore_result result;
    struct stop stop = { .at = 0 };
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    world_open(&from, folder);
    plant(&from, PERSON, 1000);
    assert_ok(back_up(&from, &stop, &info, &from.err), &from.err);
    const struct pk_backup_options options = { .folder = from.backup,
                                               .inventory = pk_inventory_builtin(),
                                               .clock = pk_clock_system() };
    assert_ok(pk_backup_read(&options, &info, &from.err), &from.err);
    assert_int_equal(info.files, 1);
    world_open(&to, pk_test_folder());
    PK_CLEANUP(pk_freep) char *file = pk_strdupf("%s/personakit.db", from.backup);
    struct swap swap = { .file = file };
    const struct pk_restore_options how = { .folder = from.backup,
                                            .info = &info,
                                            .to = to.store,
                                            .inventory = options.inventory,
                                            .clock = options.clock,
                                            .domain = &to.domain,
                                            .progress = on_swap,
                                            .context = &swap };
    assert_false(pk_restore_run(&how, &result, &to.err));
    assert_int_equal(to.err.code, PK_CONFLICT);
    assert_true(swap.steps > 0);
    pk_restore_result_done(&result);
    assert_false(pk_move_check_finished(to.store, pk_clock_system(), &to.err));
    world_done(&to);
    world_done(&from);
}

/* ---- Files of documents that nobody of ours has written ---- */

static void add_doc(struct pk_buf *out, const char *id)
{
    bson_t doc = BSON_INITIALIZER;
    if (id) {
        BSON_APPEND_UTF8(&doc, "_id", id);
    }
    BSON_APPEND_INT64(&doc, "version", 1);
    pk_buf_add(out, bson_get_data(&doc), doc.len);
    bson_destroy(&doc);
}

/* How many documents are read of the file; -1: it is damaged. */
static int read_file(const char *folder, const struct pk_buf *bytes)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/actors.bson", folder);
    PK_CLEANUP(pk_move_reader_done)
    struct pk_move_reader reader = { .folder = folder,
                                     .clock = pk_clock_system(),
                                     .collection = "actors" };
    struct pk_doc *doc = NULL;
    int count = 0;
    assert_ok(pk_file_write(path, bytes->data, bytes->size, 0600, &err), &err);
    while (pk_move_reader_next(&reader, &doc, &err)) {
        if (!doc) {
            return count;
        }
        count++;
    }
    assert_int_equal(err.code, PK_INVALID);
    return -1;
}

TEST(documents_of_a_file_have_an_id_and_an_order)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf good = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf bare = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf turned = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf wrong = { 0 };
    const char *folder = pk_test_folder();
    add_doc(&good, "a");
    add_doc(&good, "b");
    assert_int_equal(read_file(folder, &good), 2);
    add_doc(&bare, "a");
    add_doc(&bare, NULL);
    assert_int_equal(read_file(folder, &bare), -1);
    add_doc(&turned, "b");
    add_doc(&turned, "a");
    assert_int_equal(read_file(folder, &turned), -1);
    add_doc(&wrong, "a");
    wrong.data[9] = 0x7e; /* The length of its text: beyond the document. */
    assert_int_equal(read_file(folder, &wrong), -1);
}
