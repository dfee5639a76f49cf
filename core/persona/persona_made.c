/* persona_made.c - The document of a persona, made of what a mapper gave.
 *
 * Core and overlay are taken one by one: a half that was run becomes a snapshot
 * (its sections, a hash of them, a date) with its basis; the other one is that of the
 * persona before. When the result says what that persona said, it is that one: it keeps its
 * instance and dates, and only its bases and its end are new. So nobody who holds
 * its ETag is told of a change that is none. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/keys.h"
#include "doc/path.h"
#include "doc/schema.h"
#include "persona/input.h"

#include <stdio.h>
#include <string.h>

enum {
    VERSION_BYTES = 16, /* Of a content hash. */
    LINES_MAX = 2000,   /* The schema's limits. */
    LINE_TRAITS_MAX = 200,
    WARNINGS_MAX = 200,
    RULES_MAX = 2000,
    READS_MAX = 20000,
    MISSING_MAX = 5, /* Named in a refusal. */
    HOUR_MS = 3600 * 1000
};

/* The two halves, by what they are called where. */
struct half {
    const char *name, *snapshot, *basis, *out_basis, *version, *ttl;
    bool is_core;
};
static const struct half half_table[] = {
    { "core", "coreSnapshot", "coreBasis", "coreBasis", "coreVersion", "ttlSeconds", true },
    { "overlay", "overlaySlice", "overlayBasis", "overlayBasis", "overlayVersion",
      "overlayTtlSeconds", false },
};

static bool was_run(const struct made *made, const struct half *half)
{
    return half->is_core ? made->has_core : made->has_overlay;
}

/* ---- Small things ---- */

static bool find_doc(const bson_t *doc, const char *name, bson_type_t type, bson_t *out)
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

static const char *text_of(const bson_t *doc, const char *name)
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

/* An array under construction. */
struct list {
    bson_t bson;
    uint32_t count;
};

static void list_text(struct list *list, const char *text, size_t length)
{
    char index[16];
    const char *key;
    const size_t size = bson_uint32_to_string(list->count++, &key, index, sizeof(index));
    (void)bson_append_utf8(&list->bson, key, (int)size, text, (int)length);
}

static void list_doc(struct list *list, const bson_t *doc)
{
    char index[16];
    const char *key;
    const size_t size = bson_uint32_to_string(list->count++, &key, index, sizeof(index));
    (void)bson_append_document(&list->bson, key, (int)size, doc);
}

/* Appends the texts of an array of 'doc', each once, cut to the schema's length. */
static void add_texts(struct list *list, const bson_t *doc, const char *name, uint32_t max,
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
            list_text(list, text, length);
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
static bool take_sections(const struct mapping *mapping, const struct made *made,
                          const struct half *half, bson_t *out, struct pk_error *err)
{
    static const bson_t nothing = BSON_INITIALIZER;
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    char version[2 * VERSION_BYTES + 1];
    bson_t given, plain;

    if (!find_doc(&made->output, half->name, BSON_TYPE_DOCUMENT, &given)) {
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
    list_doc(list, &row);
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
            list_doc(list, &row);
        }
    }
}

static int64_t ttl_of(const struct mapping *mapping, const char *name)
{
    const int64_t seconds = number_of(&mapping->mapper->manifest, name,
                                      number_of(&mapping->mapper->manifest, "ttlSeconds", 0));
    const int64_t most = INT64_C(10) * 365 * 24 * 3600;
    return seconds > 0 ? (seconds < most ? seconds : most) * 1000 : mapping->domain->persona_ttl_ms;
}

