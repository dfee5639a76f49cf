/* trial_compare.c - Where two personas of one person differ.
 *
 * Both are made of the same mindscape for the same instant, so what differs is
 * the version's doing. Of sections only paths are told, never what they say.
 * Hashes and dates of the making are no content.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/trial_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/doc.h"
#include "doc/keys.h"
#include "doc/peek.h"
#include "persona/trait.h"

#include <string.h>

enum { LINES_MAX = 50, SECTIONS_MAX = 200, DEPTH_MAX = 64 };

/* What is found on the way. */
struct finding {
    struct list section, line;
    size_t line_count; /* Beyond those that are listed, too. */
    struct pk_buf path;
};

/* ---- Content ---- */

static void note_line(struct finding *found)
{
    found->line_count++;
    if (found->line.count < LINES_MAX) {
        list_add_text(&found->line, pk_buf_text(&found->path), found->path.size);
    }
}

static void compare_things(struct finding *found, const bson_t *a, const bson_t *b, int depth);

/* 'a' or 'b' may be NULL: it is not there. */
static void compare_values(struct finding *found, const bson_iter_t *a, const bson_iter_t *b,
                           int depth)
{
    bson_t in_a, in_b;
    if (a && b && depth < DEPTH_MAX && bson_iter_type(a) == bson_iter_type(b) &&
        pk_peek_view(a, &in_a) && pk_peek_view(b, &in_b)) {
        compare_things(found, &in_a, &in_b, depth + 1);
    } else if (!a || !b || !pk_trait_same_value(a, b)) {
        note_line(found);
    }
}

static void step(struct finding *found, const char *key, const bson_iter_t *a, const bson_iter_t *b,
                 int depth)
{
    const size_t before = found->path.size;
    pk_buf_printf(&found->path, ".%s", key);
    compare_values(found, a, b, depth);
    found->path.size = before;
    found->path.data[before] = '\0';
}

typedef void each_fn(struct finding *found, const char *key, const bson_iter_t *a,
                     const bson_iter_t *b, int depth);

/* Each key of either, in the order of 'a' and then of 'b'. */
static void each_key(struct finding *found, const bson_t *a, const bson_t *b, each_fn *each,
                     int depth)
{
    bson_iter_t iter, other;
    for (bool more = bson_iter_init(&iter, a); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        each(found, key, &iter, bson_iter_init_find(&other, b, key) ? &other : NULL, depth);
    }
    for (bool more = bson_iter_init(&iter, b); more && bson_iter_next(&iter);) {
        if (!bson_has_field(a, bson_iter_key(&iter))) {
            each(found, bson_iter_key(&iter), NULL, &iter, depth);
        }
    }
}

static void compare_things(struct finding *found, const bson_t *a, const bson_t *b, int depth)
{
    each_key(found, a, b, step, depth);
}

/* Hash and date of a half belong to its making, not to what was said. */
static bool is_of_making(const char *key)
{
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        if (strcmp(key, half_table[i].version) == 0) {
            return true;
        }
    }
    return strcmp(key, "generatedAt") == 0;
}

static void compare_section(struct finding *found, const char *key, const bson_iter_t *a,
                            const bson_iter_t *b, int depth)
{
    const size_t before = found->line_count;
    if (is_of_making(key)) {
        return;
    }
    step(found, key, a, b, depth);
    if (found->line_count > before && found->section.count < SECTIONS_MAX) {
        PK_CLEANUP(pk_freep) char *name = pk_strdupf("%s.%s", pk_buf_text(&found->path), key);
        list_add_text(&found->section, name, strlen(name));
    }
}

/* A half as its author wrote it; initialised here. */
static void plain_half(const struct pk_doc *persona, const struct half *half, bson_t *out)
{
    bson_t view, stored;
    pk_doc_view(persona, &view);
    if (half_find(&view, half->snapshot, BSON_TYPE_DOCUMENT, &stored)) {
        pk_keys_unescape(&stored, out);
    } else {
        bson_init(out);
    }
}

