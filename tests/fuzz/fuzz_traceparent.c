/* fuzz_traceparent.c - What it takes can be put together again from what it read. */
/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdint.h>
#include <stdio.h>
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
    static const struct pk_trace none = { 0 };
    struct pk_trace trace = { 0 };
    char text[56];

    if (!pk_trace_parse(&trace, (const char *)data, size)) {
        insist(memcmp(&trace, &none, sizeof(trace)) == 0);
        return 0;
    }
    insist(strlen(trace.trace_id) == PK_TRACE_TEXT - 1);
    insist(strlen(trace.parent_id) == PK_PARENT_TEXT - 1);
    insist(snprintf(text, sizeof(text), "%.2s-%s-%s-%.2s", (const char *)data, trace.trace_id,
                    trace.parent_id, (const char *)data + 53) == 55);
    insist(size >= 55 && memcmp(text, data, 55) == 0);
    insist(size == 55 || (memcmp(data, "00", 2) != 0 && data[55] == '-'));
    return 0;
}
