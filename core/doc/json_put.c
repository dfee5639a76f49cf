/* json_put.c - Members and elements, one after the other, into a buffer.
 *
 * Whether a comma is due is seen from the last byte: only behind an opening
 * bracket, behind a colon and at the start there is none. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/json_put.h"

#include "base/buf.h"
#include "doc/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void pk_json_next(struct pk_buf *out)
{
    char last = out->size ? out->data[out->size - 1] : '{';
    if (last != '{' && last != '[' && last != ':') {
        pk_buf_add_char(out, ',');
    }
}

void pk_json_key(struct pk_buf *out, const char *key)
{
    pk_json_next(out);
    if (key) {
        pk_json_add_string(out, key, strlen(key));
        pk_buf_add_char(out, ':');
    }
}

void pk_json_open(struct pk_buf *out, const char *key, char bracket)
{
    pk_json_key(out, key);
    pk_buf_add_char(out, bracket);
}

void pk_json_close(struct pk_buf *out, char bracket)
{
    pk_buf_add_char(out, bracket);
}

void pk_json_put_text(struct pk_buf *out, const char *key, const char *value)
{
    pk_json_key(out, key);
    pk_json_add_string(out, value, strlen(value));
}

void pk_json_put_number(struct pk_buf *out, const char *key, double value)
{
    static const double two_to_63 = 9223372036854775808.0;
    pk_json_key(out, key);
    if (value == floor(value) && fabs(value) < two_to_63) {
        pk_buf_printf(out, "%" PRId64, (int64_t)value);
    } else {
        pk_buf_printf(out, "%.15g", value);
    }
}

void pk_json_put_bool(struct pk_buf *out, const char *key, bool value)
{
    pk_json_put_raw(out, key, value ? "true" : "false");
}

void pk_json_put_raw(struct pk_buf *out, const char *key, const char *value)
{
    pk_json_key(out, key);
    pk_buf_add_text(out, value);
}
