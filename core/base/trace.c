/* trace.c - Four fields of fixed width, read strictly.
 *
 * The table says where each lies. Digits are lower case by the standard; an id
 * of zeros alone is invalid, and so is version ff. Version 00 ends behind the
 * flags; a later one may go on there, with another '-'. */
/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <string.h>

enum { SIZE_00 = 55 /* Bytes of version 00. */ };

enum field { VERSION, TRACE_ID, PARENT_ID, FLAGS, FIELDS };

static const struct {
    size_t at, size;
} field_table[FIELDS] = {
    [VERSION] = { 0, 2 },
    [TRACE_ID] = { 3, 32 },
    [PARENT_ID] = { 36, 16 },
    [FLAGS] = { 53, 2 },
};

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_field(const char *text, enum field field)
{
    const char *at = text + field_table[field].at;
    for (size_t i = 0; i < field_table[field].size; i++) {
        if (!is_hex(at[i])) {
            return false;
        }
    }
    return field == VERSION || at[-1] == '-';
}

static bool is_zero(const char *text, enum field field)
{
    const char *at = text + field_table[field].at;
    size_t i = 0;
    while (i < field_table[field].size && at[i] == '0') {
        i++;
    }
    return i == field_table[field].size;
}

static void copy_field(char *out, const char *text, enum field field)
{
    memcpy(out, text + field_table[field].at, field_table[field].size);
    out[field_table[field].size] = '\0';
}

bool pk_trace_parse(struct pk_trace *out, const char *text, size_t size)
{
    if (size < SIZE_00) {
        return false;
    }
    for (int field = 0; field < FIELDS; field++) {
        if (!is_field(text, (enum field)field)) {
            return false;
        }
    }
    const bool is_00 = is_zero(text, VERSION);
    const bool is_whole = size == SIZE_00 || (!is_00 && text[SIZE_00] == '-');
    if (!is_whole || memcmp(text, "ff", 2) == 0 || is_zero(text, TRACE_ID) ||
        is_zero(text, PARENT_ID)) {
        return false;
    }
    copy_field(out->trace_id, text, TRACE_ID);
    copy_field(out->parent_id, text, PARENT_ID);
    const char low = text[field_table[FLAGS].at + 1];
    out->is_sampled = ((low <= '9' ? low - '0' : low - 'a' + 10) & 1) != 0;
    return true;
}
