/* kit.c - A domain, put together as a server does. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/buf.h"
#include "base/id.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "feed/watch.h"
#include "net/hot.h"
#include "persona/consent.h"
#include "persona/erase.h"
#include "persona/feedback.h"
#include "persona/merge.h"
#include "persona/mindscape.h"
#include "persona/persona.h"
#include "persona/process.h"
#include "persona/replay.h"
#include "persona/train.h"
#include "persona/trait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 86400000, PATIENCE_MS = PK_TEST_PATIENCE_MS };

void kit_open(struct kit *kit)
{
    static const char *const nobody[] = { NULL };
    struct pk_policies *policies;
    pk_clock_fake_init(&kit->clock, pk_clock_wall_ms(pk_clock_system()));
    kit->bed.clock = &kit->clock.clock;
    bed_open(&kit->bed, kit->is_mongo);
    struct node *node = bed_node(&kit->bed);
    policies = pk_policies_new(kit->conflict, &kit->err);
    assert_ok(policies != NULL, &kit->err);
    struct pk_hot *hot = pk_hot_new(&(struct pk_hot_options){ .clock = &kit->clock.clock });
    kit->domain = (struct pk_domain){
        .books = &node->books,
        .scripts = node->scripts,
        .registry = node->registry,
        .hot = hot,
        .minds = pk_minds_new(hot, 0),
        .policies = policies,
        .approve_sources = kit->approve ? kit->approve : nobody,
        .data = kit->bed.folder,
        .persona_ttl_ms = DAY_MS,
        .persona_log_keep_ms = INT64_C(90) * DAY_MS,
        .tombstone_keep_ms = INT64_C(30) * DAY_MS,
    };
}

void kit_done(struct kit *kit)
{
    pk_watch_stop(kit->watch);
    if (kit->domain.outbox) {
        pk_outbox_free(kit->domain.outbox);
    }
    if (kit->domain.personas) {
        pk_personas_free(kit->domain.personas);
    }
    pk_watch_free(kit->watch);
    if (kit->domain.minds) {
        pk_minds_free(kit->domain.minds);
    }
    pk_hot_free(kit->domain.hot);
    pk_policies_free((struct pk_policies *)(uintptr_t)kit->domain.policies);
    bed_done(&kit->bed);
}

int64_t kit_now(const struct kit *kit)
{
    return pk_clock_wall_ms(&kit->clock.clock);
}

/* ---- Parts with threads ---- */

static void hear_outbox(void *context, const struct pk_feed_item *item)
{
    pk_outbox_hear(context, item);
}

/* What the persons' counters hear. */
static void hear_hot(void *context, const struct pk_feed_item *item)
{
    struct pk_hot *hot = context;
    if (item->kind == PK_FEED_GAP) {
        pk_hot_gap(hot);
    } else if (item->kind == PK_FEED_EVENT && pk_doc_text(item->doc, "userId")) {
        pk_hot_changed(hot, pk_doc_text(item->doc, "userId"));
    }
}

struct pk_outbox *kit_outbox(struct kit *kit)
{
    if (kit->domain.outbox) {
        return kit->domain.outbox;
    }
    const struct pk_task_type type[] = {
        { .name = "process_observation",
          .run = pk_process_run,
          .started = pk_process_started,
          .failed = pk_process_failed,
          .context = &kit->domain,
          .attempts_max = 2,
          .help = "Turns an observation into changes of the mindscape." },
        { .name = "replay_person",
          .run = pk_replay_run,
          .context = &kit->domain,
          .attempts_max = 2,
          .help = "Makes a mindscape anew." },
        { .name = "forget_observation",
          .run = pk_forget_run,
          .context = &kit->domain,
          .attempts_max = 2,
          .help = "Makes a mindscape anew without an observation." },
        { .name = "replay_all",
          .run = pk_replay_all_run,
          .context = &kit->domain,
          .attempts_max = 2,
          .help = "Makes the mindscapes of all people anew." },
        { .name = PK_ERASE_TASK,
          .run = pk_erase_run,
          .context = &kit->domain,
          .help = "Erases a person." },
        { .name = PK_MERGE_TASK,
          .run = pk_merge_run,
          .context = &kit->domain,
          .attempts_max = 100,
          .help = "Makes two people one." },
        { .name = PK_UNDO_TASK,
          .run = pk_merge_undo_run,
          .context = &kit->domain,
          .attempts_max = 100,
          .help = "Undoes a merge." },
        { .name = PK_PART_TASK,
          .run = pk_merge_part_run,
          .context = &kit->domain,
          .attempts_max = 100,
          .help = "Makes the mindscape of one who was merged." },
        { .name = PK_RESUME_TASK,
          .run = pk_consent_resume_run,
          .context = &kit->domain,
          .help = "Tries again what has waited for a person's consent." },
        { .name = PK_FEEDBACK_TASK,
          .run = pk_feedback_run,
          .context = &kit->domain,
          .attempts_max = 2,
          .help = "Runs the processors that accept feedback." },
        { .name = PK_TRAIN_TASK,
          .run = pk_train_run,
          .failed = pk_train_failed,
          .context = &kit->domain,
          .attempts_max = 2,
          .help = "Makes a draft of a mapper from its feedback." },
    };
    memcpy(kit->type, type, sizeof(type));
    kit->domain.outbox = pk_outbox_new(&(struct pk_outbox_options){ .books = kit->domain.books,
                                                                    .type = kit->type,
                                                                    .threads = 4,
                                                                    .keep_ms = DAY_MS,
                                                                    .backoff_ms = 1,
                                                                    .backoff_max_ms = 10,
                                                                    .sweep_ms = 200 });
    kit->watch = pk_watch_new(
        &(struct pk_watch_options){ .store = kit->bed.store, .clock = kit->bed.clock });
    pk_watch_tell(kit->watch, hear_hot, kit->domain.hot);
    pk_watch_tell(kit->watch, hear_outbox, kit->domain.outbox);
    assert_ok(pk_watch_start(kit->watch, &kit->err), &kit->err);
    assert_ok(pk_outbox_start(kit->domain.outbox, &kit->err), &kit->err);
    return kit->domain.outbox;
}

