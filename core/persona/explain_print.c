/* explain_print.c - An explanation as text: a sentence for each line, then what did not happen.
 *
 *     'Schedule deep work before 11:00' because rule morning-deep-work (daily-work-optimizer 1.0.0,
 *         line 23) saw work.chronotype = morning (0.90, now 0.89) from observation f5fe...
 *         (user_input, 0.90)
 *
 * It is made of the document alone, so both say the same. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "doc/json.h"
#include "doc/path.h"

#include <string.h>

enum {
    VALUE_SHOWN = 120, /* Bytes of a value. */
    SOURCES_SHOWN = 3  /* Of a trait. */
};

/* ---- Values ---- */

static void put_cut(struct pk_buf *out, const char *text, size_t size)
{
    size_t shown = size < VALUE_SHOWN ? size : VALUE_SHOWN;
    while (shown < size && shown > 0 && ((unsigned char)text[shown] & 0xC0) == 0x80) {
        shown--; /* To the start of a character. */
    }
    for (size_t i = 0; i < shown; i++) { /* One line stays one line. */
        const unsigned char c = (unsigned char)text[i];
        pk_buf_add_char(out, c < ' ' || c == 0x7F ? ' ' : text[i]);
    }
    if (shown < size) {
        pk_buf_add_text(out, "...");
    }
}

static void put_json(struct pk_buf *out, const bson_iter_t *value)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(bson_destroy) bson_t wrapped = BSON_INITIALIZER;
    (void)bson_append_iter(&wrapped, "v", -1, value);
    if (pk_json_write(&text, &wrapped, PK_JSON_COMPACT, NULL) && text.size > 6) {
        put_cut(out, text.data + 5, text.size - 6); /* Without {"v": and }. */
    }
}

static void put_value(struct pk_buf *out, const bson_iter_t *value)
{
    uint32_t size;
    if (BSON_ITER_HOLDS_UTF8(value)) {
        const char *text = bson_iter_utf8(value, &size);
        put_cut(out, text, size);
    } else {
        put_json(out, value);
    }
}

static void put_at(struct pk_buf *out, const bson_t *doc, const char *path)
{
    bson_iter_t iter;
    if (pk_path_find(doc, path, &iter)) {
        put_value(out, &iter);
    }
}

static double number_at(const bson_t *doc, const char *path, double fallback)
{
    bson_iter_t iter;
    return pk_path_find(doc, path, &iter) &&
                   (BSON_ITER_HOLDS_DOUBLE(&iter) || BSON_ITER_HOLDS_INT(&iter))
               ? bson_iter_as_double(&iter)
               : fallback;
}

static bool is_true(const bson_t *doc, const char *path)
{
    bson_iter_t iter;
    return pk_path_find(doc, path, &iter) && bson_iter_as_bool(&iter);
}

/* ---- Traits ---- */

static bool find_trait(const bson_t *explanation, const char *path, bson_t *out)
{
    bson_t list;
    bson_iter_t item;
    if (!explain_view(explanation, "traits", &list)) {
        return false;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, out) && strcmp(pk_peek_text(out, "traitName", ""), path) == 0) {
            return true;
        }
    }
    return false;
}

/* "(0.90, now 0.89)", "(0.90, now gone)" */
static void put_confidence(struct pk_buf *out, const bson_t *trait)
{
    bson_iter_t iter;
    pk_buf_printf(out, " (%.2f, now ", number_at(trait, "confidenceThen", 0));
    if (is_true(trait, "isHeld")) {
        pk_buf_printf(out, "%.2f", number_at(trait, "confidenceNow", 0));
    } else {
        pk_buf_add_text(out, "gone");
    }
    if (bson_iter_init_find(&iter, trait, "valueNow")) {
        pk_buf_add_text(out, " and ");
        put_value(out, &iter);
    }
    pk_buf_add_char(out, ')');
}

static void put_sources(struct pk_buf *out, const bson_t *trait)
{
    bson_t list, source;
    bson_iter_t item;
    size_t count = 0;
    if (!explain_view(trait, "sources", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item); count++) {
        if (count >= SOURCES_SHOWN || !pk_peek_view(&item, &source)) {
            continue;
        }
        const char *type = pk_peek_text(&source, "sourceType", "");
        pk_buf_printf(out, "%s%s (%s, %.2f)", count ? ", " : " from observation ",
                      pk_peek_text(&source, "observationId", ""), *type ? type : "forgotten",
                      number_at(&source, "weight", 0));
    }
    if (count > SOURCES_SHOWN) {
        pk_buf_printf(out, " and %zu more", count - SOURCES_SHOWN);
    }
}

