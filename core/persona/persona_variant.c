/* persona_variant.c - What makes one persona of a person, mapper and detail differ from another.
 *
 * Four things can: values of the request that the mapper declares ('context'
 * in its manifest), the version that a canary gives to this person, the purpose
 * that consent was asked for, and what is hidden from who asks. In the common
 * case there is none of them, and the persona has no variant. Else the variant
 * is a hash of them. A value that the mapper does not declare is not handed to
 * it, so it can make no difference. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/path.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 8 };

/* 'taskType' and 'taskDescription' are seen as ctx.task, too. */
static void add_task(bson_t *task, const char *name, const bson_iter_t *value)
{
    static const struct {
        const char *sent, *seen;
    } row[] = { { "taskType", "type" }, { "taskDescription", "description" } };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        if (strcmp(row[i].sent, name) == 0) {
            (void)bson_append_iter(task, row[i].seen, -1, value);
        }
    }
}

/* Those values of the request that the mapper declares, in its order. */
static void add_declared(struct variant *variant, const struct pk_map_request *request,
                         const struct pk_script *mapper)
{
    bson_iter_t declared, list, value;
    if (!request->context || !bson_iter_init_find(&declared, &mapper->manifest, "contextValues") ||
        !BSON_ITER_HOLDS_ARRAY(&declared) || !bson_iter_recurse(&declared, &list)) {
        return;
    }
    while (bson_iter_next(&list)) {
        const char *name = BSON_ITER_HOLDS_UTF8(&list) ? bson_iter_utf8(&list, NULL) : "";
        if (*name && !bson_has_field(&variant->context, name) &&
            bson_iter_init_find(&value, request->context, name)) {
            (void)bson_append_iter(&variant->context, name, -1, &value);
            add_task(&variant->task, name, &value);
        }
    }
}

static void set_name(struct variant *variant)
{
    uint8_t hash[PK_HASH_BYTES];
    variant->name[0] = '\0';
    if (!bson_empty(&variant->values)) {
        pk_hash(hash, bson_get_data(&variant->values), variant->values.len, NULL, 0);
        pk_hex(variant->name, hash, NAME_BYTES);
    }
}

static void fill(struct variant *variant, const struct pk_map_request *request,
                 const struct pk_script *mapper, bool has_hidden, const char *canary)
{
    bson_init(&variant->values);
    bson_init(&variant->context);
    bson_init(&variant->task);
    add_declared(variant, request, mapper);
    if (!bson_empty(&variant->context)) {
        BSON_APPEND_DOCUMENT(&variant->values, "context", &variant->context);
    }
    if (canary) {
        BSON_APPEND_UTF8(&variant->values, "canary", canary);
    }
    if (request->purpose) {
        BSON_APPEND_UTF8(&variant->values, "purpose", request->purpose);
    }
    if (has_hidden) {
        char text[2 * sizeof(request->who->hidden_id) + 1];
        pk_hex(text, request->who->hidden_id, sizeof(request->who->hidden_id));
        BSON_APPEND_UTF8(&variant->values, "hidden", text);
    }
    set_name(variant);
    const int size =
        snprintf(variant->id, sizeof(variant->id), "%s:%s:%s%s%s", request->mapper, request->person,
                 pk_detail_name(request->detail), variant->name[0] ? ":" : "", variant->name);
    assert(size > 0 && (size_t)size < sizeof(variant->id));
}

void variant_init(struct variant *variant, const struct pk_map_request *request,
                  const struct pk_script *mapper, bool has_hidden)
{
    fill(variant, request, mapper, has_hidden, NULL);
}

void variant_init_canary(struct variant *variant, const struct pk_map_request *request,
                         const struct pk_script *canary, bool has_hidden)
{
    fill(variant, request, canary, has_hidden, canary->version);
}

char *variant_canary_id(const struct pk_persona_name *name, const struct pk_script *canary)
{
    const struct pk_map_request request = { .mapper = name->mapper,
                                            .person = name->person,
                                            .detail = name->detail };
    struct variant variant;
    variant_init_canary(&variant, &request, canary, false);
    char *id = pk_strdup(variant.id);
    variant_done(&variant);
    return id;
}

void variant_done(struct variant *variant)
{
    bson_destroy(&variant->values);
    bson_destroy(&variant->context);
    bson_destroy(&variant->task);
}

/* ---- Ids ---- */

/* Copies what stands before the next ':' or the end; NULL: it does not fit, or is not there. */
static const char *take_part(const char *at, char *out, size_t size)
{
    const size_t length = strcspn(at, ":");
    if (length == 0 || length >= size) {
        return NULL;
    }
    memcpy(out, at, length);
    out[length] = '\0';
    return at + length + (at[length] == ':');
}

bool pk_persona_name(const char *id, struct pk_persona_name *out)
{
    char detail[16];
    const char *at = take_part(id, out->mapper, sizeof(out->mapper));
    at = at ? take_part(at, out->person, sizeof(out->person)) : NULL;
    at = at ? take_part(at, detail, sizeof(detail)) : NULL;
    if (!at || !pk_script_id_is_valid(out->mapper, strlen(out->mapper)) ||
        !pk_uuid_is_v4(out->person, strlen(out->person)) || strchr(at, ':')) {
        return false;
    }
    out->detail = pk_detail_find(detail);
    out->variant = at;
    return out->detail != PK_DETAIL_COUNT;
}
