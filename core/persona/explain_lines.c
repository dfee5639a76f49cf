/* explain_lines.c - Each line of a persona with its rule and source, and the rules that did not
 * fire.
 *
 * Which rules fired is known of the persona. Why others did not is walked anew
 * by the script's 'explain' on the mindscape as it was read; it stops at the
 * first condition that fails and says what it saw.
 *
 * Nothing compiled knows where in the author's file a rule stands, so its id is
 * looked for as it is written: id = "morning" or "id": "morning", else the
 * first place where it is quoted. What a function made is shown at its section.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/input.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LINE_SHOWN = 200 }; /* Bytes of a source line. */

/* ---- Places in the source ---- */

struct place {
    const struct pk_bundle_file *file; /* NULL: not found. */
    unsigned line;                     /* From 1. */
    const char *text;                  /* The line, without its end. */
    size_t size;
};

/* 'word' between quotes of either sort. */
static const char *find_quoted(const char *line, size_t size, const char *word)
{
    const size_t length = strlen(word);
    for (size_t i = 1; length > 0 && i + length < size; i++) {
        const char before = line[i - 1], behind = line[i + length];
        if (before == behind && (before == '"' || before == '\'') &&
            memcmp(line + i, word, length) == 0) {
            return line + i - 1;
        }
    }
    return NULL;
}

/* "id = " or "id": directly before it. */
static bool is_id(const char *line, const char *quoted)
{
    const char *at = quoted;
    while (at > line && strchr(" \t=:'\"", at[-1])) {
        at--;
    }
    return at < quoted && at - line >= 2 && memcmp(at - 2, "id", 2) == 0 &&
           (at - line == 2 || !isalnum((unsigned char)at[-3]));
}

/* A key 'word' with what is assigned to it. */
static bool has_key(const char *line, size_t size, const char *word)
{
    const size_t length = strlen(word);
    for (size_t i = 0; length > 0 && i + length <= size; i++) {
        if (memcmp(line + i, word, length) != 0 ||
            (i > 0 && (isalnum((unsigned char)line[i - 1]) || line[i - 1] == '_'))) {
            continue;
        }
        size_t at = i + length;
        while (at < size && strchr(" \t'\"]", line[at])) {
            at++;
        }
        if (at < size && (line[at] == '=' || line[at] == ':') &&
            !(at + 1 < size && line[at + 1] == '=')) {
            return true;
        }
    }
    return false;
}

enum look { LOOK_ID, LOOK_QUOTED, LOOK_KEY };

static bool is_match(enum look look, const char *line, size_t size, const char *word)
{
    const char *quoted = look == LOOK_KEY ? NULL : find_quoted(line, size, word);
    switch (look) {
    case LOOK_ID:
        return quoted && is_id(line, quoted);
    case LOOK_QUOTED:
        return quoted != NULL;
    case LOOK_KEY:
        break;
    }
    return has_key(line, size, word);
}

/* The first line of a file, from 'from' on, that matches. */
static bool look_in(const struct pk_bundle_file *file, unsigned from, enum look look,
                    const char *word, struct place *out)
{
    unsigned number = 1;
    for (const char *line = file->text; line < file->text + file->size; number++) {
        const char *end = memchr(line, '\n', (size_t)(file->text + file->size - line));
        const size_t size = (size_t)((end ? end : file->text + file->size) - line);
        if (number >= from && is_match(look, line, size, word)) {
            *out = (struct place){ .file = file, .line = number, .text = line, .size = size };
            return true;
        }
        line += size + 1;
    }
    return false;
}

/* The script itself first, then its modules. */
static bool look_for(const struct pk_bundle *bundle, enum look look, const char *word,
                     struct place *out)
{
    if (look_in(&bundle->file[bundle->main], 1, look, word, out)) {
        return true;
    }
    for (size_t i = 0; i < bundle->count; i++) {
        if (i != bundle->main && &bundle->file[i] != bundle->tuning &&
            look_in(&bundle->file[i], 1, look, word, out)) {
            return true;
        }
    }
    return false;
}

