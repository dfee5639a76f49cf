/* replays.c - Mindscapes made anew, and observations forgotten.
 *
 * A dry run is answered with what would change, less what is hidden from who
 * asks. All else is a task of the person: 202 with its id. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_curation.h"
#include "persona/observation.h"
#include "persona/replay.h"

#include <stdio.h>
#include <string.h>

/* ---- Answers ---- */

static bool show(struct pk_api_call *call, const struct pk_doc *made, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(made, &view);
    return pk_call_answer(call, &view, 0, err);
}

static bool answer_task(struct pk_api_call *call, const char *task, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_replay_doc(task);
    if (!pk_call_show(call, doc, err)) {
        return false;
    }
    pk_call_wait_tasks(call, &task, 1, NULL, NULL);
    return true;
}

/* ---- One person ---- */

/* "traits/work.focus" is the trait 'work.focus'; other parts are no traits. */
static bool is_hidden(const struct pk_api_call *call, const bson_iter_t *difference)
{
    static const char prefix[] = "traits/";
    bson_iter_t path;
    if (!bson_iter_recurse(difference, &path) || !bson_iter_find(&path, "path")) {
        return true;
    }
    const char *text = bson_iter_utf8(&path, NULL);
    return strncmp(text, prefix, sizeof(prefix) - 1) == 0 &&
           pk_principal_hides(call->who, text + sizeof(prefix) - 1);
}

static void put_visible(const struct pk_api_call *call, const bson_iter_t *differences, bson_t *out)
{
    bson_iter_t each;
    bson_t list;
    char number[16];
    const char *key;
    uint32_t at = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "differences", &list);
    if (bson_iter_recurse(differences, &each)) {
        while (bson_iter_next(&each)) {
            if (!is_hidden(call, &each)) {
                (void)bson_uint32_to_string(at++, &key, number, sizeof(number));
                (void)bson_append_iter(&list, key, -1, &each);
            }
        }
    }
    bson_append_array_end(out, &list);
}

static bool answer_dry(struct pk_api_call *call, const struct pk_remake *replay,
                       struct pk_error *err)
{
    bson_t made = BSON_INITIALIZER;
    bson_t shown = BSON_INITIALIZER;
    bson_iter_t iter;
    bool ok = pk_replay_dry(call->parts->domain, call->object.person, replay, call->deadline_ns,
                            &made, err);
    if (ok && bson_iter_init(&iter, &made)) {
        while (bson_iter_next(&iter)) {
            if (strcmp(bson_iter_key(&iter), "differences") == 0) {
                put_visible(call, &iter, &shown);
            } else {
                (void)bson_append_iter(&shown, bson_iter_key(&iter), -1, &iter);
            }
        }
        ok = pk_call_answer(call, &shown, 0, err);
        call->answer->status = 200;
    }
    bson_destroy(&made);
    bson_destroy(&shown);
    return ok;
}

static bool replay_person(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_remake replay = { .processor = pk_call_text(call, "processor"),
                                      .version = pk_call_text(call, "version") };
    char task[PK_UUID_TEXT];
    if (replay.version && !replay.processor) {
        return pk_fail_field(err, PK_INVALID, "processor", "name the processor, too",
                             "a version of no processor");
    }
    if (pk_call_is(call, "dryRun")) {
        return answer_dry(call, &replay, err);
    }
    return pk_replay_person(call->parts->domain, &call->by, call->object.person, &replay, task,
                            err) &&
           answer_task(call, task, err);
}

/* ---- One observation ---- */

static bool forget(struct pk_api_call *call, struct pk_error *err)
{
    char task[PK_UUID_TEXT];
    return pk_replay_forget(call->parts->domain, &call->by, pk_doc_id(call->found), task, err) &&
           answer_task(call, task, err);
}

/* ---- All people ---- */

