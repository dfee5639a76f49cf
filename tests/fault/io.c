/* io.c - Fails the k-th write, sync, truncate, read or open, for every k there is.
 *
 *     fault_io [--every N] [--seed N] [--only WORD]
 *
 * One scenario: open a store, commit lists, close it; in four situations: an
 * empty folder, a store that was closed well, one that a crash left with its
 * WAL, and one whose WAL is so long that the first commit is followed by a
 * checkpoint. For each row of the table below and each situation the scenario is
 * run with the fault at the first such call, the second, and so on, until it
 * comes no more because the scenario has fewer calls. In each run:
 *
 *     a client is told success, "unknown", or a refusal of the kind its row allows
 *     after a failed sync no commit is acknowledged any more, and the store says it is stopped
 *     after a full disk reads go on, and commits too as soon as there is room
 *     opened again without faults, the store holds what was acknowledged, nothing of what was
 *     refused, the rest whole or absent; its file is sound, and it takes commits
 *     and so does what a crash or a power cut before or after the closing would have left
 *
 * --every N tries each of the first 60 calls and then one in N (default 1);
 * in the last situation, which is large, it is one in 10 * N. */
/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "client.h"
#include "journal.h"
#include "process.h"
#include "tap.h"
#include "vfs.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "store/store.h"

#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LISTS_BEFORE = 12, /* In the stores of the situations. */
    LISTS = 9,         /* Of the scenario. */
    LISTS_AFTER = 3,   /* Once there is room again. */
    DENSE = 60,        /* Calls that are always tried one by one ... */
    DENSE_LONG = 12,   /* ... in the last situation. */
    LONG_FACTOR = 10,
    LONG_BYTES = 3985 * 4120 /* Of its WAL: the engine copies it back at 4,000 pages. */
};
static const int64_t FOR_EVER = INT64_MAX / 2;

enum promise {
    PROMISE_READS = 1 << 0,   /* Reads go on. */
    PROMISE_GOES_ON = 1 << 1, /* So do commits, once the fault is over. */
    PROMISE_FULL = 1 << 2,    /* A commit that fails is refused as PK_FULL. */
    PROMISE_STOPS = 1 << 3    /* Nothing is acknowledged once it has struck. */
};

static const struct row {
    const char *word;
    struct vfs_fault fault;
    unsigned promise;
    bool is_long; /* The last situation, too. */
} row_table[] = {
    { "full-once",
      { .call = VFS_WRITE, .length = 1, .result = SQLITE_FULL },
      PROMISE_READS | PROMISE_GOES_ON | PROMISE_FULL,
      true },
    { "full",
      { .call = VFS_WRITE, .length = FOR_EVER, .result = SQLITE_FULL },
      PROMISE_READS | PROMISE_GOES_ON | PROMISE_FULL,
      true },
    { "short-write",
      { .call = VFS_WRITE, .length = 1, .result = SQLITE_FULL, .is_short = true },
      PROMISE_READS | PROMISE_GOES_ON | PROMISE_FULL,
      true },
    { "eio-write", { .call = VFS_WRITE, .length = 1, .result = SQLITE_IOERR_WRITE }, 0, true },
    { "eio-writes",
      { .call = VFS_WRITE, .length = FOR_EVER, .result = SQLITE_IOERR_WRITE },
      0,
      false },
    { "short-eio",
      { .call = VFS_WRITE, .length = 1, .result = SQLITE_IOERR_WRITE, .is_short = true },
      0,
      false },
    { "fsync",
      { .call = VFS_SYNC, .length = 1, .result = SQLITE_IOERR_FSYNC },
      PROMISE_READS | PROMISE_STOPS,
      true },
    { "fsyncs",
      { .call = VFS_SYNC, .length = FOR_EVER, .result = SQLITE_IOERR_FSYNC },
      PROMISE_READS | PROMISE_STOPS,
      true },
    { "truncate",
      { .call = VFS_TRUNCATE, .length = 1, .result = SQLITE_IOERR_TRUNCATE },
      0,
      false },
    { "eio-read", { .call = VFS_READ, .length = 1, .result = SQLITE_IOERR_READ }, 0, false },
    { "open", { .call = VFS_OPEN, .length = 1, .result = SQLITE_CANTOPEN }, 0, false },
    { "shm", { .call = VFS_SHM, .length = 1, .result = SQLITE_IOERR_SHMSIZE }, 0, false },
};

