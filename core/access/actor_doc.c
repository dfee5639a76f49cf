/* actor_doc.c - An actor's document: checked as a client sends it, built, and edited.
 *
 * A document is always written whole, field by field in one order: each field
 * is what the edit says, else what the old document says, else its default.
 * The defaults allow nothing. What the schema can say (types, lengths, enums)
 * is left to the store; here is what it cannot: names of capabilities, what a
 * list of mappers, people or paths is made of, and which fields are a
 * client's to set. */
/* SPDX-License-Identifier: MIT */
#include "access/actor_internal.h"
#include "access/pepper.h"
#include "access/principal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/path.h"

#include <stdio.h>
#include <string.h>

/* ---- What a client may set ---- */

static const char *const client_field[] = {
    "actorType", "name", "description", "email", "authenticationMethod", "capabilities"
};

static bool is_star_or(const char *text, size_t size, bool (*is_valid)(const char *, size_t))
{
    return (size == 1 && *text == '*') || is_valid(text, size);
}

static bool is_mapper(const char *text, size_t size)
{
    return is_star_or(text, size, pk_script_id_is_valid);
}

static bool is_person(const char *text, size_t size)
{
    return is_star_or(text, size, pk_uuid_is_v4);
}

static bool is_path(const char *text, size_t size)
{
    return is_star_or(text, size, pk_trait_path_is_valid);
}

static bool is_grant(const char *text, size_t size)
{
    const enum pk_capability bit = pk_capability_find(text);
    (void)size;
    return bit && !pk_capability_field(bit);
}

/* Fields of 'capabilities'; what their elements must be, for lists. */
static const struct {
    const char *name;
    const char *whole; /* Its path in what a client sends; for lists. */
    const char *path;  /* Within the capabilities: its elements. */
    bool (*is_valid)(const char *text, size_t size);
    const char *hint;
} capability_field[] = {
    { "canRequestPersonas", NULL, NULL, NULL, NULL },
    { "canProvideFeedback", NULL, NULL, NULL, NULL },
    { "maxDetailLevel", NULL, NULL, NULL, NULL },
    { "allowedMappers", "capabilities.allowedMappers", "allowedMappers[]", is_mapper,
      "name mappers by their ids, or '*' for all" },
    { "grants", "capabilities.grants", "grants[]", is_grant,
      "choose from write_observations, approve, curate, author_mappers and operate" },
    { "people", "capabilities.people", "people[]", is_person,
      "name people by their ids, or '*' for all" },
    { "hiddenPaths", "capabilities.hiddenPaths", "hiddenPaths[]", is_path,
      "name traits by dot paths; each hides what is below it, too" },
};

struct elements {
    size_t row;       /* Of capability_field. */
    const char *text; /* The first that is wrong; "" for one that is no text. */
    bool is_wrong;
};

static bool check_element(void *context, const char *below, const bson_iter_t *value)
{
    struct elements *elements = context;
    uint32_t size = 0;
    (void)below;
    const char *text = BSON_ITER_HOLDS_UTF8(value) ? bson_iter_utf8(value, &size) : "";
    elements->is_wrong =
        strlen(text) != size || !capability_field[elements->row].is_valid(text, size);
    elements->text = text;
    return !elements->is_wrong;
}

static bool check_lists(const bson_t *capabilities, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(capability_field); i++) {
        struct elements elements = { .row = i };
        if (capability_field[i].path) {
            (void)pk_path_each(capabilities, capability_field[i].path, check_element, &elements);
        }
        if (elements.is_wrong) {
            return pk_fail_field(err, PK_INVALID, capability_field[i].whole,
                                 capability_field[i].hint, "'%.60s' cannot stand in '%s'",
                                 elements.text, capability_field[i].name);
        }
    }
    return true;
}