static struct place place_of_rule(const struct pk_bundle *bundle, const char *rule)
{
    struct place place = { .file = NULL };
    (void)(look_for(bundle, LOOK_ID, rule, &place) || look_for(bundle, LOOK_QUOTED, rule, &place));
    return place;
}

/* Of "core.rhythm": the key 'rhythm' behind the key 'core', else the latter. */
static struct place place_of_section(const struct pk_bundle *bundle, const char *path)
{
    struct place half = { .file = NULL }, section = { .file = NULL };
    char name[64];
    const char *rest = strchr(path, '.');
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(path, "."), path);
    if (!look_for(bundle, LOOK_KEY, name, &half) || !rest) {
        return half;
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(rest + 1, "."), rest + 1);
    return look_in(half.file, half.line, LOOK_KEY, name, &section) ? section : half;
}

static void put_place(bson_t *out, const struct place *place)
{
    bson_t child;
    if (!place->file) {
        return;
    }
    const char *text = place->text;
    size_t size = place->size;
    for (; size > 0 && isspace((unsigned char)*text); size--) {
        text++;
    }
    while (size > 0 && isspace((unsigned char)text[size - 1])) {
        size--;
    }
    size = size < LINE_SHOWN ? size : LINE_SHOWN;
    while (size > 0 && size == LINE_SHOWN && ((unsigned char)text[size] & 0xC0) == 0x80) {
        size--; /* To the start of a character. */
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "source", &child);
    BSON_APPEND_UTF8(&child, "file", place->file->name);
    BSON_APPEND_INT64(&child, "line", place->line);
    if (bson_utf8_validate(text, size, false)) {
        (void)bson_append_utf8(&child, "text", -1, text, (int)size);
    }
    bson_append_document_end(out, &child);
}

/* ---- Lines ---- */

/* Where a path of the mapper's lies in a stored persona, and over HTTP. */
static const struct {
    const char *given, *stored, *shown;
} half_row[] = { { "core.", "coreSnapshot.", "personaCore." },
                 { "overlay.", "overlaySlice.", "contextualOverlay." } };

static void put_paths(const struct explaining *it, const char *path, bson_t *out)
{
    bson_t view, item;
    bson_iter_t value;
    char text[600];
    pk_doc_view(it->persona, &view);
    for (size_t i = 0; i < PK_COUNT(half_row); i++) {
        const size_t length = strlen(half_row[i].given);
        if (strncmp(path, half_row[i].given, length) != 0) {
            continue;
        }
        (void)snprintf(text, sizeof(text), "%s%s", half_row[i].shown, path + length);
        BSON_APPEND_UTF8(out, "path", text);
        (void)snprintf(text, sizeof(text), "%s%s", half_row[i].stored, path + length);
        if (!pk_path_find(&view, text, &value)) {
            return;
        }
        if (pk_peek_view(&value, &item) && *pk_peek_text(&item, "text", "")) {
            BSON_APPEND_UTF8(out, "says", pk_peek_text(&item, "text", ""));
        } else {
            (void)bson_append_iter(out, "says", -1, &value);
        }
        return;
    }
    BSON_APPEND_UTF8(out, "path", path);
}

static void put_line(const struct explaining *it, const bson_t *line, bson_t *out)
{
    const char *path = pk_peek_text(line, "path", "");
    const char *rule = pk_peek_text(line, "ruleId", "");
    bson_iter_t iter;
    const struct place place = *rule ? place_of_rule(it->mapper->bundle, rule)
                                     : place_of_section(it->mapper->bundle, path);
    put_paths(it, path, out);
    if (*rule) {
        BSON_APPEND_UTF8(out, "ruleId", rule);
    }
    put_place(out, &place);
    if (bson_iter_init_find(&iter, line, "traits")) {
        (void)bson_append_iter(out, "traits", -1, &iter);
    }
}

static void add_lines(const struct explaining *it, bson_t *out)
{
    bson_t view, lines, line, list, child;
    bson_iter_t item;
    char room[16];
    uint32_t count = 0;
    pk_doc_view(it->persona, &view);
    BSON_APPEND_ARRAY_BEGIN(out, "lines", &list);
    if (explain_view(&view, "explanation.lines", &lines)) {
        for (bool more = bson_iter_init(&item, &lines); more && bson_iter_next(&item);) {
            if (pk_peek_view(&item, &line)) {
                (void)bson_append_document_begin(&list, explain_key(&count, room), -1, &child);
                put_line(it, &line, &child);
                bson_append_document_end(&list, &child);
            }
        }
    }
    bson_append_array_end(out, &list);
}

