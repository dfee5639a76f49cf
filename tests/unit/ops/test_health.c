/* test_health.c - Ready when it can serve, unready with the reason when not, and back by itself. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "access/keyring.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "faulty.h"
#include "mongo_bed.h"
#include "ops/health.h"
#include "store/store.h"

#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW_MS INT64_C(1795246320123) /* 2026-11-21T07:32:00.123Z */

static const struct pk_feed_item quiet = { .kind = PK_FEED_QUIET };

/* A store, a keyring that hears what the case lets it hear, and their health. */
struct ward {
    struct pk_clock_fake clock;
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_keyring *ring;
    struct pk_health *health;
    struct pk_log *log;
    int log_fd;
    char folder[512];
};

static void ward_init(struct ward *ward, int64_t stale_read_ms)
{
    struct pk_error err = { 0 };
    char path[600];
    *ward = (struct ward){ 0 };
    (void)snprintf(ward->folder, sizeof(ward->folder), "%s", pk_test_folder());
    (void)snprintf(path, sizeof(path), "%s/log", ward->folder);
    ward->log_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ward->log = pk_log_new(&(struct pk_log_options){
        .fd = ward->log_fd, .level = PK_LOG_INFO, .format = PK_LOG_JSON });
    pk_clock_fake_init(&ward->clock, NOW_MS);
    (void)snprintf(path, sizeof(path), "sqlite:%s", ward->folder);
    const struct pk_store_options store = { .url = path,
                                            .inventory = pk_inventory_builtin(),
                                            .clock = &ward->clock.clock };
    assert_ok(pk_store_open(&ward->store, &store, &err), &err);
    assert_ok(pk_peppers_open(&ward->peppers, ward->folder, ward->store, false, &err), &err);
    ward->ring = pk_keyring_new(&(struct pk_keyring_options){ .store = ward->store,
                                                              .clock = &ward->clock.clock,
                                                              .peppers = ward->peppers,
                                                              .stale_read_ms = stale_read_ms });
    const struct pk_health_options options = { .store = ward->store,
                                               .clock = &ward->clock.clock,
                                               .log = ward->log,
                                               .keyring = ward->ring,
                                               .stale_read_ms = stale_read_ms,
                                               .data = ward->folder,
                                               .every_ms = 5,
                                               /* The clock may leap while the store is asked. */
                                               .answer_ms = 3600 * 1000 };
    assert_ok(pk_health_start(&ward->health, &options, &err), &err);
}

static void ward_done(struct ward *ward)
{
    pk_health_stop(ward->health);
    pk_keyring_free(ward->ring);
    pk_peppers_free(ward->peppers);
    pk_store_close(ward->store);
    pk_log_free(ward->log);
    (void)close(ward->log_fd);
}
#define WARD(name, stale_read_ms)                   \
    PK_CLEANUP(ward_done) struct ward name = { 0 }; \
    ward_init(&name, stale_read_ms)

static enum pk_health_state state_of(struct pk_health *health, enum pk_health_name name)
{
    struct pk_health_report report;
    pk_health_look(health, &report);
    return report.check[name].state;
}

static bool is_ready(struct pk_health *health)
{
    struct pk_health_report report;
    pk_health_look(health, &report);
    return report.is_ready;
}

/* The answer's status; its body is freed by the caller. */
static int ask(struct ward *ward, bool has_detail, struct pk_answer *answer)
{
    *answer = (struct pk_answer){ .status = 200 };
    pk_health_answer_ready(ward->health, has_detail, answer);
    return answer->status;
}

static void wait_for(struct pk_health *health, enum pk_health_name name, enum pk_health_state state)
{
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    while (state_of(health, name) != state) {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
    }
}

/* Until the thread has asked the store that often. */
static void wait_rounds(struct pk_health *health, uint64_t rounds)
{
    struct pk_store_stats stats;
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    pk_health_store_stats(health, &stats);
    const uint64_t enough = stats.reads + rounds;
    while (stats.reads < enough) {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
        pk_health_store_stats(health, &stats);
    }
}

