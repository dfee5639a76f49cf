/* versions.c - Versions of scripts, from request to registry to answer.
 *
 * Changes are persona/registry.h's: each with its audit row and its event, in
 * one list. A script that does not pass is refused with all that was found.
 *
 * How an activation went is known after it was committed: so it is in the
 * answer that it is the reason of, and not in what is kept for repetitions. */
/* SPDX-License-Identifier: MIT */
#include "api/versions.h"

#include "access/principal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/names.h"
#include "doc/schema_scripts.h"
#include "persona/registry.h"

#include <string.h>

enum { CHANGE_MS = PK_LOADER_MAX_MS + 15000 }; /* To take a script in, and to write. */

const enum pk_code pk_versions_conflict[] = { PK_CONFLICT, PK_OK };
const enum pk_code pk_versions_refused[] = { PK_CONFLICT, PK_REFUSED, PK_BUSY, PK_OK };

static enum pk_script_kind kind_of(const struct pk_api_call *call)
{
    static const struct {
        const char *path;
        enum pk_script_kind kind;
    } table[] = { { "/v1/mappers", PK_SCRIPT_MAPPER },
                  { "/v1/processors", PK_SCRIPT_PROCESSOR },
                  { "/v1/conditions", PK_SCRIPT_CONDITION } };
    size_t i = 0;
    while (strncmp(call->row->path, table[i].path, strlen(table[i].path)) != 0) {
        i++;
    }
    return table[i].kind;
}

static const char *collection_of(const struct pk_api_call *call)
{
    return kind_of(call) == PK_SCRIPT_MAPPER ? "mappers" : "scripts";
}

static const char *id_of(const struct pk_api_call *call)
{
    return call->value[0];
}

/* NULL: the row is about the script, not one version. */
static const char *version_of(const struct pk_api_call *call)
{
    return strstr(call->row->path, "{version}") ? pk_call_value(call, "version") : NULL;
}

static struct pk_registry *registry_of(const struct pk_api_call *call)
{
    return call->parts->registry;
}

/* ---- What it is done to ---- */

bool pk_versions_name(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *id = id_of(call);
    object->mapper = kind_of(call) == PK_SCRIPT_MAPPER ? id : NULL;
    return pk_script_id_is_valid(id, strlen(id)) ||
           pk_fail_field(err, PK_INVALID, call->row->param[0].name,
                         "use 1 to 64 of a-z, 0-9, '_' and '-', the first a letter or digit",
                         "'%.64s' is not the id of a script", id);
}

/* A version is missing: who may see the script hears that it has others. */
static bool find_sibling(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *other = NULL;
    struct pk_error own = { 0 };
    if (pk_registry_get(registry_of(call), kind_of(call), id_of(call), NULL, &other, &own)) {
        return pk_fail_field(err, PK_NOT_FOUND, "version", "list its versions",
                             "'%s' has no version '%.64s'", id_of(call), version_of(call));
    }
    object->is_missing = own.code == PK_NOT_FOUND;
    if (!object->is_missing && err) {
        *err = own;
    }
    return object->is_missing;
}

bool pk_versions_find(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    struct pk_error own = { 0 };
    object->mapper = kind_of(call) == PK_SCRIPT_MAPPER ? id_of(call) : NULL;
    if (!pk_access_check(call->who, call->row->action, object, NULL)) {
        return true; /* Refused whatever is there; so not even the time says whether it is. */
    }
    if (pk_registry_get(registry_of(call), kind_of(call), id_of(call), version_of(call),
                        &call->found, &own)) {
        return true;
    }
    if (own.code == PK_NOT_FOUND && version_of(call)) {
        return find_sibling(call, object, err);
    }
    object->is_missing = own.code == PK_NOT_FOUND;
    if (!object->is_missing && err) {
        *err = own;
    }
    return object->is_missing;
}

/* ---- Showing ---- */

/* The fields that a schema has, in HTTP's spelling. */
static bool view_of(const struct pk_api_call *call, const struct pk_doc *doc,
                    const struct pk_schema *schema, bson_t *out, struct pk_error *err)
{
    bson_t whole, stored;
    bson_iter_t iter;
    pk_doc_view(doc, &stored);
    if (!pk_names_translate(collection_of(call), PK_SPELLING_STORED, PK_SPELLING_HTTP, &stored,
                            &whole, err)) {
        return pk_wrap(err, "spell the answer");
    }
    for (size_t i = 0; i < schema->count; i++) {
        if (bson_iter_init_find(&iter, &whole, schema->field[i].name)) {
            (void)bson_append_iter(out, NULL, -1, &iter);
        }
    }
    bson_destroy(&whole);
    return true;
}

