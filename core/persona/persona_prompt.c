/* persona_prompt.c - Prompts of sections: templates filled, cut and handed out.
 *
 * A section of a mapper's template may have a prompt, for the consumer's own
 * model: nothing here calls one. Its holes are those of all templates,
 * {{trait.path|default}}; a hole may also name a query among the section's data sources,
 * and gets what it found. The text is cut to 'maxTokens', and lies in the overlay's
 * section 'prompts': { section, text, tokens }. What is looked up is read by the
 * overlay, so it is in its read set.
 *
 * Tokens are counted here, by a rule that no model shares and that is near to
 * all: four letters or digits of a word, a mark, or a character beyond ASCII
 * are one each. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "doc/path.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_LETTERS = 4, HOLE_MAX = 200 };

/* ---- Tokens ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Behind the token that begins at 'at'; blanks before it are part of none. */
static size_t token_end(const char *text, size_t size, size_t at)
{
    size_t end = at + 1;
    if (is_letter(text[at])) {
        while (end < size && end - at < TOKEN_LETTERS && is_letter(text[end])) {
            end++;
        }
    } else if ((unsigned char)text[at] >= 0x80) {
        while (end < size && ((unsigned char)text[end] & 0xC0) == 0x80) {
            end++;
        }
    }
    return end;
}

int64_t persona_tokens(const char *text, size_t size, int64_t max, size_t *out_size)
{
    int64_t count = 0;
    size_t at = 0, end = 0;
    while (at < size && count < max) {
        if (isspace((unsigned char)text[at])) {
            at++;
            continue;
        }
        at = end = token_end(text, size, at);
        count++;
    }
    while (at < size && isspace((unsigned char)text[at])) {
        at++;
    }
    *out_size = at == size ? size : end;
    return count;
}

/* ---- What is looked up ---- */

static bool child_of(const bson_iter_t *of, const char *name, bson_iter_t *out)
{
    bson_iter_t fields;
    return bson_iter_recurse(of, &fields) && bson_iter_find(&fields, name) && (*out = fields, true);
}

static void add_read(struct prompts *prompts, const char *kind, const char *key, const char *match)
{
    char index[16];
    const char *name;
    bson_t row;
    (void)bson_uint32_to_string(prompts->read_count++, &name, index, sizeof(index));
    BSON_APPEND_DOCUMENT_BEGIN(&prompts->reads, name, &row);
    BSON_APPEND_UTF8(&row, "kind", kind);
    if (key) {
        BSON_APPEND_UTF8(&row, "key", key);
    }
    BSON_APPEND_UTF8(&row, "match", match);
    bson_append_document_end(&prompts->reads, &row);
}

static void until(struct prompts *prompts, int64_t at_ms, int64_t now_ms)
{
    if (at_ms > now_ms && at_ms < prompts->until_ms) {
        prompts->until_ms = at_ms;
    }
}

/* The value of a trait that counts now. */
static bool find_trait(struct prompts *prompts, const bson_t *input, const char *path,
                       int64_t now_ms, bson_iter_t *out)
{
    bson_iter_t iter, item, field;
    bool is_found = false;
    for (bool more = bson_iter_init(&iter, input) &&
                     bson_iter_find_descendant(&iter, "mindscape.traits", &iter) &&
                     BSON_ITER_HOLDS_ARRAY(&iter) && bson_iter_recurse(&iter, &item);
         more && !is_found && bson_iter_next(&item);) {
        if (!child_of(&item, "id", &field) || !BSON_ITER_HOLDS_UTF8(&field) ||
            strcmp(bson_iter_utf8(&field, NULL), path) != 0) {
            continue;
        }
        const int64_t from =
            child_of(&item, "validFrom", &field) && BSON_ITER_HOLDS_DATE_TIME(&field)
                ? bson_iter_date_time(&field)
                : INT64_MIN;
        const int64_t to = child_of(&item, "expiresAt", &field) && BSON_ITER_HOLDS_DATE_TIME(&field)
                               ? bson_iter_date_time(&field)
                               : INT64_MAX;
        until(prompts, from, now_ms);
        until(prompts, to, now_ms);
        is_found = from <= now_ms && to > now_ms && child_of(&item, "value", out) &&
                   !BSON_ITER_HOLDS_NULL(out);
    }
    add_read(prompts, "trait", path, is_found ? "exact" : "miss");
    return is_found;
}