TEST(server_that_can_serve_is_ready_and_says_no_more)
{
    struct pk_answer answer;
    WARD(ward, 0);
    pk_keyring_hear(ward.ring, &quiet);
    assert_int_equal(ask(&ward, false, &answer), 200);
    assert_string_equal(pk_buf_text(&answer.body), "{\"status\":\"ready\"}\n");
    assert_int_equal(answer.retry_after_s, 0);
    pk_buf_done(&answer.body);

    answer = (struct pk_answer){ 0 };
    pk_health_answer_live(&answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(pk_buf_text(&answer.body), "{\"status\":\"alive\"}\n");
    pk_buf_done(&answer.body);
}

TEST(draining_server_is_unready_and_tells_operators_why)
{
    struct pk_answer answer;
    struct pk_error err = { 0 };
    bson_t bson;
    WARD(ward, 0);
    pk_keyring_hear(ward.ring, &quiet);
    assert_true(is_ready(ward.health));
    pk_clock_fake_advance(&ward.clock, 1000);
    pk_keyring_hear(ward.ring, &quiet);
    pk_health_drain(ward.health);
    assert_int_equal(ask(&ward, false, &answer), 503);
    assert_string_equal(pk_buf_text(&answer.body), "{\"status\":\"unready\"}\n");
    assert_int_equal(answer.retry_after_s, 1);
    pk_buf_done(&answer.body);

    assert_int_equal(ask(&ward, true, &answer), 503);
    assert_string_equal(answer.content_type, "application/json");
    assert_ok(pk_json_read(&bson, answer.body.data, answer.body.size, NULL, &err), &err);
    struct pk_doc *doc = pk_doc_new(&bson);
    bson_destroy(&bson);
    pk_buf_done(&answer.body);
    assert_string_equal(pk_doc_text(doc, "status"), "unready");
    assert_string_equal(pk_doc_text(doc, "checks.0.name"), "drain");
    assert_string_equal(pk_doc_text(doc, "checks.0.state"), "fails");
    assert_false(pk_doc_bool(doc, "checks.0.ok", true));
    assert_string_equal(pk_doc_text(doc, "checks.0.since"), "2026-11-21T07:32:01.123Z");
    assert_string_equal(pk_doc_text(doc, "checks.1.name"), "store");
    assert_true(pk_doc_bool(doc, "checks.1.ok", false));
    assert_string_equal(pk_doc_text(doc, "checks.1.since"), "2026-11-21T07:32:00.123Z");
    assert_non_null(pk_doc_text(doc, "checks.9.name"));
    assert_null(pk_doc_text(doc, "checks.10.name"));
    pk_doc_unref(doc);
}

TEST(silent_feed_makes_it_unready_until_it_is_heard)
{
    WARD(ward, 0);
    assert_int_equal(state_of(ward.health, PK_HEALTH_FEED), PK_HEALTH_FAILS); /* Never heard. */
    pk_keyring_hear(ward.ring, &quiet);
    assert_true(is_ready(ward.health));
    pk_clock_fake_advance(&ward.clock, 2000);
    assert_true(is_ready(ward.health));
    pk_clock_fake_advance(&ward.clock, 1);
    assert_false(is_ready(ward.health));
    assert_int_equal(state_of(ward.health, PK_HEALTH_FEED), PK_HEALTH_FAILS);
    assert_int_equal(state_of(ward.health, PK_HEALTH_KEYS), PK_HEALTH_OK);
    pk_keyring_hear(ward.ring, &quiet);
    assert_true(is_ready(ward.health));
}

TEST(keys_that_are_trusted_longer_are_shown_and_keep_it_ready_for_reads)
{
    struct pk_health_report report;
    WARD(ward, 10000);
    pk_keyring_hear(ward.ring, &quiet);
    pk_health_look(ward.health, &report);
    assert_true(report.is_ready);
    assert_int_equal(report.check[PK_HEALTH_KEYS].state, PK_HEALTH_WARNS);
    assert_non_null(strstr(report.check[PK_HEALTH_KEYS].detail, "10000 ms"));
    pk_clock_fake_advance(&ward.clock, 2500);
    assert_int_equal(state_of(ward.health, PK_HEALTH_FEED), PK_HEALTH_WARNS);
    assert_true(is_ready(ward.health));
    pk_clock_fake_advance(&ward.clock, 7501);
    assert_int_equal(state_of(ward.health, PK_HEALTH_FEED), PK_HEALTH_FAILS);
    assert_false(is_ready(ward.health));
}

static bool commit_setting(struct pk_store *store, const char *id, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bson_t *bson = BCON_NEW("_id", id, "value", "{", "n", BCON_INT64(1), "}", "updatedAt",
                            BCON_DATE_TIME(NOW_MS), "updatedBy", "test");
    struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(&list, "settings", doc);
    pk_doc_unref(doc);
    return pk_store_commit(store, &list, 0, NULL, err);
}

TEST(store_that_cannot_sync_makes_it_unready_for_good)
{
    struct pk_error err = { 0 };
    faulty_install();
    {
        WARD(ward, 0);
        pk_keyring_hear(ward.ring, &quiet);
        assert_ok(commit_setting(ward.store, "a", &err), &err);
        assert_true(is_ready(ward.health));
        faulty_plan(FAULTY_SYNC, "-wal", 0, SQLITE_IOERR_FSYNC);
        assert_false(commit_setting(ward.store, "b", &err));
        faulty_plan(FAULTY_NONE, "", 0, 0);
        wait_for(ward.health, PK_HEALTH_DURABLE, PK_HEALTH_FAILS);
        assert_false(is_ready(ward.health));
        assert_int_equal(state_of(ward.health, PK_HEALTH_STORE), PK_HEALTH_OK); /* Reads go on. */
    }
    faulty_remove();
}

TEST(what_changes_is_logged_once)
{
    char text[4096];
    ssize_t size = 0;
    WARD(ward, 0);
    wait_for(ward.health, PK_HEALTH_FEED, PK_HEALTH_FAILS); /* Never heard. */
    pk_keyring_hear(ward.ring, &quiet);
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
        size = pread(ward.log_fd, text, sizeof(text) - 1, 0);
        text[size < 0 ? 0 : size] = '\0';
        /* Whether the thread looked before the feed was heard is up to it. */
    } while (strstr(text, "found something") && !strstr(text, "good again"));
    pk_health_drain(ward.health);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
        size = pread(ward.log_fd, text, sizeof(text) - 1, 0);
        text[size < 0 ? 0 : size] = '\0';
    } while (!strstr(text, "\"check\":\"drain\""));
    wait_rounds(ward.health, 5);
    size = pread(ward.log_fd, text, sizeof(text) - 1, 0);
    text[size < 0 ? 0 : size] = '\0';
    const char *first = strstr(text, "\"check\":\"drain\"");
    assert_non_null(strstr(first, "about to stop"));
    assert_null(strstr(first + 1, "\"check\":\"drain\""));
}

