/* kill9.c - Kills what writes, at random instants, and looks at what is left.
 *
 *     fault_kill9 [--mongodb] [--cycles N] [--seed N] [--threads N]
 *
 * A cycle starts the writer on the store of the cycles before, lets it write
 * for a while, kills it, opens the store, and checks the lists of that run;
 * every few cycles, and at the end, it checks everything there is. Some
 * kills come while the store is being opened, and the very first with the
 * first acknowledgement, when the feed may have delivered nothing yet. The
 * last run is let end in peace: its follower must have delivered, over all
 * runs, every event.
 *
 * On SQLite (50 cycles) the writer is what holds the database. On MongoDB the
 * writer is killed in some cycles (25) and mongod itself in others (3 more),
 * under a writer that goes on when mongod is started again.
 *
 * The seed is printed; it says when each kill comes. */
/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "journal.h"
#include "process.h"
#include "set.h"
#include "tap.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/file.h"
#include "store/store.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CYCLES_SQLITE = 50,
    CYCLES_MONGODB = 50,
    SERVER_EVERY = 8,     /* On MongoDB, after so many cycles one more kills mongod. */
    CHECK_ALL_EVERY = 10, /* Cycles between looks at everything. */
    EARLY_EVERY = 5,      /* One kill in so many may come before the store is open. */
    WRITING_MS = 150,     /* A kill comes within this time after the store is open. */
    READY_MS = 120000,    /* The longest that a start may take. */
    START_P90_MS = 2000,  /* What nine in ten should take: the slowest are the machine's. */
    FINISH_MS = 60000
};

struct campaign {
    bool is_mongodb;
    unsigned cycles;
    const char *threads;
    uint64_t seed;
    char url[1024];
    char copy[600]; /* The journal as a file. */
    struct fault_set set;
    struct fault_journal journal;
    struct fault_report report;  /* Of all looks, added up. */
    struct fault_times start_ms; /* From the start of the process until the store was open. */
    uint32_t run;                /* The next. */
    unsigned bad_starts, kills, early_kills, server_kills;
};

static uint64_t draw(struct campaign *campaign, uint64_t salt)
{
    return fault_mix(campaign->seed ^ 0x6b696c6c39u, (uint64_t)campaign->run << 8 | salt);
}

static void start_writer(struct campaign *campaign, struct fault_child *child)
{
    char seed[32];
    char run[16];
    const char *follow = campaign->journal.position[0] ? campaign->journal.position : "-";
    (void)snprintf(seed, sizeof(seed), "%" PRIu64, campaign->seed);
    (void)snprintf(run, sizeof(run), "%u", campaign->run);
    const char *option[] = { "--url",     campaign->url,     "--seed",   seed,   "--run", run,
                             "--threads", campaign->threads, "--follow", follow, NULL };
    fault_journal_next_run(&campaign->journal);
    fault_child_start(child, option);
}

/* Hears the writer until its store is open. */
static bool await_ready(struct campaign *campaign, struct fault_child *child)
{
    int64_t start_ms = fault_now_ms();
    while (campaign->journal.ready_ms < 0) {
        if (!fault_child_hear(child, &campaign->journal, 5)) {
            tap_note("run %u ended by itself, status %d", campaign->run, child->status);
            campaign->bad_starts++;
            return false;
        }
        if (fault_now_ms() - start_ms > READY_MS) {
            tap_note("run %u is not ready after %d ms", campaign->run, READY_MS);
            campaign->bad_starts++;
            fault_child_kill(child, &campaign->journal);
            return false;
        }
    }
    fault_times_add(&campaign->start_ms, fault_now_ms() - start_ms);
    return true;
}

/* Hears the writer until one list is acknowledged. */
static void await_ok(struct campaign *campaign, struct fault_child *child)
{
    int64_t start_ms = fault_now_ms();
    while (campaign->journal.oks == 0 && fault_now_ms() - start_ms < READY_MS &&
           fault_child_hear(child, &campaign->journal, 1)) {
    }
}

