/* loader_report.c - What an author is told: where, what, his own line, a caret, how to mend it.
 *
 *     daily.lua:12: error: rule 'morning': key 'sugest' is not known
 *        12 |     sugest = "Schedule deep work",
 *           |     ^~~~~~
 *       hint: did you mean 'suggest'? ...
 *       at daily.lua:40: in 'helper'
 *
 * The caret stands under the last quoted word of the message that the line
 * has, else under its first letter. Whatever a script says is made fit for a
 * terminal here. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "base/utf8.h"
#include "script/loader_internal.h"

#include <stdio.h>
#include <string.h>

enum { FINDINGS_MAX = 100, SHOWN_MAX = 160 };

/* ---- Collecting ---- */

static char *copy(const char *text)
{
    return text ? pk_strdup(text) : NULL;
}

void report_add(struct pk_report *report, const struct pk_bundle *bundle,
                const struct finding_at *at, const char *message)
{
    const char *line = NULL;
    size_t size = 0;

    if (report->count == FINDINGS_MAX) {
        return;
    }
    const bool has_line =
        at->file && at->line && pk_bundle_line(bundle, at->file, at->line, &line, &size);
    report->finding = pk_realloc(report->finding, (report->count + 1) * sizeof(*report->finding));
    report->finding[report->count++] = (struct pk_finding){
        .is_error = at->is_error,
        .file = copy(at->file),
        .line = at->line,
        .message = pk_strdup(message),
        .hint = copy(at->hint),
        .source_line = has_line ? pk_strndup(line, size) : NULL,
        .trace = copy(at->trace),
    };
}

/* ---- What the machine's words mean ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t word_at(const char *at, const char *end)
{
    size_t size = 0;
    while (at + size < end && is_word(at[size])) {
        size++;
    }
    return size;
}

/* The name that a message quotes behind 'words'; 0 bytes: it is another message. */
static size_t quoted_behind(const char *message, const char *words, const char **out)
{
    const char *at = strstr(message, words);
    *out = at ? at + strlen(words) : message;
    return at ? word_at(*out, *out + strlen(*out)) : 0;
}

/* Where the line has the word 'm' and then this character. */
static const char *behind_m(const char *at, const char *line, const char *end, char c)
{
    for (; at + 1 < end; at++) {
        if (at[0] == 'm' && at[1] == c && (at == line || !is_word(at[-1]))) {
            return at + 2;
        }
    }
    return NULL;
}

/* m.work.chronotype, where 'field' is the first of it. */
static char *hint_of_path(const char *line, const char *end, const char *field, size_t size)
{
    for (const char *at = line; (at = behind_m(at, line, end, '.')) != NULL;) {
        const char *last = at + word_at(at, end);
        if ((size_t)(last - at) != size || memcmp(at, field, size) != 0 || last == end ||
            *last != '.') {
            continue;
        }
        while (last < end && *last == '.' && word_at(last + 1, end) > 0) {
            last += 1 + word_at(last + 1, end);
        }
        return pk_strdupf("a trait's path is one text: m[\"%.*s\"]", (int)(last - at), at);
    }
    return NULL;
}

static char *hint_of_method(const char *line, const char *end, const char *method, size_t size)
{
    for (const char *at = line; (at = behind_m(at, line, end, ':')) != NULL;) {
        if (word_at(at, end) == size && memcmp(at, method, size) == 0) {
            return pk_strdup(
                "'m' has :value, :has, :each, :fill, :confidence, :confident, :age and "
                ":changed_within");
        }
    }
    return NULL;
}

char *report_hint(const struct pk_bundle *bundle, const struct pk_jail_result *result)
{
    const char *message = pk_buf_text(&result->message);
    const char *line = NULL, *name = NULL;
    size_t line_size = 0, size;

    if (result->end != PK_JAIL_ERROR || !result->line ||
        !pk_bundle_line(bundle, result->file, result->line, &line, &line_size)) {
        return NULL;
    }
    if ((size = quoted_behind(message, "attempt to index field '", &name)) > 0) {
        return hint_of_path(line, line + line_size, name, size);
    }
    size = quoted_behind(message, "attempt to call method '", &name);
    return size > 0 ? hint_of_method(line, line + line_size, name, size) : NULL;
}

/* ---- More of it ---- */

void report_add_example(struct pk_report *report, const char *name, unsigned line, bool is_ok,
                        const char *message, int64_t took_ns)
{
    report->example =
        pk_realloc(report->example, (report->example_count + 1) * sizeof(*report->example));
    report->example[report->example_count++] = (struct pk_example){
        .name = pk_strdup(name),
        .is_ok = is_ok,
        .message = copy(message),
        .line = line,
        .took_ns = took_ns,
    };
}

void pk_report_fail(struct pk_report *report, const struct pk_error *err)
{
    const struct finding_at at = { .is_error = true, .hint = err->hint };
    report_add(report, NULL, &at, err->message);
}

void pk_report_done(struct pk_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        struct pk_finding *finding = &report->finding[i];
        pk_free(finding->file);
        pk_free(finding->message);
        pk_free(finding->hint);
        pk_free(finding->source_line);
        pk_free(finding->trace);
    }
    for (size_t i = 0; i < report->example_count; i++) {
        pk_free(report->example[i].name);
        pk_free(report->example[i].message);
    }
    pk_free(report->finding);
    pk_free(report->example);
    *report = (struct pk_report){ 0 };
}

