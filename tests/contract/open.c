/* open.c - Opening, refusing, upgrading, backing up: clear sentences and nothing lost. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include <bson/bson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool try_open(struct bed *bed, const struct pk_store_options *options, struct pk_error *err)
{
    return pk_store_open(&bed->store, options, err);
}

static void expect_refused(struct bed *bed, const struct pk_store_options *options,
                           struct pk_error *err)
{
    *err = (struct pk_error){ 0 };
    if (try_open(bed, options, err)) {
        fail_msg("the store opens");
    }
    assert_true(err->message[0] != '\0');
    assert_non_null(err->hint);
}

TEST(an_unknown_engine_is_refused_with_what_there_is)
{
    BED(bed);
    bed_prepare(&bed, contract_inventory());
    struct pk_store_options options = bed_options(&bed);
    struct pk_error err = { 0 };
    options.url = "oracle://user:secret@host/x";
    expect_refused(&bed, &options, &err);
    assert_code(&err, PK_INVALID);
    assert_non_null(strstr(err.message, "oracle"));
    assert_null(strstr(err.message, "secret"));
    options.url = "";
    expect_refused(&bed, &options, &err);
}

TEST(an_unreachable_place_is_refused_in_time)
{
    BED(bed);
    bed_prepare(&bed, contract_inventory());
    struct pk_store_options options = bed_options(&bed);
    struct pk_error err = { 0 };
    char *url = is_mongodb() ? pk_strdup("mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=500")
                             : pk_strdupf("sqlite:%s/personakit.db/below", bed.place);
    char *file = pk_strdupf("%s/personakit.db", bed.place);
    if (!is_mongodb()) {
        FILE *blocked = fopen(file, "w");
        assert_non_null(blocked);
        (void)fclose(blocked);
    }
    options.url = url;
    expect_refused(&bed, &options, &err);
    assert_true(err.code != PK_INTERNAL);
    pk_free(url);
    pk_free(file);
}

TEST_SQLITE(a_damaged_file_is_refused)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "things", doc("{'_id':'a'}"));
    bed_close(&bed);
    char *path = pk_strdupf("%s/personakit.db", bed.place);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    for (int i = 0; i < 4096; i++) {
        (void)fputc('x', file);
    }
    (void)fclose(file);
    pk_free(path);
    struct pk_store_options options = bed_options(&bed);
    struct pk_error err = { 0 };
    expect_refused(&bed, &options, &err);
}

/* ---- Credentials and kinds of servers ---- */

TEST_MONGODB(wrong_credentials_are_refused_and_never_shown)
{
    PK_CLEANUP(own_server_done) struct own_server own = { 0 };
    own_server_start(&own, 1, "--auth root:right");
    const char *port = strrchr(own.url, ':') + 1;
    char *wrong = pk_strdupf("mongodb://root:hunter2@127.0.0.1:%.*s/x?replicaSet=personakit"
                             "&authSource=admin",
                             (int)strspn(port, "0123456789"), port);
    char *none = pk_strdupf("mongodb://127.0.0.1:%.*s/x?replicaSet=personakit",
                            (int)strspn(port, "0123456789"), port);
    char *right = pk_strdupf("mongodb://root:right@127.0.0.1:%.*s/x?replicaSet=personakit"
                             "&authSource=admin",
                             (int)strspn(port, "0123456789"), port);
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    struct pk_store_options options = { .url = wrong,
                                        .inventory = contract_inventory(),
                                        .clock = pk_clock_system() };
    assert_false(pk_store_open(&store, &options, &err));
    assert_true(err.code != PK_INTERNAL);
    assert_non_null(err.hint);
    assert_null(strstr(err.message, "hunter2"));
    options.url = none;
    assert_false(pk_store_open(&store, &options, &err));
    assert_true(err.code != PK_INTERNAL);
    assert_non_null(err.hint);
    options.url = right;
    assert_ok(pk_store_open(&store, &options, &err), &err);
    pk_store_close(store);
    pk_free(wrong);
    pk_free(none);
    pk_free(right);
}

TEST_MONGODB(a_server_without_transactions_is_refused)
{
    PK_CLEANUP(own_server_done) struct own_server own = { 0 };
    own_server_start(&own, 0, "");
    const char *port = strrchr(own.url, ':') + 1;
    char *url = pk_strdupf("mongodb://127.0.0.1:%.*s/x", (int)strspn(port, "0123456789"), port);
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    struct pk_store_options options = { .url = url,
                                        .inventory = contract_inventory(),
                                        .clock = pk_clock_system() };
    assert_false(pk_store_open(&store, &options, &err));
    assert_code(&err, PK_UNSUPPORTED);
    assert_non_null(err.hint);
    pk_free(url);
}