enum situation { EMPTY, CLOSED, CRASHED, LONG, SITUATION_COUNT };
static const char *const situation_name[SITUATION_COUNT] = { "empty", "closed", "crashed", "long" };

struct campaign {
    uint64_t seed;
    int64_t every;
    const char *only;
    char folder[SITUATION_COUNT][600];   /* Where each scenario starts. */
    struct pk_buf said[SITUATION_COUNT]; /* By the clients who wrote what is there. */
    struct fault_record record;          /* That, and what is said in a run. */

    /* Of the row under way. */
    const struct row *row;
    enum situation situation;
    int64_t at;
    uint64_t runs, refused_opens, refusals, unknowns, oks_after;
    uint64_t broken;
    char first[400];
    struct fault_report report;
};

static void broken(struct campaign *campaign, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void broken(struct campaign *campaign, const char *format, ...)
{
    if (campaign->broken++ == 0) {
        char what[300];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        (void)snprintf(campaign->first, sizeof(campaign->first), "%s at %" PRId64 ", %s: %s",
                       campaign->row->word, campaign->at, situation_name[campaign->situation],
                       what);
    }
}

/* ---- The situations ---- */

static void commit_without_fault(struct campaign *campaign, struct pk_store *store, uint32_t number)
{
    struct fault_name name = { 0, 0, number };
    enum fault_kind kind = fault_kind_of(number);
    struct pk_error err;
    bool is_tried;
    if (fault_client_do(&campaign->record, store, name, kind == FAULT_TWICE ? FAULT_PLAIN : kind,
                        &is_tried, &err) != PK_OK) {
        tap_bail("a commit without a fault: %s", err.message);
    }
}

static int64_t wal_bytes(const char *folder)
{
    char path[700];
    struct stat info;
    (void)snprintf(path, sizeof(path), "%s/personakit.db-wal", folder);
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

/* Keeps a copy of the open store as a situation: that is what a crash leaves. */
static void keep(struct campaign *campaign, const char *folder, enum situation as)
{
    fault_folder_new(campaign->folder[as], sizeof(campaign->folder[as]), situation_name[as]);
    fault_folder_copy(folder, campaign->folder[as]);
    pk_buf_add(&campaign->said[as], campaign->record.lines.data, campaign->record.lines.size);
}

static void make_situations(struct campaign *campaign)
{
    struct pk_store *store;
    struct pk_error err;
    char folder[600];
    uint32_t number = 0;
    fault_folder_new(folder, sizeof(folder), "make");
    fault_folder_new(campaign->folder[EMPTY], sizeof(campaign->folder[EMPTY]), "empty");
    (void)mkdir(folder, 0700);
    (void)mkdir(campaign->folder[EMPTY], 0700);
    vfs_reset(campaign->seed);
    if (!fault_store_open(&store, folder, &err)) {
        tap_bail("the store opens without a fault: %s", err.message);
    }
    while (number < LISTS_BEFORE) {
        commit_without_fault(campaign, store, number++);
    }
    keep(campaign, folder, CRASHED);
    pk_store_close(store);
    keep(campaign, folder, CLOSED);
    if (!fault_store_open(&store, folder, &err)) {
        tap_bail("the store opens again without a fault: %s", err.message);
    }
    while (wal_bytes(folder) < LONG_BYTES) {
        commit_without_fault(campaign, store, number++);
    }
    keep(campaign, folder, LONG);
    pk_store_close(store);
    fault_folder_drop(folder);
}

/* ---- One run ---- */

static bool is_allowed(unsigned promise, enum pk_code code)
{
    if (promise & PROMISE_FULL) {
        return code == PK_FULL;
    }
    return code == PK_UNKNOWN || code == PK_UNAVAILABLE || code == PK_FULL || code == PK_BUSY;
}

static bool is_stopped(struct pk_store *store)
{
    struct pk_store_stats stats;
    pk_store_stats(store, &stats);
    return stats.is_stopped;
}

/* Reads the last acknowledged counter: reads go on. */
static void read_something(struct campaign *campaign, struct pk_store *store)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *counter = NULL;
    struct pk_error err;
    char id[32];
    fault_own_id(id, 0);
    if (!pk_store_get(store, "counters", id, 0, &counter, &err)) {
        broken(campaign, "a read fails: %s", err.message);
    }
}

static void judge_failure(struct campaign *campaign, struct pk_store *store, bool is_tried,
                          const struct pk_error *err)
{
    unsigned promise = campaign->row->promise;
    campaign->refusals += err->code == PK_UNKNOWN ? 0 : 1;
    campaign->unknowns += err->code == PK_UNKNOWN ? 1 : 0;
    if (is_tried && vfs_fired() == 0) {
        broken(campaign, "a commit fails before the fault: %s", err->message);
    }
    if (is_tried && !is_allowed(promise, err->code) && !(promise & PROMISE_STOPS)) {
        broken(campaign, "a commit is answered '%s': %s", pk_code_name(err->code), err->message);
    }
    if (!err->message[0] || !err->hint) {
        broken(campaign, "'%s' without a word or a hint: '%s'", pk_code_name(err->code),
               err->message);
    }
    if (promise & PROMISE_READS) {
        read_something(campaign, store);
    }
}

/* Commits the scenario's lists under the fault. */
static void commit_under_fault(struct campaign *campaign, struct pk_store *store, uint32_t first,
                               uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct fault_name name = { 1, 0, i };
        struct pk_error err;
        bool is_tried;
        bool has_failed_sync = (campaign->row->promise & PROMISE_STOPS) && vfs_fired() > 0;
        if (has_failed_sync && !is_stopped(store)) {
            broken(campaign, "a sync has failed and the store does not say that it is stopped");
        }
        enum pk_code code =
            fault_client_do(&campaign->record, store, name, fault_kind_of(i), &is_tried, &err);
        if (code != PK_OK) {
            judge_failure(campaign, store, is_tried, &err);
        }
        if (has_failed_sync && is_tried && code != PK_UNAVAILABLE) {
            broken(campaign, "a commit after a failed sync is answered '%s'", pk_code_name(code));
        }
    }
}