/* The version of a mapper that is active, which says what is tried beside it; NULL: none, or it is
 * not asked for. */
static bool find_active(const struct pk_api_call *call, struct pk_doc **out, struct pk_error *err)
{
    struct pk_doc *doc = NULL;
    struct pk_error own = { 0 };
    *out = NULL;
    if (kind_of(call) != PK_SCRIPT_MAPPER) {
        return true;
    }
    if (!pk_registry_get(registry_of(call), PK_SCRIPT_MAPPER, id_of(call), NULL, &doc, &own)) {
        *err = own;
        return own.code == PK_NOT_FOUND;
    }
    *out = doc;
    return true;
}

/* Of a version that is tried: as the active one has it. */
static void add_canary(const struct pk_doc *doc, const struct pk_doc *active, bson_t *out)
{
    const char *tried = active ? pk_doc_text(active, "canary.version") : NULL;
    bson_t view;
    bson_iter_t iter;
    if (tried && strcmp(tried, pk_doc_text(doc, "version")) == 0) {
        pk_doc_view(active, &view);
        (void)(bson_iter_init_find(&iter, &view, "canary") &&
               bson_append_iter(out, NULL, -1, &iter));
    }
}

/* Says of a version that its content may not run; 'bars' are those of its script. */
static void add_bar(const struct pk_doc *doc, const struct pk_page *bars, bson_t *out)
{
    const char *hash = pk_doc_text(doc, "contentHash");
    for (size_t i = 0; hash && i < bars->count; i++) {
        const struct pk_doc *bar = bars->doc[i];
        const char *reason = pk_doc_text(bar, "reason");
        bson_t child;
        if (strcmp(pk_doc_id(bar), hash) == 0) {
            BSON_APPEND_DOCUMENT_BEGIN(out, "bar", &child);
            BSON_APPEND_UTF8(&child, "reason", reason ? reason : "it was rolled back");
            BSON_APPEND_DATE_TIME(&child, "since", pk_doc_date(bar, "createdAt", 0));
            bson_append_document_end(out, &child);
            return;
        }
    }
}

static bool find_bars(const struct pk_api_call *call, const char *id, struct pk_page *out,
                      struct pk_error *err)
{
    return pk_registry_barred(registry_of(call), id, PK_PAGE_MAX, out, err);
}

/* What is known of a version alone, and whether it is tried, or barred. */
static bool view_one(const struct pk_api_call *call, const struct pk_doc *doc, bson_t *out,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_page_done) struct pk_page bars = { 0 };
    const char *status = pk_doc_text(doc, "status");
    const bool may_be_tried = status && strcmp(status, "draft") == 0;
    if (!view_of(call, doc, call->row->answer, out, err) ||
        !find_bars(call, id_of(call), &bars, err) ||
        (may_be_tried && !find_active(call, &active, err))) {
        return false;
    }
    add_canary(doc, active, out);
    add_bar(doc, &bars, out);
    return true;
}

static bool answer(struct pk_api_call *call, const struct pk_doc *doc,
                   const struct pk_activation *activation, const struct pk_report *report,
                   struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t out = BSON_INITIALIZER;
    PK_CLEANUP(bson_destroy) bson_t found = BSON_INITIALIZER;
    bson_iter_t iter;
    if (!view_one(call, doc, &out, err)) {
        return false;
    }
    if (activation) {
        bson_t child;
        BSON_APPEND_DOCUMENT_BEGIN(&out, "activation", &child);
        BSON_APPEND_INT64(&child, "generation", (int64_t)activation->generation);
        BSON_APPEND_INT64(&child, "oldCalls", (int64_t)activation->old_calls);
        BSON_APPEND_INT64(&child, "tookMs", activation->took_ms);
        BSON_APPEND_INT64(&child, "examplesMs", activation->examples_ms);
        bson_append_document_end(&out, &child);
    }
    if (report && report->count > 0) {
        pk_report_put(report, &found);
        if (bson_iter_init_find(&iter, &found, "findings")) {
            (void)bson_append_iter(&out, NULL, -1, &iter);
        }
    }
    return pk_call_answer(call, &out, pk_doc_version(doc), err);
}