static void put_narratives(struct pk_buf *out, const bson_t *trait)
{
    bson_t list, link;
    bson_iter_t item;
    size_t count = 0;
    if (!explain_view(trait, "narratives", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &link)) {
            pk_buf_printf(out, "%s%s (%s)", count++ ? ", " : ", with narrative ",
                          pk_peek_text(&link, "narrativeId", ""),
                          pk_peek_text(&link, "linkType", ""));
        }
    }
}

/* What a line or rule saw: "work.chronotype = morning (0.90, now 0.89) from observation ..." */
static void put_seen(struct pk_buf *out, const bson_t *explanation, const bson_t *line)
{
    bson_t list, trait;
    bson_iter_t item;
    const char *between = "";
    if (!explain_view(line, "traits", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (!BSON_ITER_HOLDS_UTF8(&item)) {
            continue;
        }
        const char *path = bson_iter_utf8(&item, NULL);
        pk_buf_printf(out, "%s%s", between, path);
        between = "; ";
        if (find_trait(explanation, path, &trait)) {
            pk_buf_add_text(out, " = ");
            put_at(out, &trait, "value");
            put_confidence(out, &trait);
            put_sources(out, &trait);
            put_narratives(out, &trait);
        } else {
            pk_buf_add_text(out, " (not known)");
        }
    }
}

/* ---- Lines and rules ---- */

static void put_place(struct pk_buf *out, const bson_t *explanation, const bson_t *line)
{
    pk_buf_printf(out, "%s %s", pk_peek_text(explanation, "sourceMapperId", ""),
                  pk_peek_text(explanation, "mapperVersion", ""));
    const double number = number_at(line, "source.line", 0);
    if (number > 0) {
        pk_buf_printf(out, ", line %.0f", number);
    }
}

static void put_line(struct pk_buf *out, const bson_t *explanation, const bson_t *line)
{
    const char *rule = pk_peek_text(line, "ruleId", "");
    bson_iter_t says;
    bson_t traits;
    const bool has_traits = explain_view(line, "traits", &traits) && !bson_empty(&traits);
    if (*rule && bson_iter_init_find(&says, line, "says")) {
        pk_buf_add_char(out, '\'');
        put_value(out, &says);
        pk_buf_printf(out, "' because rule %s (", rule);
        put_place(out, explanation, line);
        pk_buf_add_text(out, has_traits ? ") saw " : "), which looks at no trait");
    } else {
        pk_buf_printf(out, "%s = ", pk_peek_text(line, "path", ""));
        put_at(out, line, "says");
        pk_buf_add_text(out, " because ");
        put_place(out, explanation, line);
        pk_buf_add_text(out, has_traits ? " read " : ", which read no trait");
    }
    put_seen(out, explanation, line);
    pk_buf_add_char(out, '\n');
}

static void put_lines(struct pk_buf *out, const bson_t *explanation)
{
    bson_t list, line;
    bson_iter_t item;
    if (!explain_view(explanation, "lines", &list)) {
        return;
    }
    pk_buf_add_text(out, "\nWhat it says, and why\n");
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &line)) {
            pk_buf_add_text(out, "  ");
            put_line(out, explanation, &line);
        }
    }
}

static void put_rules(struct pk_buf *out, const bson_t *explanation)
{
    bson_t list, rule;
    bson_iter_t item;
    const char *title = "\nRules that did not fire\n";
    if (!explain_view(explanation, "rules", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (!pk_peek_view(&item, &rule) || is_true(&rule, "fired")) {
            continue;
        }
        pk_buf_printf(out, "%s  %s (", title, pk_peek_text(&rule, "ruleId", ""));
        title = "";
        put_place(out, explanation, &rule);
        pk_buf_printf(out, "): %s\n", pk_peek_text(&rule, "reason", ""));
    }
}

/* ---- Facts ---- */

/* "nickname = Bo (0.70, now Ann) from observation f5fe... (user_input)" */
static void put_fact(struct pk_buf *out, const bson_t *fact)
{
    bson_t list, source;
    bson_iter_t item, now;
    size_t count = 0;
    pk_buf_printf(out, "  %s = ", pk_peek_text(fact, "key", ""));
    put_at(out, fact, "value");
    pk_buf_printf(out, " (%.2f", number_at(fact, "confidence", 0));
    if (bson_iter_init_find(&now, fact, "valueNow")) {
        pk_buf_add_text(out, ", now ");
        put_value(out, &now);
    } else if (!is_true(fact, "isHeld")) {
        pk_buf_add_text(out, ", now gone");
    }
    pk_buf_add_char(out, ')');
    if (explain_view(fact, "sources", &list)) {
        for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
            if (count < SOURCES_SHOWN && pk_peek_view(&item, &source)) {
                const char *type = pk_peek_text(&source, "sourceType", "");
                pk_buf_printf(out, "%s%s (%s)", count++ ? ", " : " from observation ",
                              pk_peek_text(&source, "observationId", ""),
                              *type ? type : "forgotten");
            }
        }
    }
    pk_buf_add_char(out, '\n');
}