static bool take_basis(const struct mapping *mapping, const struct made *made,
                       const struct half *half, bson_t *out, struct pk_error *err)
{
    struct list reads = { BSON_INITIALIZER, 0 }, rules = { BSON_INITIALIZER, 0 },
                warnings = { BSON_INITIALIZER, 0 };
    bson_iter_t iter, group;
    bson_t given;
    int64_t until_ms = mapping->now_ms + ttl_of(mapping, half->ttl);

    if (!find_doc(&made->output, half->out_basis, BSON_TYPE_DOCUMENT, &given)) {
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
    add_texts(&rules, &given, "fired", RULES_MAX, 200);
    add_texts(&warnings, &given, "warnings", WARNINGS_MAX, 2000);
    if (!half->is_core && made->prompts.warning_count > 0) {
        PK_CLEANUP(bson_destroy) bson_t own = BSON_INITIALIZER;
        BSON_APPEND_ARRAY(&own, "warnings", &made->prompts.warnings);
        add_texts(&warnings, &own, "warnings", WARNINGS_MAX, 2000);
    }
    bson_init(out);
    BSON_APPEND_INT64(out, "mindscapeVersion", pk_doc_int(mapping->mindscape, "version", 0));
    BSON_APPEND_DATE_TIME(out, "validFrom", mapping->now_ms);
    BSON_APPEND_DATE_TIME(out, "validUntil", until_ms);
    BSON_APPEND_ARRAY(out, "readSet", &reads.bson);
    if (rules.count > 0) {
        BSON_APPEND_ARRAY(out, "ruleIds", &rules.bson);
    }
    if (warnings.count > 0) {
        BSON_APPEND_ARRAY(out, "warnings", &warnings.bson);
    }
    const bool has_room = reads.count <= READS_MAX;
    bson_destroy(&reads.bson);
    bson_destroy(&rules.bson);
    bson_destroy(&warnings.bson);
    if (!has_room) {
        bson_destroy(out);
        return pk_fail(err, PK_REFUSED, "read a whole prefix at once, as with m:each",
                       "mapper '%s' %s read more than %d things", made->ran->id, made->ran->version,
                       READS_MAX);
    }
    return true;
}

/* ---- What is missing ---- */

static bool allows_missing(const struct pk_script *mapper)
{
    const char *what = text_of(&mapper->manifest, "onMissing");
    return what && strcmp(what, "degrade") == 0;
}

static bool check_missing(const struct made *made, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf names = { 0 };
    bson_iter_t iter, item;
    size_t count = 0;
    if (allows_missing(made->ran) || !bson_iter_init_find(&iter, &made->output, "missing") ||
        !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &item)) {
        return true;
    }
    while (bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item) && count++ < MISSING_MAX) {
            pk_buf_printf(&names, "%s'%s'", count > 1 ? ", " : "", bson_iter_utf8(&item, NULL));
        }
    }
    if (count == 0) {
        return true;
    }
    return pk_fail(err, PK_CONFLICT,
                   "send observations that tell of it, or let the mapper go on with on_missing",
                   "mapper '%s' needs %s %s%s, which %s not known of this person", made->ran->id,
                   count > 1 ? "the traits" : "the trait", pk_buf_text(&names),
                   count > MISSING_MAX ? " and more" : "", count > 1 ? "are" : "is");
}

/* ---- Explanation and warnings ---- */

static bool is_of_half(const bson_iter_t *line, const struct half *half)
{
    bson_iter_t fields;
    const size_t length = strlen(half->name);
    if (!bson_iter_recurse(line, &fields) || !bson_iter_find(&fields, "path") ||
        !BSON_ITER_HOLDS_UTF8(&fields)) {
        return false;
    }
    const char *path = bson_iter_utf8(&fields, NULL);
    return strncmp(path, half->name, length) == 0 && path[length] == '.';
}

static void add_line(struct list *list, const bson_iter_t *line)
{
    struct list traits = { BSON_INITIALIZER, 0 };
    bson_iter_t fields;
    bson_t row = BSON_INITIALIZER, given;
    const uint8_t *data;
    uint32_t size;

    bson_iter_document(line, &size, &data);
    if (bson_init_static(&given, data, size) && bson_iter_init(&fields, &given)) {
        while (bson_iter_next(&fields)) {
            if (BSON_ITER_HOLDS_UTF8(&fields)) {
                (void)bson_append_iter(&row, NULL, 0, &fields);
            }
        }
        add_texts(&traits, &given, "traits", LINE_TRAITS_MAX, 200);
        if (traits.count > 0) {
            BSON_APPEND_ARRAY(&row, "traits", &traits.bson);
        }
        list_doc(list, &row);
    }
    bson_destroy(&traits.bson);
    bson_destroy(&row);
}

