/* observation_form.c - What was sent becomes one form, and every fault of it is named.
 *
 * Three things are brought into the first spelling (seeds/001) before the
 * schema is asked, in one pass over the top level; what is in it already is
 * not copied:
 *
 *     person_id, observation_type, type, metadata, id   the names of v0.2.0
 *     content without 'raw'     { structured: content, raw: its canonical JSON }
 *     metadata without 'source' { source: "api", ... }, in v0.2.0's spelling only
 *
 * Faults are told in the words that the client used. */
/* SPDX-License-Identifier: MIT */
#include "persona/observation_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/json.h"
#include "doc/path.h"
#include "doc/schema_intake.h"
#include "doc/writer.h"
#include "script/scripts.h"

#include <ctype.h>
#include <string.h>

/* ---- Into the first spelling ---- */

static const struct name {
    const char *other;
    const char *name;
} name_table[] = {
    { "person_id", "personId" }, { "observation_type", "sourceType" },
    { "type", "sourceType" },    { "metadata", "sourceMetadata" },
    { "id", "observationId" },   { "observation_id", "observationId" },
};

static const struct name *find_name(const char *other)
{
    for (size_t i = 0; i < PK_COUNT(name_table); i++) {
        if (strcmp(name_table[i].other, other) == 0) {
            return &name_table[i];
        }
    }
    return NULL;
}

/* What a look at the top level shows. */
struct shape {
    bool is_short;     /* One of v0.2.0's names is there. */
    bool has_metadata; /* In either spelling. */
    bool has_plain;    /* 'content' is an object without 'raw'. */
};

static bool is_object_with(const bson_iter_t *value, const char *name)
{
    bson_iter_t inside;
    return BSON_ITER_HOLDS_DOCUMENT(value) && bson_iter_recurse(value, &inside) &&
           bson_iter_find(&inside, name);
}

/* An object that is content itself: no 'raw', and more than the fields that go with one. An empty
 * one says nothing, which is a fault. */
static bool is_plain_content(const bson_iter_t *value)
{
    bson_iter_t inside;
    bool is_plain = false;
    if (!BSON_ITER_HOLDS_DOCUMENT(value) || !bson_iter_recurse(value, &inside)) {
        return false;
    }
    while (bson_iter_next(&inside)) {
        const char *key = bson_iter_key(&inside);
        if (strcmp(key, "raw") == 0) {
            return false;
        }
        is_plain |= strcmp(key, "mediaAttachments") != 0;
    }
    return is_plain;
}

static struct shape look(const bson_t *sent)
{
    struct shape shape = { .is_short = false };
    bson_iter_t iter;
    for (bool ok = bson_iter_init(&iter, sent); ok && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        const struct name *other = find_name(key);
        const char *name = other ? other->name : key;
        shape.is_short |= other != NULL;
        if (strcmp(name, "sourceMetadata") == 0 && !BSON_ITER_HOLDS_NULL(&iter)) {
            shape.has_metadata = true;
        } else if (strcmp(name, "content") == 0) {
            shape.has_plain |= is_plain_content(&iter);
        }
    }
    return shape;
}

static void put_text(struct pk_buf *out, const char *key, const char *text, size_t size)
{
    (void)pk_writer_key(out, BSON_TYPE_UTF8, key, strlen(key));
    pk_writer_text(out, text, size);
}

/* { source: "api", what there is } */
static void put_metadata(struct pk_buf *out, const bson_iter_t *value)
{
    bson_iter_t inside;
    (void)pk_writer_key(out, BSON_TYPE_DOCUMENT, "sourceMetadata", strlen("sourceMetadata"));
    const size_t start = pk_writer_begin(out);
    put_text(out, "source", "api", 3);
    for (bool ok = value && bson_iter_recurse(value, &inside); ok && bson_iter_next(&inside);) {
        if (strcmp(bson_iter_key(&inside), "source") != 0) { /* Of null: the same as none. */
            pk_writer_copy(out, bson_iter_key(&inside), strlen(bson_iter_key(&inside)), &inside);
        }
    }
    pk_writer_end(out, start);
}

static bool has_source(const bson_iter_t *metadata)
{
    bson_iter_t source;
    return bson_iter_recurse(metadata, &source) && bson_iter_find(&source, "source") &&
           !BSON_ITER_HOLDS_NULL(&source);
}

