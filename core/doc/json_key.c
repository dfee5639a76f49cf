/* json_key.c - Keys that may be stored: '.', '$' and '%' become %2E, %24 and %25.
 *
 * Reversible because '%' is itself escaped: in a stored key a '%' always
 * begins one of the three. A stored key that was not made here may have
 * another '%': it is given back as it is. */
/* SPDX-License-Identifier: MIT */
#include "doc/json.h"

#include "base/buf.h"

#include <string.h>

static const char *escape_of(char c)
{
    return c == '.' ? "%2E" : c == '$' ? "%24" : c == '%' ? "%25" : NULL;
}

void pk_key_escape(struct pk_buf *buf, const char *key, size_t length)
{
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        const char *escape = escape_of(key[i]);
        if (escape) {
            pk_buf_add(buf, key + from, i - from);
            pk_buf_add(buf, escape, 3);
            from = i + 1;
        }
    }
    pk_buf_add(buf, key + from, length - from);
}

void pk_key_unescape(struct pk_buf *buf, const char *key, size_t length)
{
    static const char plain[] = ".$%";
    size_t from = 0;
    for (size_t i = 0; i + 2 < length; i++) {
        if (key[i] != '%') {
            continue;
        }
        for (const char *c = plain; *c; c++) {
            if (memcmp(key + i, escape_of(*c), 3) == 0) {
                pk_buf_add(buf, key + from, i - from);
                pk_buf_add_char(buf, *c);
                from = i + 3;
                i += 2;
                break;
            }
        }
    }
    pk_buf_add(buf, key + from, length - from);
}