static bool start_all(struct pk_api_call *call, struct pk_error *err)
{
    char task[PK_UUID_TEXT];
    bson_iter_t rate;
    const double per_second =
        bson_iter_init_find(&rate, call->body, "perSecond") ? bson_iter_as_double(&rate) : 0;
    if (!pk_replay_all(call->parts->domain, &call->by, pk_call_text(call, "processor"),
                       pk_call_text(call, "version"), per_second, task, err)) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_replay_doc(task);
    return pk_call_show(call, doc, err);
}

static bool show_all(struct pk_api_call *call, struct pk_error *err)
{
    bson_t state = BSON_INITIALIZER;
    const bool ok = pk_replay_all_show(call->parts->domain, call->deadline_ns, &state, err) &&
                    pk_call_answer(call, &state, 0, err);
    bson_destroy(&state);
    return ok;
}

static bool set_pause(struct pk_api_call *call, bool is_paused, struct pk_error *err)
{
    return pk_replay_all_pause(call->parts->domain, &call->by, is_paused, err) &&
           show_all(call, err);
}

static bool pause_all(struct pk_api_call *call, struct pk_error *err)
{
    return set_pause(call, true, err);
}

static bool resume_all(struct pk_api_call *call, struct pk_error *err)
{
    return set_pause(call, false, err);
}

/* ---- Routes ---- */

static const enum pk_code conflict[] = { PK_CONFLICT, PK_OK };
static const enum pk_code start_fails[] = { PK_NOT_FOUND, PK_CONFLICT, PK_OK };

static const struct pk_param person_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = NULL },
};
static const struct pk_param observation_param[] = {
    { .name = "observation", .type = PK_PARAM_UUID, .help = "The observation's id." },
    { .name = NULL },
};

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/people/{person}/replay", PERSON_REPLAY), .lane = PK_LANE_SLOW,
      .status = 202, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .param = person_param,
      .body = &pk_schema_replay_person, .subject = pk_subject_person, .run = replay_person,
      .show = show, .answer = &pk_schema_replay_view, .id = "replayPerson", .tag = "people",
      .help = "Makes a person's mindscape anew from the person's observations, or says what that "
              "would change." },
    { PK_ROW(DELETE, "/v1/observations/{observation}", OBSERVATION_FORGET), .lane = PK_LANE_STORE,
      .status = 202, .flags = PK_ROW_WRITES | PK_ROW_WAIT, .param = observation_param,
      .subject = pk_subject_observation, .run = forget, .show = show,
      .answer = &pk_schema_replay_view, .id = "forgetObservation", .tag = "observations",
      .help = "Forgets an observation and what rested on it: the mindscape is made anew without "
              "it." },
    { PK_ROW(POST, "/v1/admin/replays", OUTBOX_MANAGE), .lane = PK_LANE_STORE, .status = 202,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE, .body = &pk_schema_replay_all, .run = start_all,
      .show = show, .answer = &pk_schema_replay_view, .id = "replayAll", .tag = "people",
      .help = "Applies a version of a processor to everybody who has sent what it takes, a few a "
              "second.",
      .fails = start_fails },
    { PK_ROW(GET, "/v1/admin/replays", OUTBOX_MANAGE), .lane = PK_LANE_STORE, .flags = PK_ROW_AFTER,
      .run = show_all, .answer = &pk_schema_replay_state, .id = "showReplayAll", .tag = "people",
      .help = "Says how far the last replay of all people has got." },
    { PK_ROW(POST, "/v1/admin/replays/pause", OUTBOX_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_WRITES, .run = pause_all, .answer = &pk_schema_replay_state,
      .id = "pauseReplayAll", .tag = "people", .help = "Lets the replay of all people rest.",
      .fails = conflict },
    { PK_ROW(POST, "/v1/admin/replays/resume", OUTBOX_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_WRITES, .run = resume_all, .answer = &pk_schema_replay_state,
      .id = "resumeReplayAll", .tag = "people", .help = "Lets it go on.", .fails = conflict },
};
const struct pk_api_table pk_api_replays_table = { row, PK_COUNT(row) };
