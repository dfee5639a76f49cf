/* scripts_call.c - One call of a script that serves: whether it may run, the run, what is learned.
 *
 *     choose    quarantine: this version, else the one before it, else "not now"
 *     run       in the jail, under the version's own limits
 *     learn     quarantine, counts, log, a repeat when it was killed, doubt
 *
 * Who gets the trial of a quarantined version gets what it gives, also when it
 * is killed once more: a call runs one version, never two.
 *
 * Doubt: while a version is young, its failures are compared with those of the
 * version it replaced, and those of a canary with those of the version beside
 * it. Without such a one there is nothing to go back to and nobody is told. Nor when all that fails
 * is of one person while it serves others: nobody's data alone shall roll a version back.
 * Explanations run behind another library; they count for the quarantine, and for nothing else.
 *
 * What a script asks is looked up in its grants here, before its caller hears
 * of it. A URL is taken apart more strictly than any client does, so that what
 * passes here means the same host to whoever fetches it.
 *
 * Thread: the caller's. No lock is held while the script runs. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "script/scripts_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 253, LOG_EACH_MS = 10000, HASH_SHOWN = 12 };

/* A call under way. */
struct run {
    struct pk_scripts *scripts;
    const struct pk_scripts_call *call;
    struct pk_script *script; /* That runs. */
    struct vitals *vitals;    /* Its own. */
    struct vitals *beside;    /* Of a canary: those of the version beside it; else NULL. */
    bool is_trial;
    bool is_serving; /* Its own entry, and no explanation. */
    struct answers answers;
};

/* ---- What a script may ask ---- */

static bool is_granted(const struct pk_script *script, const char *name)
{
    for (char *const *grant = script->grant; grant && *grant; grant++) {
        if (strcmp(*grant, name) == 0) {
            return true;
        }
    }
    return false;
}

static const char *after_scheme(const char *url)
{
    static const char *const scheme[] = { "https://", "http://" };
    for (size_t i = 0; i < PK_COUNT(scheme); i++) {
        if (strncasecmp(url, scheme[i], strlen(scheme[i])) == 0) {
            return url + strlen(scheme[i]);
        }
    }
    return NULL;
}

/* The host of { value: { url } } in lower case; false when it is not plainly there: nothing but
 * letters, digits, '-' and '.', and behind it the end, ':', '/', '?' or '#'. */
static bool host_of(const bson_t *question, char out[HOST_MAX + 1])
{
    bson_iter_t value, url;
    if (!bson_iter_init(&value, question) ||
        !bson_iter_find_descendant(&value, "value.url", &url) || !BSON_ITER_HOLDS_UTF8(&url)) {
        return false;
    }
    uint32_t length = 0;
    const char *text = bson_iter_utf8(&url, &length);
    const char *host = strlen(text) == length ? after_scheme(text) : NULL;
    size_t size = 0;
    for (; host && size < HOST_MAX; size++) {
        const char c = host[size];
        if (c >= 'A' && c <= 'Z') {
            out[size] = (char)(c - 'A' + 'a');
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.') {
            out[size] = c;
        } else {
            break;
        }
    }
    out[size] = '\0';
    return size > 0 && (host[size] == '\0' || strchr(":/?#", host[size]));
}

/* What the grant for a question is called. False: 'err' says what the question lacks. */
static bool grant_for(const char *name, const bson_t *question, char *out, size_t size,
                      struct pk_error *err)
{
    char host[HOST_MAX + 1];
    if (strcmp(name, "http") != 0) {
        (void)snprintf(out, size, "%s", name);
        return true;
    }
    if (!host_of(question, host)) {
        return pk_fail(err, PK_INVALID,
                       "ask as in host.ask(\"http\", { url = \"https://host/path\" })",
                       "the question 'http' has no url with a plain host name");
    }
    (void)snprintf(out, size, "http:%s", host);
    return true;
}

static bool answer_question(void *context, const char *name, const bson_t *question, bson_t *answer,
                            struct pk_error *err)
{
    struct run *run = context;
    char grant[HOST_MAX + 8];
    struct pk_error why = { 0 };
    bool is_ok = grant_for(name, question, grant, sizeof(grant), &why);

    if (is_ok && !is_granted(run->script, grant)) {
        is_ok = pk_fail(&why, PK_FORBIDDEN, "name it in 'capabilities' of the manifest",
                        "'%s' was not granted to %s '%s'", grant,
                        pk_script_kind_name(run->script->kind), run->script->id);
    } else if (is_ok) {
        is_ok = run->call->ask(run->call->context, name, question, answer, &why);
        answers_add(&run->answers, name, is_ok, answer, &why);
    }
    if (!is_ok && err) {
        *err = why;
    }
    return is_ok;
}

/* ---- Which version runs ---- */

