/* query.c - From "limit=10&status=active" to checked values, by the rows of a table.
 *
 * A query is pairs between '&', each a name, '=' and a value. An empty pair, a
 * name without '=', a name that comes twice and one that no row declares are
 * refused; the last with the nearest declared one, for it is mostly a slip.
 *
 * Each type has its reader in reader_table; a reader fills the slot or says
 * what was expected. Parameters of the path were decoded by net/. */
/* SPDX-License-Identifier: MIT */
#include "api/query.h"

#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUILTIN_MAX = 4, /* limit, cursor, after, wait. */
    NEAR_MAX = 4,    /* A name this far away is not what was meant. */
    LIMIT_DEFAULT = 100
};

/* ---- One value ---- */

static bool fail_value(const struct pk_param *param, const char *text, const char *wanted,
                       struct pk_error *err)
{
    return pk_fail_field(err, PK_INVALID, param->name, wanted, "'%.100s' cannot be given for '%s'",
                         text, param->name);
}

static bool read_text(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                      struct pk_error *err)
{
    const struct pk_param *param = slot->param;
    const size_t size = strlen(text);
    const int64_t least = param->min > 0 ? param->min : 1;
    const int64_t most = param->max > 0 ? param->max : PK_PARAM_TEXT_MAX;
    if ((int64_t)size < least || (int64_t)size > most) {
        const char *hint = least == most
                               ? pk_arena_printf(arena, "give %lld characters", (long long)least)
                               : pk_arena_printf(arena, "give %lld to %lld bytes", (long long)least,
                                                 (long long)most);
        return pk_fail_field(err, PK_INVALID, param->name, hint, "'%s' has %zu bytes", param->name,
                             size);
    }
    *slot->value = text;
    return true;
}

static bool read_int(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                     struct pk_error *err)
{
    const struct pk_param *param = slot->param;
    const bool has_range = param->min != 0 || param->max != 0;
    const size_t sign = text[0] == '-';
    const size_t digits = strspn(text + sign, "0123456789");
    errno = 0;
    const int64_t number = strtoll(text, NULL, 10);
    if (digits == 0 || text[sign + digits] != '\0' || errno != 0) {
        return fail_value(param, text, "give a whole number", err);
    }
    if (has_range && (number < param->min || number > param->max)) {
        return fail_value(param, text,
                          pk_arena_printf(arena, "give a number from %lld to %lld",
                                          (long long)param->min, (long long)param->max),
                          err);
    }
    *slot->number = number;
    *slot->value = text;
    return true;
}

static bool read_bool(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                      struct pk_error *err)
{
    const bool is_true = strcmp(text, "true") == 0;
    (void)arena;
    if (!is_true && strcmp(text, "false") != 0) {
        return fail_value(slot->param, text, "give 'true' or 'false'", err);
    }
    *slot->number = is_true;
    *slot->value = text;
    return true;
}

static bool read_time(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                      struct pk_error *err)
{
    (void)arena;
    if (!pk_time_parse(text, strlen(text), slot->number, NULL)) {
        return fail_value(slot->param, text,
                          "give a time with its zone, such as 2026-11-21T07:32:00Z; '+' needs no "
                          "escape",
                          err);
    }
    *slot->value = text;
    return true;
}

static bool read_uuid(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                      struct pk_error *err)
{
    const size_t size = strlen(text);
    if (!pk_uuid_is_v4(text, size)) {
        return fail_value(slot->param, text, "give a UUID of version 4", err);
    }
    char *folded = pk_arena_strndup(arena, text, size);
    for (char *c = folded; *c; c++) {
        *c = *c >= 'A' && *c <= 'F' ? (char)(*c - 'A' + 'a') : *c;
    }
    *slot->value = folded;
    return true;
}

