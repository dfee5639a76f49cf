/* principal.c - Reads who asks out of the actor's document, once, into what is quick to ask.
 *
 * What the document does not say is no: an absent list is empty, an unknown
 * word in 'grants' grants nothing, an unknown detail level is the least. */
/* SPDX-License-Identifier: MIT */
#include "access/principal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum pk_capability bit;
    const char *name;
    const char *field; /* Stored as a flag of its own; NULL: as a word in 'grants'. */
    const char *help;
} capability_table[] = {
    { PK_CAN_REQUEST, "request_personas", "canRequestPersonas",
      "May ask for personas and for what explains them." },
    { PK_CAN_FEEDBACK, "provide_feedback", "canProvideFeedback", "May send feedback." },
    { PK_CAN_OBSERVE, "write_observations", NULL,
      "May send observations, narratives and knowledge." },
    { PK_CAN_APPROVE, "approve", NULL, "May approve and reject what waits for a decision." },
    { PK_CAN_CURATE, "curate", NULL, "May read and correct what is known of people." },
    { PK_CAN_AUTHOR, "author_mappers", NULL, "May write, test and activate mappers and models." },
    { PK_CAN_OPERATE, "operate", NULL,
      "May run the server: actors, keys, plugins, export and erasure. Who has it can give himself "
      "all else." },
};
_Static_assert(PK_COUNT(capability_table) == PK_CAPABILITIES, "every capability has its row");

static const char *const detail_name[PK_DETAIL_COUNT] = {
    [PK_DETAIL_INSTANT] = "instant",
    [PK_DETAIL_BALANCED] = "balanced",
    [PK_DETAIL_DEEP_DIVE] = "deep_dive",
};

/* ---- Names ---- */

static size_t row_of(enum pk_capability capability)
{
    size_t i = 0;
    while (i + 1 < PK_COUNT(capability_table) && capability_table[i].bit != capability) {
        i++;
    }
    return i;
}

const char *pk_capability_name(enum pk_capability capability)
{
    return capability_table[row_of(capability)].name;
}

const char *pk_capability_field(enum pk_capability capability)
{
    return capability_table[row_of(capability)].field;
}

const char *pk_capability_help(enum pk_capability capability)
{
    return capability_table[row_of(capability)].help;
}

enum pk_capability pk_capability_find(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(capability_table); i++) {
        if (strcmp(capability_table[i].name, name) == 0) {
            return capability_table[i].bit;
        }
    }
    return 0;
}

enum pk_detail pk_detail_find(const char *name)
{
    enum pk_detail detail = PK_DETAIL_INSTANT;
    while (detail < PK_DETAIL_COUNT && (!name || strcmp(detail_name[detail], name) != 0)) {
        detail++;
    }
    return detail;
}

const char *pk_detail_name(enum pk_detail detail)
{
    return detail_name[detail];
}

/* ---- Sets of names ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(void *context, const char *below, const bson_iter_t *value)
{
    struct pk_names_set *set = context;
    uint32_t size = 0;
    (void)below;
    if (!BSON_ITER_HOLDS_UTF8(value)) {
        return true;
    }
    const char *text = bson_iter_utf8(value, &size);
    if (strcmp(text, "*") == 0) {
        set->is_all = true;
        return true;
    }
    set->name = pk_realloc(set->name, (set->name_count + 1) * sizeof(*set->name));
    set->name[set->name_count++] = pk_strndup(text, size);
    return true;
}

static void read_set(struct pk_names_set *set, const bson_t *actor, const char *path)
{
    (void)pk_path_each(actor, path, add_name, set);
    if (set->name_count > 1) {
        qsort(set->name, set->name_count, sizeof(*set->name), compare);
    }
}

static void set_done(struct pk_names_set *set)
{
    for (size_t i = 0; i < set->name_count; i++) {
        pk_free(set->name[i]);
    }
    pk_free(set->name);
}

static bool has_name(const struct pk_names_set *set, const char *name)
{
    return set->is_all || (set->name_count > 0 && bsearch(&name, set->name, set->name_count,
                                                          sizeof(*set->name), compare) != NULL);
}

bool pk_principal_may_use(const struct pk_principal *principal, const char *mapper)
{
    return has_name(&principal->mappers, mapper);
}

bool pk_principal_may_see(const struct pk_principal *principal, const char *person)
{
    return has_name(&principal->people, person);
}

/* True when 'path' is 'above' or below it. */
static bool is_at_or_below(const char *path, const char *above)
{
    const size_t size = strlen(above);
    return strncmp(path, above, size) == 0 && (path[size] == '\0' || path[size] == '.');
}

bool pk_principal_hides_any(const struct pk_principal *principal)
{
    return principal->hidden.is_all || principal->hidden.name_count > 0;
}

bool pk_principal_hides(const struct pk_principal *principal, const char *path)
{
    for (size_t i = 0; i < principal->hidden.name_count; i++) {
        if (is_at_or_below(path, principal->hidden.name[i])) {
            return true;
        }
    }
    return principal->hidden.is_all;
}

bool pk_principal_hides_within(const struct pk_principal *principal, const char *path)
{
    for (size_t i = 0; i < principal->hidden.name_count; i++) {
        if (is_at_or_below(principal->hidden.name[i], path)) {
            return true;
        }
    }
    return pk_principal_hides(principal, path);
}

/* ---- The document ---- */