/* Lines of core, then those of overlay, each from who made it. */
static void add_explanation(bson_t *doc, const struct made *made, const bson_t *base)
{
    struct list lines = { BSON_INITIALIZER, 0 };
    bson_t explanation;
    for (size_t i = 0; i < PK_COUNT(half_table); i++) {
        const bool is_run = was_run(made, &half_table[i]);
        bson_iter_t iter, line;
        if (!(is_run ? bson_iter_init_find(&iter, &made->output, "lines")
                     : base && bson_iter_init(&iter, base) &&
                           bson_iter_find_descendant(&iter, "explanation.lines", &iter)) ||
            !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &line)) {
            continue;
        }
        while (lines.count < LINES_MAX && bson_iter_next(&line)) {
            if (BSON_ITER_HOLDS_DOCUMENT(&line) && is_of_half(&line, &half_table[i])) {
                add_line(&lines, &line);
            }
        }
    }
    BSON_APPEND_DOCUMENT_BEGIN(doc, "explanation", &explanation);
    BSON_APPEND_ARRAY(&explanation, "lines", &lines.bson);
    bson_append_document_end(doc, &explanation);
    bson_destroy(&lines.bson);
}

/* Questions of the retrieval pipeline that are not answered here. */
static void add_unanswered(struct list *list, const struct mapping *mapping,
                           const struct made *made)
{
    char *text[16];
    const size_t count = pk_input_warnings(made->ran, pk_detail_name(mapping->request->detail),
                                           text, PK_COUNT(text));
    for (size_t i = 0; i < count && i < PK_COUNT(text); i++) {
        list_text(list, text[i], strlen(text[i]));
        pk_free(text[i]);
    }
}

/* Those of both halves, then what is required and missing. */
static void collect_warnings(struct list *list, const struct mapping *mapping,
                             const struct made *made, const bson_t basis[2])
{
    bson_iter_t iter, item;
    add_unanswered(list, mapping, made);
    for (size_t i = 0; i < PK_COUNT(half_table); i++) {
        add_texts(list, &basis[i], "warnings", WARNINGS_MAX, 2000);
    }
    if (!bson_iter_init_find(&iter, &made->output, "missing") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return;
    }
    while (list->count < WARNINGS_MAX && bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item)) {
            PK_CLEANUP(pk_freep)
            char *text =
                pk_strdupf("required trait '%.200s' is not known", bson_iter_utf8(&item, NULL));
            list_text(list, text, strlen(text));
        }
    }
}

/* ---- Size ---- */

struct largest {
    const char *half, *name;
    size_t bytes;
};

static void note_largest(struct largest top[3], const struct half *half, const bson_t *snapshot)
{
    bson_iter_t iter;
    for (bool more = bson_iter_init(&iter, snapshot); more && bson_iter_next(&iter);) {
        struct largest it = { half->name, bson_iter_key(&iter), 0 };
        uint32_t size = 0;
        const uint8_t *data;
        if (BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            bson_iter_document(&iter, &size, &data);
        } else if (BSON_ITER_HOLDS_ARRAY(&iter)) {
            bson_iter_array(&iter, &size, &data);
        } else if (BSON_ITER_HOLDS_UTF8(&iter)) {
            (void)bson_iter_utf8(&iter, &size);
        }
        it.bytes = strcmp(it.name, half->version) == 0 ? 0 : size;
        for (size_t i = 0; i < 3; i++) {
            if (it.bytes > top[i].bytes) {
                const struct largest less = top[i];
                top[i] = it;
                it = less;
            }
        }
    }
}