struct pk_personas *kit_personas(struct kit *kit)
{
    if (!kit->domain.personas) {
        kit->domain.personas = pk_personas_new(&kit->domain);
    }
    return kit->domain.personas;
}

static size_t count_status(struct kit *kit, const char *status)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_outbox_filter filter = { .status = status };
    assert_ok(pk_outbox_list(kit->domain.books, &filter, 1, NULL, &page, &kit->err), &kit->err);
    return page.count;
}

/* The clock is moved with the waiting, so that what is to be tried again later is. A task may end
 * and leave another one between two looks, so nothing is to be seen several times in a row. */
void kit_work(struct kit *kit)
{
    int quiet = 0;
    (void)kit_outbox(kit);
    for (int waited = 0; quiet < 4; waited++) {
        assert_true(waited < PATIENCE_MS);
        const size_t open = count_status(kit, "pending") + count_status(kit, "in_progress");
        quiet = open == 0 ? quiet + 1 : 0;
        if (open > 0) {
            pk_clock_fake_advance(&kit->clock, 1);
            bed_pause();
        }
    }
}

/* ---- Scripts ---- */

void kit_script(struct kit *kit, enum pk_script_kind kind, const char *format, ...)
{
    char text[16384];
    struct node *node = &kit->bed.node[0];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    struct pk_report again = { 0 };
    struct pk_bundle *bundle;
    va_list args;

    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(size > 0 && (size_t)size < sizeof(text));
    bundle = lua_text("script.lua", "local pk = require \"personakit\"\n%s", text);
    if (!pk_registry_draft(node->registry, &kit->bed.by, bundle, kind, NULL, PK_DRAFT_RENAME, &doc,
                           &report, &kit->err)) {
        struct pk_buf said = { 0 };
        pk_report_print(&report, &said);
        fail_msg("%s", pk_buf_text(&said));
    }
    pk_bundle_unref(bundle);
    const char *field = kind == PK_SCRIPT_MAPPER ? "mapperId" : "scriptId";
    const bool ok =
        pk_registry_activate(node->registry, &kit->bed.by, kind, pk_doc_text(doc, field),
                             pk_doc_text(doc, "version"), NULL, NULL, &again, &kit->err);
    pk_report_done(&again);
    assert_ok(ok, &kit->err);
}

void kit_processor(struct kit *kit, const char *id, const char *version, const char *type,
                   const char *body)
{
    kit_script(kit, PK_SCRIPT_PROCESSOR,
               "return pk.processor {\n"
               "  id = \"%s\", version = \"%s\", accepts = { \"%s\" }, " AT_LEISURE "\n"
               "  process = function(obs, m, t, ctx)\n"
               "    local s = obs.content.structured\n"
               "    %s\n"
               "  end,\n"
               "}\n",
               id, version, type, body);
}

void kit_mapper(struct kit *kit, const char *id, const char *version, const char *body)
{
    kit_script(kit, PK_SCRIPT_MAPPER,
               "return pk.mapper {\n"
               "  id = \"%s\", version = \"%s\", ttl = \"1h\", " AT_LEISURE "\n"
               "  core = function(m, ctx)\n"
               "    %s\n"
               "  end,\n"
               "}\n",
               id, version, body);
}

/* ---- Documents ---- */