/* What a query of the section's data sources has found. */
static bool find_query(struct prompts *prompts, const bson_t *input, const bson_iter_t *section,
                       const char *name, int64_t now_ms, bson_iter_t *out)
{
    bson_iter_t sources, item, iter, found, field;
    bool is_source = false;
    for (bool more = child_of(section, "dataSource", &sources) && BSON_ITER_HOLDS_ARRAY(&sources) &&
                     bson_iter_recurse(&sources, &item);
         more && bson_iter_next(&item);) {
        is_source = is_source ||
                    (BSON_ITER_HOLDS_UTF8(&item) && strcmp(bson_iter_utf8(&item, NULL), name) == 0);
    }
    if (!is_source || !bson_iter_init(&iter, input) ||
        !bson_iter_find_descendant(&iter, "mindscape.found", &found) ||
        !child_of(&found, name, &iter)) {
        return false;
    }
    add_read(prompts,
             child_of(&iter, "kind", &field) && BSON_ITER_HOLDS_UTF8(&field)
                 ? bson_iter_utf8(&field, NULL)
                 : "warm",
             NULL, "exact");
    if (child_of(&iter, "validUntil", &field) && BSON_ITER_HOLDS_DATE_TIME(&field)) {
        until(prompts, bson_iter_date_time(&field), now_ms);
    }
    return child_of(&iter, "items", out);
}

/* ---- Text ---- */

/* How a value reads in a sentence: lists as "a, b", objects as "key: value, key: value". */
static void put_value(struct pk_buf *out, const bson_iter_t *value)
{
    bson_iter_t each;
    char date[PK_TIME_TEXT];
    bool is_first = true;
    if (BSON_ITER_HOLDS_UTF8(value)) {
        uint32_t size = 0;
        const char *text = bson_iter_utf8(value, &size);
        pk_buf_add(out, text, size);
    } else if (BSON_ITER_HOLDS_INT(value)) {
        pk_buf_printf(out, "%lld", (long long)bson_iter_as_int64(value));
    } else if (BSON_ITER_HOLDS_DOUBLE(value)) {
        pk_buf_printf(out, "%.14g", bson_iter_double(value));
    } else if (BSON_ITER_HOLDS_BOOL(value)) {
        pk_buf_add_text(out, bson_iter_bool(value) ? "true" : "false");
    } else if (BSON_ITER_HOLDS_DATE_TIME(value)) {
        pk_time_format(bson_iter_date_time(value), date);
        pk_buf_add_text(out, date);
    } else if (bson_iter_recurse(value, &each)) {
        while (bson_iter_next(&each)) {
            pk_buf_add_text(out, is_first ? "" : ", ");
            if (BSON_ITER_HOLDS_DOCUMENT(value)) {
                pk_buf_printf(out, "%s: ", bson_iter_key(&each));
            }
            put_value(out, &each);
            is_first = false;
        }
    }
}

/* What a query has found: the values of its items. */
static void put_items(struct pk_buf *out, const bson_iter_t *items)
{
    bson_iter_t item, value;
    bool is_first = true;
    for (bool more = bson_iter_recurse(items, &item); more && bson_iter_next(&item);) {
        pk_buf_add_text(out, is_first ? "" : ", ");
        put_value(out, child_of(&item, "value", &value) ? &value : &item);
        is_first = false;
    }
}

static void warn(struct prompts *prompts, const char *name)
{
    char index[16];
    const char *key;
    PK_CLEANUP(pk_freep)
    char *text = pk_strdupf("'%s' is not known; give a default: {{%s|...}}", name, name);
    (void)bson_uint32_to_string(prompts->warning_count++, &key, index, sizeof(index));
    BSON_APPEND_UTF8(&prompts->warnings, key, text);
}

struct span {
    const char *at;
    size_t size;
};

static struct span trimmed(const char *at, size_t size)
{
    while (size > 0 && isspace((unsigned char)*at)) {
        at++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)at[size - 1])) {
        size--;
    }
    return (struct span){ at, size };
}

/* "trait.path|default", without its braces. */
static void put_hole(struct prompts *prompts, const bson_t *input, const bson_iter_t *section,
                     struct span inner, int64_t now_ms, struct pk_buf *out)
{
    const char *bar = memchr(inner.at, '|', inner.size);
    const struct span name = trimmed(inner.at, bar ? (size_t)(bar - inner.at) : inner.size);
    char path[HOLE_MAX + 1];
    bson_iter_t value;

