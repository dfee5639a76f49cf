/* persona_half.c - One half of a persona, from what a mapper gave to what is stored.
 *
 * The snapshot is the sections as the schema has them, with a hash of them that
 * tells whether another run has said the same. The basis says as of which
 * version of the mindscape it was made, for what stretch of time it is good,
 * and what was read: of that, each key has a row. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_half_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/keys.h"
#include "doc/schema.h"
#include "persona/trait.h"

#include <string.h>

enum {
    VERSION_BYTES = 16, /* Of a content hash. */
    WARNINGS_MAX = 200, /* The schema's limits. */
    RULES_MAX = 2000
};

const struct half half_table[HALVES] = {
    { "core", "coreSnapshot", "coreVersion", "coreBasis", "ttlSeconds", true },
    { "overlay", "overlaySlice", "overlayVersion", "overlayBasis", "overlayTtlSeconds", false },
};

/* ---- Pieces of BSON ---- */

bool half_find(const bson_t *doc, const char *name, bson_type_t type, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    if (!bson_iter_init_find(&iter, doc, name) || bson_iter_type(&iter) != type) {
        return false;
    }
    if (type == BSON_TYPE_ARRAY) {
        bson_iter_array(&iter, &size, &data);
    } else {
        bson_iter_document(&iter, &size, &data);
    }
    return bson_init_static(out, data, size);
}

const char *half_text(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static int64_t number_of(const bson_t *doc, const char *name, int64_t fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_NUMBER(&iter)
               ? bson_iter_as_int64(&iter)
               : fallback;
}

void list_add_text(struct list *list, const char *text, size_t length)
{
    char index[16];
    const char *key;
    const size_t size = bson_uint32_to_string(list->count++, &key, index, sizeof(index));
    (void)bson_append_utf8(&list->bson, key, (int)size, text, (int)length);
}

void list_add_doc(struct list *list, const bson_t *doc)
{
    char index[16];
    const char *key;
    const size_t size = bson_uint32_to_string(list->count++, &key, index, sizeof(index));
    (void)bson_append_document(&list->bson, key, (int)size, doc);
}

void list_add_texts(struct list *list, const bson_t *doc, const char *name, uint32_t max,
                    uint32_t length_max)
{
    bson_iter_t iter, item;
    if (!bson_iter_init_find(&iter, doc, name) || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return;
    }
    while (list->count < max && bson_iter_next(&item)) {
        uint32_t length = 0;
        const char *text = BSON_ITER_HOLDS_UTF8(&item) ? bson_iter_utf8(&item, &length) : NULL;
        bson_iter_t has;
        bool is_there = !text;
        for (bool more = bson_iter_init(&has, &list->bson); more && bson_iter_next(&has);) {
            is_there = is_there || strcmp(bson_iter_utf8(&has, NULL), text) == 0;
        }
        while (text && length > length_max) {
            length = length_max; /* Back to the start of a character. */
            while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) {
                length--;
            }
        }
        if (!is_there) {
            list_add_text(list, text, length);
        }
    }
}

/* ---- Snapshots ---- */

static const struct pk_schema *persona_schema(void)
{
    return pk_inventory_find(pk_inventory_builtin(), "personas")->schema;
}

static void name_version(char out[2 * VERSION_BYTES + 1], const bson_t *sections)
{
    uint8_t hash[PK_HASH_BYTES];
    pk_hash(hash, bson_get_data(sections), sections->len, NULL, 0);
    pk_hex(out, hash, VERSION_BYTES);
}

static bool refuse_section(const struct made *made, const struct half *half,
                           const struct pk_faults *faults, struct pk_error *err)
{
    const struct pk_fault *fault = &faults->fault[0];
    return pk_fail(err, PK_REFUSED, "mend the mapper, or give the section a name of its own",
                   "mapper '%s' %s: %s.%s is to be %s, not %s", made->ran->id, made->ran->version,
                   half->name, fault->path, fault->expected, fault->got);
}

