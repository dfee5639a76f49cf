/* power.c - Cuts the power at every write and sync, and looks at what is left.
 *
 *     fault_power [--seconds N | --all] [--seed N]
 *
 * Passes of one scenario: clients commit lists to a store, which is closed and
 * opened once in between. A pass takes what a cut would leave at some of its
 * writes and syncs (vfs.h), with what the clients had been told by then; after
 * the pass each is opened as after a crash and checked: everything that was
 * acknowledged is there, everything else whole or absent, and SQLite finds the
 * file sound. The next pass goes on from one of those ruins, or from nothing,
 * so that recoveries are cut, too. Odd passes have four clients at once.
 *
 * Passes go on until the time is over (60 s), or with --all until each index
 * of the scenario has been cut at. */
/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "client.h"
#include "journal.h"
#include "process.h"
#include "tap.h"
#include "vfs.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "store/store.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SECONDS = 60,
    STRIDE = 24,     /* One cut in so many writes and syncs of a pass. */
    CUTS_MAX = 4096, /* Of a pass. */
    LISTS = 12,      /* Of a client, before and again after the store is opened anew. */
    CLIENTS = 4,
    GENERATIONS = 12 /* Ruins of ruins, until it starts from nothing. */
};

/* What a cut left, and what the world knew. */
struct cut {
    char folder[600];
    int64_t index;
    size_t known; /* Bytes of the record. */
};

struct campaign {
    uint64_t seed;
    bool is_all;
    int64_t end_ms;
    struct fault_record record;
    char folder[600]; /* Of the pass. */
    uint32_t run;     /* Of the pass: names of its lists. */
    int64_t offset;   /* Which indexes of the stride this pass cuts at. */
    int64_t index;    /* Writes and syncs so far. */
    int64_t last;     /* Of the longest pass. */
    struct cut cut[CUTS_MAX];
    size_t cut_count;
    uint64_t cuts, bad_opens, bad_files;
    struct fault_report report;
    struct fault_times open_ms;
    char first_bad[300];
};

/* ---- A pass ---- */

static void watch(void *context, enum vfs_call call, int64_t index)
{
    struct campaign *campaign = context;
    (void)index;
    if (call != VFS_WRITE && call != VFS_SYNC && call != VFS_TRUNCATE) {
        return;
    }
    if (++campaign->index % STRIDE != campaign->offset || campaign->cut_count == CUTS_MAX) {
        return;
    }
    struct cut *cut = &campaign->cut[campaign->cut_count++];
    fault_folder_new(cut->folder, sizeof(cut->folder), "cut");
    cut->index = campaign->index;
    cut->known = fault_record_size(&campaign->record);
    if (mkdir(cut->folder, 0700) != 0 ||
        !vfs_cut(cut->folder, fault_mix(campaign->seed, campaign->cuts + campaign->cut_count))) {
        tap_bail("write the ruins to '%s'", cut->folder);
    }
}

struct client {
    struct campaign *campaign;
    struct pk_store *store;
    uint32_t thread, first;
    pthread_t id;
};

static void *run_client(void *argument)
{
    struct client *client = argument;
    for (uint32_t i = client->first; i < client->first + LISTS; i++) {
        struct fault_name name = { client->campaign->run, client->thread, i };
        enum fault_kind kind = fault_kind_of(i);
        struct pk_error err;
        bool is_tried;
        (void)fault_client_do(&client->campaign->record, client->store, name,
                              kind == FAULT_TWICE ? FAULT_PLAIN : kind, &is_tried, &err);
    }
    return NULL;
}