static bool check_size(const struct mapping *mapping, const struct made *made,
                       const bson_t snapshot[2], struct pk_error *err)
{
    const int64_t max =
        mapping->domain->persona_max_bytes ? mapping->domain->persona_max_bytes : PERSONA_MAX_BYTES;
    struct largest top[3] = { { 0 } };
    PK_CLEANUP(pk_buf_done) struct pk_buf names = { 0 };
    if ((int64_t)snapshot[0].len + snapshot[1].len <= max) {
        return true;
    }
    note_largest(top, &half_table[0], &snapshot[0]);
    note_largest(top, &half_table[1], &snapshot[1]);
    for (size_t i = 0; i < PK_COUNT(top) && top[i].bytes > 0; i++) {
        pk_buf_printf(&names, "%s%s.%s (%zu bytes)", i ? ", " : "", top[i].half, top[i].name,
                      top[i].bytes);
    }
    return pk_fail(err, PK_TOO_LARGE, "have the mapper say less in its largest sections",
                   "mapper '%s' %s made a persona of %u bytes, over %lld: %s", made->ran->id,
                   made->ran->version, snapshot[0].len + snapshot[1].len, (long long)max,
                   pk_buf_text(&names));
}

/* ---- The document ---- */

/* Everything that goes into it. */
struct parts {
    bson_t snapshot[2], basis[2]; /* By half_table; own memory. */
    bool has_snapshot[2], has_basis[2];
    struct list warnings;
};

static void parts_done(struct parts *parts)
{
    for (size_t i = 0; i < 2; i++) {
        if (parts->has_snapshot[i]) {
            bson_destroy(&parts->snapshot[i]);
        }
        if (parts->has_basis[i]) {
            bson_destroy(&parts->basis[i]);
        }
    }
    bson_destroy(&parts->warnings.bson);
}

static bool copy_part(const bson_t *base, const char *name, bson_t *out)
{
    bson_t found;
    const bool ok = base && find_doc(base, name, BSON_TYPE_DOCUMENT, &found);
    if (ok) {
        bson_copy_to(&found, out);
    }
    return ok;
}

/* True when a half that was run says what it said before. */
static bool is_same_half(const bson_t *base, const struct half *half, const bson_t *snapshot)
{
    bson_t before;
    const char *a = base && find_doc(base, half->snapshot, BSON_TYPE_DOCUMENT, &before)
                        ? text_of(&before, half->version)
                        : NULL;
    const char *b = text_of(snapshot, half->version);
    return a && b && strcmp(a, b) == 0;
}

static bool collect(const struct mapping *mapping, const struct made *made, const bson_t *base,
                    struct parts *parts, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(half_table); i++) {
        const struct half *half = &half_table[i];
        const bool is_run = was_run(made, half);
        parts->has_snapshot[i] = is_run
                                     ? take_sections(mapping, made, half, &parts->snapshot[i], err)
                                     : copy_part(base, half->snapshot, &parts->snapshot[i]);
        if (!parts->has_snapshot[i]) {
            return is_run ? false
                          : pk_fail(err, PK_INTERNAL, NULL, "the persona before has no %s",
                                    half->snapshot);
        }
        if (is_run && is_same_half(base, half, &parts->snapshot[i])) {
            bson_destroy(&parts->snapshot[i]); /* It is the one that was made then. */
            parts->has_snapshot[i] = copy_part(base, half->snapshot, &parts->snapshot[i]);
        }
        parts->has_basis[i] = is_run ? take_basis(mapping, made, half, &parts->basis[i], err)
                                     : copy_part(base, half->basis, &parts->basis[i]);
        if (!parts->has_basis[i]) {
            return is_run ? false
                          : pk_fail(err, PK_INTERNAL, NULL, "the persona before has no %s",
                                    half->basis);
        }
    }
    return true;
}

