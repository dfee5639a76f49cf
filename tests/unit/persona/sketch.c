/* sketch.c - A mindscape, written by hand. */
/* SPDX-License-Identifier: MIT */
#include "sketch.h"

#include "base/buf.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/schema.h"
#include "net/hot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sketch_open(struct sketch *sketch, struct kit *kit)
{
    sketch->kit = kit;
    kit_person(kit, sketch->person);
}

struct sketch_trait *sketch_trait(struct sketch *sketch, const char *path, const char *value)
{
    struct sketch_trait *trait = sketch->trait;
    while (trait < sketch->trait + sketch->trait_count && strcmp(trait->path, path) != 0) {
        trait++;
    }
    if (trait == sketch->trait + sketch->trait_count) {
        assert_true(sketch->trait_count < SKETCH_MAX);
        sketch->trait_count++;
        (void)snprintf(trait->path, sizeof(trait->path), "%s", path);
    }
    (void)snprintf(trait->value, sizeof(trait->value), "%s", value ? value : "");
    trait->is_there = value != NULL;
    trait->confidence = 0.9;
    trait->updated_ms = kit_now(sketch->kit);
    trait->from_ms = 0;
    trait->v = sketch->version + 1;
    sketch->has_changed = true;
    return trait;
}

void sketch_now(struct sketch *sketch, const char *key, const char *value, int64_t until_ms)
{
    struct sketch_now *now = sketch->now;
    while (now < sketch->now + sketch->now_count && strcmp(now->key, key) != 0) {
        now++;
    }
    if (now == sketch->now + sketch->now_count) {
        assert_true(sketch->now_count < SKETCH_MAX);
        sketch->now_count++;
        (void)snprintf(now->key, sizeof(now->key), "%s", key);
    }
    (void)snprintf(now->value, sizeof(now->value), "%s", value ? value : "");
    now->is_there = value != NULL;
    now->until_ms = until_ms;
    now->v = sketch->version + 1;
    sketch->has_changed = true;
}

void sketch_goal(struct sketch *sketch, const char *text)
{
    (void)snprintf(sketch->goal, sizeof(sketch->goal), "%s", text ? text : "");
    sketch->goals_v = sketch->version + 1;
    sketch->has_changed = true;
}

void sketch_fold(struct sketch *sketch)
{
    for (size_t i = 0; i < sketch->trait_count; i++) {
        if (!sketch->trait[i].is_there && sketch->trait[i].v > 0) {
            sketch->floor = sketch->trait[i].v > sketch->floor ? sketch->trait[i].v : sketch->floor;
            sketch->trait[i].v = 0;
        }
    }
    sketch->has_changed = true;
}

/* ---- The document ---- */

static void put_row(struct pk_buf *text, const char *kind, const char *key, int64_t v)
{
    if (v > 0) {
        pk_buf_printf(text, "%s{'kind': '%s'%s%s%s, 'v': %lld}",
                      text->data[text->size - 1] == '[' ? "" : ", ", kind, key ? ", 'key': '" : "",
                      key ? key : "", key ? "'" : "", (long long)v);
    }
}

static void put_traits(struct pk_buf *text, const struct sketch *sketch)
{
    for (size_t i = 0; i < sketch->trait_count; i++) {
        const struct sketch_trait *trait = &sketch->trait[i];
        char updated[PK_TIME_TEXT], from[PK_TIME_TEXT];
        if (!trait->is_there) {
            continue;
        }
        pk_time_format(trait->updated_ms, updated);
        pk_time_format(trait->from_ms, from);
        pk_buf_printf(text,
                      "%s{'id': '%s', 'category': 'test', 'value': %s, 'dataType': 'categorical', "
                      "'volatility': 'medium', 'confidence': %.17g, 'updatedAt': '%s', "
                      "'sources': [], 'pinned': %s%s%s%s}",
                      text->data[text->size - 1] == '[' ? "" : ", ", trait->path, trait->value,
                      trait->confidence, updated, trait->is_pinned ? "true" : "false",
                      trait->from_ms ? ", 'validFrom': '" : "", trait->from_ms ? from : "",
                      trait->from_ms ? "'" : "");
    }
}