static bool put_canonical(struct pk_buf *out, const bson_iter_t *value, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf raw = { 0 };
    bson_t whole = BSON_INITIALIZER, object;
    uint32_t size;
    const uint8_t *data;
    bool ok;
    if (BSON_ITER_HOLDS_DOCUMENT(value)) {
        bson_iter_document(value, &size, &data);
        ok = bson_init_static(&object, data, size) &&
             pk_json_write(&raw, &object, PK_JSON_CANONICAL, err);
    } else { /* JSON writes whole objects: what stands behind {"v": and before } is the value. */
        bson_append_iter(&whole, "v", 1, value);
        ok = pk_json_write(&raw, &whole, PK_JSON_CANONICAL, err);
    }
    bson_destroy(&whole);
    if (ok && BSON_ITER_HOLDS_DOCUMENT(value)) {
        put_text(out, "raw", raw.data, raw.size);
    } else if (ok) {
        put_text(out, "raw", raw.data + 5, raw.size - 6);
    }
    return ok || pk_wrap(err, "write 'content' as JSON");
}

/* { raw: JSON of it, structured: it }; where 'structured' stands alone, it is what is meant. */
static bool put_content(struct pk_buf *out, const bson_iter_t *value, struct pk_error *err)
{
    bson_iter_t structured, inside;
    bool is_whole = true;
    (void)pk_writer_key(out, BSON_TYPE_DOCUMENT, "content", strlen("content"));
    const size_t start = pk_writer_begin(out);
    if (is_object_with(value, "structured")) {
        is_whole = false;
        for (bool ok = bson_iter_recurse(value, &inside); ok && bson_iter_next(&inside);) {
            const char *key = bson_iter_key(&inside);
            is_whole |= strcmp(key, "structured") != 0 && strcmp(key, "mediaAttachments") != 0;
        }
    }
    structured = *value;
    if (!is_whole && bson_iter_recurse(value, &inside) && bson_iter_find(&inside, "structured")) {
        structured = inside;
    }
    if (!put_canonical(out, &structured, err)) {
        return false;
    }
    pk_writer_copy(out, "structured", strlen("structured"), &structured);
    if (!is_whole && bson_iter_recurse(value, &inside) &&
        bson_iter_find(&inside, "mediaAttachments")) {
        pk_writer_copy(out, "mediaAttachments", strlen("mediaAttachments"), &inside);
    }
    pk_writer_end(out, start);
    return true;
}

static bool respell(const bson_t *sent, const struct shape *shape, struct pk_buf *out,
                    struct pk_error *err)
{
    bson_iter_t iter;
    const size_t start = pk_writer_begin(out);
    for (bool ok = bson_iter_init(&iter, sent); ok && bson_iter_next(&iter);) {
        const struct name *other = find_name(bson_iter_key(&iter));
        const char *name = other ? other->name : bson_iter_key(&iter);
        const bool is_metadata = strcmp(name, "sourceMetadata") == 0;
        if (shape->is_short && is_metadata && BSON_ITER_HOLDS_DOCUMENT(&iter) &&
            !has_source(&iter)) {
            put_metadata(out, &iter);
        } else if (shape->is_short && is_metadata && BSON_ITER_HOLDS_NULL(&iter)) {
            continue; /* The same as none. */
        } else if (strcmp(name, "content") == 0 && is_plain_content(&iter)) {
            if (!put_content(out, &iter, err)) {
                return false;
            }
        } else {
            pk_writer_copy(out, name, strlen(name), &iter);
        }
    }
    if (shape->is_short && !shape->has_metadata) {
        put_metadata(out, NULL);
    }
    pk_writer_end(out, start);
    return true;
}

/* ---- What no schema says ---- */

/* A reference names its scheme; what carries the file itself is none. */
static bool is_reference(const char *url)
{
    size_t scheme = 0;
    while (isalnum((unsigned char)url[scheme]) ||
           (scheme > 0 && strchr("+-.", url[scheme]) && url[scheme] != '\0')) {
        scheme++;
    }
    return scheme > 0 && isalpha((unsigned char)url[0]) && url[scheme] == ':' &&
           url[scheme + 1] != '\0' && strncasecmp(url, "data:", 5) != 0 &&
           strncasecmp(url, "javascript:", 11) != 0;
}