/* Dates as texts: how JSON has them, and so what pk_schema_accept takes. */
static void write_dates(const bson_t *doc, bson_t *out)
{
    bson_iter_t iter;
    bson_t inner, made;
    char text[PK_TIME_TEXT];
    for (bool more = bson_iter_init(&iter, doc); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        const uint8_t *data = NULL;
        uint32_t size = 0;
        if (BSON_ITER_HOLDS_DATE_TIME(&iter)) {
            pk_time_format(bson_iter_date_time(&iter), text);
            BSON_APPEND_UTF8(out, key, text);
        } else if (BSON_ITER_HOLDS_ARRAY(&iter)) {
            bson_iter_array(&iter, &size, &data);
            BSON_APPEND_ARRAY_BEGIN(out, key, &made);
            if (bson_init_static(&inner, data, size)) {
                write_dates(&inner, &made);
            }
            bson_append_array_end(out, &made);
        } else if (BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            bson_iter_document(&iter, &size, &data);
            BSON_APPEND_DOCUMENT_BEGIN(out, key, &made);
            if (bson_init_static(&inner, data, size)) {
                write_dates(&inner, &made);
            }
            bson_append_document_end(out, &made);
        } else {
            (void)bson_append_iter(out, NULL, 0, &iter);
        }
    }
}

/* Checks a snapshot; what came as texts where the schema has dates is brought into its form. 'out'
 * is initialised on success only. */
static bool accept_snapshot(const struct pk_schema *schema, const bson_t *given, bson_t *out,
                            struct pk_faults *faults)
{
    PK_CLEANUP(bson_destroy) bson_t written = BSON_INITIALIZER;
    PK_CLEANUP(pk_faults_done) struct pk_faults as_it_is = { 0 };
    if (pk_schema_check(schema, given, &as_it_is)) {
        bson_copy_to(given, out);
        return true;
    }
    write_dates(given, &written);
    return pk_schema_accept(schema, &written, out, faults);
}

/* The snapshot of a half that was run: checked sections, their hash, the time. */
bool half_sections(const struct mapping *mapping, const struct made *made, const struct half *half,
                   bson_t *out, struct pk_error *err)
{
    static const bson_t nothing = BSON_INITIALIZER;
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    char version[2 * VERSION_BYTES + 1];
    bson_t given, plain;

    if (!half_find(&made->output, half->name, BSON_TYPE_DOCUMENT, &given)) {
        (void)bson_init_static(&given, bson_get_data(&nothing), nothing.len);
    }
    if (bson_has_field(&given, half->version) || bson_has_field(&given, "generatedAt")) {
        return pk_fail(err, PK_REFUSED, "give the section another name",
                       "mapper '%s' %s: '%s' and 'generatedAt' of its %s are the server's",
                       made->ran->id, made->ran->version, half->version, half->name);
    }
    pk_keys_escape(&given, &plain);
    if (!half->is_core && made->prompts.count > 0 && !bson_has_field(&plain, "prompts")) {
        BSON_APPEND_ARRAY(&plain, "prompts", &made->prompts.list);
    }
    name_version(version, &plain);
    BSON_APPEND_UTF8(&plain, half->version, version);
    BSON_APPEND_DATE_TIME(&plain, "generatedAt", mapping->now_ms);
    const bool ok = accept_snapshot(pk_schema_field(persona_schema(), half->snapshot)->of, &plain,
                                    out, &faults);
    bson_destroy(&plain);
    return ok || refuse_section(made, half, &faults, err);
}

/* ---- Bases ---- */

static void add_read(struct list *list, const char *kind, const char *key, const char *match)
{
    bson_t row = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&row, "kind", kind);
    if (key) {
        BSON_APPEND_UTF8(&row, "key", key);
    }
    if (match) {
        BSON_APPEND_UTF8(&row, "match", match);
    }
    list_add_doc(list, &row);
    bson_destroy(&row);
}

/* { kind, match, keys } of a call becomes a row for each key. */
static void add_reads(struct list *list, const bson_iter_t *group)
{
    bson_iter_t fields, keys;
    const char *kind = NULL, *match = NULL;
    bool has_keys = false;

    for (bool more = bson_iter_recurse(group, &fields); more && bson_iter_next(&fields);) {
        const char *name = bson_iter_key(&fields);
        if (strcmp(name, "kind") == 0 && BSON_ITER_HOLDS_UTF8(&fields)) {
            kind = bson_iter_utf8(&fields, NULL);
        } else if (strcmp(name, "match") == 0 && BSON_ITER_HOLDS_UTF8(&fields)) {
            match = bson_iter_utf8(&fields, NULL);
        } else if (strcmp(name, "keys") == 0 && BSON_ITER_HOLDS_ARRAY(&fields)) {
            has_keys = bson_iter_recurse(&fields, &keys);
        }
    }
    for (bool more = kind != NULL && (!has_keys || bson_iter_next(&keys)); more;
         more = has_keys && bson_iter_next(&keys)) {
        add_read(list, kind,
                 has_keys && BSON_ITER_HOLDS_UTF8(&keys) ? bson_iter_utf8(&keys, NULL) : NULL,
                 match);
    }
}