/* ---- For a terminal ---- */

/* The last text in quotes within 'message' that 'line' has: messages go from the outside in. */
static const char *find_quoted(const char *line, const char *message, size_t *out_size)
{
    const char *at = message, *best = NULL;
    while ((at = strchr(at, '\'')) != NULL) {
        const char *end = strchr(at + 1, '\'');
        const size_t size = end ? (size_t)(end - at - 1) : 0;
        if (!end) {
            break;
        }
        const char *found = size > 0 ? memmem(line, strlen(line), at + 1, size) : NULL;
        if (found) {
            *out_size = size;
            best = found;
        }
        at = end + 1;
    }
    return best;
}

/* Characters that 'size' bytes take on a terminal. */
static size_t width_of(const char *text, size_t size)
{
    size_t width = 0;
    for (size_t i = 0; i < size; i++) {
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return width;
}

static void print_source(const struct pk_finding *finding, struct pk_buf *out)
{
    PK_CLEANUP(pk_freep) char *line = pk_strdup(finding->source_line);
    size_t size = strspn(line, " \t"), marked = 1;

    line[pk_utf8_cut((const uint8_t *)line, strlen(line), SHOWN_MAX)] = '\0';
    for (char *tab = line; (tab = strchr(tab, '\t')) != NULL;) {
        *tab = ' ';
    }
    const char *at = find_quoted(line, finding->message, &marked);
    if (!at) {
        at = line + (size < strlen(line) ? size : 0);
    }
    pk_buf_printf(out, "%6u | ", finding->line);
    pk_text_clean(out, line, strlen(line));
    pk_buf_printf(out, "\n       | %*s^", (int)width_of(line, (size_t)(at - line)), "");
    for (size_t i = 1; i < width_of(at, marked); i++) {
        pk_buf_add_char(out, '~');
    }
    pk_buf_add_char(out, '\n');
}

static void print_lines(const char *text, const char *before, struct pk_buf *out)
{
    while (*text) {
        const size_t size = strcspn(text, "\n");
        pk_buf_add_text(out, before);
        pk_text_clean(out, text, size);
        pk_buf_add_char(out, '\n');
        text += size + (text[size] == '\n');
    }
}

void pk_report_print(const struct pk_report *report, struct pk_buf *out)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct pk_finding *finding = &report->finding[i];
        if (finding->file) {
            if (report->folder) {
                pk_text_clean(out, report->folder, strlen(report->folder));
                pk_buf_add_char(out, '/');
            }
            pk_text_clean(out, finding->file, strlen(finding->file));
            if (finding->line) {
                pk_buf_printf(out, ":%u", finding->line);
            }
            pk_buf_add_text(out, ": ");
        }
        pk_buf_add_text(out, finding->is_error ? "error: " : "remark: ");
        pk_text_clean(out, finding->message, strlen(finding->message));
        pk_buf_add_char(out, '\n');
        if (finding->source_line) {
            print_source(finding, out);
        }
        if (finding->hint) {
            print_lines(finding->hint, "  hint: ", out);
        }
        if (finding->trace) {
            print_lines(finding->trace, "  at ", out);
        }
    }
}

/* ---- As a document ---- */

static void put_text(bson_t *out, const char *name, const char *value)
{
    if (value) {
        PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
        pk_text_clean(&text, value, strlen(value));
        (void)bson_append_utf8(out, name, -1, pk_buf_text(&text), (int)text.size);
    }
}

static void put_finding(bson_t *out, const struct pk_finding *finding)
{
    put_text(out, "severity", finding->is_error ? "error" : "remark");
    put_text(out, "file", finding->file);
    if (finding->line) {
        (void)bson_append_int64(out, "line", -1, finding->line);
    }
    put_text(out, "message", finding->message);
    put_text(out, "hint", finding->hint);
    put_text(out, "sourceLine", finding->source_line);
    put_text(out, "trace", finding->trace);
}

static void put_example(bson_t *out, const struct pk_example *example)
{
    if (example->name[0]) {
        put_text(out, "name", example->name);
    }
    (void)bson_append_bool(out, "ok", -1, example->is_ok);
    put_text(out, "message", example->message);
    if (example->line) {
        (void)bson_append_int64(out, "line", -1, example->line);
    }
    (void)bson_append_double(out, "ms", -1, (double)example->took_ns / 1e6);
}

void pk_report_put(const struct pk_report *report, bson_t *out)
{
    bson_t list, child;
    char key[24];

    (void)bson_append_array_begin(out, "findings", -1, &list);
    for (size_t i = 0; i < report->count; i++) {
        (void)snprintf(key, sizeof(key), "%zu", i);
        (void)bson_append_document_begin(&list, key, -1, &child);
        put_finding(&child, &report->finding[i]);
        (void)bson_append_document_end(&list, &child);
    }
    (void)bson_append_array_end(out, &list);
    (void)bson_append_array_begin(out, "examples", -1, &list);
    for (size_t i = 0; i < report->example_count; i++) {
        (void)snprintf(key, sizeof(key), "%zu", i);
        (void)bson_append_document_begin(&list, key, -1, &child);
        put_example(&child, &report->example[i]);
        (void)bson_append_document_end(&list, &child);
    }
    (void)bson_append_array_end(out, &list);
}