/* Opens the store as the next start does, and looks. */
static void look(struct campaign *campaign, bool is_all, bool is_followed)
{
    struct pk_store_options options = { .url = campaign->url,
                                        .inventory = fault_inventory(),
                                        .clock = pk_clock_system() };
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    struct fault_report report;
    if (!pk_store_open(&store, &options, &err)) {
        tap_note("after run %u the store does not open: %s", campaign->run, err.message);
        campaign->bad_starts++;
        return;
    }
    if (is_all) {
        fault_check(store, &campaign->journal, is_followed, &report);
    } else {
        fault_check_run(store, &campaign->journal, campaign->run, &report);
    }
    pk_store_close(store);
    fault_report_add(&campaign->report, &report);
    if (!fault_report_ok(&report)) {
        tap_note("broken after run %u (seed %" PRIu64 ")", campaign->run, campaign->seed);
    }
}

static void kill_writer(struct campaign *campaign)
{
    struct fault_child child;
    bool is_first = campaign->run == 0;
    bool is_early = !is_first && draw(campaign, 0) % EARLY_EVERY == 0;
    start_writer(campaign, &child);
    if (is_early) {
        /* Within the time that a start takes, and a little more. */
        int64_t window_ms = fault_times_at(&campaign->start_ms, 0.5) + 10;
        (void)fault_child_hear(&child, &campaign->journal,
                               (int64_t)(draw(campaign, 1) % (uint64_t)window_ms));
    } else if (await_ready(campaign, &child) && is_first) {
        await_ok(campaign, &child);
    } else if (campaign->journal.ready_ms >= 0) {
        (void)fault_child_hear(&child, &campaign->journal,
                               (int64_t)(draw(campaign, 2) % WRITING_MS));
    }
    campaign->early_kills += campaign->journal.ready_ms < 0 ? 1 : 0;
    campaign->kills++;
    fault_child_kill(&child, &campaign->journal);
}

/* kill -9 of mongod under a writer, started again on the same data. */
static void kill_server(struct campaign *campaign)
{
    struct fault_child child;
    start_writer(campaign, &child);
    if (!await_ready(campaign, &child)) {
        return;
    }
    (void)fault_child_hear(&child, &campaign->journal,
                           200 + (int64_t)(draw(campaign, 3) % WRITING_MS));
    uint64_t before = campaign->journal.oks;
    campaign->set.child = &child;
    campaign->set.journal = &campaign->journal;
    bool is_back = fault_set_do(&campaign->set, "kill", "0", NULL) &&
                   fault_set_do(&campaign->set, "again", "0", NULL) &&
                   fault_set_do(&campaign->set, "primary", NULL, NULL);
    campaign->set.child = NULL;
    campaign->server_kills++;
    int64_t start_ms = fault_now_ms();
    (void)fault_child_hear(&child, &campaign->journal, 0);
    uint64_t after = campaign->journal.oks;
    while (is_back && campaign->journal.oks < after + 100 && fault_now_ms() - start_ms < READY_MS &&
           fault_child_hear(&child, &campaign->journal, 20)) {
    }
    if (!is_back || campaign->journal.oks < after + 100) {
        tap_note("mongod was killed in run %u and writing did not go on", campaign->run);
        campaign->bad_starts++;
    }
    tap_note("mongod killed in run %u: %" PRIu64 " lists acknowledged before it was back", //
             campaign->run, after - before);
    if (!fault_child_finish(&child, &campaign->journal, FINISH_MS) || !campaign->journal.is_ended) {
        tap_note("run %u did not end well, status %d", campaign->run, child.status);
        campaign->bad_starts++;
    }
}

/* A process that knows nothing but the journal's file comes to the same result. */
static void verify_by_file(struct campaign *campaign)
{
    const char *argument[] = { fault_beside("fault_verify"),
                               "--url",
                               campaign->url,
                               "--journal",
                               campaign->copy,
                               "--followed",
                               NULL };
    (void)fclose(campaign->journal.copy);
    campaign->journal.copy = NULL;
    tap_is(fault_run(argument, NULL, 0, NULL, NULL), "fault_verify says so, too");
}

/* The last run: writes a little, ends when asked. */
static void end_in_peace(struct campaign *campaign)
{
    struct fault_child child;
    start_writer(campaign, &child);
    if (!await_ready(campaign, &child)) {
        return;
    }
    (void)fault_child_hear(&child, &campaign->journal, WRITING_MS);
    bool ended = fault_child_finish(&child, &campaign->journal, FINISH_MS);
    tap_is(ended && campaign->journal.is_ended,
           "a writer that is asked to end does, after %u kills",
           campaign->kills + campaign->server_kills);
}