bool pk_versions_show(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    return answer(call, doc, NULL, NULL, err);
}

bool pk_versions_show_found(struct pk_api_call *call, struct pk_error *err)
{
    return pk_call_show(call, call->found, err);
}

/* ---- Lists ---- */

/* A list shows only what who asks may use. */
static bool is_shown(const struct pk_api_call *call, const struct pk_doc *doc)
{
    const char *id = pk_doc_text(doc, "mapperId");
    return !id || pk_principal_may_use(call->who, id);
}

static bool answer_list(struct pk_api_call *call, const char *id, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    PK_CLEANUP(pk_page_done) struct pk_page bars = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    if ((id && !find_active(call, &active, err)) || !find_bars(call, id, &bars, err) ||
        !pk_registry_list(registry_of(call), kind_of(call), id, call->limit, call->cursor, &page,
                          err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        PK_CLEANUP(bson_destroy) bson_t item = BSON_INITIALIZER;
        if (!is_shown(call, page.doc[i])) {
            continue;
        }
        if (!view_of(call, page.doc[i], call->row->answer, &item, err)) {
            return false;
        }
        add_canary(page.doc[i], active, &item);
        add_bar(page.doc[i], &bars, &item);
        if (!pk_call_list_add(call, &item, err)) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

bool pk_versions_list(struct pk_api_call *call, struct pk_error *err)
{
    return answer_list(call, NULL, err);
}

bool pk_versions_list_of(struct pk_api_call *call, struct pk_error *err)
{
    return answer_list(call, id_of(call), err);
}

/* ---- A script that does not pass ---- */

static bool has_errors(const struct pk_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->finding[i].is_error) {
            return true;
        }
    }
    return false;
}

static bool fail_script(struct pk_api_call *call, const struct pk_report *report,
                        struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t found = BSON_INITIALIZER;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_t view;
    bson_iter_t iter;
    uint32_t size = 0;
    const uint8_t *data = NULL;

    err->hint = err->hint ? pk_arena_strdup(&call->request->arena, err->hint) : NULL;
    if (err->code != PK_INVALID || !has_errors(report)) {
        return false;
    }
    err->code = PK_REFUSED;
    pk_report_put(report, &found);
    if (!bson_iter_init_find(&iter, &found, "findings")) {
        return false;
    }
    bson_iter_array(&iter, &size, &data);
    pk_buf_add_char(&text, '[');
    if (bson_init_static(&view, data, size) && bson_iter_init(&iter, &view)) {
        while (bson_iter_next(&iter)) {
            bson_t item;
            bson_iter_document(&iter, &size, &data);
            pk_buf_add_text(&text, text.size > 1 ? "," : "");
            (void)(bson_init_static(&item, data, size) &&
                   pk_json_write(&text, &item, PK_JSON_COMPACT, NULL));
        }
    }
    pk_buf_add_char(&text, ']');
    call->findings = pk_arena_strdup(&call->request->arena, pk_buf_text(&text));
    return false;
}

static void begin_change(struct pk_api_call *call)
{
    call->by.deadline_ns = pk_deadline_in_ms(call->parts->clock, CHANGE_MS);
}

/* ---- Uploads ---- */

/* "<id>.lua", "<id>.json": of what came without a name. */
static bool bundle_of_text(const struct pk_api_call *call, const char *ending, const char *text,
                           size_t size, struct pk_bundle **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *name = pk_strdupf("%.50s%s", id_of(call), ending);
    return pk_bundle_of_text(name, text, size, out, err);
}

static bool bundle_of_rules(const struct pk_api_call *call, const bson_iter_t *value,
                            struct pk_bundle **out, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    uint32_t size = 0;
    const uint8_t *data = NULL;
    bson_t view;
    bson_iter_document(value, &size, &data);
    return bson_init_static(&view, data, size) &&
           pk_json_write(&text, &view, PK_JSON_CANONICAL, err) &&
           bundle_of_text(call, ".json", pk_buf_text(&text), text.size, out, err);
}

/* One file with its signature, under the name that it is given here: that is not signed. */
static bool bundle_of_source(const struct pk_api_call *call, const bson_iter_t *value,
                             struct pk_bundle **out, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t doc = BSON_INITIALIZER;
    PK_CLEANUP(pk_freep) char *name = pk_strdupf("%.50s%%2Elua", id_of(call));
    bson_iter_t iter;
    bson_t files;
    (void)bson_append_document_begin(&doc, "files", -1, &files);
    (void)bson_append_iter(&files, name, -1, value);
    (void)bson_append_document_end(&doc, &files);
    if (bson_iter_init_find(&iter, call->body, "signature")) {
        (void)bson_append_iter(&doc, NULL, -1, &iter);
    }
    return pk_bundle_of_doc(&doc, out, err);
}

static bool bundle_of_body(const struct pk_api_call *call, struct pk_bundle **out,
                           struct pk_error *err)
{
    bson_iter_t iter;
    if (call->text) {
        return bundle_of_text(call, ".lua", call->text, call->text_size, out, err);
    }
    if (bson_iter_init_find(&iter, call->body, "source")) {
        return bundle_of_source(call, &iter, out, err);
    }
    if (bson_iter_init_find(&iter, call->body, "configuration")) {
        return bundle_of_rules(call, &iter, out, err);
    }
    return pk_bundle_of_doc(call->body, out, err);
}

/* It could be saved and not activated: then the answer says why, and it stays a draft. */
static bool activate(struct pk_api_call *call, const char *version,
                     struct pk_activation *activation, struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    return pk_registry_activate(registry_of(call), &call->by, kind_of(call), id_of(call), version,
                                activation, out, &report, err) ||
           fail_script(call, &report, err);
}

static bool may_activate(const struct pk_api_call *call, struct pk_error *err)
{
    return kind_of(call) != PK_SCRIPT_MAPPER ||
           pk_access_check(call->who, PK_ACT_MAPPER_ACTIVATE, &call->object, err);
}

static void bundle_unrefp(struct pk_bundle **bundle)
{
    pk_bundle_unref(*bundle);
}

bool pk_versions_put(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(bundle_unrefp) struct pk_bundle *bundle = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *draft = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    struct pk_activation activation;
    const bool is_activated = pk_call_number(call, "activate", 0) != 0;

    begin_change(call);
    if (is_activated && !may_activate(call, err)) {
        return false;
    }
    if (!bundle_of_body(call, &bundle, err)) {
        return false;
    }
    if (!pk_registry_draft(registry_of(call), &call->by, bundle, kind_of(call), id_of(call),
                           PK_DRAFT_STRICT, &draft, &report, err)) {
        return fail_script(call, &report, err);
    }
    if (!is_activated) {
        return answer(call, draft, NULL, &report, err);
    }
    return activate(call, pk_doc_text(draft, "version"), &activation, &active, err) &&
           answer(call, active, &activation, &report, err);
}

/* ---- What is active ---- */

bool pk_versions_activate(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    struct pk_activation activation;
    begin_change(call);
    return activate(call, version_of(call), &activation, &doc, err) &&
           answer(call, doc, &activation, NULL, err);
}

bool pk_versions_rollback(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    struct pk_activation activation;
    bson_iter_t iter;
    const char *reason =
        bson_iter_init_find(&iter, call->body, "reason") ? bson_iter_utf8(&iter, NULL) : "";
    begin_change(call);
    return pk_registry_rollback(registry_of(call), &call->by, kind_of(call), id_of(call), reason,
                                &activation, &doc, err) &&
           answer(call, doc, &activation, NULL, err);
}

bool pk_versions_deprecate(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    begin_change(call);
    return pk_registry_deprecate(registry_of(call), &call->by, kind_of(call), id_of(call),
                                 version_of(call), &doc, err) &&
           pk_call_show(call, doc, err);
}

/* ---- What is tried ---- */

bool pk_versions_canary(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    struct pk_activation activation;
    bson_iter_t iter;
    const double share =
        bson_iter_init_find(&iter, call->body, "share") ? bson_iter_as_double(&iter) : 0;
    begin_change(call);
    if (!pk_registry_canary(registry_of(call), &call->by, id_of(call), version_of(call), share,
                            &activation, &doc, &report, err)) {
        return fail_script(call, &report, err);
    }
    return answer(call, doc, &activation, NULL, err);
}

bool pk_versions_canary_end(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    struct pk_activation activation;
    begin_change(call);
    return pk_registry_canary_end(registry_of(call), &call->by, id_of(call), version_of(call), NULL,
                                  &activation, &doc, err) &&
           answer(call, doc, &activation, NULL, err);
}
