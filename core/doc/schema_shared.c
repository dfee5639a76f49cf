/* schema_shared.c - Rows, enumerations and small schemas that many tables use. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/schema_internal.h"
#include "doc/schema_tables.h"

#include <string.h>

const struct pk_field pk_item_uuid = ROW_UUID(NULL, OPT, "An id.");
const struct pk_field pk_item_obs = ROW_UUID(NULL, OPT, "The id of an observation.");
const struct pk_field pk_item_trait = ROW_TRAIT(NULL, OPT, "The path of a trait.");
const struct pk_field pk_item_word = ROW_TEXT(NULL, OPT, TEXT_WORD, "A name or a label.");
const struct pk_field pk_item_line = ROW_TEXT(NULL, OPT, TEXT_LINE, "A sentence or two.");
const struct pk_field pk_item_free = ROW_FREE(NULL, PK_FIELD_NULLABLE, "Anything.");
const struct pk_field pk_item_float = ROW_NUMBER(NULL, OPT, 0, 0, "One coordinate.");

const char *const pk_allowed_detail[] = { "instant", "balanced", "deep_dive", NULL };
const char *const pk_allowed_level[] = { "low", "medium", "high", NULL };
const char *const pk_allowed_volatility[] = { "low", "high", NULL };
const char *const pk_allowed_lifecycle[] = { "draft", "active", "deprecated", NULL };
const char *const pk_allowed_work[] = { "pending", "in_progress", "done", "failed", NULL };
const char *const pk_allowed_link[] = { "extracted_from", "curates", "supports", "contradicts",
                                        NULL };

static const struct pk_field span_field[] = {
    ROW_DATE("from", OPT, "First instant; absent: always was."),
    ROW_DATE("to", OPT, "First instant after it; absent: has no end."),
};
const struct pk_schema pk_schema_span = {
    .name = "TimeSpan",
    FIELDS(span_field),
    .help = "A stretch of time, open at either end.",
};

/* What a mindscape's versions count and what a persona's read set names: the same kinds. */
static const char *const read_kind[] = { "trait", "goals", "beliefs",    "narrative",
                                         "hot",   "facts", "narratives", "warm",
                                         "graph", "model", "consent",    NULL };
static const char *const read_match[] = { "exact", "prefix", "miss", NULL };
static const struct pk_field read_key_field[] = {
    ROW_ENUM("kind", REQ, read_kind, "What sort of thing it is."),
    ROW_TEXT("key", OPT, TEXT_WORD,
             "Which one: a trait's path, a hot key; absent: all of the kind."),
    ROW_ENUM("match", OPT, read_match,
             "How it was read: itself, all below it, or looked for in vain."),
    ROW_COUNT("v", OPT, "The mindscape version at which it last changed."),
};
const struct pk_schema pk_schema_read_key = {
    .name = "ReadKey",
    FIELDS(read_key_field),
    .help = "One readable thing of a person.",
};

static bool find(const bson_t *doc, const char *name, bson_iter_t *out)
{
    return bson_iter_init_find(out, doc, name);
}

const char *pk_rule_text(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return find(doc, name, &iter) && BSON_ITER_HOLDS_UTF8(&iter) ? bson_iter_utf8(&iter, NULL)
                                                                 : NULL;
}

bool pk_rule_date(const bson_t *doc, const char *name, int64_t *out_ms)
{
    bson_iter_t iter;
    if (!find(doc, name, &iter) || !BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        return false;
    }
    *out_ms = bson_iter_date_time(&iter);
    return true;
}

bool pk_rule_has(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return find(doc, name, &iter) && !BSON_ITER_HOLDS_NULL(&iter);
}

void pk_rule_fault(struct pk_faults *faults, const char *path, const char *name,
                   const char *expected, const char *got)
{
    char *at = pk_strdupf("%s%s%s", path, *path && *name ? "." : "", name);
    pk_faults_add(faults, at, expected, "%s", got);
    pk_free(at);
}

void pk_rule_joined_id(const bson_t *doc, const char *path, const char *const *part, size_t count,
                       struct pk_faults *faults)
{
    const char *id = pk_rule_text(doc, "_id");
    const char *rest = id;
    for (size_t i = 0; i < count && rest; i++) {
        size_t length = strlen(part[i]);
        bool is_same = strncmp(rest, part[i], length) == 0;
        char behind = is_same ? rest[length] : '\0';
        rest = is_same && behind == (i + 1 < count ? ':' : '\0') ? rest + length + 1 : NULL;
    }
    bson_iter_t iter;
    if (id && !rest && find(doc, "_id", &iter)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf got = { 0 };
        pk_value_describe(&got, &iter, false);
        pk_rule_fault(faults, path, "_id", "the document's own fields joined by ':'",
                      pk_buf_text(&got));
    }
}
