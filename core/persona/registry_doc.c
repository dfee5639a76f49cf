/* registry_doc.c - A version as a document: made from a script that was taken in, edited, loaded.
 *
 * The files are what counts: a script is always made from them again. The rest
 * (name, configuration, manifest) is what its manifest said, for who reads
 * documents; the rules of a mapper that is JSON stand in its configuration when
 * they are spelt as documents have them, and in its file anyway. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/path.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* ---- Pieces of a manifest ---- */

static bool copy(bson_t *to, const char *name, const bson_t *from)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, from, name) && bson_append_iter(to, name, -1, &iter);
}

static const char *text_of(const bson_t *manifest, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, manifest, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static void copy_list(bson_t *to, const char *name, const bson_t *from)
{
    bson_t empty = BSON_INITIALIZER;
    if (!copy(to, name, from)) {
        BSON_APPEND_ARRAY(to, name, &empty);
    }
    bson_destroy(&empty);
}

/* An object that a manifest may leave out: with these lists, empty. */
static void copy_object(bson_t *to, const char *name, const bson_t *from, const char *first_list,
                        const char *second_list, const char *object)
{
    bson_t made, empty = BSON_INITIALIZER;
    if (copy(to, name, from)) {
        bson_destroy(&empty);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(to, name, &made);
    BSON_APPEND_ARRAY(&made, first_list, &empty);
    if (second_list) {
        BSON_APPEND_ARRAY(&made, second_list, &empty);
    }
    if (object) {
        BSON_APPEND_DOCUMENT(&made, object, &empty);
    }
    bson_append_document_end(to, &made);
    bson_destroy(&empty);
}

/* ---- Rules of a mapper that is JSON ---- */

static bool accept_rules(const bson_iter_t *list, bson_t *out)
{
    const struct pk_schema *schema =
        pk_schema_field(pk_inventory_find(pk_inventory_builtin(), "mappers")->schema,
                        "configuration.rules[]")
            ->of;
    bson_iter_t item;
    bool is_fit = BSON_ITER_HOLDS_ARRAY(list) && bson_iter_recurse(list, &item);
    while (is_fit && bson_iter_next(&item)) {
        struct pk_faults faults = { 0 };
        uint32_t size = 0;
        const uint8_t *data = NULL;
        bson_t view, rule;
        if (!BSON_ITER_HOLDS_DOCUMENT(&item)) {
            return false;
        }
        bson_iter_document(&item, &size, &data);
        is_fit =
            bson_init_static(&view, data, size) && pk_schema_accept(schema, &view, &rule, &faults);
        if (is_fit) {
            bson_append_document(out, bson_iter_key(&item), -1, &rule);
            bson_destroy(&rule);
        }
        pk_faults_done(&faults);
    }
    return is_fit;
}

static void add_rules(bson_t *configuration, const struct pk_bundle *bundle)
{
    const struct pk_bundle_file *file = &bundle->file[bundle->main];
    bson_t text, rules = BSON_INITIALIZER;
    bson_iter_t iter;
    if (bundle->format == PK_BUNDLE_RULES &&
        pk_json_read(&text, file->text, file->size, NULL, NULL)) {
        if ((pk_path_find(&text, "rules", &iter) ||
             pk_path_find(&text, "configuration.rules", &iter)) &&
            accept_rules(&iter, &rules)) {
            BSON_APPEND_ARRAY(configuration, "rules", &rules);
        }
        bson_destroy(&text);
    }
    bson_destroy(&rules);
}

/* ---- A draft ---- */

static void add_about(bson_t *configuration, const struct pk_script *script)
{
    static const char *const name[] = { "name", "description", "author" };
    bson_t about;
    BSON_APPEND_DOCUMENT_BEGIN(configuration, "metadata", &about);
    BSON_APPEND_UTF8(&about, "id", script->id);
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        (void)copy(&about, name[i], &script->manifest);
    }
    bson_append_document_end(configuration, &about);
}

static void add_configuration(bson_t *doc, const struct pk_script *script)
{
    const bson_t *manifest = &script->manifest;
    bson_t configuration;
    bson_init(&configuration);
    copy_list(&configuration, "requiredTraits", manifest);
    copy_list(&configuration, "optionalTraits", manifest);
    copy_list(&configuration, "knowledgeDomains", manifest);
    if (!copy(&configuration, "contextWindow", manifest)) {
        BSON_APPEND_INT64(&configuration, "contextWindow", 0);
    }
    copy_object(&configuration, "retrievalPipeline", manifest, "hotLayerQueries",
                "warmLayerQueries", NULL);
    copy_object(&configuration, "outputTemplate", manifest, "sections", NULL, "formatting");
    add_about(&configuration, script);
    add_rules(&configuration, script->bundle);
    (void)copy(&configuration, "templates", manifest);
    (void)copy(&configuration, "ttlSeconds", manifest);
    BSON_APPEND_DOCUMENT(doc, "configuration", &configuration);
    bson_destroy(&configuration);
}

/* What a mapper's document has in other fields. */
static bool is_said_elsewhere(const char *name)
{
    static const char *const said[] = {
        "id",
        "version",
        "name",
        "purpose",
        "parentVersion",
        "metadata",
        "ttlSeconds",
        "requiredTraits",
        "optionalTraits",
        "knowledgeDomains",
        "contextWindow",
        "retrievalPipeline",
        "outputTemplate",
        "templates",
    };
    for (size_t i = 0; i < PK_COUNT(said); i++) {
        if (strcmp(said[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_manifest(bson_t *doc, const struct pk_script *script)
{
    bson_iter_t iter;
    bson_t rest;
    BSON_APPEND_DOCUMENT_BEGIN(doc, "manifest", &rest);
    if (bson_iter_init(&iter, &script->manifest)) {
        while (bson_iter_next(&iter)) {
            if (script->kind != PK_SCRIPT_MAPPER || !is_said_elsewhere(bson_iter_key(&iter))) {
                (void)bson_append_iter(&rest, NULL, -1, &iter);
            }
        }
    }
    bson_append_document_end(doc, &rest);
}

static void add_mapper(bson_t *doc, const struct pk_script *script)
{
    const bson_t *manifest = &script->manifest;
    const char *name = text_of(manifest, "name");
    const char *purpose = text_of(manifest, "purpose");
    const char *description = text_of(manifest, "description");
    bson_t training;

    BSON_APPEND_UTF8(doc, "name", name ? name : script->id);
    BSON_APPEND_UTF8(doc, "purpose", purpose ? purpose : description ? description : "");
    (void)copy(doc, "parentVersion", manifest);
    add_configuration(doc, script);
    BSON_APPEND_UTF8(doc, "format", script->bundle->format == PK_BUNDLE_RULES ? "rules" : "lua");
    BSON_APPEND_DOCUMENT_BEGIN(doc, "trainingMetadata", &training);
    BSON_APPEND_INT64(&training, "totalFeedbackCount", 0);
    bson_append_document_end(doc, &training);
    BSON_APPEND_INT64(doc, "usageCount", 0);
    (void)copy(doc, "metadata", manifest);
}

struct pk_doc *registry_doc_new(const struct pk_script *script, const char *version,
                                const char *actor_id, int64_t now_ms)
{
    const struct registry_home *home = registry_home(script->kind);
    bson_t *doc = bson_new();
    char id[PK_UUID_TEXT];

    pk_uuid_new(id);
    BSON_APPEND_UTF8(doc, "_id", id);
    BSON_APPEND_UTF8(doc, home->id_field, script->id);
    BSON_APPEND_UTF8(doc, "version", version);
    if (script->kind == PK_SCRIPT_MAPPER) {
        add_mapper(doc, script);
    } else {
        BSON_APPEND_UTF8(doc, "kind", pk_script_kind_name(script->kind));
    }
    add_manifest(doc, script);
    pk_bundle_put(script->bundle, doc);
    BSON_APPEND_UTF8(doc, "contentHash", script->bundle->hash_text);
    BSON_APPEND_UTF8(doc, "status", "draft");
    BSON_APPEND_DATE_TIME(doc, "createdAt", now_ms);
    BSON_APPEND_UTF8(doc, "createdBy", actor_id);
    BSON_APPEND_DATE_TIME(doc, "updatedAt", now_ms);
    BSON_APPEND_UTF8(doc, "updatedBy", actor_id);
    return pk_doc_take(doc);
}

/* ---- What is wrong with it ---- */

static void add_finding(struct pk_report *report, const struct pk_bundle *bundle,
                        const struct pk_fault *fault)
{
    report->finding = pk_realloc(report->finding, (report->count + 1) * sizeof(*report->finding));
    report->finding[report->count++] = (struct pk_finding){
        .is_error = true,
        .file = pk_strdup(bundle->file[bundle->main].name),
        .message = pk_strdupf("'%s' must be %s, not %s", fault->path, fault->expected, fault->got),
    };
}

bool registry_doc_check(const struct pk_script *script, const struct pk_doc *doc,
                        struct pk_report *report, struct pk_error *err)
{
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    const char *collection = registry_home(script->kind)->collection;
    bson_t view;
    pk_doc_view(doc, &view);
    if (pk_schema_check(pk_inventory_find(pk_inventory_builtin(), collection)->schema, &view,
                        &faults)) {
        return true;
    }
    for (size_t i = 0; i < faults.count; i++) {
        add_finding(report, script->bundle, &faults.fault[i]);
    }
    return pk_fail(err, PK_INVALID, "say it in the manifest as the message asks for",
                   "'%.100s' must be %.60s, not %.60s", faults.fault[0].path,
                   faults.fault[0].expected, faults.fault[0].got);
}

/* ---- Changes ---- */

static bool is_edited(const char *name, const struct registry_edit *edit)
{
    return strcmp(name, "status") == 0 || strcmp(name, "updatedAt") == 0 ||
           strcmp(name, "updatedBy") == 0 || strcmp(name, "canary") == 0 ||
           (edit->previous && strcmp(name, "previousVersion") == 0) ||
           (edit->is_activated && strcmp(name, "activatedAt") == 0);
}

struct pk_doc *registry_doc_edit(const struct pk_doc *old, const struct registry_edit *edit)
{
    bson_t *doc = bson_new();
    bson_iter_t iter;
    bson_t view;

    pk_doc_view(old, &view);
    if (bson_iter_init(&iter, &view)) {
        while (bson_iter_next(&iter)) {
            if (!is_edited(bson_iter_key(&iter), edit)) {
                (void)bson_append_iter(doc, NULL, -1, &iter);
            }
        }
    }
    if (edit->previous) {
        BSON_APPEND_UTF8(doc, "previousVersion", edit->previous);
    }
    if (edit->is_activated) {
        BSON_APPEND_DATE_TIME(doc, "activatedAt", edit->now_ms);
    }
    if (edit->canary) {
        BSON_APPEND_DOCUMENT(doc, "canary", edit->canary);
    }
    BSON_APPEND_UTF8(doc, "status", edit->status);
    BSON_APPEND_DATE_TIME(doc, "updatedAt", edit->now_ms);
    BSON_APPEND_UTF8(doc, "updatedBy", edit->actor_id);
    return pk_doc_take(doc);
}

struct pk_doc *registry_doc_bar(const char *hash_text, const char *id, const char *version,
                                const char *reason, int64_t now_ms)
{
    bson_t *doc = bson_new();
    BSON_APPEND_UTF8(doc, "_id", hash_text);
    BSON_APPEND_UTF8(doc, "scriptId", id);
    BSON_APPEND_UTF8(doc, "version", version);
    BSON_APPEND_UTF8(doc, "state", "barred");
    BSON_APPEND_UTF8(doc, "reason", reason);
    BSON_APPEND_DATE_TIME(doc, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(doc, "updatedAt", now_ms);
    return pk_doc_take(doc);
}

/* ---- Reading it back ---- */

enum pk_script_kind registry_doc_kind(const struct pk_doc *doc)
{
    const char *kind = pk_doc_text(doc, "kind");
    return kind ? pk_script_kind_find(kind) : PK_SCRIPT_MAPPER;
}

const char *registry_doc_script_id(const struct pk_doc *doc)
{
    const char *id = pk_doc_text(doc, registry_home(registry_doc_kind(doc))->id_field);
    return id ? id : "";
}

bool registry_doc_load(struct pk_registry *registry, const struct pk_doc *doc,
                       struct pk_script **out, struct pk_report *report, struct pk_error *err)
{
    const char *version = pk_doc_text(doc, "version");
    struct pk_bundle *bundle = NULL;
    bson_t view;

    pk_doc_view(doc, &view);
    if (!pk_bundle_of_doc(&view, &bundle, err)) {
        return false;
    }
    const char *hash = pk_doc_text(doc, "contentHash");
    bool ok = hash && strcmp(hash, bundle->hash_text) == 0;
    if (!ok) {
        (void)pk_fail(err, PK_INVALID, "upload it again, under another version",
                      "the files are not those of its content hash");
    }
    ok = ok && pk_loader_take_again(registry->options.loader, bundle, registry_doc_kind(doc), out,
                                    report, err);
    if (ok) { /* Nobody else has it yet. */
        (void)snprintf((*out)->version, sizeof((*out)->version), "%s", version ? version : "");
    }
    pk_bundle_unref(bundle);
    return ok;
}