static bool add_grant(void *context, const char *below, const bson_iter_t *value)
{
    unsigned *capabilities = context;
    (void)below;
    if (BSON_ITER_HOLDS_UTF8(value)) {
        const enum pk_capability bit = pk_capability_find(bson_iter_utf8(value, NULL));
        *capabilities |= bit && !pk_capability_field(bit) ? bit : 0u; /* A flag has one place. */
    }
    return true;
}

static unsigned read_capabilities(const struct pk_doc *actor, const bson_t *view)
{
    unsigned capabilities = 0;
    char path[64];
    for (size_t i = 0; i < PK_COUNT(capability_table); i++) {
        if (capability_table[i].field) {
            (void)snprintf(path, sizeof(path), "capabilities.%s", capability_table[i].field);
            capabilities |= pk_doc_bool(actor, path, false) ? capability_table[i].bit : 0u;
        }
    }
    (void)pk_path_each(view, "capabilities.grants[]", add_grant, &capabilities);
    return capabilities;
}

static bool is_text(const struct pk_doc *doc, const char *path, const char *wanted)
{
    const char *text = pk_doc_text(doc, path);
    return text && strcmp(text, wanted) == 0;
}

static bool read_hash(uint8_t out[PK_HASH_BYTES], const char *hex)
{
    for (size_t i = 0; i < PK_HASH_BYTES; i++) {
        unsigned byte = 0;
        if (!hex || sscanf(hex + 2 * i, "%2x", &byte) != 1) { /* The schema checked its shape. */
            return false;
        }
        out[i] = (uint8_t)byte;
    }
    return true;
}

/* The place of the key in 'apiKeys', or -1. */
static int find_key(const struct pk_doc *actor, const char *key_id)
{
    char path[48];
    for (int i = 0;; i++) {
        (void)snprintf(path, sizeof(path), "apiKeys.%d.keyId", i);
        const char *id = pk_doc_text(actor, path);
        if (!id) {
            return -1;
        }
        if (strcmp(id, key_id) == 0) {
            return i;
        }
    }
}

static bool read_key(struct pk_principal *out, const struct pk_doc *actor, int number)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "apiKeys.%d.keyHash", number);
    if (!read_hash(out->hash, pk_doc_text(actor, path))) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "apiKeys.%d.pepperId", number);
    const char *pepper = pk_doc_text(actor, path);
    (void)snprintf(out->pepper_id, sizeof(out->pepper_id), "%s", pepper ? pepper : "");
    (void)snprintf(path, sizeof(path), "apiKeys.%d.expiresAt", number);
    out->expires_at_ms = pk_doc_date(actor, path, INT64_MAX);
    (void)snprintf(path, sizeof(path), "apiKeys.%d.status", number);
    out->is_active = is_text(actor, path, "active") && is_text(actor, "status", "active");
    return true;
}

/* Equal for equal sets; each name with its NUL, so that no two run together alike. */
static void name_hidden(struct pk_principal *principal)
{
    const struct pk_names_set *set = &principal->hidden;
    struct pk_hasher hasher;
    uint8_t hash[PK_HASH_BYTES];

    if (!set->is_all && set->name_count == 0) {
        return;
    }
    pk_hasher_init(&hasher);
    pk_hasher_add(&hasher, set->is_all ? "*" : "", 1);
    for (size_t i = 0; i < set->name_count; i++) {
        pk_hasher_add(&hasher, set->name[i], strlen(set->name[i]) + 1);
    }
    pk_hasher_end(&hasher, hash);
    memcpy(principal->hidden_id, hash, sizeof(principal->hidden_id));
}

struct pk_principal *pk_principal_new(const struct pk_doc *actor, const char *key_id)
{
    struct pk_principal *principal = pk_calloc(1, sizeof(*principal));
    const char *id = pk_doc_id(actor);
    const int number = find_key(actor, key_id);
    bson_t view;

    principal->refs = 1;
    if (number < 0 || !id || strlen(id) >= PK_UUID_TEXT || strlen(key_id) > PK_KEY_ID ||
        !read_key(principal, actor, number)) {
        pk_principal_unref(principal);
        return NULL;
    }
    (void)snprintf(principal->actor_id, sizeof(principal->actor_id), "%s", id);
    (void)snprintf(principal->key_id, sizeof(principal->key_id), "%s", key_id);
    pk_doc_view(actor, &view);
    principal->capabilities = read_capabilities(actor, &view);
    const enum pk_detail detail = pk_detail_find(pk_doc_text(actor, "capabilities.maxDetailLevel"));
    principal->max_detail = detail == PK_DETAIL_COUNT ? PK_DETAIL_INSTANT : detail;
    read_set(&principal->mappers, &view, "capabilities.allowedMappers[]");
    read_set(&principal->people, &view, "capabilities.people[]");
    read_set(&principal->hidden, &view, "capabilities.hiddenPaths[]");
    name_hidden(principal);
    return principal;
}

struct pk_principal *pk_principal_ref(struct pk_principal *principal)
{
    (void)atomic_fetch_add_explicit(&principal->refs, 1, memory_order_relaxed);
    return principal;
}

void pk_principal_unref(struct pk_principal *principal)
{
    if (principal && atomic_fetch_sub_explicit(&principal->refs, 1, memory_order_acq_rel) == 1) {
        set_done(&principal->mappers);
        set_done(&principal->people);
        set_done(&principal->hidden);
        pk_secret_wipe(principal->hash, sizeof(principal->hash));
        pk_free(principal);
    }
}

void pk_principal_unrefp(struct pk_principal **principal)
{
    pk_principal_unref(*principal);
}