    (void)snprintf(path, sizeof(path), "%.*s", (int)(name.size < HOLE_MAX ? name.size : HOLE_MAX),
                   name.at);
    for (char *c = path; *c; c++) {
        *c = *c == '/' ? '.' : *c;
    }
    if (find_query(prompts, input, section, path, now_ms, &value)) {
        put_items(out, &value);
    } else if (find_trait(prompts, input, path, now_ms, &value)) {
        put_value(out, &value);
    } else if (bar) {
        const struct span text = trimmed(bar + 1, inner.size - (size_t)(bar + 1 - inner.at));
        pk_buf_add(out, text.at, text.size);
    } else {
        const char *last = strrchr(path, '.');
        pk_buf_printf(out, "(%s unknown)", last ? last + 1 : path);
        warn(prompts, path);
    }
}

/* What is not a whole hole stands as it is. */
static void fill(struct prompts *prompts, const bson_t *input, const bson_iter_t *section,
                 struct span text, int64_t now_ms, struct pk_buf *out)
{
    const char *end = text.at + text.size;
    for (const char *at = text.at; at < end;) {
        const char *open = memmem(at, (size_t)(end - at), "{{", 2);
        const char *close = open ? memmem(open, (size_t)(end - open), "}}", 2) : NULL;
        if (!close) {
            pk_buf_add(out, at, (size_t)(end - at));
            return;
        }
        pk_buf_add(out, at, (size_t)(open - at));
        put_hole(prompts, input, section, (struct span){ open + 2, (size_t)(close - open - 2) },
                 now_ms, out);
        at = close + 2;
    }
}

/* ---- Sections ---- */

static void add_prompt(struct prompts *prompts, const bson_t *input, const bson_iter_t *section,
                       int64_t now_ms)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t name, prompt, most;
    char index[16];
    const char *key;
    uint32_t size = 0;
    size_t cut = 0;
    bson_t item;

    if (!child_of(section, "sectionName", &name) || !BSON_ITER_HOLDS_UTF8(&name) ||
        !child_of(section, "prompt", &prompt) || !BSON_ITER_HOLDS_UTF8(&prompt)) {
        return;
    }
    const char *source = bson_iter_utf8(&prompt, &size);
    if (size == 0) {
        return;
    }
    fill(prompts, input, section, (struct span){ source, size }, now_ms, &text);
    const int64_t max = child_of(section, "maxTokens", &most) && BSON_ITER_HOLDS_NUMBER(&most)
                            ? bson_iter_as_int64(&most)
                            : INT64_MAX;
    const int64_t tokens = persona_tokens(pk_buf_text(&text), text.size, max, &cut);
    (void)bson_uint32_to_string(prompts->count++, &key, index, sizeof(index));
    BSON_APPEND_DOCUMENT_BEGIN(&prompts->list, key, &item);
    BSON_APPEND_UTF8(&item, "section", bson_iter_utf8(&name, NULL));
    (void)bson_append_utf8(&item, "text", -1, pk_buf_text(&text), (int)cut);
    BSON_APPEND_INT64(&item, "tokens", tokens);
    bson_append_document_end(&prompts->list, &item);
    prompts->tokens += tokens;
}

void prompts_fill(struct prompts *prompts, const struct pk_script *mapper, enum pk_detail detail,
                  const bson_t *input, int64_t now_ms)
{
    bson_iter_t iter, item, least;
    bson_init(&prompts->list);
    bson_init(&prompts->reads);
    bson_init(&prompts->warnings);
    prompts->until_ms = INT64_MAX;
    prompts->is_filled = true;
    for (bool more = bson_iter_init(&iter, &mapper->manifest) &&
                     bson_iter_find_descendant(&iter, "outputTemplate.sections", &iter) &&
                     BSON_ITER_HOLDS_ARRAY(&iter) && bson_iter_recurse(&iter, &item);
         more && bson_iter_next(&item);) {
        if (!child_of(&item, "detail", &least) || !BSON_ITER_HOLDS_UTF8(&least) ||
            pk_detail_find(bson_iter_utf8(&least, NULL)) <= detail) {
            add_prompt(prompts, input, &item, now_ms);
        }
    }
}

void prompts_done(struct prompts *prompts)
{
    if (prompts->is_filled) {
        bson_destroy(&prompts->list);
        bson_destroy(&prompts->reads);
        bson_destroy(&prompts->warnings);
        prompts->is_filled = false;
    }
}