/* The fault is over: who promised to go on does. */
static void commit_after_fault(struct campaign *campaign, struct pk_store *store)
{
    for (uint32_t i = LISTS; i < LISTS + LISTS_AFTER; i++) {
        struct fault_name name = { 1, 0, i };
        struct pk_error err;
        bool is_tried;
        enum pk_code code =
            fault_client_do(&campaign->record, store, name, fault_kind_of(i), &is_tried, &err);
        campaign->oks_after += code == PK_OK ? 1 : 0;
        if (code != PK_OK && (campaign->row->promise & PROMISE_GOES_ON)) {
            broken(campaign, "the fault is over and a commit fails: %s", err.message);
        }
        if (code == PK_OK && (campaign->row->promise & PROMISE_STOPS) && vfs_fired() > 0) {
            broken(campaign, "a commit is acknowledged after a failed sync");
        }
        if (code != PK_OK && !(campaign->row->promise & (PROMISE_GOES_ON | PROMISE_STOPS)) &&
            !is_stopped(store)) {
            broken(campaign, "the fault is over, the store is not stopped, and a commit fails: %s",
                   err.message);
        }
    }
}

/* Opens what is there as the next start does, and checks all of it. */
static void look(struct campaign *campaign, const char *folder, const char *what)
{
    struct pk_store *store;
    struct pk_error err;
    struct fault_journal journal;
    struct fault_report report;
    char said[256];
    bool is_tried;
    vfs_reset(campaign->seed);
    vfs_adopt(folder);
    if (!fault_store_open(&store, folder, &err)) {
        broken(campaign, "%s, the store does not open: %s", what, err.message);
        return;
    }
    size_t size = fault_record_size(&campaign->record);
    struct fault_name name = { 2, 0, 0 };
    if (fault_client_do(&campaign->record, store, name, FAULT_PLAIN, &is_tried, &err) != PK_OK) {
        broken(campaign, "%s, a commit fails: %s", what, err.message);
    }
    fault_record_journal(&campaign->record, fault_record_size(&campaign->record), &journal);
    fault_check(store, &journal, false, &report);
    pk_store_close(store);
    fault_integrity(folder, said, sizeof(said));
    if (strcmp(said, "ok") != 0) {
        broken(campaign, "%s, the file is damaged: %s", what, said);
    }
    for (int rule = 0; rule < FAULT_RULE_COUNT; rule++) {
        if (report.rule[rule].broken > 0) {
            broken(campaign, "%s, not '%s': %s", what, fault_rule_sentence((enum fault_rule)rule),
                   report.rule[rule].first);
        }
    }
    fault_report_add(&campaign->report, &report);
    fault_journal_done(&journal);
    fault_record_cut(&campaign->record, size);
}