TEST(free_space_is_looked_at_where_the_store_is_ours)
{
    struct pk_health_report report;
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    WARD(ward, 0);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        pk_health_look(ward.health, &report);
    } while (!strstr(report.check[PK_HEALTH_DISK].detail, "of the disk is free"));
}

/* The server takes commands and does not answer reads: as when it is stopped. */
enum { HANG_MS = 3000 };

static void set_hang(struct bed *bed, bool is_on)
{
    PK_CLEANUP(pk_freep)
    char *hang = pk_strdupf("{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{"
                            "'failCommands':['find','aggregate'],'blockConnection':true,"
                            "'blockTimeMS':%d}}",
                            HANG_MS);
    run_admin(bed, "admin", is_on ? hang : "{'configureFailPoint':'failCommand','mode':'off'}");
}

TEST(mongodb_that_hangs_makes_it_unready_and_holds_up_no_answer)
{
    struct pk_error err = { 0 };
    struct pk_store *store = NULL;
    struct pk_health *health = NULL;
    BED(bed);
    char *name = strstr(bed.url, bed.database);
    char *url = pk_strdupf("%.*s%s_health%s", (int)(name - bed.url), bed.url, bed.database,
                           name + strlen(bed.database));
    char *database = pk_strdupf("%s_health", bed.database);
    const struct pk_store_options store_options = { .url = url,
                                                    .inventory = pk_inventory_builtin(),
                                                    .clock = pk_clock_system() };
    assert_ok(pk_store_open(&store, &store_options, &err), &err);
    const struct pk_health_options options = {
        .store = store, .clock = pk_clock_system(), .every_ms = 50, .answer_ms = 300
    };
    assert_ok(pk_health_start(&health, &options, &err), &err);
    wait_for(health, PK_HEALTH_STORE, PK_HEALTH_OK);

    /* What is told before a question comes back is not told by its answer. A machine that stood
     * still for so long tries again. */
    int64_t took_ms = HANG_MS;
    for (int tries = 0; took_ms >= HANG_MS; tries++) {
        assert_true(tries < 5);
        set_hang(&bed, true);
        const int64_t since_ns = pk_clock_mono_ns(pk_clock_system());
        wait_for(health, PK_HEALTH_STORE, PK_HEALTH_FAILS);
        for (size_t i = 0; i < 50; i++) {
            assert_false(is_ready(health));
            (void)poll(NULL, 0, 5);
        }
        took_ms = (pk_clock_mono_ns(pk_clock_system()) - since_ns) / 1000000;
        set_hang(&bed, false);
        wait_for(health, PK_HEALTH_STORE, PK_HEALTH_OK);
    }
    assert_true(is_ready(health));

    pk_health_stop(health);
    pk_store_close(store);
    run_admin(&bed, database, "{'dropDatabase':1}");
    pk_free(database);
    pk_free(url);
}