static void check_media(const bson_t *form, struct pk_faults *faults)
{
    bson_iter_t list, item;
    if (!pk_path_find(form, "content.mediaAttachments", &list) || !BSON_ITER_HOLDS_ARRAY(&list) ||
        !bson_iter_recurse(&list, &item)) {
        return;
    }
    for (int i = 0; bson_iter_next(&item); i++) {
        bson_iter_t url, type;
        char path[64];
        if (bson_iter_recurse(&item, &url) && bson_iter_find(&url, "url") &&
            BSON_ITER_HOLDS_UTF8(&url) && !is_reference(bson_iter_utf8(&url, NULL))) {
            (void)snprintf(path, sizeof(path), "content.mediaAttachments[%d].url", i);
            pk_faults_add(faults, path,
                          "the URL of a file that lies elsewhere, as in 'https://...'", "%.40s",
                          bson_iter_utf8(&url, NULL));
        }
        if (bson_iter_recurse(&item, &type) && bson_iter_find(&type, "mimeType") &&
            BSON_ITER_HOLDS_UTF8(&type) && !strchr(bson_iter_utf8(&type, NULL), '/')) {
            (void)snprintf(path, sizeof(path), "content.mediaAttachments[%d].mimeType", i);
            pk_faults_add(faults, path, "a media type, as in 'image/png'", "%.40s",
                          bson_iter_utf8(&type, NULL));
        }
    }
}

static bool is_builtin(const char *type)
{
    for (size_t i = 0; pk_observation_type[i]; i++) {
        if (strcmp(pk_observation_type[i], type) == 0) {
            return true;
        }
    }
    return false;
}

static void check_type(const struct observation_form *form, const struct pk_generation *generation,
                       struct pk_faults *faults)
{
    const struct pk_script *script;
    if (!is_builtin(form->type) &&
        (!generation || pk_generation_accepting(generation, form->type, &script, 1) == 0)) {
        pk_faults_add(faults, "sourceType", "a built-in type, or one that some processor accepts",
                      "'%.64s'", form->type);
    }
}

/* ---- Reading ---- */

static const char *text_at(const bson_t *form, const char *path)
{
    bson_iter_t iter;
    return pk_path_find(form, path, &iter) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static void pick(struct observation_form *form, const bson_t *bson)
{
    bson_iter_t iter;
    form->id = text_at(bson, "observationId");
    form->person.id = text_at(bson, "personId");
    form->person.source = text_at(bson, "externalId.source");
    form->person.external = text_at(bson, "externalId.id");
    form->type = text_at(bson, "sourceType");
    form->source = text_at(bson, "sourceMetadata.source");
    if (pk_path_find(bson, "sourceMetadata.timestamp", &iter) && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        form->has_timestamp = true;
        form->timestamp_ms = bson_iter_date_time(&iter);
    }
}

/* The name that the client has used for the first segment of a path. */
static void respell_faults(const bson_t *sent, struct pk_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        char *path = faults->fault[i].path;
        const size_t length = strcspn(path, ".[");
        bson_iter_t iter;
        for (size_t k = 0; k < PK_COUNT(name_table); k++) {
            const struct name *name = &name_table[k];
            if (strlen(name->name) == length && strncmp(name->name, path, length) == 0 &&
                bson_iter_init_find(&iter, sent, name->other)) {
                faults->fault[i].path = pk_strdupf("%s%s", name->other, path + length);
                pk_free(path);
                break;
            }
        }
    }
}

/* 'out' is initialised; false: 'err' is set, and it is not. */
static bool accept_form(const struct pk_sent *sent, bson_t *out, struct pk_faults *faults,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf bytes = { 0 };
    bson_t said, first;
    if (!bson_init_static(&said, sent->data, sent->size)) {
        return pk_fail(err, PK_INVALID, "send a JSON object", "the observation is damaged");
    }
    const struct shape shape = look(&said);
    (void)bson_init_static(&first, sent->data, sent->size);
    if (shape.is_short || shape.has_plain) {
        if (!respell(&said, &shape, &bytes, err)) {
            return false;
        }
        (void)bson_init_static(&first, (const uint8_t *)bytes.data, bytes.size);
    }
    if (!pk_schema_accept(&pk_schema_observation_new, &first, out, faults)) {
        respell_faults(&said, faults);
        return pk_faults_fail(faults, err);
    }
    return true;
}

bool observation_form_read(const struct pk_sent *sent, const struct pk_generation *generation,
                           struct observation_form *out, struct pk_faults *faults,
                           struct pk_error *err)
{
    bson_t bson, said;
    uint32_t size = 0;

    *out = (struct observation_form){ .data = NULL };
    if (!accept_form(sent, &bson, faults, err)) {
        return false;
    }
    out->data = bson_destroy_with_steal(&bson, true, &size);
    out->size = size;
    (void)bson_init_static(&bson, out->data, out->size);
    pick(out, &bson);
    check_type(out, generation, faults);
    check_media(&bson, faults);
    if (faults->count > 0 && bson_init_static(&said, sent->data, sent->size)) {
        respell_faults(&said, faults);
        return pk_faults_fail(faults, err);
    }
    return true;
}

void observation_form_done(struct observation_form *form)
{
    bson_free(form->data);
    *form = (struct observation_form){ .data = NULL };
}