static bool is_same(const struct made *made, const bson_t *base, const struct parts *parts)
{
    static const bson_t nothing = BSON_INITIALIZER;
    bson_t before;
    const char *version = base ? text_of(base, "mapperVersion") : NULL;
    if (!version || strcmp(version, made->ran->version) != 0) {
        return false;
    }
    if (!find_doc(base, "warnings", BSON_TYPE_ARRAY, &before)) {
        (void)bson_init_static(&before, bson_get_data(&nothing), nothing.len);
    }
    return bson_equal(&before, &parts->warnings.bson) &&
           is_same_half(base, &half_table[0], &parts->snapshot[0]) &&
           is_same_half(base, &half_table[1], &parts->snapshot[1]);
}

/* Of the prompts that the persona has. */
static int64_t tokens_of(const struct made *made, const bson_t *base)
{
    bson_iter_t iter;
    if (made->has_overlay || !base || !bson_iter_init(&iter, base) ||
        !bson_iter_find_descendant(&iter, "generationMetadata.totalTokensUsed", &iter)) {
        return made->prompts.tokens;
    }
    return bson_iter_as_int64(&iter);
}

static void add_cache_status(bson_t *generation, const struct mapping *mapping,
                             const struct made *made, const bson_t *base)
{
    bson_t status;
    bson_iter_t iter;
    BSON_APPEND_DOCUMENT_BEGIN(generation, "cacheStatus", &status);
    BSON_APPEND_BOOL(&status, "coreWasCached", !made->has_core);
    BSON_APPEND_BOOL(&status, "coreIsStale", base != NULL && made->has_core);
    if (base && bson_iter_init(&iter, base) &&
        bson_iter_find_descendant(&iter, "coreSnapshot.generatedAt", &iter) &&
        BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        const int64_t age = mapping->now_ms - bson_iter_date_time(&iter);
        BSON_APPEND_INT64(&status, "coreCacheAge", age > 0 ? age : 0);
    }
    bson_append_document_end(generation, &status);
}

static void add_generation(bson_t *doc, const struct mapping *mapping, const struct made *made,
                           const bson_t *base)
{
    bson_t generation;
    BSON_APPEND_DOCUMENT_BEGIN(doc, "generationMetadata", &generation);
    BSON_APPEND_INT64(&generation, "generationDurationMs", made->took_ns / 1000000);
    BSON_APPEND_INT64(&generation, "totalTokensUsed", tokens_of(made, base));
    BSON_APPEND_DOUBLE(&generation, "totalCost", 0);
    add_cache_status(&generation, mapping, made, base);
    bson_append_document_end(doc, &generation);
}

static void add_usage(bson_t *doc, const struct mapping *mapping)
{
    bson_t usage;
    BSON_APPEND_DOCUMENT_BEGIN(doc, "usageMetadata", &usage);
    BSON_APPEND_INT64(&usage, "accessCount", 0);
    if (mapping->request->who) {
        BSON_APPEND_UTF8(&usage, "lastAccessedBy", mapping->request->who->actor_id);
    }
    BSON_APPEND_BOOL(&usage, "feedbackReceived", false);
    bson_append_document_end(doc, &usage);
}

static void add_identity(bson_t *doc, const struct mapping *mapping, const struct made *made,
                         const struct variant *as)
{
    char id[PK_UUID_TEXT];
    pk_uuid_new(id);
    BSON_APPEND_UTF8(doc, "_id", as->id);
    BSON_APPEND_UTF8(doc, "personaInstanceId", id);
    BSON_APPEND_UTF8(doc, "userId", mapping->request->person);
    BSON_APPEND_UTF8(doc, "mapperId", mapping->request->mapper);
    BSON_APPEND_UTF8(doc, "mapperVersion", made->ran->version);
    BSON_APPEND_UTF8(doc, "detailLevel", pk_detail_name(mapping->request->detail));
    if (as->name[0]) {
        BSON_APPEND_UTF8(doc, "variant", as->name);
        BSON_APPEND_DOCUMENT(doc, "variantValues", &as->values);
    }
}