/* What prompts have looked up is read by the overlay. */
static void add_prompt_reads(struct list *list, const struct prompts *prompts)
{
    bson_iter_t iter;
    for (bool more = prompts->is_filled && bson_iter_init(&iter, &prompts->reads);
         more && bson_iter_next(&iter);) {
        const uint8_t *data;
        uint32_t size;
        bson_t row;
        bson_iter_document(&iter, &size, &data);
        if (bson_init_static(&row, data, size)) {
            list_add_doc(list, &row);
        }
    }
}

int64_t half_ttl_ms(const struct mapping *mapping, const char *name)
{
    const int64_t seconds = number_of(&mapping->mapper->manifest, name,
                                      number_of(&mapping->mapper->manifest, "ttlSeconds", 0));
    const int64_t most = INT64_C(10) * 365 * 24 * 3600;
    return seconds > 0 ? (seconds < most ? seconds : most) * 1000 : mapping->domain->persona_ttl_ms;
}

bool half_basis(const struct mapping *mapping, const struct made *made, const struct half *half,
                bson_t *out, struct pk_error *err)
{
    struct list reads = { BSON_INITIALIZER, 0 }, rules = { BSON_INITIALIZER, 0 },
                warnings = { BSON_INITIALIZER, 0 };
    bson_iter_t iter, group;
    bson_t given;
    int64_t until_ms = mapping->now_ms + half_ttl_ms(mapping, half->ttl);

    if (!half_find(&made->output, half->basis, BSON_TYPE_DOCUMENT, &given)) {
        return pk_fail(err, PK_REFUSED, "end the script with 'return pk.mapper { ... }'",
                       "mapper '%s' %s does not say what its %s rests on", made->ran->id,
                       made->ran->version, half->name);
    }
    if (bson_iter_init_find(&iter, &given, "validUntil") && BSON_ITER_HOLDS_DATE_TIME(&iter) &&
        bson_iter_date_time(&iter) < until_ms) {
        until_ms = bson_iter_date_time(&iter);
    }
    if (bson_iter_init_find(&iter, &given, "readSet") && BSON_ITER_HOLDS_ARRAY(&iter) &&
        bson_iter_recurse(&iter, &group)) {
        while (bson_iter_next(&group)) {
            add_reads(&reads, &group);
        }
    }
    if (!half->is_core) {
        add_prompt_reads(&reads, &made->prompts);
        until_ms = made->prompts.until_ms < until_ms ? made->prompts.until_ms : until_ms;
    }
    if (mapping->request->purpose) {
        add_read(&reads, "consent", mapping->request->purpose, "exact");
        if (mapping->consent.until_ms && mapping->consent.until_ms < until_ms) {
            until_ms = mapping->consent.until_ms;
        }
    }
    list_add_texts(&rules, &given, "fired", RULES_MAX, 200);
    list_add_texts(&warnings, &given, "warnings", WARNINGS_MAX, 2000);
    if (!half->is_core && made->prompts.warning_count > 0) {
        PK_CLEANUP(bson_destroy) bson_t own = BSON_INITIALIZER;
        BSON_APPEND_ARRAY(&own, "warnings", &made->prompts.warnings);
        list_add_texts(&warnings, &own, "warnings", WARNINGS_MAX, 2000);
    }
    bson_init(out);
    BSON_APPEND_INT64(out, "mindscapeVersion", pk_doc_int(mapping->mindscape, "version", 0));
    BSON_APPEND_DATE_TIME(out, "validFrom", mapping->now_ms);
    BSON_APPEND_DATE_TIME(out, "validUntil", until_ms);
    BSON_APPEND_ARRAY(out, "readSet", &reads.bson);
    if (pk_policies_decay_key(mapping->domain->policies)) {
        BSON_APPEND_UTF8(out, "decay", pk_policies_decay_key(mapping->domain->policies));
    }
    if (rules.count > 0) {
        BSON_APPEND_ARRAY(out, "ruleIds", &rules.bson);
    }
    if (warnings.count > 0) {
        BSON_APPEND_ARRAY(out, "warnings", &warnings.bson);
    }
    const bool has_room = reads.count <= HALF_READS_MAX;
    bson_destroy(&reads.bson);
    bson_destroy(&rules.bson);
    bson_destroy(&warnings.bson);
    if (!has_room) {
        bson_destroy(out);
        return pk_fail(err, PK_REFUSED, "read a whole prefix at once, as with m:each",
                       "mapper '%s' %s read more than %d things", made->ran->id, made->ran->version,
                       HALF_READS_MAX);
    }
    return true;
}