static void run_cycles(struct campaign *campaign)
{
    for (unsigned i = 0; i < campaign->cycles; i++, campaign->run++) {
        kill_writer(campaign);
        look(campaign, (i + 1) % CHECK_ALL_EVERY == 0, false);
        if (campaign->is_mongodb && (i + 1) % SERVER_EVERY == 0) {
            campaign->run++;
            kill_server(campaign);
            look(campaign, true, false);
        }
    }
    end_in_peace(campaign);
    look(campaign, true, true);
}

static void print_results(struct campaign *campaign)
{
    const char *where = campaign->is_mongodb ? ", on MongoDB" : ", on SQLite";
    int64_t p90 = fault_times_at(&campaign->start_ms, 0.9);
    fault_journal_print(&campaign->journal);
    tap_note("kills %u (%u before the store was open), of mongod %u; start p50 %" PRId64
             " ms, p90 %" PRId64 " ms, longest %" PRId64 " ms",
             campaign->kills, campaign->early_kills, campaign->server_kills,
             fault_times_at(&campaign->start_ms, 0.5), p90,
             fault_times_at(&campaign->start_ms, 1.0));
    fault_report_tap(&campaign->report, where);
    tap_is(campaign->bad_starts == 0, "the next start works, %u times%s", campaign->run, where);
    tap_is(p90 <= START_P90_MS, "and quickly: p90 %" PRId64 " ms%s", p90, where);
    tap_is(campaign->journal.oks > 20u * campaign->cycles, "enough was written%s", where);
}

static bool read_options(struct campaign *campaign, int argc, char **argv)
{
    static const struct option option[] = {
        { "mongodb", no_argument, NULL, 'm' },
        { "cycles", required_argument, NULL, 'c' },
        { "seed", required_argument, NULL, 's' },
        { "threads", required_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", option, NULL)) != -1) {
        if (letter == 'm') {
            campaign->is_mongodb = true;
        } else if (letter == 'c') {
            campaign->cycles = (unsigned)strtoul(optarg, NULL, 10);
        } else if (letter == 's') {
            campaign->seed = strtoull(optarg, NULL, 10);
        } else if (letter == 't') {
            campaign->threads = optarg;
        } else {
            return false;
        }
    }
    if (campaign->cycles == 0) {
        campaign->cycles = campaign->is_mongodb ? CYCLES_MONGODB : CYCLES_SQLITE;
    }
    return optind == argc && campaign->cycles * 2 < FAULT_RUNS_MAX;
}

static void open_campaign(struct campaign *campaign)
{
    struct pk_error err = { 0 };
    char path[600];
    if (!campaign->is_mongodb) {
        (void)snprintf(campaign->url, sizeof(campaign->url), "sqlite:%s/data", fault_folder());
    } else if (fault_set_start(&campaign->set, 1)) {
        memcpy(campaign->url, campaign->set.url, sizeof(campaign->url));
    } else {
        tap_skip("kill -9 on MongoDB", "no mongod could be started");
        exit(tap_end());
    }
    (void)snprintf(path, sizeof(path), "%s/data", fault_folder());
    if (!pk_folder_make(path, 0700, &err)) {
        tap_bail("a folder for the store: %s", err.message);
    }
    fault_journal_init(&campaign->journal, campaign->seed);
    (void)snprintf(campaign->copy, sizeof(campaign->copy), "%s/journal", fault_folder());
    campaign->journal.copy = fopen(campaign->copy, "we");
    if (!campaign->journal.copy) {
        tap_bail("write '%s'", campaign->copy);
    }
    (void)fprintf(campaign->journal.copy, "seed %" PRIu64 "\n", campaign->seed);
}

int main(int argc, char **argv)
{
    struct campaign campaign = { .threads = "32" };
    struct pk_error err = { 0 };
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    campaign.seed = pk_random_u64() >> 32;
    if (!read_options(&campaign, argc, argv)) {
        (void)fprintf(stderr,
                      "usage: fault_kill9 [--mongodb] [--cycles N] [--seed N] [--threads N]\n");
        return 2;
    }
    tap_note("seed %" PRIu64 ", %u cycles", campaign.seed, campaign.cycles);
    open_campaign(&campaign);
    run_cycles(&campaign);
    print_results(&campaign);
    verify_by_file(&campaign);
    if (campaign.is_mongodb) {
        fault_set_stop(&campaign.set);
    }
    fault_times_done(&campaign.start_ms);
    fault_journal_done(&campaign.journal);
    return tap_end();
}