static void compare_content(struct finding *found, const struct pk_doc *version,
                            const struct pk_doc *against)
{
    static const char *const shown[] = { "personaCore", "contextualOverlay" };
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        bson_t a, b;
        plain_half(version, &half_table[i], &a);
        plain_half(against, &half_table[i], &b);
        pk_buf_clear(&found->path);
        pk_buf_add_text(&found->path, shown[i]);
        each_key(found, &a, &b, compare_section, 0);
        bson_destroy(&a);
        bson_destroy(&b);
    }
}

/* ---- Rules and warnings ---- */

static bool has_text(const bson_t *list, const char *text)
{
    bson_iter_t item;
    for (bool more = bson_iter_init(&item, list); more && bson_iter_next(&item);) {
        if (strcmp(bson_iter_utf8(&item, NULL), text) == 0) {
            return true;
        }
    }
    return false;
}

/* Those of 'a' that 'b' has not. */
static void add_others(const struct list *a, const struct list *b, struct list *out)
{
    bson_iter_t item;
    for (bool more = bson_iter_init(&item, &a->bson); more && bson_iter_next(&item);) {
        const char *text = bson_iter_utf8(&item, NULL);
        if (!has_text(&b->bson, text)) {
            list_add_text(out, text, strlen(text));
        }
    }
}

/* True when some rule fires in one of them alone. */
static bool add_rules(const struct attempt *version, const struct attempt *against, bson_t *out)
{
    struct list a = { BSON_INITIALIZER, 0 }, b = { BSON_INITIALIZER, 0 };
    struct list added = { BSON_INITIALIZER, 0 }, removed = { BSON_INITIALIZER, 0 };
    if (version->persona && against->persona) {
        attempt_add_rules(version, &a);
        attempt_add_rules(against, &b);
        add_others(&a, &b, &added);
        add_others(&b, &a, &removed);
    }
    BSON_APPEND_ARRAY(out, "rulesAdded", &added.bson);
    BSON_APPEND_ARRAY(out, "rulesRemoved", &removed.bson);
    const bool differ = added.count > 0 || removed.count > 0;
    bson_destroy(&a.bson);
    bson_destroy(&b.bson);
    bson_destroy(&added.bson);
    bson_destroy(&removed.bson);
    return differ;
}

static bool same_warnings(const struct pk_doc *version, const struct pk_doc *against)
{
    bson_t view_a, view_b, a, b;
    pk_doc_view(version, &view_a);
    pk_doc_view(against, &view_b);
    const bool has_a = half_find(&view_a, "warnings", BSON_TYPE_ARRAY, &a);
    const bool has_b = half_find(&view_b, "warnings", BSON_TYPE_ARRAY, &b);
    return has_a == has_b && (!has_a || bson_equal(&a, &b));
}

/* ---- Both ---- */

static void add_failure(const struct attempt *version, const struct attempt *against, bson_t *out)
{
    BSON_APPEND_UTF8(out, "fails", version->persona ? "against" : "version");
    BSON_APPEND_UTF8(out, "problem",
                     version->persona ? against->why.message : version->why.message);
}

bool trial_compare(const struct attempt *version, const struct attempt *against, bson_t *out)
{
    struct finding found = { .section = { BSON_INITIALIZER, 0 }, .line = { BSON_INITIALIZER, 0 } };
    const bool has_both = version->persona && against->persona;
    bool warnings_differ = false;
    if (!version->persona && !against->persona) {
        return false;
    }
    if (has_both) {
        compare_content(&found, version->persona, against->persona);
        warnings_differ = !same_warnings(version->persona, against->persona);
    }
    BSON_APPEND_ARRAY(out, "sections", &found.section.bson);
    BSON_APPEND_ARRAY(out, "lines", &found.line.bson);
    BSON_APPEND_INT64(out, "lineCount", (int64_t)found.line_count);
    const bool rules_differ = add_rules(version, against, out);
    BSON_APPEND_BOOL(out, "warningsDiffer", warnings_differ);
    if (!has_both) {
        add_failure(version, against, out);
    }
    bson_destroy(&found.section.bson);
    bson_destroy(&found.line.bson);
    pk_buf_done(&found.path);
    return !has_both || found.line_count > 0 || rules_differ || warnings_differ;
}
