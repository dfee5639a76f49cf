/* failpoint.c - Single answers of mongod go wrong, each in its own way.
 *
 *     fault_failpoint [--seed N]
 *
 * mongod's 'failCommand' closes the connection instead of answering, answers
 * with an error without doing anything, does the work and reports that the
 * majority did not confirm it, or answers too late. One writer goes on through
 * all of it. The failpoint must have been met, clients must go on, and at the
 * end everything is as the clients were told. */
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
    HEALTHY = 200,       /* Lists acknowledged between two failpoints. */
    SET_MS = 700,        /* A failpoint is set for that long at least: a feed's cursor waits 500. */
    RECOVERY_MS = 10000, /* The longest that writing may be interrupted. */
    LIMIT_MS = 60000,    /* How long that is waited for. */
    ANSWER_BYTES = 4096
};

/* How often it strikes; "often": a tenth of all such commands, for as long as it is set. */
#define TIMES(n) "{\"times\":" #n "}"
#define OFTEN    "{\"activationProbability\":0.1}"

static const struct {
    const char *name;
    const char *mode;
    const char *data; /* Of failCommand. */
} row_table[] = {
    { "the connection closes instead of a commit", TIMES(3),
      "\"failCommands\":[\"commitTransaction\"],\"closeConnection\":true" },
    { "the connection often closes instead of a commit", OFTEN,
      "\"failCommands\":[\"commitTransaction\"],\"closeConnection\":true" },
    { "a commit is done and its majority not confirmed (64)", TIMES(3),
      "\"failCommands\":[\"commitTransaction\"],"
      "\"writeConcernError\":{\"code\":64,\"errmsg\":\"waiting for replication timed out\"}" },
    { "a commit is done and the server goes away (91)", TIMES(3),
      "\"failCommands\":[\"commitTransaction\"],"
      "\"writeConcernError\":{\"code\":91,\"errmsg\":\"shutdown in progress\"}" },
    { "a commit meets a server that is no primary (10107)", TIMES(3),
      "\"failCommands\":[\"commitTransaction\"],\"errorCode\":10107" },
    { "a commit meets a server that steps down (189)", TIMES(3),
      "\"failCommands\":[\"commitTransaction\"],\"errorCode\":189" },
    { "a commit finds its transaction gone (251)", TIMES(2),
      "\"failCommands\":[\"commitTransaction\"],\"errorCode\":251,"
      "\"errorLabels\":[\"TransientTransactionError\"]" },
    { "a commit answers after the deadline", TIMES(2),
      "\"failCommands\":[\"commitTransaction\"],\"blockConnection\":true,\"blockTimeMS\":3000" },
    { "writes conflict (112)", TIMES(5),
      "\"failCommands\":[\"insert\",\"update\"],\"errorCode\":112,"
      "\"errorLabels\":[\"TransientTransactionError\"]" },
    { "writes often conflict (112)", OFTEN,
      "\"failCommands\":[\"insert\",\"update\"],\"errorCode\":112,"
      "\"errorLabels\":[\"TransientTransactionError\"]" },
    { "writes meet a server that is no primary (10107)", TIMES(3),
      "\"failCommands\":[\"insert\",\"update\"],\"errorCode\":10107,"
      "\"errorLabels\":[\"TransientTransactionError\"]" },
    { "the connection closes instead of a write", TIMES(3),
      "\"failCommands\":[\"insert\",\"update\"],\"closeConnection\":true" },
    { "the connection closes instead of a read", TIMES(3),
      "\"failCommands\":[\"find\"],\"closeConnection\":true" },
    { "the connection closes under the feed", TIMES(3),
      "\"failCommands\":[\"getMore\",\"aggregate\"],\"closeConnection\":true" },
    { "the feed's cursor is killed (43)", TIMES(2),
      "\"failCommands\":[\"getMore\"],\"errorCode\":43,"
      "\"errorLabels\":[\"ResumableChangeStreamError\"]" },
};

static bool set_failpoint(struct fault_drive *drive, const char *mode, const char *data,
                          char answer[ANSWER_BYTES])
{
    char command[1024];
    (void)snprintf(command, sizeof(command),
                   "{\"configureFailPoint\":\"failCommand\",\"mode\":%s%s%s%s}", mode,
                   data ? ",\"data\":{" : "", data ? data : "", data ? "}" : "");
    bool ok = fault_set_admin(&drive->set, command, answer, ANSWER_BYTES);
    if (!ok) {
        tap_note("%s was answered '%s'", command, answer);
    }
    return ok;
}

/* How often it struck, of mongod's answer; -1 when it does not say. */
static long times_met(const char *answer)
{
    const char *count = strstr(answer, "\"count\"");
    return count ? strtol(count + strcspn(count, ":") + 1, NULL, 10) : -1;
}

static void run_row(struct fault_drive *drive, size_t row, long *met)
{
    char answer[ANSWER_BYTES] = "";
    long before = *met;
    drive_mark(drive);
    bool ok = set_failpoint(drive, row_table[row].mode, row_table[row].data, answer);
    int64_t ms = drive_until_ok(drive, HEALTHY, LIMIT_MS);
    drive_hear(drive, SET_MS - (fault_now_ms() - drive->mark.ms));
    ok = ok && set_failpoint(drive, "\"off\"", NULL, answer);
    *met = times_met(answer);
    drive_print(drive, row_table[row].name, ms);
    tap_is(ok && *met > before, "%s (%ld times)", row_table[row].name, *met - before);
    tap_is(ms >= 0 && ms <= RECOVERY_MS, "and writing goes on, after %" PRId64 " ms", ms);
    drive_mark(drive);
    tap_is(drive_until_ok(drive, HEALTHY, LIMIT_MS) >= 0, "and it goes on after it");
}

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
        (void)fprintf(stderr, "usage: fault_failpoint [--seed N]\n");
        return 2;
    }
    drive_start(&drive, 1, "16", seed);
    long met = 0; /* mongod counts over all failpoints. */
    for (size_t i = 0; i < PK_COUNT(row_table); i++) {
        run_row(&drive, i, &met);
    }
    drive_finish(&drive, ", after all these failpoints");
    return tap_end();
}