/* ---- Schema versions ---- */

static int64_t stored_version(struct bed *bed)
{
    struct pk_store_options options = bed_options(bed);
    struct pk_store_state found = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_store_inspect(&options, &found, &err), &err);
    assert_false(found.is_empty);
    assert_true(found.epoch[0] != '\0' && found.program[0] != '\0');
    return found.schema_version;
}

TEST(a_store_that_was_never_used_is_empty_and_stays_so)
{
    BED(bed);
    bed_prepare(&bed, contract_inventory());
    struct pk_store_options options = bed_options(&bed);
    struct pk_store_state found = { 0 };
    struct pk_error err = { 0 };
    for (int i = 0; i < 2; i++) {
        assert_ok(pk_store_inspect(&options, &found, &err), &err);
        assert_true(found.is_empty);
    }
}

TEST(an_older_store_is_raised_only_when_allowed_and_never_lowered)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "things", doc("{'_id':'a','kind':'x'}"));
    bed_close(&bed);
    assert_int_equal(stored_version(&bed), 1);

    struct pk_store_options later = bed_options(&bed);
    struct pk_error err = { 0 };
    later.inventory = contract_inventory_later();
    expect_refused(&bed, &later, &err);
    assert_int_equal(stored_version(&bed), 1);

    later.is_upgrade_allowed = true;
    assert_ok(try_open(&bed, &later, &err), &err);
    assert_int_equal(version_of(&bed, "things", "a"), version);
    bed_close(&bed);
    assert_int_equal(stored_version(&bed), 2);

    /* The program of version 1 comes back: refused, with or without leave. */
    struct pk_store_options earlier = bed_options(&bed);
    expect_refused(&bed, &earlier, &err);
    assert_non_null(strstr(err.message, "2"));
    earlier.is_upgrade_allowed = true;
    expect_refused(&bed, &earlier, &err);
    assert_int_equal(stored_version(&bed), 2);
}

TEST(an_index_that_differs_from_its_declaration_is_named)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "mortals", doc("{'_id':'a','name':'n'}"));
    bed_close(&bed);
    struct pk_store_options options = bed_options(&bed);
    struct pk_error err = { 0 };
    options.inventory = contract_inventory_other_index();
    expect_refused(&bed, &options, &err);
    if (!strstr(err.message, "one_name")) {
        fail_msg("the index is not named: %s", err.message);
    }
    bed_reopen(&bed);
    assert_true(version_of(&bed, "mortals", "a") > 0);
}

/* ---- Read only ---- */

TEST(a_store_opened_for_reading_reads_and_refuses_writes)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "things", doc("{'_id':'a','kind':'x'}"));
    bed_close(&bed);
    struct pk_store_options options = bed_options(&bed);
    struct pk_error err = { 0 };
    options.is_read_only = true;
    assert_ok(try_open(&bed, &options, &err), &err);
    assert_true(version_of(&bed, "things", "a") > 0);
    assert_int_equal(count_docs(&bed, "things"), 1);
    assert_false(try_insert(&bed, "things", doc("{'_id':'b'}"), NULL, &err));
    assert_non_null(err.hint);
    assert_int_equal(count_docs(&bed, "things"), 1);
}

TEST(the_store_says_which_engine_it_is)
{
    BED(bed);
    bed_open(&bed);
    assert_string_equal(pk_store_engine(bed.store), is_mongodb() ? "mongodb" : "sqlite");
    assert_true(strlen(pk_store_epoch(bed.store)) > 8);
    (void)put(&bed, "things", doc("{'_id':'a'}"));
    (void)version_of(&bed, "things", "a");
    struct pk_store_stats stats = { 0 };
    pk_store_stats(bed.store, &stats);
    assert_true(stats.commits >= 1 && stats.groups >= 1 && stats.reads >= 1);
    assert_true(stats.commit_ns > 0);
    assert_false(stats.is_stopped);
}

TEST(everything_is_there_after_a_restart)
{
    BED(bed);
    bed_open(&bed);
    int64_t version[50];
    for (int i = 0; i < 50; i++) {
        version[i] = put(&bed, "guards", doc("{'_id':'k%d'}", i));
    }
    bed_reopen(&bed);
    for (int i = 0; i < 50; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "k%d", i);
        assert_int_equal(version_of(&bed, "guards", id), version[i]);
    }
}

/* ---- Backup ---- */

struct pairs {
    struct bed *bed;
    char *folder;
    _Atomic bool is_over;
    _Atomic int written, failures;
    bool is_told; /* Progress came. */
};

static bool note_progress(void *context, int64_t done, int64_t all)
{
    struct pairs *pairs = context;
    pairs->is_told = done >= 0 && all >= 0;
    return true;
}