static void look_if_there(struct campaign *campaign, const char *folder, const char *what)
{
    if (access(folder, F_OK) == 0) {
        look(campaign, folder, what);
    }
}

static void cut_power(struct campaign *campaign, const char *ruin)
{
    if (mkdir(ruin, 0700) != 0 ||
        !vfs_cut(ruin, fault_mix(campaign->seed, 99 + (uint64_t)campaign->at))) {
        tap_bail("write the ruins to '%s'", ruin);
    }
}

/* The scenario, with the fault set; a power cut before the closing leaves 'ruin', the end of the
 * process 'crashed'. */
static void run_scenario(struct campaign *campaign, const char *folder, const char *ruin,
                         const char *crashed)
{
    struct pk_store *store;
    struct pk_error err;
    if (!fault_store_open(&store, folder, &err)) {
        campaign->refused_opens++;
        if (vfs_fired() == 0 || !err.message[0] || !err.hint) {
            broken(campaign, "the store does not open: '%s' (%s), hint '%s'", err.message,
                   pk_code_name(err.code), err.hint ? err.hint : "none");
        }
        return;
    }
    commit_under_fault(campaign, store, 0, LISTS);
    if (vfs_fired() > 0) {
        vfs_set_fault(NULL);
        commit_after_fault(campaign, store);
        cut_power(campaign, ruin);
        if (!(campaign->row->promise & PROMISE_GOES_ON)) {
            fault_folder_copy(folder, crashed);
        }
    }
    pk_store_close(store);
}

/* Runs it with the fault at the k-th call; false when there is no such call. */
static bool run_one(struct campaign *campaign)
{
    struct vfs_fault fault = campaign->row->fault;
    enum situation situation = campaign->situation;
    char folder[600];
    char open_ruin[600];
    char closed_ruin[600];
    char crashed[600];
    fault.at = campaign->at;
    fault_folder_new(folder, sizeof(folder), "run");
    fault_folder_new(open_ruin, sizeof(open_ruin), "ruin");
    fault_folder_new(closed_ruin, sizeof(closed_ruin), "ruin");
    fault_folder_new(crashed, sizeof(crashed), "crash");
    fault_folder_copy(campaign->folder[situation], folder);
    fault_record_cut(&campaign->record, 0);
    pk_buf_add(&campaign->record.lines, campaign->said[situation].data,
               campaign->said[situation].size);
    vfs_reset(fault_mix(campaign->seed, (uint64_t)campaign->at));
    vfs_adopt(folder);
    vfs_set_fault(&fault);
    run_scenario(campaign, folder, open_ruin, crashed);
    bool has_fired = vfs_fired() > 0;
    if (has_fired) {
        campaign->runs++;
        cut_power(campaign, closed_ruin);
        look(campaign, folder, "opened again");
        look(campaign, closed_ruin, "after closing and a power cut");
        look_if_there(campaign, open_ruin, "after a power cut");
        look_if_there(campaign, crashed, "after a crash");
    }
    fault_folder_drop(folder);
    fault_folder_drop(open_ruin);
    fault_folder_drop(closed_ruin);
    fault_folder_drop(crashed);
    return has_fired;
}

