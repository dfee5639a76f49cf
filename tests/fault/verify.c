/* verify.c - Checks a store against the journal of the writers that wrote it.
 *
 *     fault_verify --url URL --journal FILE [--followed]
 *
 * Prints TAP, one result per rule (check.h). --followed: a follower was there
 * from the first write and said that it caught up. */
/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "journal.h"
#include "list.h"
#include "tap.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "store/store.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct wish {
    const char *url;
    const char *journal;
    bool is_followed;
};

static bool read_options(struct wish *wish, int argc, char **argv)
{
    static const struct option option[] = {
        { "url", required_argument, NULL, 'u' },
        { "journal", required_argument, NULL, 'j' },
        { "followed", no_argument, NULL, 'f' },
        { NULL, 0, NULL, 0 },
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", option, NULL)) != -1) {
        if (letter == 'u') {
            wish->url = optarg;
        } else if (letter == 'j') {
            wish->journal = optarg;
        } else if (letter == 'f') {
            wish->is_followed = true;
        } else {
            return false;
        }
    }
    return wish->url && wish->journal && optind == argc;
}

int main(int argc, char **argv)
{
    struct wish wish = { 0 };
    struct fault_journal journal;
    struct fault_report report;
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    if (!read_options(&wish, argc, argv)) {
        (void)fprintf(stderr, "usage: fault_verify --url URL --journal FILE [--followed]\n");
        return 2;
    }
    struct pk_store_options options = { .url = wish.url,
                                        .inventory = fault_inventory(),
                                        .clock = pk_clock_system() };
    if (!fault_journal_load(&journal, wish.journal)) {
        tap_bail("read the journal '%s'", wish.journal);
    }
    if (!pk_crypto_init(&err) || !pk_store_open(&store, &options, &err)) {
        tap_bail("the store opens: %s", err.message);
    }
    fault_journal_print(&journal);
    fault_check(store, &journal, wish.is_followed, &report);
    fault_report_tap(&report, "");
    pk_store_close(store);
    fault_journal_done(&journal);
    return tap_end();
}
