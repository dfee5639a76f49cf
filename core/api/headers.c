/* headers.c - What a request says of itself: the types it takes and brings, the versions it knows.
 *
 * Accept     the most specific range that fits the route's type counts (RFC
 *            9110, section 12.5.1); only q=0 refuses it
 * If-Match   "<version>", several of them, or '*' (section 13.1.1). Weak tags
 *            never match, and neither does a tag that is none of ours */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MATCH_MAX = 32 }; /* Tags in one If-Match. */

size_t pk_header_count(const struct pk_request *request, const char *name, const char **out)
{
    size_t count = 0;
    *out = NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        const char *given = request->header[i].name;
        if (given[0] == name[0] && strcmp(given, name) == 0) {
            *out = request->header[i].value;
            count++;
        }
    }
    return count;
}

/* ---- Accept ---- */

static bool is_like(const char *text, size_t size, const char *word, size_t word_size)
{
    return size == word_size && strncasecmp(text, word, size) == 0;
}

/* How well a media range fits a type: 3 exactly, 2 of its kind, 1 anything; 0 not. */
static int fit(const char *range, size_t size, const char *type)
{
    const size_t kind = strcspn(type, "/");
    if (is_like(range, size, type, strlen(type))) {
        return 3;
    }
    if (size == kind + 2 && range[kind] == '/' && range[kind + 1] == '*' &&
        strncasecmp(range, type, kind) == 0) {
        return 2;
    }
    return is_like(range, size, "*/*", 3);
}

/* False for "q=0" in any of its spellings. */
static bool is_wanted(const char *parameters, size_t size)
{
    const char *end = parameters + size;
    for (const char *at = memchr(parameters, ';', size); at;
         at = memchr(at, ';', (size_t)(end - at))) {
        at += 1;
        at += strspn(at, " \t");
        if (at + 2 < end && (*at | 0x20) == 'q' && at[1] == '=') {
            const size_t zeros = strspn(at + 2, "0.");
            const char *behind = at + 2 + zeros;
            return zeros == 0 || (behind < end && *behind >= '1' && *behind <= '9');
        }
        if (at >= end) {
            break;
        }
    }
    return true;
}

/* Looks at the ranges of one header; the best so far is in '*best' and '*is_taken'. */
static void look_at(const char *accept, const char *type, int *best, bool *is_taken)
{
    while (*accept) {
        accept += strspn(accept, " \t,");
        const size_t element = strcspn(accept, ",");
        const size_t range = strcspn(accept, ",; \t");
        const int fits = fit(accept, range, type);
        if (fits > *best) {
            *best = fits;
            *is_taken = is_wanted(accept, element);
        }
        accept += element;
    }
}

/* How well a type fits what is asked for, over all headers; 0: it is not taken. */
static int look_for(const struct pk_api_call *call, const char *type)
{
    bool is_taken = false;
    int best = 0;
    for (size_t i = 0; i < call->request->header_count; i++) {
        if (strcmp(call->request->header[i].name, "accept") == 0) {
            look_at(call->request->header[i].value, type, &best, &is_taken);
        }
    }
    return is_taken ? best : 0;
}

bool pk_call_check_accept(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_api_row *row = call->row;
    const char *type = row->answer_type ? row->answer_type : "application/json";
    const bool has_type = row->answer || row->answer_type;
    const char *given = NULL;

    if (!has_type || pk_header_count(call->request, "accept", &given) == 0) {
        return true;
    }
    type = pk_arena_strndup(&call->request->arena, type, strcspn(type, ";"));
    const int best = look_for(call, type);
    if (row->text_answer) { /* The more exactly named one; JSON when both are alike. */
        const char *text = pk_arena_strndup(&call->request->arena, row->text_answer,
                                            strcspn(row->text_answer, ";"));
        call->wants_text = look_for(call, text) > best;
    }
    if (best == 0 && !call->wants_text && *given) {
        return pk_fail_field(err, PK_NOT_ACCEPTABLE, "Accept",
                             "send 'Accept: */*', or leave it out", "what is answered here is '%s'",
                             type);
    }
    return true;
}

/* ---- Content-Type ---- */

/* The type, in UTF-8 if it says so. */
static bool is_type(const char *type, const char *wanted)
{
    static const char charset[] = "charset=";
    const size_t size = strlen(wanted);
    if (strncasecmp(type, wanted, size) != 0) {
        return false;
    }
    const char *rest = type + size;
    rest += strspn(rest, " \t");
    if (*rest == '\0') {
        return true;
    }
    rest += *rest == ';';
    rest += strspn(rest, " \t");
    return strncasecmp(rest, charset, sizeof(charset) - 1) == 0 &&
           (strcasecmp(rest + sizeof(charset) - 1, "utf-8") == 0 ||
            strcasecmp(rest + sizeof(charset) - 1, "\"utf-8\"") == 0);
}

