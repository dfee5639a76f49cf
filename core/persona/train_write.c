/* train_write.c - Changes become a 'tuning.json' over the parent's, and a draft that was tried out.
 *
 * The parent's tuning is kept where nothing new is said. The draft is loaded as
 * every draft is: it compiles, its limits are checked, its own examples run. */
/* SPDX-License-Identifier: MIT */
#include "persona/train_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "persona/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { VERSIONS_MAX = 1000 }; /* That are taken already, behind the parent. */

/* ---- The parent's tuning ---- */

void train_tuning(const struct train *train, bson_t *out)
{
    const struct pk_bundle_file *file = train->script->bundle->tuning;
    if (!file || !pk_json_read(out, file->text, file->size, NULL, NULL)) {
        bson_init(out);
    }
}

/* The object 'name' in an object; its keys are escaped. */
static bool find_object(const bson_t *of, const char *name, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    if (!bson_iter_init_find(&iter, of, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

bool train_tuned(const bson_t *tuning, const char *name, enum train_field field, bson_iter_t *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf key = { 0 };
    bson_t section, rule;
    pk_key_escape(&key, name, strlen(name));
    if (field == TRAIN_SETTING) {
        return find_object(tuning, "config", &section) &&
               bson_iter_init_find(out, &section, pk_buf_text(&key));
    }
    return find_object(tuning, "rules", &section) &&
           find_object(&section, pk_buf_text(&key), &rule) &&
           bson_iter_init_find(out, &rule, train_field_name[field]);
}

/* ---- The new one ---- */

/* One change: { ruleId | setting, field, value, ... }. */
struct change {
    const char *name;
    enum train_field field;
    bson_iter_t value;
};

static bool read_change(const bson_iter_t *item, struct change *out)
{
    bson_iter_t iter;
    out->name = NULL;
    out->field = TRAIN_FIELDS;
    bool has_value = false;
    if (!BSON_ITER_HOLDS_DOCUMENT(item) || !bson_iter_recurse(item, &iter)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "ruleId") == 0 || strcmp(key, "setting") == 0) {
            out->name = bson_iter_utf8(&iter, NULL);
        } else if (strcmp(key, "field") == 0) {
            out->field = train_field_find(bson_iter_utf8(&iter, NULL));
        } else if (strcmp(key, "value") == 0) {
            out->value = iter;
            has_value = true;
        }
    }
    return out->name && out->field < TRAIN_FIELDS && has_value;
}

static bool find_change(const bson_t *changes, const char *name, enum train_field field,
                        bson_iter_t *out)
{
    bson_iter_t item;
    for (bool more = bson_iter_init(&item, changes); more && bson_iter_next(&item);) {
        struct change change;
        if (read_change(&item, &change) && change.field == field &&
            strcmp(change.name, name) == 0) {
            *out = change.value;
            return true;
        }
    }
    return false;
}

/* What training has said of one rule so far, with the new. */
static void put_rule(const struct train *train, const bson_t *old, const char *name, bson_t *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf key = { 0 };
    bson_t rule;
    bson_iter_t value;
    pk_key_escape(&key, name, strlen(name));
    if (bson_has_field(out, pk_buf_text(&key))) {
        return;
    }
    (void)bson_append_document_begin(out, pk_buf_text(&key), (int)key.size, &rule);
    for (enum train_field field = TRAIN_OFF; field < TRAIN_RULE_FIELDS; field++) {
        if (find_change(&train->changes, name, field, &value) ||
            train_tuned(old, name, field, &value)) {
            (void)bson_append_iter(&rule, train_field_name[field], -1, &value);
        }
    }
    (void)bson_append_document_end(out, &rule);
}

static void put_setting(const struct train *train, const bson_t *old, const char *name, bson_t *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf key = { 0 };
    bson_iter_t value;
    pk_key_escape(&key, name, strlen(name));
    if (!bson_has_field(out, pk_buf_text(&key)) &&
        (find_change(&train->changes, name, TRAIN_SETTING, &value) ||
         train_tuned(old, name, TRAIN_SETTING, &value))) {
        (void)bson_append_iter(out, pk_buf_text(&key), (int)key.size, &value);
    }
}

/* Everything that was tuned before, then what is new. */
static void put_section(const struct train *train, const bson_t *old, const char *section,
                        bool is_rules, bson_t *tuning)
{
    bson_t was, made;
    bson_iter_t iter;
    void (*put)(const struct train *, const bson_t *, const char *, bson_t *) =
        is_rules ? put_rule : put_setting;
    (void)bson_append_document_begin(tuning, section, -1, &made);
    if (find_object(old, section, &was) && bson_iter_init(&iter, &was)) {
        while (bson_iter_next(&iter)) {
            PK_CLEANUP(pk_buf_done) struct pk_buf name = { 0 };
            pk_key_unescape(&name, bson_iter_key(&iter), bson_iter_key_len(&iter));
            put(train, old, pk_buf_text(&name), &made);
        }
    }
    for (bool more = bson_iter_init(&iter, &train->changes); more && bson_iter_next(&iter);) {
        struct change change;
        if (read_change(&iter, &change) && (change.field == TRAIN_SETTING) != is_rules) {
            put(train, old, change.name, &made);
        }
    }
    (void)bson_append_document_end(tuning, &made);
}

static bool write_tuning(const struct train *train, struct pk_buf *out, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t tuning = BSON_INITIALIZER;
    PK_CLEANUP(bson_destroy) bson_t old;
    train_tuning(train, &old);
    BSON_APPEND_UTF8(&tuning, "version", train->version);
    BSON_APPEND_UTF8(&tuning, "parentVersion", train->parent);
    put_section(train, &old, "rules", true, &tuning);
    put_section(train, &old, "config", false, &tuning);
    return pk_json_write(out, &tuning, PK_JSON_PRETTY, err);
}

/* ---- The draft ---- */

/* The first patch behind the parent's that there is no version of. */
static bool pick_version(struct train *train, struct pk_error *err)
{
    struct pk_semver parent;
    if (!pk_semver_parse(train->parent, strlen(train->parent), &parent)) {
        return pk_fail(err, PK_INVALID, "give the version a semantic one",
                       "'%.90s' is no version to go on from", train->parent);
    }
    for (unsigned i = 1; i <= VERSIONS_MAX; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *there = NULL;
        struct pk_error why = { 0 };
        (void)snprintf(train->version, sizeof(train->version), "%" PRIu64 ".%" PRIu64 ".%" PRIu64,
                       parent.major, parent.minor, parent.patch + i);
        if (!pk_registry_get(train->domain->registry, PK_SCRIPT_MAPPER, train->mapper,
                             train->version, &there, &why)) {
            if (why.code == PK_NOT_FOUND) {
                return true;
            }
            *err = why;
            return pk_wrap(err, "look for a free version");
        }
    }
    return pk_fail(err, PK_CONFLICT, "train from a later version",
                   "the %d versions behind %s are all there", VERSIONS_MAX, train->parent);
}

/* What the specification calls trainingMetadata. */
static void make_metadata(const struct train *train, bson_t *out)
{
    BSON_APPEND_INT64(out, "totalFeedbackCount", train->incorporated);
    if (train->rated > 0) {
        BSON_APPEND_DOUBLE(out, "averageEffectivenessScore",
                           (double)train->ratings / (double)train->rated);
    }
    BSON_APPEND_DATE_TIME(out, "lastTrainingRun", pk_clock_wall_ms(train->domain->books->clock));
    if (train->task) {
        BSON_APPEND_UTF8(out, "trainingDatasetId", train->task->id);
    }
}

/* The first error of a report says most; of many it is said how many there are. */
static void note_problem(struct train *train, const struct pk_report *report,
                         const struct pk_error *err)
{
    size_t errors = 0;
    for (size_t i = 0; i < report->count; i++) {
        errors += report->finding[i].is_error;
    }
    if (errors > 1) {
        (void)snprintf(train->problem, sizeof(train->problem), "%s (and %zu more)", err->message,
                       errors - 1);
    } else {
        (void)snprintf(train->problem, sizeof(train->problem), "%s", err->message);
    }
}

bool train_draft(struct train *train, struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    PK_CLEANUP(bson_destroy) bson_t metadata = BSON_INITIALIZER;
    const struct pk_by by = { .actor_id = train->actor, .deadline_ns = train->deadline_ns };
    struct pk_bundle *bundle = NULL;

    if (!pick_version(train, err) || !write_tuning(train, &text, err) ||
        !pk_bundle_tune(train->script->bundle, pk_buf_text(&text), text.size, &bundle, err)) {
        train->version[0] = '\0';
        return pk_wrap(err, "make the draft");
    }
    make_metadata(train, &metadata);
    const bool ok = pk_registry_prepare(train->domain->registry, &by, bundle, train->mapper,
                                        &metadata, out, &report, err);
    pk_bundle_unref(bundle);
    if (!ok) {
        note_problem(train, &report, err);
        train->version[0] = '\0';
    }
    return ok || pk_wrap(err, "the draft does not pass");
}