static bool read_word(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                      struct pk_error *err)
{
    const char *hint = "give";
    for (const char *const *word = slot->param->allowed; *word; word++) {
        if (strcmp(*word, text) == 0) {
            *slot->value = *word;
            return true;
        }
        hint = pk_arena_printf(arena, "%s%s '%s'", hint,
                               word == slot->param->allowed ? ""
                               : word[1]                    ? ","
                                                            : " or",
                               *word);
    }
    return fail_value(slot->param, text, hint, err);
}

static bool (*const reader_table[])(struct pk_arena *arena, const struct pk_param_slot *slot,
                                    const char *text, struct pk_error *err) = {
    [PK_PARAM_TEXT] = read_text, [PK_PARAM_INT] = read_int,   [PK_PARAM_BOOL] = read_bool,
    [PK_PARAM_TIME] = read_time, [PK_PARAM_UUID] = read_uuid, [PK_PARAM_WORD] = read_word,
};

bool pk_param_read(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                   struct pk_error *err)
{
    return reader_table[slot->param->type](arena, slot, text, err);
}

/* ---- A query ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes '%XX' once. NULL for a damaged one, for NUL, and for what is no UTF-8. */
static const char *decode(struct pk_arena *arena, const char *text, size_t size)
{
    char *out = pk_arena_alloc(arena, size + 1);
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            const int high = i + 2 < size ? hex_value(text[i + 1]) : -1;
            const int low = i + 2 < size ? hex_value(text[i + 2]) : -1;
            c = high < 0 || low < 0 ? '\0' : (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0') {
            return NULL;
        }
        out[length++] = c;
    }
    out[length] = '\0';
    return pk_utf8_check((const uint8_t *)out, length) == length ? out : NULL;
}

static bool fail_damaged(struct pk_error *err)
{
    return pk_fail(err, PK_INVALID,
                   "encode UTF-8 as %XX, without %00; a plus is a plus, a space is %20",
                   "the query is not encoded correctly");
}

static const struct pk_param_slot *find_slot(const struct pk_param_slot *slot, size_t count,
                                             const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(slot[i].param->name, name) == 0) {
            return &slot[i];
        }
    }
    return NULL;
}

static bool fail_undeclared(struct pk_arena *arena, const struct pk_param_slot *slot, size_t count,
                            const char *name, struct pk_error *err)
{
    const char *hint = count ? "there are" : "leave it out: there are no parameters here";
    const char *nearest = NULL;
    size_t best = NEAR_MAX;
    for (size_t i = 0; i < count; i++) {
        const char *known = slot[i].param->name;
        const size_t distance = pk_text_distance(name, known, best);
        hint = pk_arena_printf(arena, "%s%s '%s'", hint, i ? "," : "", known);
        nearest = distance < best ? known : nearest;
        best = distance < best ? distance : best;
    }
    return pk_fail_field(err, PK_INVALID, name,
                         nearest ? pk_arena_printf(arena, "did you mean '%s'?", nearest) : hint,
                         "there is no parameter '%.100s'", name);
}

static bool read_pair(struct pk_arena *arena, const char *pair, size_t size,
                      const struct pk_param_slot *slot, size_t count, struct pk_error *err)
{
    const char *equals = memchr(pair, '=', size);
    const size_t name_size = equals ? (size_t)(equals - pair) : size;
    const char *name = decode(arena, pair, name_size);
    if (!name || size == 0) {
        return size == 0 ? pk_fail(err, PK_INVALID, "take out the '&' that separates nothing",
                                   "the query has an empty parameter")
                         : fail_damaged(err);
    }
    const struct pk_param_slot *found = find_slot(slot, count, name);
    if (!found) {
        return fail_undeclared(arena, slot, count, name, err);
    }
    if (!equals) {
        return pk_fail_field(err, PK_INVALID, name, "write name=value", "'%s' has no value", name);
    }
    if (*found->value) {
        return pk_fail_field(err, PK_INVALID, name, "give it once", "'%s' is there twice", name);
    }
    const char *value = decode(arena, equals + 1, size - name_size - 1);
    return value ? pk_param_read(arena, found, value, err) : fail_damaged(err);
}

