/* person_all.c - A version of a processor applied to all people: begun, watched, paused.
 *
 * The server does it, a few people a second, whether somebody watches or not;
 * there is one such run at a time. What is printed is how far it is. */
/* SPDX-License-Identifier: MIT */
#include "cli/person_all.h"

#include "base/alloc.h"
#include "base/error.h"
#include "cli/progress.h"
#include "doc/doc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 500 }; /* How often --wait asks. */

#define ALL "/v1/admin/replays"

/* ---- Options that go together ---- */

static const struct {
    const char *option, *with, *not_with; /* NULL: whatever else is said. */
} together[] = {
    { "--rate", "--all", "--show" },    { "--rate", NULL, "--pause" },
    { "--rate", NULL, "--resume" },     { "--show", "--all", "--pause" },
    { "--show", NULL, "--resume" },     { "--pause", "--all", "--resume" },
    { "--pause", NULL, "--wait" },      { "--resume", "--all", "--processor" },
    { "--show", NULL, "--processor" },  { "--pause", NULL, "--processor" },
    { "--wait", "--all", "--dry-run" }, { "--diff", "--dry-run", "--all" },
    { "--dry-run", NULL, "--all" },     { "--version", "--processor", NULL },
};

bool pk_person_replay_check(const struct pk_call *call, struct pk_error *err)
{
    static const char hint[] = "'personakit person replay --help' has examples";
    const bool is_all = pk_call_option(call, "--all") != NULL;
    for (size_t i = 0; i < PK_COUNT(together); i++) {
        const char *with = together[i].with, *not_with = together[i].not_with;
        if (!pk_call_option(call, together[i].option)) {
            continue;
        }
        if (with && !pk_call_option(call, with)) {
            return pk_fail(err, PK_INVALID, hint, "'%s' is said without '%s'", together[i].option,
                           with);
        }
        if (not_with && pk_call_option(call, not_with)) {
            return pk_fail(err, PK_INVALID, hint, "'%s' and '%s' do not go together",
                           together[i].option, not_with);
        }
    }
    if (is_all == (call->argument_count > 0)) {
        return pk_fail(err, PK_INVALID, hint,
                       is_all ? "'--all' is everybody, and '%.40s' one of them"
                              : "'person replay' needs PERSON, or '--all'%s",
                       is_all ? call->argument[0] : "");
    }
    return true;
}

/* ---- How far it is ---- */

static bool is_status(const struct pk_doc *state, const char *status)
{
    const char *text = pk_doc_text(state, "status");
    return text && strcmp(text, status) == 0;
}

static bool print_state(const struct pk_client *client, const struct pk_doc *state,
                        struct pk_error *err)
{
    if (client->call->is_json) {
        return pk_client_print(state, err);
    }
    if (is_status(state, "none")) {
        (void)printf("no replay of all people was ever begun\n");
        return true;
    }
    (void)printf("%s %s for all people: %s, %.0f %%, %" PRId64 " people looked at, %" PRId64
                 " replayed, at most %g a second\n",
                 pk_doc_text(state, "processor"), pk_doc_text(state, "version"),
                 pk_doc_text(state, "status"), pk_doc_number(state, "progress", 0) * 100,
                 pk_doc_int(state, "lookedAt", 0), pk_doc_int(state, "replayed", 0),
                 pk_doc_number(state, "perSecond", 0));
    return true;
}

static void pause_for(int64_t ms)
{
    const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    (void)nanosleep(&time, NULL);
}

/* Until it is done, or rests: then only somebody's word brings it on. */
static bool follow(struct pk_client *client, struct pk_doc **out, struct pk_error *err)
{
    struct pk_progress progress;
    bool is_ok = true, is_over = false;
    pk_progress_init(&progress, client->call->app->clock, client->call->is_json);
    progress.unit = "people";
    while (is_ok && !is_over) {
        pk_doc_unref(*out);
        *out = NULL;
        is_ok = pk_client_ask(client, "GET", ALL, NULL, out, err);
        is_over = is_ok && !is_status(*out, "running");
        if (is_ok && !is_over) {
            const double done = pk_doc_number(*out, "progress", 0);
            const int64_t people = pk_doc_int(*out, "lookedAt", 0);
            pk_progress_show(&progress, "replayed", pk_doc_text(*out, "processor"), people,
                             done > 0 ? (int64_t)((double)people / done) : 0);
            pause_for(LOOK_MS);
        }
    }
    pk_progress_done(&progress);
    return is_ok;
}

/* ---- The command ---- */

static bool read_rate(const struct pk_call *call, double *out, struct pk_error *err)
{
    const char *text = pk_call_option(call, "--rate");
    char *end = NULL;
    *out = text ? strtod(text, &end) : 0;
    if (text && (end == text || *end || !isfinite(*out) || *out <= 0)) {
        return pk_fail(err, PK_INVALID, "give people a second, as in '--rate 20'",
                       "'%.40s' is no rate", text);
    }
    return true;
}

static bool start(struct pk_client *client, struct pk_error *err)
{
    const char *processor = pk_call_option(client->call, "--processor");
    const char *version = pk_call_option(client->call, "--version");
    bson_t body = BSON_INITIALIZER;
    double rate = 0;
    bool is_ok = read_rate(client->call, &rate, err);
    if (is_ok && !processor) {
        is_ok = pk_fail(err, PK_INVALID, "name it with --processor ID",
                        "all people are replayed with one processor's version");
    }
    if (is_ok) {
        BSON_APPEND_UTF8(&body, "processor", processor);
        if (version) {
            BSON_APPEND_UTF8(&body, "version", version);
        }
        if (rate > 0) {
            BSON_APPEND_DOUBLE(&body, "perSecond", rate);
        }
        is_ok = pk_client_ask(client, "POST", ALL, &body, NULL, err);
    }
    bson_destroy(&body);
    return is_ok;
}

bool pk_person_replay_all(struct pk_client *client, struct pk_error *err)
{
    const struct pk_call *call = client->call;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *state = NULL;
    bool is_ok = true;
    if (pk_call_option(call, "--pause")) {
        is_ok = pk_client_ask(client, "POST", ALL "/pause", NULL, NULL, err);
    } else if (pk_call_option(call, "--resume")) {
        is_ok = pk_client_ask(client, "POST", ALL "/resume", NULL, NULL, err);
    } else if (!pk_call_option(call, "--show")) {
        is_ok = start(client, err);
    }
    if (is_ok) {
        is_ok = pk_call_option(call, "--wait")
                    ? follow(client, &state, err)
                    : pk_client_ask(client, "GET", ALL, NULL, &state, err);
    }
    return is_ok && print_state(client, state, err);
}