/* ---- Rules ---- */

static bool has_fired(const struct explaining *it, const char *rule)
{
    static const char *const basis[] = { "coreBasis.ruleIds", "overlayBasis.ruleIds" };
    bson_t view, list;
    bson_iter_t item;
    pk_doc_view(it->persona, &view);
    for (size_t i = 0; i < PK_COUNT(basis); i++) {
        if (!explain_view(&view, basis[i], &list)) {
            continue;
        }
        for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
            if (BSON_ITER_HOLDS_UTF8(&item) && strcmp(bson_iter_utf8(&item, NULL), rule) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void put_rule(const struct explaining *it, const bson_t *verdict, bson_t *out)
{
    const char *rule = pk_peek_text(verdict, "ruleId", "");
    const char *reason = pk_peek_text(verdict, "reason", "");
    const bool fired = has_fired(it, rule);
    const struct place place = place_of_rule(it->mapper->bundle, rule);
    bson_iter_t iter;

    BSON_APPEND_UTF8(out, "ruleId", rule);
    BSON_APPEND_BOOL(out, "fired", fired);
    if (!fired) {
        BSON_APPEND_UTF8(out, "reason",
                         *reason ? reason
                                 : "it would fire by now: what was true just then is not kept");
    }
    put_place(out, &place);
    if (bson_iter_init_find(&iter, verdict, "traits")) {
        (void)bson_append_iter(out, "traits", -1, &iter);
    }
}

static void add_rules(const struct explaining *it, const bson_t *verdicts, bson_t *out)
{
    bson_t list, verdict, child;
    bson_iter_t item;
    char room[16];
    uint32_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "rules", &list);
    for (bool more = bson_iter_init(&item, verdicts); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &verdict)) {
            (void)bson_append_document_begin(&list, explain_key(&count, room), -1, &child);
            put_rule(it, &verdict, &child);
            bson_append_document_end(&list, &child);
        }
    }
    bson_append_array_end(out, &list);
}

/* ---- The script's own words ---- */

static bool make_input(const struct explaining *it, bson_t *input, struct pk_error *err)
{
    const char *detail = pk_detail_name(it->name.detail);
    pk_script_check_input(it->mapper, input);
    BSON_APPEND_DATE_TIME(input, "now", it->then_ms);
    BSON_APPEND_UTF8(input, "detail", detail);
    return pk_input_mindscape(it->domain, it->mapper, it->then, detail, it->then_ms, it->knowledge,
                              it->request->deadline_ns, input, err);
}

bool explain_add_lines(const struct explaining *it, bson_t *out, struct pk_error *err)
{
    struct pk_scripts *apart = pk_scripts_apart(it->domain->scripts);
    struct pk_scripts_result result = { .ran = NULL };
    bson_t input = BSON_INITIALIZER, view, verdicts;

    add_lines(it, out);
    (void)pk_scripts_publish(apart, &(struct pk_scripts_entry){ .script = it->mapper }, 1);
    struct pk_generation *pinned = pk_scripts_pin(apart);
    bool ok = make_input(it, &input, err);
    if (ok) {
        const struct pk_scripts_call call = { .entry = "explain",
                                              .input = bson_get_data(&input),
                                              .input_size = input.len,
                                              .person = pk_input_person(it->name.person) };
        ok = pk_scripts_call(apart, pinned, it->mapper, &call, &result, err);
        if (ok) {
            pk_jail_result_view(&result.jail, &view);
            if (explain_view(&view, "value.rules", &verdicts)) {
                add_rules(it, &verdicts, out);
            }
        }
        pk_scripts_result_done(&result);
    }
    bson_destroy(&input);
    pk_generation_unpin(pinned);
    pk_scripts_free(apart);
    return ok || pk_wrap(err, "ask mapper '%s' %s why", it->mapper->id, it->mapper->version);
}