static void run_clients(struct campaign *campaign, struct pk_store *store, uint32_t first)
{
    struct client client[CLIENTS];
    uint32_t count = campaign->run % 2 == 1 ? CLIENTS : 1;
    for (uint32_t i = 0; i < count; i++) {
        client[i] =
            (struct client){ .campaign = campaign, .store = store, .thread = i, .first = first };
        if (pthread_create(&client[i].id, NULL, run_client, &client[i]) != 0) {
            tap_bail("start a thread");
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        (void)pthread_join(client[i].id, NULL);
    }
}

static void run_pass(struct campaign *campaign)
{
    vfs_reset(fault_mix(campaign->seed, campaign->run));
    vfs_adopt(campaign->folder);
    campaign->index = 0;
    campaign->cut_count = 0;
    vfs_set_watch(watch, campaign);
    for (uint32_t half = 0; half < 2; half++) {
        struct pk_store *store;
        struct pk_error err;
        if (!fault_store_open(&store, campaign->folder, &err)) {
            tap_bail("the store opens without a fault: %s", err.message);
        }
        run_clients(campaign, store, half * LISTS);
        pk_store_close(store);
    }
    vfs_set_watch(NULL, NULL);
    if (campaign->index > campaign->last) {
        campaign->last = campaign->index;
    }
}

/* ---- The ruins ---- */

static void note_bad(struct campaign *campaign, const struct cut *cut, const char *what)
{
    if (campaign->first_bad[0] == '\0') {
        (void)snprintf(campaign->first_bad, sizeof(campaign->first_bad),
                       "run %u, cut at %" PRId64 ": %s", campaign->run, cut->index, what);
    }
}

static void look(struct campaign *campaign, const struct cut *cut, const char *folder)
{
    struct pk_store *store;
    struct pk_error err;
    struct fault_journal journal;
    struct fault_report report;
    char said[256];
    int64_t start_ms = fault_now_ms();
    vfs_reset(campaign->seed);
    vfs_adopt(folder);
    if (!fault_store_open(&store, folder, &err)) {
        campaign->bad_opens++;
        note_bad(campaign, cut, err.message);
        return;
    }
    fault_times_add(&campaign->open_ms, fault_now_ms() - start_ms);
    fault_record_journal(&campaign->record, cut->known, &journal);
    fault_check(store, &journal, false, &report);
    pk_store_close(store);
    fault_integrity(folder, said, sizeof(said));
    if (strcmp(said, "ok") != 0) {
        campaign->bad_files++;
        note_bad(campaign, cut, said);
    }
    if (!fault_report_ok(&report)) {
        note_bad(campaign, cut, "see above");
    }
    fault_report_add(&campaign->report, &report);
    fault_journal_done(&journal);
}

/* Looks at a copy of each ruin, and picks one as the next pass's start. */
static void look_at_all(struct campaign *campaign)
{
    uint64_t pick = fault_mix(campaign->seed, 77 + campaign->run);
    bool is_fresh = campaign->run % GENERATIONS == GENERATIONS - 1 || campaign->cut_count == 0;
    const struct cut *chosen =
        is_fresh ? NULL : &campaign->cut[(size_t)(pick % campaign->cut_count)];
    for (size_t i = 0; i < campaign->cut_count; i++) {
        const struct cut *cut = &campaign->cut[i];
        char copy[600];
        fault_folder_new(copy, sizeof(copy), "look");
        fault_folder_copy(cut->folder, copy);
        look(campaign, cut, copy);
        fault_folder_drop(copy);
        if (cut != chosen) {
            fault_folder_drop(cut->folder);
        }
    }
    campaign->cuts += campaign->cut_count;
    fault_folder_drop(campaign->folder);
    if (chosen) {
        memcpy(campaign->folder, chosen->folder, sizeof(campaign->folder));
        fault_record_cut(&campaign->record, chosen->known);
    } else {
        fault_record_cut(&campaign->record, 0);
        fault_folder_new(campaign->folder, sizeof(campaign->folder), "store");
        (void)mkdir(campaign->folder, 0700);
    }
}

static void run_passes(struct campaign *campaign)
{
    fault_folder_new(campaign->folder, sizeof(campaign->folder), "store");
    (void)mkdir(campaign->folder, 0700);
    bool is_more = true;
    while (is_more) {
        campaign->offset = (int64_t)(campaign->run % STRIDE);
        run_pass(campaign);
        look_at_all(campaign);
        campaign->run++;
        is_more = campaign->is_all ? campaign->run < 2 * STRIDE * GENERATIONS
                                   : fault_now_ms() < campaign->end_ms;
    }
}

static void print_results(struct campaign *campaign)
{
    tap_note("seed %" PRIu64 ": %u passes, %" PRIu64 " cuts; a pass has up to %" PRId64
             " writes and syncs; opening the ruins: p50 %" PRId64 " ms, p99 %" PRId64 " ms",
             campaign->seed, campaign->run, campaign->cuts, campaign->last,
             fault_times_at(&campaign->open_ms, 0.5), fault_times_at(&campaign->open_ms, 0.99));
    if (campaign->first_bad[0]) {
        tap_note("the first that is wrong: %s", campaign->first_bad);
    }
    fault_report_tap(&campaign->report, ", after a power cut");
    tap_is(campaign->bad_opens == 0, "the store opens after each of %" PRIu64 " power cuts",
           campaign->cuts);
    tap_is(campaign->bad_files == 0, "and its file is sound");
    tap_is(campaign->cuts > 0, "there were cuts");
}

int main(int argc, char **argv)
{
    static const struct option option[] = {
        { "seconds", required_argument, NULL, 't' },
        { "seed", required_argument, NULL, 's' },
        { "all", no_argument, NULL, 'a' },
        { NULL, 0, NULL, 0 },
    };
    static struct campaign campaign; /* Large; starts as zeroes. */
    struct pk_error err;
    int64_t seconds = SECONDS;
    int letter;
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    campaign.seed = pk_random_u64() >> 32;
    while ((letter = getopt_long(argc, argv, "", option, NULL)) != -1) {
        if (letter == 't') {
            seconds = strtoll(optarg, NULL, 10);
        } else if (letter == 's') {
            campaign.seed = strtoull(optarg, NULL, 10);
        } else if (letter == 'a') {
            campaign.is_all = true;
        } else {
            (void)fprintf(stderr, "usage: fault_power [--seconds N | --all] [--seed N]\n");
            return 2;
        }
    }
    campaign.end_ms = fault_now_ms() + seconds * 1000;
    fault_record_init(&campaign.record, campaign.seed);
    vfs_install();
    run_passes(&campaign);
    print_results(&campaign);
    fault_record_done(&campaign.record);
    fault_times_done(&campaign.open_ms);
    return tap_end();
}
