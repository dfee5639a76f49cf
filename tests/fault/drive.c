/* drive.c - Start, hear, check. */
/* SPDX-License-Identifier: MIT */
#include "drive.h"

#include "check.h"
#include "list.h"
#include "tap.h"

#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { READY_MS = 60000, FINISH_MS = 120000, HEAR_MS = 5 };

void drive_start(struct fault_drive *drive, int members, const char *threads, uint64_t seed)
{
    char seed_text[32];
    (void)snprintf(seed_text, sizeof(seed_text), "%" PRIu64, seed);
    tap_note("seed %" PRIu64, seed);
    fault_journal_init(&drive->journal, seed);
    if (!fault_set_start(&drive->set, members)) {
        tap_skip("faults of a MongoDB set", "no mongod could be started");
        exit(tap_end());
    }
    const char *option[] = { "--url",     drive->set.url, "--seed",   seed_text, "--run", "0",
                             "--threads", threads,        "--follow", "-",       NULL };
    fault_child_start(&drive->child, option);
    drive->set.child = &drive->child;
    drive->set.journal = &drive->journal;
    drive_mark(drive);
    if (drive_until_ok(drive, 100, READY_MS) < 0) {
        fault_set_stop(&drive->set);
        tap_bail("the writer starts to write");
    }
}

void drive_mark(struct fault_drive *drive)
{
    drive_hear(drive, 0);
    drive->journal.watch_line = drive->journal.line;
    drive->journal.watch_oks = 0;
    drive->mark = (struct fault_mark){ .oks = drive->journal.oks,
                                       .unknowns = drive->journal.unknowns,
                                       .refusals = drive->journal.refusals,
                                       .conflicts = drive->journal.refused_by[PK_CONFLICT],
                                       .ms = fault_now_ms() };
}

void drive_hear(struct fault_drive *drive, int64_t ms)
{
    if (drive->child.pid != 0) {
        (void)fault_child_hear(&drive->child, &drive->journal, ms);
    }
}

int64_t drive_until_ok(struct fault_drive *drive, uint64_t count, int64_t limit_ms)
{
    int64_t passed_ms = 0;
    while (drive->child.pid != 0 && passed_ms < limit_ms) {
        drive_hear(drive, HEAR_MS);
        passed_ms = fault_now_ms() - drive->mark.ms;
        if (drive->journal.watch_oks >= count) {
            return passed_ms;
        }
    }
    return -1;
}

void drive_print(const struct fault_drive *drive, const char *what, int64_t recovery_ms)
{
    uint64_t conflicts = drive->journal.refused_by[PK_CONFLICT] - drive->mark.conflicts;
    tap_note("%s: writing again after %" PRId64 " ms; acknowledged %" PRIu64 ", unknown %" PRIu64
             ", refused %" PRIu64 ", and conflicts %" PRIu64,
             what, recovery_ms, drive->journal.oks - drive->mark.oks,
             drive->journal.unknowns - drive->mark.unknowns,
             drive->journal.refusals - drive->mark.refusals - conflicts, conflicts);
}

static bool open_store(struct fault_drive *drive, struct pk_store **out, struct pk_error *err)
{
    struct pk_store_options options = { .url = drive->set.url,
                                        .inventory = fault_inventory(),
                                        .clock = pk_clock_system() };
    return pk_store_open(out, &options, err);
}

void drive_finish(struct fault_drive *drive, const char *where)
{
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    struct fault_report report;
    bool ended = fault_child_finish(&drive->child, &drive->journal, FINISH_MS);
    drive->set.child = NULL;
    tap_is(ended && drive->journal.is_ended, "the writer ends when asked, everything delivered%s",
           where);
    fault_journal_print(&drive->journal);
    if (tap_is(open_store(drive, &store, &err), "the store opens%s", where)) {
        fault_check(store, &drive->journal, true, &report);
        fault_report_tap(&report, where);
        pk_store_close(store);
    } else {
        tap_note("%s", err.message);
    }
    fault_set_stop(&drive->set);
    fault_journal_done(&drive->journal);
}