static bool may_run(struct run *run, const struct pk_script *script, int64_t *until_ns)
{
    int64_t until = 0;
    const enum pk_quarantine_verdict verdict = pk_quarantine_ask(
        run->scripts->quarantine, script->bundle->hash, run->call->person, &until);
    run->is_trial = verdict == PK_QUARANTINE_TRIAL;
    if (verdict == PK_QUARANTINE_BARRED) {
        *until_ns = *until_ns == 0 || until < *until_ns ? until : *until_ns;
    }
    return verdict != PK_QUARANTINE_BARRED;
}

static bool fail_barred(const struct run *run, const struct pk_script *wanted, int64_t until_ns,
                        struct pk_scripts_result *result, const char *why, struct pk_error *err)
{
    const int64_t left_ms = (until_ns - pk_clock_mono_ns(run->scripts->clock)) / 1000000;
    result->retry_ms = left_ms > 1 ? left_ms : 1;
    return pk_fail(err, PK_UNAVAILABLE, "mend it and hand in a new version, or lift its quarantine",
                   "%s '%s' had to be killed too often: it rests for %lld s%s",
                   pk_script_kind_name(wanted->kind), wanted->id,
                   (long long)((result->retry_ms + 999) / 1000), why);
}

/* A canary is not stood in for here: who asked for it goes to the version beside it himself, for
 * what that makes lies elsewhere. */
static bool choose(struct run *run, const struct generation_entry *entry,
                   const struct pk_script *wanted, struct pk_scripts_result *result,
                   struct pk_error *err)
{
    int64_t until_ns = 0;

    if (wanted == entry->canary) {
        if (!may_run(run, entry->canary, &until_ns)) {
            return fail_barred(run, wanted, until_ns, result, "", err);
        }
        run->script = entry->canary;
        run->vitals = entry->canary_vitals;
        run->beside = entry->vitals;
    } else if (wanted == entry->script && may_run(run, entry->script, &until_ns)) {
        run->script = entry->script;
        run->vitals = entry->vitals;
    } else if (entry->before && may_run(run, entry->before, &until_ns)) {
        run->script = entry->before;
        run->vitals = entry->before_vitals;
    } else {
        return fail_barred(run, wanted, until_ns, result,
                           ", and there is no version before it that can serve", err);
    }
    result->ran = run->script;
    result->is_fallback = run->script != wanted;
    return true;
}

/* ---- What is learned ---- */

static bool is_failure(enum pk_jail_end end)
{
    return end != PK_JAIL_DONE && end != PK_JAIL_NOT_RUN;
}

static bool is_kill(enum pk_jail_end end)
{
    return end == PK_JAIL_KILLED || end == PK_JAIL_CRASHED;
}

static void note_quarantine(const struct run *run, enum pk_jail_end end)
{
    const struct pk_script *script = run->script;
    struct pk_scripts *scripts = run->scripts;

    if (end == PK_JAIL_NOT_RUN) {
        return; /* It says nothing about the script. */
    }
    const enum pk_quarantine_news news = pk_quarantine_note(
        scripts->quarantine, script->bundle->hash, run->call->person, is_kill(end));
    if (news != PK_QUARANTINE_NO_NEWS) {
        pk_log_error(scripts->log, "script quarantined",
                     PK_STR("for", news == PK_QUARANTINE_FOR_ONE ? "one person" : "all"),
                     PK_STR("kind", pk_script_kind_name(script->kind)), PK_STR("id", script->id),
                     PK_STR("version", script->version),
                     PK_STRN("hash", script->bundle->hash_text, HASH_SHOWN));
    } else if (run->is_trial && !is_kill(end)) {
        pk_log_info(scripts->log, "script is well again: its quarantine is over",
                    PK_STR("kind", pk_script_kind_name(script->kind)), PK_STR("id", script->id),
                    PK_STR("version", script->version));
    }
}

/* At most one line per version each 10 s; it says how many there were without one. */
static void log_failure(const struct run *run, const struct pk_jail_result *jail,
                        const struct pk_error *why)
{
    const struct pk_script *script = run->script;
    struct vitals *vitals = run->vitals;
    const int64_t now = pk_clock_mono_ns(run->scripts->clock);
    int64_t after = atomic_load_explicit(&vitals->log_after_ns, memory_order_relaxed);

    if (now < after || !atomic_compare_exchange_strong(&vitals->log_after_ns, &after,
                                                       now + LOG_EACH_MS * INT64_C(1000000))) {
        (void)atomic_fetch_add_explicit(&vitals->unsaid, 1, memory_order_relaxed);
        return;
    }
    pk_log_warn(run->scripts->log, "script failed",
                PK_STR("kind", pk_script_kind_name(script->kind)), PK_STR("id", script->id),
                PK_STR("version", script->version),
                PK_STRN("hash", script->bundle->hash_text, HASH_SHOWN),
                PK_STR("end", pk_jail_end_name(jail->end)), PK_STR("file", jail->file),
                PK_NUM("line", jail->line), PK_NUM("ms", jail->took_ns / 1000000), PK_ERR(why),
                PK_STR("trace", pk_buf_text(&jail->trace)),
                PK_NUM("unsaid", atomic_exchange(&vitals->unsaid, 0)));
}