static void __attribute__((format(printf, 2, 0)))
read_json(bson_t *out, const char *format, va_list args)
{
    struct pk_error err = { 0 };
    char *text = NULL;
    const int size = vasprintf(&text, format, args);
    assert_true(size >= 0);
    for (char *at = text; *at; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    const bool ok = pk_json_read(out, text, (size_t)size, NULL, &err);
    free(text);
    assert_ok(ok, &err);
}

void kit_json(bson_t *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    read_json(out, format, args);
    va_end(args);
}

void kit_put(struct kit *kit, const char *collection, const char *format, ...)
{
    const struct pk_collection *row = pk_inventory_find(pk_inventory_builtin(), collection);
    struct pk_faults faults = { 0 };
    struct pk_writes list = { 0 };
    bson_t json, stored;
    va_list args;

    assert_non_null(row);
    va_start(args, format);
    read_json(&json, format, args);
    va_end(args);
    if (!pk_schema_accept(row->schema, &json, &stored, &faults)) {
        (void)pk_faults_fail(&faults, &kit->err);
        fail_msg("%s", kit->err.message);
    }
    bson_destroy(&json);
    struct pk_doc *doc = pk_doc_new(&stored);
    bson_destroy(&stored);
    pk_writes_insert(&list, collection, doc);
    pk_doc_unref(doc);
    const bool ok = pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err);
    pk_writes_done(&list);
    assert_ok(ok, &kit->err);
}

void kit_person(struct kit *kit, char out[PK_UUID_TEXT])
{
    char now[PK_TIME_TEXT];
    struct pk_writes list = { 0 };
    pk_uuid_new(out);
    pk_time_format(kit_now(kit), now);
    kit_put(kit, "people", "{'_id': '%s', 'createdAt': '%s', 'updatedAt': '%s'}", out, now, now);
    struct pk_doc *empty = pk_mindscape_empty(out, kit_now(kit));
    pk_writes_insert(&list, "mindscapes", empty);
    pk_doc_unref(empty);
    const bool ok = pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err);
    pk_writes_done(&list);
    assert_ok(ok, &kit->err);
}

void kit_observe_as(struct kit *kit, const char *person, const char *type, const char *structured,
                    const char *status, char out[PK_UUID_TEXT])
{
    char now[PK_TIME_TEXT];
    char task[PK_UUID_TEXT];
    struct pk_writes list = { 0 };
    bson_t payload = BSON_INITIALIZER;
    pk_uuid_new(out);
    pk_clock_fake_advance(&kit->clock, 1); /* Tasks of the same instant have no order. */
    pk_time_format(kit_now(kit), now);
    kit_put(kit, "observations",
            "{'_id': '%s', 'userId': '%s', 'sourceType': '%s', 'sourceMetadata': {'source': 'kit'},"
            " 'content': {'raw': 'as structured', 'structured': %s},"
            " 'processingStatus': '%s', 'approvalMetadata': {'policy': 'automatic'},"
            " 'effectiveAt': '%s', 'createdAt': '%s', 'updatedAt': '%s', 'version': 1}",
            out, person, type, structured, status, now, now, now);
    BSON_APPEND_UTF8(&payload, "observationId", out);
    pk_task_add(&list, kit->domain.books,
                &(struct pk_task_new){
                    .type = "process_observation", .person = person, .payload = &payload },
                task);
    pk_news_add(&list, kit->domain.books,
                &(struct pk_news){
                    .type = "observation.accepted",
                    .entity_type = "observation",
                    .entity_id = out,
                    .person = person,
                    .fact = (const struct pk_fact[]){ { "taskId", task }, { NULL, NULL } } });
    const bool ok = pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err);
    pk_writes_done(&list);
    bson_destroy(&payload);
    assert_ok(ok, &kit->err);
}

void kit_observe(struct kit *kit, const char *person, const char *type, const char *structured,
                 char out[PK_UUID_TEXT])
{
    kit_observe_as(kit, person, type, structured, "approved", out);
}

void kit_drop(struct kit *kit, const char *collection, const char *id)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(kit, collection, id);
    struct pk_writes list = { 0 };
    pk_writes_delete(&list, collection, id, pk_doc_version(doc));
    const bool ok = pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err);
    pk_writes_done(&list);
    assert_ok(ok, &kit->err);
}

struct pk_doc *kit_get(struct kit *kit, const char *collection, const char *id)
{
    struct pk_doc *doc = NULL;
    assert_ok(pk_store_get(kit->bed.store, collection, id, 0, &doc, &kit->err), &kit->err);
    return doc;
}

size_t kit_count(struct kit *kit, const char *collection, const char *path, const char *text)
{
    return count_where(&kit->bed, collection, path, text);
}

char *kit_text(const bson_t *bson)
{
    struct pk_buf text = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_json_write(&text, bson, PK_JSON_CANONICAL, &err), &err);
    return pk_buf_take(&text);
}