/* Adds a media type to what the header Accept says, once. */
static void name_type(struct pk_buf *names, const char *type)
{
    if (!strstr(pk_buf_text(names), type)) {
        pk_buf_printf(names, "%s%s", names->size ? ", " : "", type);
    }
}

/* JSON and the row's texts, or those of its forms; 'names' gets all of them. */
static bool is_taken_here(const struct pk_api_row *row, const char *type, bool *out_is_text,
                          struct pk_buf *names)
{
    static const struct pk_body_form json[] = { { "application/json", NULL }, { NULL, NULL } };
    bool is_taken = false;
    for (const struct pk_body_form *form = row->form ? row->form : json; form->type; form++) {
        name_type(names, form->type);
        is_taken |= type && is_type(type, form->type);
    }
    if (row->text_type) {
        name_type(names, row->text_type);
        *out_is_text = type && is_type(type, row->text_type);
    }
    return is_taken || *out_is_text;
}

bool pk_call_check_type(struct pk_api_call *call, bool *out_is_text, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf names = { 0 };
    const char *type = NULL;
    const size_t count = pk_header_count(call->request, "content-type", &type);
    *out_is_text = false;
    if (is_taken_here(call->row, type, out_is_text, &names) && count == 1) {
        return true;
    }
    (void)pk_answer_header(call->request, call->answer, "Accept",
                           pk_arena_strdup(&call->request->arena, pk_buf_text(&names)), NULL);
    return pk_fail_field(
        err, PK_MEDIA_TYPE, "Content-Type", "send JSON, and 'Content-Type: application/json' once",
        count ? "a body of type '%.100s' is not taken here" : "the body has no Content-Type",
        type ? type : "");
}

/* ---- If-Match ---- */

static bool fail_match(struct pk_error *err)
{
    return pk_fail_field(err, PK_INVALID, "If-Match",
                         "send the ETag as it was answered, with its quotes",
                         "If-Match is not a list of entity tags");
}

/* A tag at 'text': its length, 0 when it is none; '*out' is its version, -1 when it has none. */
static size_t read_tag(const char *text, int64_t *out)
{
    const size_t weak = strncmp(text, "W/", 2) == 0 ? 2 : 0;
    const char *tag = text + weak;
    const size_t inside = *tag == '"' ? strcspn(tag + 1, "\"") : 0;
    if (*tag != '"' || tag[1 + inside] != '"') {
        return 0;
    }
    const size_t digits = strspn(tag + 1, "0123456789");
    const bool is_ours = !weak && digits == inside && inside >= 1 && tag[1] != '0';
    errno = 0;
    const int64_t version = is_ours ? strtoll(tag + 1, NULL, 10) : -1;
    *out = errno == 0 ? version : -1;
    return weak + inside + 2;
}

static bool read_tags(struct pk_api_call *call, const char *text, struct pk_error *err)
{
    int64_t *match = pk_arena_alloc(&call->request->arena, MATCH_MAX * sizeof(*match));
    size_t count = 0;
    while (*text) {
        const size_t size = count < MATCH_MAX ? read_tag(text, &match[count]) : 0;
        if (size == 0) {
            return fail_match(err);
        }
        count++;
        text += size;
        text += strspn(text, " \t");
        if (*text && *text++ != ',') {
            return fail_match(err);
        }
        text += strspn(text, " \t");
    }
    call->match = match;
    call->match_count = count;
    return count > 0 || fail_match(err);
}

bool pk_call_read_match(struct pk_api_call *call, struct pk_error *err)
{
    const char *text = NULL;
    const size_t count = pk_header_count(call->request, "if-match", &text);
    if (count == 0 || !(call->row->flags & (PK_ROW_MATCH | PK_ROW_WRITES))) {
        return true;
    }
    if (!(call->row->flags & PK_ROW_MATCH)) {
        return pk_fail_field(err, PK_INVALID, "If-Match", "leave it out",
                             "this cannot be made to depend on a version");
    }
    if (count > 1) {
        return fail_match(err);
    }
    return strcmp(text, "*") == 0 || read_tags(call, text, err);
}

bool pk_call_pick_match(struct pk_api_call *call, struct pk_error *err)
{
    const int64_t stored = call->found ? pk_doc_version(call->found) : 0;
    if (call->match_count == 0) {
        return true;
    }
    if (call->match_count == 1 && call->match[0] > 0) {
        call->match_version = call->match[0];
        return true;
    }
    for (size_t i = 0; i < call->match_count; i++) {
        if (stored && call->match[i] == stored) {
            call->match_version = stored;
            return true;
        }
    }
    return pk_fail_field(err, PK_PRECONDITION, "If-Match", "read it again and decide anew",
                         "it is no longer at a version that If-Match names");
}