/* Calls and failures of a version, and of the one that it is judged by. */
struct record {
    uint64_t calls, failures;
    uint64_t other_calls, other_failures;
};

static bool is_young(const struct run *run)
{
    return run->vitals->young_until_ns != 0 &&
           pk_clock_mono_ns(run->scripts->clock) < run->vitals->young_until_ns;
}

/* The rule of automatic rollback. A canary that is young no more has had many calls, so a few that
 * fail among them must be one of twenty, too. */
static bool is_doubtful(const struct run *run, struct record *out)
{
    struct vitals *vitals = run->vitals;

    vitals_totals(vitals, &out->calls, &out->failures);
    out->other_calls = vitals->before_calls;
    out->other_failures = vitals->before_failures;
    if (run->beside) {
        vitals_totals(run->beside, &out->other_calls, &out->other_failures);
    }
    if (out->failures < run->scripts->watch_failures || out->calls < run->scripts->watch_calls ||
        vitals_fails_for_one(vitals) || (!is_young(run) && out->failures * 20 < out->calls)) {
        return false;
    }
    /* failures / calls > 2 * other_failures / other_calls */
    return (double)out->failures * (double)(out->other_calls ? out->other_calls : 1) >
           2.0 * (double)out->other_failures * (double)out->calls;
}

static void watch_young(const struct run *run)
{
    struct pk_scripts *scripts = run->scripts;
    const struct vitals *vitals = run->vitals;
    struct record record;
    char reason[256];

    const bool is_watched = vitals->is_canary || (vitals->has_before && is_young(run));
    if (!scripts->doubt || !is_watched || !is_doubtful(run, &record)) {
        return;
    }
    (void)pthread_mutex_lock(&scripts->mutex);
    const bool is_new = said_add(scripts->doubted, run->script->bundle->hash);
    (void)pthread_mutex_unlock(&scripts->mutex);
    if (is_new) {
        (void)snprintf(reason, sizeof(reason),
                       "%llu of its first %llu calls failed, over twice the rate of the version "
                       "%s it (%llu of %llu)",
                       (unsigned long long)record.failures, (unsigned long long)record.calls,
                       run->beside ? "beside" : "before", (unsigned long long)record.other_failures,
                       (unsigned long long)record.other_calls);
        scripts->doubt(scripts->context, run->script, reason);
    }
}

static void learn(struct run *run, const struct pk_jail_call *jailed,
                  const struct pk_jail_result *jail, const struct pk_error *why)
{
    struct pk_scripts *scripts = run->scripts;

    note_quarantine(run, jail->end);
    if (run->is_serving) {
        vitals_count(run->vitals, run->call->person, jail->end, jail->took_ns);
    }
    if (is_failure(jail->end)) {
        vitals_note_failure(run->vitals, pk_clock_wall_ms(scripts->clock), why->message);
        log_failure(run, jail, why);
    }
    if (jail->end == PK_JAIL_KILLED) {
        repeater_add(scripts->repeater, run->script, run->vitals, jailed, &run->answers);
    }
    if (run->is_serving) {
        watch_young(run);
    }
}

/* ---- The call ---- */

bool pk_scripts_call(struct pk_scripts *scripts, struct pk_generation *generation,
                     const struct pk_script *script, const struct pk_scripts_call *call,
                     struct pk_scripts_result *result, struct pk_error *err)
{
    const struct generation_entry *entry = generation_entry_of(generation, script);
    struct run run = { .scripts = scripts, .call = call };
    struct pk_error why = { 0 };

    assert(entry);
    *result = (struct pk_scripts_result){ .jail.end = PK_JAIL_NOT_RUN };
    if (!choose(&run, entry, script, result, err)) {
        return false;
    }
    run.is_serving = !call->entry || strcmp(call->entry, run.script->entry) == 0;
    const struct pk_jail_call jailed = {
        .script = run.is_serving ? &run.script->serve : &run.script->check,
        .entry = run.is_serving ? run.script->entry : call->entry,
        .input = call->input,
        .input_size = call->input_size,
        .seed = call->seed,
        .limits = run.script->limits,
        .ask = call->ask ? answer_question : NULL,
        .context = &run,
    };
    const bool is_ok = pk_jail_call(scripts->jail, &jailed, &result->jail, &why);
    learn(&run, &jailed, &result->jail, &why);
    answers_done(&run.answers);
    if (!is_ok && err) {
        *err = why;
    }
    return is_ok;
}

void pk_scripts_result_done(struct pk_scripts_result *result)
{
    pk_jail_result_done(&result->jail);
}