bool pk_query_read(struct pk_arena *arena, const char *query, const struct pk_param_slot *slot,
                   size_t count, struct pk_error *err)
{
    while (*query) {
        const size_t size = strcspn(query, "&");
        if (!read_pair(arena, query, size, slot, count, err)) {
            return false;
        }
        query += size;
        if (*query == '&' && query[1] == '\0') {
            return read_pair(arena, "", 0, slot, count, err);
        }
        query += *query == '&';
    }
    return true;
}

/* ---- A request's ---- */

static const struct pk_param limit_param = {
    .name = "limit", .type = PK_PARAM_INT, .min = 1, .max = PK_PAGE_MAX
};
static const struct pk_param cursor_param = { .name = "cursor", .max = PK_PARAM_CURSOR_MAX };
static const struct pk_param after_param = { .name = "after", .max = PK_POSITION_TEXT - 1 };
static const char *const wait_words[] = { "processed", NULL };
static const struct pk_param wait_param = { .name = "wait",
                                            .type = PK_PARAM_WORD,
                                            .allowed = wait_words };

/* The row's parameter that a segment of the pattern, "{name}/...", stands for; -1: none. */
static int find_param(const struct pk_api_row *row, const char *segment)
{
    const size_t size = strcspn(segment + 1, "}");
    for (int i = 0; row->param && row->param[i].name; i++) {
        if (strlen(row->param[i].name) == size &&
            strncmp(row->param[i].name, segment + 1, size) == 0) {
            return i;
        }
    }
    return -1;
}

/* Those of the path; 'is_taken' marks them, for they are no parameters of the query. */
static bool read_path(struct pk_api_call *call, bool is_taken[PK_PARAMS_MAX], struct pk_error *err)
{
    size_t number = 0;
    for (const char *at = call->row->path; *at == '/' && at[1]; number++) {
        const char *segment = at + 1;
        const int i = *segment == '{' ? find_param(call->row, segment) : -1;
        if (i >= 0) {
            const struct pk_param_slot slot = { &call->row->param[i], &call->value[i],
                                                &call->number[i] };
            is_taken[i] = true;
            if (!pk_param_read(&call->request->arena, &slot, call->request->segment[number], err)) {
                return false;
            }
        }
        at = segment + strcspn(segment, "/");
    }
    return true;
}

bool pk_call_read_params(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_param_slot slot[PK_PARAMS_MAX + BUILTIN_MAX];
    bool is_taken[PK_PARAMS_MAX] = { false };
    const char *limit_text = NULL;
    const char *wait = NULL;
    int64_t limit = LIMIT_DEFAULT;
    size_t count = 0;

    if (!read_path(call, is_taken, err)) {
        return false;
    }
    for (size_t i = 0; call->row->param && call->row->param[i].name; i++) {
        if (!is_taken[i]) {
            slot[count++] =
                (struct pk_param_slot){ &call->row->param[i], &call->value[i], &call->number[i] };
        }
    }
    if (call->row->flags & PK_ROW_LIST) {
        slot[count++] = (struct pk_param_slot){ &limit_param, &limit_text, &limit };
        slot[count++] = (struct pk_param_slot){ &cursor_param, &call->cursor, NULL };
    }
    if (call->row->flags & PK_ROW_AFTER) {
        slot[count++] = (struct pk_param_slot){ &after_param, &call->after, NULL };
    }
    if (pk_row_may_wait(call->row)) {
        slot[count++] = (struct pk_param_slot){ &wait_param, &wait, NULL };
    }
    assert(count <= PK_COUNT(slot));
    if (!pk_query_read(&call->request->arena, call->request->query, slot, count, err)) {
        return false;
    }
    call->limit = (size_t)limit;
    call->is_wait_asked = wait != NULL;
    return true;
}