static bool refuse_progress(void *context, int64_t done, int64_t all)
{
    (void)context;
    (void)done;
    (void)all;
    return false;
}

/* Thread 0 makes the copy, the others write pairs: a copy has both of a pair or neither. */
static void back_up_or_write(void *context, size_t number)
{
    struct pairs *pairs = context;
    struct pk_error err = { 0 };
    if (number == 0) {
        while (pairs->written < 50 && pairs->failures == 0) {
            (void)sched_yield();
        }
        if (!pk_store_backup(pairs->bed->store, pairs->folder, note_progress, pairs, &err)) {
            (void)fprintf(stderr, "# backup: %s\n", err.message);
            pairs->failures++;
        }
        pairs->is_over = true;
        return;
    }
    for (int i = 0; !pairs->is_over; i++) {
        LIST(list);
        add_insert(&list, "things", doc("{'_id':'p%zu-%d'}", number, i));
        add_insert(&list, "guards", doc("{'_id':'p%zu-%d'}", number, i));
        if (commit(pairs->bed, &list, NULL, &err)) {
            pairs->written++;
        } else {
            pairs->failures++;
            break;
        }
    }
}

/* The ids in one BSON file of a backup, joined; the file may be empty. */
static char *ids_of_file(const char *folder, const char *collection)
{
    char *path = pk_strdupf("%s/%s.bson", folder, collection);
    bson_error_t error;
    bson_reader_t *reader = bson_reader_new_from_file(path, &error);
    if (!reader) {
        fail_msg("%s: %s", path, error.message);
    }
    char *ids = pk_strdup("");
    const bson_t *document;
    bool is_end = false;
    while ((document = bson_reader_read(reader, &is_end))) {
        bson_iter_t iter;
        assert_true(bson_iter_init_find(&iter, document, "_id"));
        char *more = pk_strdupf("%s%s ", ids, bson_iter_utf8(&iter, NULL));
        pk_free(ids);
        ids = more;
    }
    assert_true(is_end);
    bson_reader_destroy(reader);
    pk_free(path);
    return ids;
}

static size_t words(const char *text)
{
    size_t count = 0;
    for (const char *c = text; *c; c++) {
        count += *c == ' ' && c > text;
    }
    return count;
}

TEST(a_backup_made_while_others_write_is_of_one_moment)
{
    BED(bed);
    bed_open(&bed);
    struct pairs pairs = { .bed = &bed };
    pairs.folder = pk_strdupf("%s/copy", pk_test_folder());
    run_threads(4, back_up_or_write, &pairs);
    assert_int_equal(pairs.failures, 0);
    assert_true(pairs.is_told);
    if (is_mongodb()) {
        PK_CLEANUP(pk_freep) char *things = ids_of_file(pairs.folder, "things");
        PK_CLEANUP(pk_freep) char *guards = ids_of_file(pairs.folder, "guards");
        assert_true(words(things) >= 50);
        assert_int_equal(words(things), words(guards));
    } else {
        struct bed copy = { .inventory = bed.inventory };
        struct pk_query things = { .collection = "things", .index = "_id" };
        struct pk_query guards = { .collection = "guards", .index = "_id" };
        copy.place = pk_strdup(pairs.folder);
        copy.url = pk_strdupf("sqlite:%s", pairs.folder);
        bed_reopen(&copy);
        char *first = find_all(&copy, &things, PK_PAGE_MAX);
        char *second = find_all(&copy, &guards, PK_PAGE_MAX);
        assert_string_equal(first, second);
        assert_true(words(first) >= 49);
        (void)put(&copy, "things", doc("{'_id':'new'}"));
        pk_free(first);
        pk_free(second);
        bed_done(&copy);
    }
    pk_free(pairs.folder);
}

TEST(a_backup_needs_an_empty_folder_and_can_be_stopped)
{
    BED(bed);
    bed_open(&bed);
    for (int i = 0; i < 20; i++) {
        (void)put(&bed, "things", doc("{'_id':'k%d'}", i));
    }
    struct pk_error err = { 0 };
    char *folder = pk_strdup(pk_test_folder());
    char *file = pk_strdupf("%s/something", folder);
    FILE *made = fopen(file, "w");
    assert_non_null(made);
    (void)fclose(made);
    assert_false(pk_store_backup(bed.store, folder, NULL, NULL, &err));
    assert_non_null(strstr(err.message, folder));
    assert_int_equal(unlink(file), 0);
    err = (struct pk_error){ 0 };
    assert_false(pk_store_backup(bed.store, folder, refuse_progress, NULL, &err));
    assert_true(err.message[0] != '\0');
    pk_free(folder);
    pk_free(file);
}