static void put_now(struct pk_buf *text, const struct sketch *sketch)
{
    bool is_first = true;
    pk_buf_add_text(text, "'highVolatileCache': {");
    for (size_t i = 0; i < sketch->now_count; i++) {
        if (sketch->now[i].is_there) {
            pk_buf_printf(text, "%s'%s': %s", is_first ? "" : ", ", sketch->now[i].key,
                          sketch->now[i].value);
            is_first = false;
        }
    }
    is_first = true;
    pk_buf_add_text(text, "}, 'highVolatileUntil': {");
    for (size_t i = 0; i < sketch->now_count; i++) {
        char until[PK_TIME_TEXT];
        if (sketch->now[i].is_there && sketch->now[i].until_ms) {
            pk_time_format(sketch->now[i].until_ms, until);
            pk_buf_printf(text, "%s'%s': '%s'", is_first ? "" : ", ", sketch->now[i].key, until);
            is_first = false;
        }
    }
    pk_buf_add_text(text, "}, ");
}

static void put_goal(struct pk_buf *text, const struct sketch *sketch, const char *now)
{
    pk_buf_add_text(text, "'goals': [");
    if (sketch->goal[0]) {
        pk_buf_printf(text,
                      "{'goalId': '11111111-1111-4111-8111-111111111111', 'description': '%s', "
                      "'timeframe': 'short_term', 'priority': 'low', 'volatility': 'low', "
                      "'derivedFrom': [], 'confidence': 0.5, 'createdAt': '%s', "
                      "'updatedAt': '%s'}",
                      sketch->goal, now, now);
    }
    pk_buf_add_text(text, "], ");
}

void sketch_document(const struct sketch *sketch, bson_t *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_faults faults = { 0 };
    struct pk_error err = { 0 };
    char now[PK_TIME_TEXT];
    bson_t json;

    pk_time_format(kit_now(sketch->kit), now);
    pk_buf_printf(&text,
                  "{'_id': '%s', 'version': %lld, 'createdAt': '%s', 'lastUpdated': '%s', "
                  "'narrative': {'summary': '', 'keyThemes': [], 'lastUpdated': '%s'}, "
                  "'beliefs': [], ",
                  sketch->person, (long long)sketch->version, now, now, now);
    put_goal(&text, sketch, now);
    put_now(&text, sketch);
    pk_buf_add_text(&text, "'traits': [");
    put_traits(&text, sketch);
    pk_buf_add_text(&text, "], 'versions': [");
    for (size_t i = 0; i < sketch->trait_count; i++) {
        put_row(&text, "trait", sketch->trait[i].path, sketch->trait[i].v);
    }
    for (size_t i = 0; i < sketch->now_count; i++) {
        put_row(&text, "hot", sketch->now[i].key, sketch->now[i].v);
    }
    put_row(&text, "goals", NULL, sketch->goals_v);
    pk_buf_printf(&text,
                  "], 'floor': %lld, 'seq': 0, 'epoch': 0, 'processingMetadata': "
                  "{'totalObservationsProcessed': 0, 'lastProcessingDuration': 0}}",
                  (long long)sketch->floor);
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] = text.data[i] == '\'' ? '"' : text.data[i];
    }
    assert_ok(pk_json_read(&json, text.data, text.size, NULL, &err), &err);
    if (!pk_schema_accept(pk_inventory_find(pk_inventory_builtin(), "mindscapes")->schema, &json,
                          out, &faults)) {
        (void)pk_faults_fail(&faults, &err);
        fail_msg("%s", err.message);
    }
    bson_destroy(&json);
}

void sketch_write(struct sketch *sketch)
{
    struct kit *kit = sketch->kit;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = kit_get(kit, "mindscapes", sketch->person);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    struct pk_writes list = { 0 };
    bson_t made;

    sketch->version += sketch->has_changed;
    sketch->has_changed = false;
    sketch_document(sketch, &made);
    doc = pk_doc_new(&made);
    bson_destroy(&made);
    pk_writes_replace(&list, "mindscapes", doc, pk_doc_version(before));
    pk_news_add(&list, kit->domain.books,
                &(struct pk_news){ .type = "mindscape.updated",
                                   .entity_type = "mindscape",
                                   .entity_id = sketch->person,
                                   .service = "test",
                                   .person = sketch->person,
                                   .version = sketch->version });
    const bool ok = pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err);
    pk_writes_done(&list);
    assert_ok(ok, &kit->err);
    pk_hot_changed(kit->domain.hot, sketch->person); /* As the feed's listener does. */
}
