/* scripts_repeat.c - A call that was killed, once more and interpreted, to learn where it was.
 *
 * A loop in compiled code sees no stop signal, so its kill has no line. The
 * author needs it: one thread repeats the call in the background, with the
 * same input, seed and answers, and writes file and line to the log and to the
 * version's vitals. Once per content: further kills would say the same.
 *
 * The queue is short and holds little, and what does not fit is not repeated:
 * there will be another kill. The thread starts with the first job.
 *
 * What the script asked was answered while its caller waited. A question that
 * was not asked then, or whose answer was too much to keep, gets an error now.
 *
 * Lock: 'mutex' over the queue; not held while a call is repeated. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "script/scripts_internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    JOBS_MAX = 16,
    BYTES_MAX = 32 << 20,  /* Of inputs and answers in the queue. */
    ANSWERS_MAX = 4 << 20, /* Bytes, of one call. */
    HARD_MIN_MS = 1000,
    HARD_MAX_MS = 5000,
    ENTRY_MAX = 128
};

struct answer {
    char *name;
    bool is_ok;
    bson_t *value;       /* When 'is_ok'; else NULL. */
    struct pk_error err; /* Else. */
};

struct job {
    struct job *next;
    struct pk_script *script; /* A reference. */
    struct vitals *vitals;    /* The same. */
    bool is_check;            /* It ran behind the full library. */
    char entry[ENTRY_MAX];
    uint8_t *input;
    size_t input_size;
    uint64_t seed;
    struct answers answers;
    size_t asked; /* Questions of the repeat. */
};

struct repeater {
    struct pk_jail *jail;
    struct pk_log *log;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job *first, **last;
    size_t jobs, bytes;
    bool is_started, is_stopping;
    struct said said;
    pthread_t thread;
};

/* ---- Answers ---- */

void answers_add(struct answers *answers, const char *name, bool is_ok, const bson_t *answer,
                 const struct pk_error *err)
{
    const size_t bytes = sizeof(struct answer) + strlen(name) + (is_ok ? answer->len : 0);
    if (answers->is_cut || answers->bytes + bytes > ANSWERS_MAX) {
        answers->is_cut = true;
        return;
    }
    answers->answer = pk_realloc(answers->answer, (answers->count + 1) * sizeof(*answers->answer));
    struct answer *to = &answers->answer[answers->count++];
    *to = (struct answer){ .name = pk_strdup(name), .is_ok = is_ok, .err = *err };
    to->err.field = NULL; /* It lives no longer than the question. */
    if (is_ok) {
        to->value = bson_copy(answer);
    }
    answers->bytes += bytes;
}

void answers_done(struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        pk_free(answers->answer[i].name);
        bson_destroy(answers->answer[i].value);
    }
    pk_free(answers->answer);
    *answers = (struct answers){ 0 };
}

static bool answer_again(void *context, const char *name, const bson_t *question, bson_t *answer,
                         struct pk_error *err)
{
    struct job *job = context;
    (void)question;

    if (job->asked >= job->answers.count ||
        strcmp(job->answers.answer[job->asked].name, name) != 0) {
        return pk_fail(err, PK_NOT_FOUND, NULL, "'%s' is not answered in a repeat", name);
    }
    const struct answer *said = &job->answers.answer[job->asked++];
    if (!said->is_ok) {
        *err = said->err;
        return false;
    }
    return bson_concat(answer, said->value);
}

/* ---- Jobs ---- */

static void job_free(struct job *job)
{
    pk_script_unref(job->script);
    vitals_unref(job->vitals);
    answers_done(&job->answers);
    pk_free(job->input);
    pk_free(job);
}

static size_t job_bytes(const struct job *job)
{
    return job->input_size + job->answers.bytes;
}

static void tell(const struct repeater *repeater, const struct job *job,
                 const struct pk_jail_result *result)
{
    const struct pk_script *script = job->script;
    char where[256];

    (void)snprintf(where, sizeof(where), "%s:%u: it was here when its time was over",
                   result->file[0] ? result->file : script->serve.name, result->line);
    pk_log_warn(repeater->log, "script that was killed was repeated: it was here",
                PK_STR("kind", pk_script_kind_name(script->kind)), PK_STR("id", script->id),
                PK_STR("version", script->version), PK_STRN("hash", script->bundle->hash_text, 12),
                PK_STR("file", result->file), PK_NUM("line", result->line),
                PK_STR("trace", pk_buf_text(&result->trace)));
    vitals_note_line(job->vitals, where);
}

static void run_job(struct repeater *repeater, struct job *job)
{
    struct pk_jail_result result = { 0 };
    struct pk_error err = { 0 };
    const struct pk_jail_call call = {
        .script = job->is_check ? &job->script->check : &job->script->serve,
        .entry = job->entry,
        .input = job->input,
        .input_size = job->input_size,
        .seed = job->seed,
        .limits = job->script->limits,
        .ask = job->answers.count ? answer_again : NULL,
        .context = job,
    };
    int64_t hard_ms = 2 * job->script->limits.hard_ms;

    hard_ms = hard_ms < HARD_MIN_MS ? HARD_MIN_MS : hard_ms > HARD_MAX_MS ? HARD_MAX_MS : hard_ms;
    if (pk_jail_repeat(repeater->jail, &call, hard_ms, &result, &err)) {
        tell(repeater, job, &result);
    } else if (result.end == PK_JAIL_NOT_RUN) {
        repeater_forget(repeater, job->script->bundle->hash); /* The next kill may say more. */
    } else {
        pk_log_info(repeater->log, "script that was killed was repeated: it ended by itself",
                    PK_STR("kind", pk_script_kind_name(job->script->kind)),
                    PK_STR("id", job->script->id), PK_STR("version", job->script->version),
                    PK_ERR(&err));
    }
    pk_jail_result_done(&result);
}