static void put_facts(struct pk_buf *out, const bson_t *explanation)
{
    bson_t list, fact;
    bson_iter_t item;
    const char *title = "\nFacts that it read\n";
    if (!explain_view(explanation, "facts", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &fact)) {
            pk_buf_add_text(out, title);
            title = "";
            put_fact(out, &fact);
        }
    }
}

/* ---- The rest ---- */

/* Rows of 'reads' that were looked for in vain, or were not, behind 'title'. */
static void put_reads(struct pk_buf *out, const bson_t *explanation, bool is_miss,
                      const char *title)
{
    bson_t list, row;
    bson_iter_t item;
    const char *between = title;
    if (!explain_view(explanation, "reads", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &row) &&
            (strcmp(pk_peek_text(&row, "match", ""), "miss") == 0) == is_miss) {
            const char *kind = pk_peek_text(&row, "kind", "");
            const bool is_trait = strcmp(kind, "trait") == 0;
            pk_buf_printf(out, "%s%s%s%s", between, is_trait ? "" : kind, is_trait ? "" : " ",
                          pk_peek_text(&row, "key", ""));
            between = ", ";
        }
    }
    pk_buf_add_text(out, between == title ? "" : "\n");
}

static void put_effect(struct pk_buf *out, const bson_t *effect)
{
    bson_iter_t before, after;
    const bool was = bson_iter_init_find(&before, effect, "before");
    const bool would = bson_iter_init_find(&after, effect, "after");
    pk_buf_printf(out, "  %s ", pk_peek_text(effect, "path", ""));
    if (was) {
        pk_buf_add_text(out, "was ");
        put_value(out, &before);
    }
    pk_buf_add_text(out, was && would ? ", " : "");
    pk_buf_add_text(out, would ? "would be " : ", would go");
    if (would) {
        put_value(out, &after);
    }
    pk_buf_add_char(out, '\n');
}

static void put_stale(struct pk_buf *out, const bson_t *explanation)
{
    bson_t stale, list, row;
    bson_iter_t item;
    if (!explain_view(explanation, "staleness", &stale) || !is_true(&stale, "isStale")) {
        return;
    }
    pk_buf_printf(out, "\nOut of date (core: %s, overlay: %s)\n", pk_peek_text(&stale, "core", ""),
                  pk_peek_text(&stale, "overlay", ""));
    if (explain_view(&stale, "changed", &list)) {
        for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
            if (pk_peek_view(&item, &row)) {
                pk_buf_printf(out, "  %s %s has changed since (version %.0f)\n",
                              pk_peek_text(&row, "kind", ""), pk_peek_text(&row, "key", ""),
                              number_at(&row, "v", 0));
            }
        }
    }
    if (explain_view(&stale, "effect", &list)) {
        if (bson_empty(&list)) {
            pk_buf_add_text(out, "  a new mapping would say the same\n");
        }
        for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
            if (pk_peek_view(&item, &row)) {
                put_effect(out, &row);
            }
        }
    }
    if (*pk_peek_text(&stale, "problem", "")) {
        pk_buf_printf(out, "  a new mapping fails: %s\n", pk_peek_text(&stale, "problem", ""));
    }
}

static void put_head(struct pk_buf *out, const bson_t *explanation)
{
    char at[PK_TIME_TEXT] = "";
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, explanation, "mappedAt") && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        pk_time_format(bson_iter_date_time(&iter), at);
    }
    const bool is_made = !is_true(explanation, "isHypothetical");
    pk_buf_printf(out, "%s\n%s %s by %s %s", pk_peek_text(explanation, "compositeKey", ""),
                  is_made ? "made" : "as it would be, made", at,
                  pk_peek_text(explanation, "sourceMapperId", ""),
                  pk_peek_text(explanation, "mapperVersion", ""));
    if (is_made) {
        pk_buf_printf(out, ", from version %.0f of the mindscape",
                      number_at(explanation, "mindscapeVersion", 0));
    }
    pk_buf_add_char(out, '\n');
}

static void put_warnings(struct pk_buf *out, const bson_t *explanation)
{
    bson_t list;
    bson_iter_t item;
    if (!explain_view(explanation, "warnings", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (BSON_ITER_HOLDS_UTF8(&item)) {
            pk_buf_printf(out, "warning: %s\n", bson_iter_utf8(&item, NULL));
        }
    }
}

void pk_explain_print(const bson_t *explanation, struct pk_buf *out)
{
    put_head(out, explanation);
    put_warnings(out, explanation);
    put_lines(out, explanation);
    put_rules(out, explanation);
    put_facts(out, explanation);
    put_reads(out, explanation, false, "\nAlso read: ");
    put_reads(out, explanation, true, "\nLooked for in vain: ");
    put_stale(out, explanation);
}
