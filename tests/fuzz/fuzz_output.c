/* fuzz_output.c - What comes back from a script worker: what is taken is sound, to libbson, too. */
/* SPDX-License-Identifier: MIT */
#include "script/jail_internal.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { DEPTH = 32 };
    bson_t view;
    if (!jail_value_is_good(data, size, DEPTH)) {
        return 0;
    }
    insist(bson_init_static(&view, data, size));
    insist(bson_validate(&view, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
    insist(bson_count_keys(&view) <= 1);
    return 0;
}
