/* fuzz_forwarded.c - Ranges of trusted proxies, and X-Forwarded-For read from the right.
 *
 * Input: the range up to the first line feed, one header value a line behind it. */
/* SPDX-License-Identifier: MIT */
#include "base/error.h"
#include "net/net.h"
#include "net/trust.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 16 };

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t peer[PK_ADDRESS_BYTES] = { [10] = 0xff, 0xff, 10, 0, 0, 1 };
    char *text = malloc(size + 1);
    char *rest = text;
    const char *range[2] = { "10.0.0.0/8", NULL };
    struct pk_header header[LINES_MAX];
    size_t count = 0;
    struct pk_trust *trust;
    struct pk_error err;

    insist(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    range[1] = strsep(&rest, "\n");
    for (char *line; count < LINES_MAX && (line = strsep(&rest, "\n")) != NULL; count++) {
        header[count] = (struct pk_header){ "x-forwarded-for", line };
    }
    if (pk_trust_new(&trust, range, 2, &err) || pk_trust_new(&trust, range, 1, &err)) {
        uint8_t who[PK_ADDRESS_BYTES];
        memcpy(who, peer, sizeof(who));
        pk_trust_walk(trust, header, count, who);
        /* Whoever it is: a second walk from there with nothing to read stays there. */
        uint8_t again[PK_ADDRESS_BYTES];
        memcpy(again, who, sizeof(who));
        pk_trust_walk(trust, header, 0, again);
        insist(memcmp(who, again, sizeof(who)) == 0);
        insist(count > 0 || memcmp(who, peer, sizeof(who)) == 0);
        pk_trust_free(trust);
    }
    (void)pk_trust_proto(header, count);
    free(text);
    return 0;
}