/* What every refresh sets anew. */
static void add_life(bson_t *doc, const struct mapping *mapping, const struct made *made,
                     const struct parts *parts, const bson_t *base)
{
    const int64_t ttl_ms = ttl_of(mapping, "ttlSeconds");
    BSON_APPEND_BOOL(doc, "isStale", false);
    BSON_APPEND_DATE_TIME(doc, "expiresAt", mapping->now_ms + ttl_ms);
    BSON_APPEND_DOUBLE(doc, "ttlHours", (double)ttl_ms / HOUR_MS);
    BSON_APPEND_INT64(doc, "mindscapeVersion", pk_doc_int(mapping->mindscape, "version", 0));
    for (size_t i = 0; i < PK_COUNT(half_table); i++) {
        BSON_APPEND_DOCUMENT(doc, half_table[i].snapshot, &parts->snapshot[i]);
        BSON_APPEND_DOCUMENT(doc, half_table[i].basis, &parts->basis[i]);
    }
    add_explanation(doc, made, base);
    if (parts->warnings.count > 0) {
        BSON_APPEND_ARRAY(doc, "warnings", &parts->warnings.bson);
    }
}

/* Fields of 'base' that a refresh leaves alone. */
static void add_kept(bson_t *doc, const bson_t *base)
{
    static const char *const kept[] = {
        "_id",           "personaInstanceId", "userId",    "mapperId",
        "mapperVersion", "detailLevel",       "variant",   "variantValues",
        "generatedAt",   "usageMetadata",     "createdBy", "generationMetadata"
    };
    bson_iter_t iter;
    for (size_t i = 0; i < PK_COUNT(kept); i++) {
        if (bson_iter_init_find(&iter, base, kept[i])) {
            (void)bson_append_iter(doc, kept[i], -1, &iter);
        }
    }
}

bool persona_make(const struct mapping *mapping, const struct made *made, const struct variant *as,
                  const struct pk_doc *base_doc, struct product *out, struct pk_error *err)
{
    PK_CLEANUP(parts_done) struct parts parts = { .warnings = { BSON_INITIALIZER, 0 } };
    bson_t view;
    const bson_t *base = NULL;
    if (base_doc) {
        pk_doc_view(base_doc, &view);
        base = &view;
    }
    if (!check_missing(made, err) || !collect(mapping, made, base, &parts, err) ||
        !check_size(mapping, made, parts.snapshot, err)) {
        return false;
    }
    collect_warnings(&parts.warnings, mapping, made, parts.basis);

    bson_t *doc = bson_new();
    const char *before = base ? text_of(base, "_id") : NULL;
    out->is_new = !before || strcmp(before, as->id) != 0 || !is_same(made, base, &parts);
    if (out->is_new) {
        add_identity(doc, mapping, made, as);
        BSON_APPEND_DATE_TIME(doc, "generatedAt", mapping->now_ms);
        add_generation(doc, mapping, made, base);
        add_usage(doc, mapping);
        if (mapping->request->who) {
            BSON_APPEND_UTF8(doc, "createdBy", mapping->request->who->actor_id);
        }
    } else {
        add_kept(doc, base);
    }
    add_life(doc, mapping, made, &parts, base);
    out->doc = pk_doc_take(doc);
    return true;
}

/* ---- The record ---- */

static void add_rules(bson_t *row, const bson_t *persona)
{
    struct list rules = { BSON_INITIALIZER, 0 };
    bson_t basis;
    for (size_t i = 0; i < PK_COUNT(half_table); i++) {
        if (find_doc(persona, half_table[i].basis, BSON_TYPE_DOCUMENT, &basis)) {
            add_texts(&rules, &basis, "ruleIds", RULES_MAX, 200);
        }
    }
    BSON_APPEND_ARRAY(row, "ruleIds", &rules.bson);
    bson_destroy(&rules.bson);
}

