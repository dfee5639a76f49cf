/* fuzz_proxy.c - The PROXY header: a verdict at the first byte that decides, and the same for ever.
 */
/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum pk_proxy_says last = PK_PROXY_MORE;
    struct pk_proxy proxy = { 0 };
    /* A copy of the very size of each beginning: a byte read behind it is seen. */
    for (size_t part = 1; part <= size && part <= PK_PROXY_MAX + 1; part++) {
        uint8_t *copy = malloc(part);
        insist(copy != NULL);
        memcpy(copy, data, part);
        enum pk_proxy_says says = pk_proxy_parse(copy, part, &proxy);
        free(copy);
        insist(last == PK_PROXY_MORE || says == last);
        insist(says != PK_PROXY_DONE || (proxy.used <= part && proxy.used >= PK_PROXY_FIXED));
        insist(says != PK_PROXY_MORE || part < PK_PROXY_MAX);
        last = says;
    }
    return 0;
}