/* ---- The thread ---- */

static struct job *take_job(struct repeater *repeater)
{
    struct job *job = repeater->first;
    repeater->first = job->next;
    if (!repeater->first) {
        repeater->last = &repeater->first;
    }
    repeater->jobs--;
    repeater->bytes -= job_bytes(job);
    return job;
}

static void *run_repeater(void *context)
{
    struct repeater *repeater = context;

    (void)pthread_mutex_lock(&repeater->mutex);
    while (!repeater->is_stopping) {
        if (!repeater->first) {
            (void)pthread_cond_wait(&repeater->changed, &repeater->mutex);
            continue;
        }
        struct job *job = take_job(repeater);
        (void)pthread_mutex_unlock(&repeater->mutex);
        run_job(repeater, job);
        job_free(job);
        (void)pthread_mutex_lock(&repeater->mutex);
    }
    (void)pthread_mutex_unlock(&repeater->mutex);
    return NULL;
}

/* Signals are for the main thread. */
static bool start_thread(struct repeater *repeater)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    repeater->is_started = repeater->is_started ||
                           pthread_create(&repeater->thread, NULL, run_repeater, repeater) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return repeater->is_started;
}

struct repeater *repeater_new(struct pk_jail *jail, struct pk_log *log)
{
    struct repeater *repeater = pk_calloc(1, sizeof(*repeater));
    repeater->jail = jail;
    repeater->log = log;
    repeater->last = &repeater->first;
    (void)pthread_mutex_init(&repeater->mutex, NULL);
    (void)pthread_cond_init(&repeater->changed, NULL);
    return repeater;
}

void repeater_free(struct repeater *repeater)
{
    (void)pthread_mutex_lock(&repeater->mutex);
    repeater->is_stopping = true;
    (void)pthread_cond_broadcast(&repeater->changed);
    (void)pthread_mutex_unlock(&repeater->mutex);
    if (repeater->is_started) {
        (void)pthread_join(repeater->thread, NULL);
    }
    while (repeater->first) {
        job_free(take_job(repeater));
    }
    (void)pthread_cond_destroy(&repeater->changed);
    (void)pthread_mutex_destroy(&repeater->mutex);
    pk_free(repeater);
}

/* ---- Handing over ---- */

static struct job *make_job(struct pk_script *script, struct vitals *vitals,
                            const struct pk_jail_call *call, struct answers *answers)
{
    struct job *job = pk_calloc(1, sizeof(*job));
    job->script = pk_script_ref(script);
    job->vitals = vitals_ref(vitals);
    job->is_check = call->script == &script->check;
    (void)snprintf(job->entry, sizeof(job->entry), "%s", call->entry);
    job->input = pk_alloc(call->input_size ? call->input_size : 1);
    memcpy(job->input, call->input, call->input_size);
    job->input_size = call->input_size;
    job->seed = call->seed;
    job->answers = *answers;
    *answers = (struct answers){ 0 };
    return job;
}

/* Under the mutex: room in the queue, a thread, and nothing said of it yet. */
static bool claim(struct repeater *repeater, const struct pk_script *script, size_t bytes)
{
    return !repeater->is_stopping && repeater->jobs < JOBS_MAX &&
           repeater->bytes + bytes <= BYTES_MAX && start_thread(repeater) &&
           said_add(&repeater->said, script->bundle->hash);
}

void repeater_add(struct repeater *repeater, struct pk_script *script, struct vitals *vitals,
                  const struct pk_jail_call *call, struct answers *answers)
{
    const size_t bytes = call->input_size + answers->bytes;

    (void)pthread_mutex_lock(&repeater->mutex);
    const bool is_claimed = claim(repeater, script, bytes);
    if (is_claimed) {
        repeater->jobs++; /* Its place is kept while it is made outside of the lock. */
        repeater->bytes += bytes;
    }
    (void)pthread_mutex_unlock(&repeater->mutex);
    if (!is_claimed) {
        return;
    }
    struct job *job = make_job(script, vitals, call, answers);
    (void)pthread_mutex_lock(&repeater->mutex);
    *repeater->last = job;
    repeater->last = &job->next;
    (void)pthread_cond_signal(&repeater->changed);
    (void)pthread_mutex_unlock(&repeater->mutex);
}

void repeater_forget(struct repeater *repeater, const uint8_t hash[PK_HASH_BYTES])
{
    (void)pthread_mutex_lock(&repeater->mutex);
    said_remove(&repeater->said, hash);
    (void)pthread_mutex_unlock(&repeater->mutex);
}