static bool is_capability_field(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(capability_field); i++) {
        if (strcmp(capability_field[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_capabilities(const bson_iter_t *value, struct pk_error *err)
{
    bson_iter_t iter;
    bson_t view;
    uint32_t size = 0;
    const uint8_t *data = NULL;

    if (!BSON_ITER_HOLDS_DOCUMENT(value)) {
        return pk_fail_field(err, PK_INVALID, "capabilities", "give an object",
                             "'capabilities' is not an object");
    }
    bson_iter_document(value, &size, &data);
    if (!bson_init_static(&view, data, size) || !bson_iter_init(&iter, &view)) {
        return pk_fail(err, PK_INVALID, NULL, "'capabilities' is damaged");
    }
    while (bson_iter_next(&iter)) {
        if (!is_capability_field(bson_iter_key(&iter))) {
            return pk_fail_field(err, PK_INVALID, "capabilities",
                                 "further capabilities are words in 'grants'",
                                 "there is no capability '%.60s'", bson_iter_key(&iter));
        }
    }
    return check_lists(&view, err);
}

static bool is_client_field(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(client_field); i++) {
        if (strcmp(client_field[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_field(const bson_iter_t *field, struct pk_error *err)
{
    const char *name = bson_iter_key(field);
    if (!is_client_field(name)) {
        return pk_fail(err, PK_INVALID,
                       "what can be set is actorType, name, description, email, "
                       "authenticationMethod and capabilities",
                       "'%.60s' of an actor cannot be set", name);
    }
    if (strcmp(name, "capabilities") == 0) {
        return check_capabilities(field, err);
    }
    if (strcmp(name, "authenticationMethod") == 0 && BSON_ITER_HOLDS_UTF8(field) &&
        strcmp(bson_iter_utf8(field, NULL), "oauth") == 0) {
        return pk_fail_field(err, PK_INVALID, "authenticationMethod",
                             "use 'api_key' or 'service_account'",
                             "authentication by 'oauth' is not offered: this server checks keys "
                             "and trusts nobody else's tokens");
    }
    return true;
}

bool actor_wanted_check(const bson_t *wanted, bool is_new, struct pk_error *err)
{
    bson_iter_t iter;

    if (!bson_iter_init(&iter, wanted)) {
        return pk_fail(err, PK_INVALID, NULL, "the actor is damaged");
    }
    while (bson_iter_next(&iter)) {
        if (!check_field(&iter, err)) {
            return false;
        }
    }
    static const char *const required[] = { "actorType", "name" };
    for (size_t i = 0; is_new && i < PK_COUNT(required); i++) {
        if (!bson_has_field(wanted, required[i])) {
            return pk_fail_field(err, PK_INVALID, required[i], "an actor has a type and a name",
                                 "'%s' is missing", required[i]);
        }
    }
    return true;
}

char *actor_wanted_email(const bson_t *wanted)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, wanted, "email") || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return NULL;
    }
    char *email = pk_strdup(bson_iter_utf8(&iter, NULL));
    for (char *c = email; *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return email;
}

char *actor_wanted_names(const bson_t *wanted)
{
    struct pk_buf names = { 0 };
    for (size_t i = 0; i < PK_COUNT(client_field); i++) {
        if (bson_has_field(wanted, client_field[i])) {
            pk_buf_printf(&names, "%s%s", names.size ? ", " : "", client_field[i]);
        }
    }
    pk_buf_add(&names, "", 0);
    char *text = pk_strdup(pk_buf_text(&names));
    pk_buf_done(&names);
    return text;
}

/* ---- Building ---- */

/* Where a field's value comes from: what is wanted, else what was. */
struct sources {
    const bson_t *wanted; /* Or NULL. */
    const bson_t *old;    /* Or NULL. */
};

static bool find_value(const struct sources *from, const char *path, bson_iter_t *out)
{
    return (from->wanted && pk_path_find(from->wanted, path, out)) ||
           (from->old && pk_path_find(from->old, path, out));
}

/* False when neither has it. */
static bool copy_value(bson_t *to, const char *name, const struct sources *from, const char *path)
{
    bson_iter_t iter;
    return find_value(from, path, &iter) && bson_append_iter(to, name, -1, &iter);
}

static void copy_text(bson_t *to, const char *name, const struct sources *from,
                      const char *fallback)
{
    if (!copy_value(to, name, from, name)) {
        BSON_APPEND_UTF8(to, name, fallback);
    }
}

static void add_email(bson_t *to, const struct sources *from)
{
    bson_iter_t iter;
    if (from->wanted && bson_iter_init_find(&iter, from->wanted, "email")) {
        PK_CLEANUP(pk_freep) char *email = actor_wanted_email(from->wanted);
        if (email) {
            BSON_APPEND_UTF8(to, "email", email);
        } else if (!BSON_ITER_HOLDS_NULL(&iter)) {
            (void)bson_append_iter(to, "email", -1, &iter); /* The schema says what is wrong. */
        }
    } else {
        (void)copy_value(to, "email", from, "email");
    }
}

static void add_default(bson_t *to, const char *name, bool is_list)
{
    bson_t empty = BSON_INITIALIZER;
    if (is_list) {
        BSON_APPEND_ARRAY(to, name, &empty);
    } else if (strcmp(name, "maxDetailLevel") == 0) {
        BSON_APPEND_UTF8(to, name, pk_detail_name(PK_DETAIL_INSTANT));
    } else {
        BSON_APPEND_BOOL(to, name, false);
    }
    bson_destroy(&empty);
}

static void add_capabilities(bson_t *to, const struct sources *from)
{
    bson_t child;
    char path[64];
    BSON_APPEND_DOCUMENT_BEGIN(to, "capabilities", &child);
    for (size_t i = 0; i < PK_COUNT(capability_field); i++) {
        const char *name = capability_field[i].name;
        (void)snprintf(path, sizeof(path), "capabilities.%s", name);
        if (!copy_value(&child, name, from, path)) {
            add_default(&child, name, capability_field[i].path != NULL);
        }
    }
    bson_append_document_end(to, &child);
}

static void add_usage(bson_t *to, const struct sources *from)
{
    bson_t child;
    if (!copy_value(to, "usageMetadata", from, "usageMetadata")) {
        BSON_APPEND_DOCUMENT_BEGIN(to, "usageMetadata", &child);
        BSON_APPEND_INT64(&child, "totalPersonasRequested", 0);
        BSON_APPEND_INT64(&child, "totalFeedbackProvided", 0);
        bson_append_document_end(to, &child);
    }
}

/* ---- Keys ---- */

const char *actor_key_text(const struct pk_doc *actor, int number, const char *field)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "apiKeys.%d.%s", number, field);
    return pk_doc_text(actor, path);
}

size_t actor_key_count(const struct pk_doc *actor)
{
    int count = 0;
    while (actor_key_text(actor, count, "keyId")) {
        count++;
    }
    return (size_t)count;
}

int actor_key_find(const struct pk_doc *actor, const char *key_id)
{
    const int count = (int)actor_key_count(actor);
    for (int i = 0; i < count; i++) {
        if (strcmp(actor_key_text(actor, i, "keyId"), key_id) == 0) {
            return i;
        }
    }
    return -1;
}

static bool is_revoked(const struct pk_doc *actor, int number)
{
    const char *status = actor_key_text(actor, number, "status");
    return !status || strcmp(status, "revoked") == 0;
}

/* A key as it was, but for its status. */
static void copy_revoked(bson_t *to, const bson_iter_t *key, int64_t now_ms)
{
    bson_iter_t field;
    if (!bson_iter_recurse(key, &field)) {
        return;
    }
    while (bson_iter_next(&field)) {
        const char *name = bson_iter_key(&field);
        if (strcmp(name, "status") != 0 && strcmp(name, "revokedAt") != 0) {
            (void)bson_append_iter(to, name, -1, &field);
        }
    }
    BSON_APPEND_DATE_TIME(to, "revokedAt", now_ms);
    BSON_APPEND_UTF8(to, "status", "revoked");
}

static void add_new_key(bson_t *to, const struct actor_edit *edit, int64_t now_ms)
{
    uint8_t hash[PK_HASH_BYTES];
    char hex[PK_HASH_TEXT];
    pk_key_hash(hash, edit->pepper, edit->new_key);
    pk_hex(hex, hash, sizeof(hash));
    BSON_APPEND_UTF8(to, "keyId", edit->new_key->id);
    BSON_APPEND_UTF8(to, "keyHash", hex);
    BSON_APPEND_UTF8(to, "pepperId", edit->pepper->id);
    BSON_APPEND_UTF8(to, "name", edit->key_name);
    BSON_APPEND_DATE_TIME(to, "createdAt", now_ms);
    if (edit->key_expires_at_ms) {
        BSON_APPEND_DATE_TIME(to, "expiresAt", edit->key_expires_at_ms);
    }
    BSON_APPEND_UTF8(to, "status", "active");
}

/* How many of the oldest revoked keys must go so that a new one has room. */
static size_t surplus(const struct pk_doc *old, const struct actor_edit *edit)
{
    const size_t count = old ? actor_key_count(old) + (edit->new_key ? 1 : 0) : 0;
    return count > PK_ACTOR_KEYS_MAX ? count - PK_ACTOR_KEYS_MAX : 0;
}

struct key_list {
    bson_t array;
    uint32_t count;
};

static void list_begin(struct key_list *list, bson_t *out_key)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%u", list->count++);
    BSON_APPEND_DOCUMENT_BEGIN(&list->array, name, out_key);
}

static void copy_keys(struct key_list *list, const struct pk_doc *old,
                      const struct actor_edit *edit, int64_t now_ms)
{
    size_t drop = surplus(old, edit);
    const int count = (int)actor_key_count(old);
    bson_t view;
    bson_t key;
    bson_iter_t iter;
    char path[32];

    pk_doc_view(old, &view);
    for (int i = 0; i < count; i++) {
        const char *id = actor_key_text(old, i, "keyId");
        const bool was_revoked = is_revoked(old, i);
        const bool is_now =
            edit->is_all_revoked || (edit->revoked_key && strcmp(edit->revoked_key, id) == 0);
        (void)snprintf(path, sizeof(path), "apiKeys.%d", i);
        if (!pk_path_find(&view, path, &iter)) {
            continue;
        }
        if (was_revoked && drop > 0) {
            drop--;
        } else if (!was_revoked && is_now) {
            list_begin(list, &key);
            copy_revoked(&key, &iter, now_ms);
            bson_append_document_end(&list->array, &key);
        } else {
            char name[16];
            (void)snprintf(name, sizeof(name), "%u", list->count++);
            (void)bson_append_iter(&list->array, name, -1, &iter);
        }
    }
}

static void add_keys(bson_t *to, const struct pk_doc *old, const struct actor_edit *edit,
                     int64_t now_ms)
{
    struct key_list list = { .array = BSON_INITIALIZER };
    bson_t key;
    if (old) {
        copy_keys(&list, old, edit, now_ms);
    }
    if (edit->new_key) {
        list_begin(&list, &key);
        add_new_key(&key, edit, now_ms);
        bson_append_document_end(&list.array, &key);
    }
    if (list.count) { /* Absent when there are none: the index on keys holds only those with. */
        BSON_APPEND_ARRAY(to, "apiKeys", &list.array);
    }
    bson_destroy(&list.array);
}

/* ---- The whole ---- */

static struct pk_doc *build(const char *id, const struct pk_doc *old, const struct actor_edit *edit,
                            int64_t now_ms)
{
    bson_t *bson = bson_new();
    bson_t view;
    struct sources from = { .wanted = edit->wanted };

    if (old) {
        pk_doc_view(old, &view);
        from.old = &view;
    }
    BSON_APPEND_UTF8(bson, "_id", id);
    (void)copy_value(bson, "actorType", &from, "actorType");
    (void)copy_value(bson, "name", &from, "name");
    copy_text(bson, "description", &from, "");
    add_email(bson, &from);
    add_capabilities(bson, &from);
    add_usage(bson, &from);
    copy_text(bson, "authenticationMethod", &from, "api_key");
    add_keys(bson, old, edit, now_ms);
    if (!copy_value(bson, "createdAt", &(struct sources){ .old = from.old }, "createdAt")) {
        BSON_APPEND_DATE_TIME(bson, "createdAt", now_ms);
    }
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    const char *status = old ? pk_doc_text(old, "status") : "active";
    BSON_APPEND_UTF8(bson, "status", edit->status ? edit->status : status ? status : "suspended");
    return pk_doc_take(bson);
}

struct pk_doc *actor_doc_new(const char *id, const struct actor_edit *edit, int64_t now_ms)
{
    char fresh[PK_UUID_TEXT];
    pk_uuid_new(fresh);
    return build(id ? id : fresh, NULL, edit, now_ms);
}

struct pk_doc *actor_doc_edit(const struct pk_doc *old, const struct actor_edit *edit,
                              int64_t now_ms)
{
    return build(pk_doc_id(old), old, edit, now_ms);
}