/* Each of the first calls, then one in so many. */
static int64_t next_at(const struct campaign *campaign)
{
    bool is_long = campaign->situation == LONG;
    if (campaign->at < (is_long ? DENSE_LONG : DENSE)) {
        return campaign->at + 1;
    }
    return campaign->at + campaign->every * (is_long ? LONG_FACTOR : 1);
}

static void run_row(struct campaign *campaign, const struct row *row)
{
    campaign->row = row;
    campaign->runs = campaign->refused_opens = campaign->refusals = 0;
    campaign->unknowns = campaign->oks_after = campaign->broken = 0;
    campaign->first[0] = '\0';
    int64_t start_ms = fault_now_ms();
    int64_t last[SITUATION_COUNT] = { 0 };
    for (int i = 0; i < (row->is_long ? SITUATION_COUNT : LONG); i++) {
        campaign->situation = (enum situation)i;
        for (campaign->at = 1; run_one(campaign); campaign->at = next_at(campaign)) {
            last[i] = campaign->at;
        }
    }
    tap_is(campaign->broken == 0, "%s: %" PRIu64 " faults, each survived", row->word,
           campaign->runs);
    if (campaign->broken > 0) {
        tap_note("%" PRIu64 " broken; the first: %s", campaign->broken, campaign->first);
    }
    tap_note("%s: calls %" PRId64 " + %" PRId64 " + %" PRId64 " + %" PRId64
             "; opens refused %" PRIu64 ", commits refused %" PRIu64 ", unknown %" PRIu64
             ", done after %" PRIu64 "; %" PRId64 " ms",
             row->word, last[EMPTY], last[CLOSED], last[CRASHED], last[LONG],
             campaign->refused_opens, campaign->refusals, campaign->unknowns, campaign->oks_after,
             fault_now_ms() - start_ms);
    tap_is(campaign->runs > 0 || row->fault.call == VFS_TRUNCATE, "%s: there were faults",
           row->word);
}

int main(int argc, char **argv)
{
    static const struct option option[] = {
        { "every", required_argument, NULL, 'e' },
        { "seed", required_argument, NULL, 's' },
        { "only", required_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    static struct campaign campaign; /* Large; starts as zeroes. */
    struct pk_error err;
    int letter;
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    campaign.every = 1;
    campaign.seed = pk_random_u64() >> 32;
    while ((letter = getopt_long(argc, argv, "", option, NULL)) != -1) {
        if (letter == 'e') {
            campaign.every = strtoll(optarg, NULL, 10);
        } else if (letter == 's') {
            campaign.seed = strtoull(optarg, NULL, 10);
        } else if (letter == 'o') {
            campaign.only = optarg;
        } else {
            (void)fprintf(stderr, "usage: fault_io [--every N] [--seed N] [--only WORD]\n");
            return 2;
        }
    }
    tap_note("seed %" PRIu64, campaign.seed);
    fault_record_init(&campaign.record, campaign.seed);
    vfs_install();
    make_situations(&campaign);
    for (size_t i = 0; i < PK_COUNT(row_table); i++) {
        if (!campaign.only || strcmp(campaign.only, row_table[i].word) == 0) {
            run_row(&campaign, &row_table[i]);
        }
    }
    fault_record_done(&campaign.record);
    for (int i = 0; i < SITUATION_COUNT; i++) {
        pk_buf_done(&campaign.said[i]);
    }
    return tap_end();
}
