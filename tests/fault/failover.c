/* failover.c - A set of three loses its primary in every way, while 32 clients write.
 *
 *     fault_failover [--seed N]
 *
 * One writer goes on through all of it. After each fault clients must come to
 * be acknowledged again, and at the end nothing acknowledged may be missing,
 * every client was told only success, "unknown", or a clear refusal, and the
 * follower was delivered every event, in order. */
/* SPDX-License-Identifier: MIT */
#include "drive.h"
#include "tap.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEALTHY_MS = 700,    /* Between faults. */
    PAUSED_MS = 3500,    /* Longer than an election takes to be called (2 s). */
    RECOVERY_MS = 20000, /* The longest that writing may be interrupted ... */
    LIMIT_MS = 60000,    /* ... and how long that is waited for. */
    RECOVERED = 50       /* Lists acknowledged: it goes on. */
};

/* Runs a verb on a member, and says which that was. */
static bool strike(struct fault_drive *drive, const char *verb, const char *member, char out[16])
{
    bool ok = fault_set_do(&drive->set, verb, member, out);
    if (!ok) {
        tap_note("'%s %s' did not work", verb, member ? member : "");
    }
    return ok;
}

/* The members that are not the primary. */
static void others(const char *primary, char out[2][16])
{
    int at = 0;
    for (int i = 0; i < 3 && at < 2; i++) {
        if (i != atoi(primary)) {
            (void)snprintf(out[at++], 16, "%d", i);
        }
    }
}

/* Each fault strikes, marks the time and heals; the ms until clients were acknowledged again, or
 * -1 when they were not. */
static int64_t pause_primary(struct fault_drive *drive)
{
    char member[16];
    if (!strike(drive, "pause", "primary", member)) {
        return -1;
    }
    drive_mark(drive);
    int64_t ms = drive_until_ok(drive, RECOVERED, LIMIT_MS);
    int64_t left = PAUSED_MS - (fault_now_ms() - drive->mark.ms);
    drive_hear(drive, left > 0 ? left : 0);
    return strike(drive, "resume", member, member) ? ms : -1;
}

/* So short that nobody notices: the same primary goes on. */
static int64_t pause_briefly(struct fault_drive *drive)
{
    char member[16];
    if (!strike(drive, "pause", "primary", member)) {
        return -1;
    }
    drive_mark(drive);
    drive_hear(drive, 500);
    return strike(drive, "resume", member, member) ? drive_until_ok(drive, RECOVERED, LIMIT_MS)
                                                   : -1;
}

static int64_t step_down(struct fault_drive *drive)
{
    char member[16];
    if (!strike(drive, "stepdown", NULL, member)) {
        return -1;
    }
    drive_mark(drive);
    return drive_until_ok(drive, RECOVERED, LIMIT_MS);
}

/* Ends the primary, and starts it again when another one has been writing for a while. */
static int64_t end_primary(struct fault_drive *drive, const char *verb)
{
    char member[16];
    if (!strike(drive, verb, "primary", member)) {
        return -1;
    }
    drive_mark(drive);
    int64_t ms = drive_until_ok(drive, RECOVERED, LIMIT_MS);
    return strike(drive, "again", member, NULL) ? ms : -1;
}

static int64_t kill_primary(struct fault_drive *drive)
{
    return end_primary(drive, "kill");
}

static int64_t stop_primary(struct fault_drive *drive)
{
    return end_primary(drive, "term");
}

/* The primary is alone: nothing may be acknowledged until another member is back. */
static int64_t isolate_primary(struct fault_drive *drive)
{
    char primary[16];
    char other[2][16];
    char said[16];
    if (!strike(drive, "primary", NULL, primary)) {
        return -1;
    }
    others(primary, other);
    if (!strike(drive, "pause", other[0], said) || !strike(drive, "pause", other[1], said)) {
        return -1;
    }
    drive_mark(drive);
    drive_hear(drive, PAUSED_MS);
    uint64_t oks = drive->journal.watch_oks;
    tap_is(oks == 0, "a primary without a majority acknowledges nothing begun since (%" PRIu64 ")",
           oks);
    if (!strike(drive, "resume", other[0], said)) {
        return -1;
    }
    drive_mark(drive);
    int64_t ms = drive_until_ok(drive, RECOVERED, LIMIT_MS);
    return strike(drive, "resume", other[1], said) ? ms : -1;
}

static const struct {
    const char *name;
    int64_t (*run)(struct fault_drive *drive);
} fault_table[] = {
    { "the primary is stopped for half a second", pause_briefly },
    { "the primary is stopped past an election", pause_primary },
    { "the primary steps down", step_down },
    { "the primary is killed", kill_primary },
    { "both secondaries are stopped", isolate_primary },
    { "the primary is shut down", stop_primary },
};

int main(int argc, char **argv)
{
    struct fault_drive drive = { 0 };
    struct pk_error err = { 0 };
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    uint64_t seed = pk_random_u64() >> 32;
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        seed = strtoull(argv[2], NULL, 10);
    } else if (argc != 1) {
        (void)fprintf(stderr, "usage: fault_failover [--seed N]\n");
        return 2;
    }
    drive_start(&drive, 3, "32", seed);
    for (size_t i = 0; i < PK_COUNT(fault_table); i++) {
        drive_hear(&drive, HEALTHY_MS);
        int64_t ms = fault_table[i].run(&drive);
        drive_print(&drive, fault_table[i].name, ms);
        tap_is(ms >= 0 && ms <= RECOVERY_MS, "%s, and writing goes on after %" PRId64 " ms",
               fault_table[i].name, ms);
    }
    drive_finish(&drive, ", after all these faults");
    return tap_end();
}