static void add_read_sets(bson_t *row, const bson_t *persona)
{
    struct list reads = { BSON_INITIALIZER, 0 };
    for (size_t i = 0; i < PK_COUNT(half_table); i++) {
        bson_t basis, list, item;
        bson_iter_t iter;
        if (!find_doc(persona, half_table[i].basis, BSON_TYPE_DOCUMENT, &basis) ||
            !find_doc(&basis, "readSet", BSON_TYPE_ARRAY, &list) || !bson_iter_init(&iter, &list)) {
            continue;
        }
        while (reads.count < READS_MAX && bson_iter_next(&iter)) {
            const uint8_t *data;
            uint32_t size;
            bson_iter_document(&iter, &size, &data);
            if (bson_init_static(&item, data, size)) {
                list_doc(&reads, &item);
            }
        }
    }
    BSON_APPEND_ARRAY(row, "readSet", &reads.bson);
    bson_destroy(&reads.bson);
}

static void add_costs(bson_t *row, const struct mapping *mapping, const struct made *made)
{
    const int64_t all_ns = pk_clock_mono_ns(mapping->domain->books->clock) - mapping->started_ns;
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(row, "timings", &child);
    BSON_APPEND_DOUBLE(&child, "script", (double)made->result.jail.took_ns / 1e6);
    BSON_APPEND_DOUBLE(&child, "call", (double)made->took_ns / 1e6);
    BSON_APPEND_DOUBLE(&child, "all", all_ns > 0 ? (double)all_ns / 1e6 : 0);
    bson_append_document_end(row, &child);
    BSON_APPEND_DOCUMENT_BEGIN(row, "cost", &child);
    BSON_APPEND_INT64(&child, "tokens", made->prompts.tokens);
    BSON_APPEND_DOUBLE(&child, "dollars", 0);
    bson_append_document_end(row, &child);
}

struct pk_doc *persona_log_row(const struct mapping *mapping, const struct made *made,
                               const struct pk_doc *persona)
{
    static const char *const same[] = { "userId",      "mapperId",   "mapperVersion",
                                        "detailLevel", "variant",    "mindscapeVersion",
                                        "createdBy",   "generatedAt" };
    const int64_t gone_ms = pk_doc_date(persona, "expiresAt", 0);
    const int64_t kept_ms = mapping->now_ms + mapping->domain->persona_log_keep_ms;
    bson_t view, *row = bson_new();
    bson_iter_t iter;

    pk_doc_view(persona, &view);
    BSON_APPEND_UTF8(row, "_id", pk_doc_text(persona, "personaInstanceId"));
    BSON_APPEND_UTF8(row, "personaId", pk_doc_id(persona));
    for (size_t i = 0; i < PK_COUNT(same); i++) {
        if (bson_iter_init_find(&iter, &view, same[i])) {
            (void)bson_append_iter(row, same[i], -1, &iter);
        }
    }
    add_rules(row, &view);
    add_read_sets(row, &view);
    add_costs(row, mapping, made);
    BSON_APPEND_DATE_TIME(row, "personaExpiresAt", gone_ms);
    BSON_APPEND_BOOL(row, "isExpiryAnnounced", false);
    /* It outlives its persona, so that the end of that is announced. */
    BSON_APPEND_DATE_TIME(row, "expiresAt",
                          kept_ms > gone_ms + 24 * HOUR_MS ? kept_ms : gone_ms + 24 * HOUR_MS);
    return pk_doc_take(row);
}

struct pk_doc *persona_marked(const struct pk_doc *persona, bool is_stale)
{
    bson_t view, *made;
    bson_iter_t iter;
    if (pk_doc_bool(persona, "isStale", false) == is_stale) {
        return pk_doc_ref((struct pk_doc *)(uintptr_t)persona);
    }
    pk_doc_view(persona, &view);
    made = bson_copy(&view);
    if (bson_iter_init_find(&iter, made, "isStale") && BSON_ITER_HOLDS_BOOL(&iter)) {
        bson_iter_overwrite_bool(&iter, is_stale);
    }
    struct pk_doc *doc = pk_doc_new_versioned(made, pk_doc_version(persona));
    bson_destroy(made);
    return doc;
}
