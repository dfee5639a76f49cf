/* fuzz_query.c - Queries: what is taken is what a second, plain reading finds. */
/* SPDX-License-Identifier: MIT */
#include "api/query.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static const char *const words[] = { "red", "green", NULL };
static const struct pk_param param[] = {
    { .name = "text", .type = PK_PARAM_TEXT, .max = 40 },
    { .name = "int", .type = PK_PARAM_INT, .min = -5, .max = 1000 },
    { .name = "any", .type = PK_PARAM_INT },
    { .name = "bool", .type = PK_PARAM_BOOL },
    { .name = "time", .type = PK_PARAM_TIME },
    { .name = "uuid", .type = PK_PARAM_UUID },
    { .name = "word", .type = PK_PARAM_WORD, .allowed = words },
};
enum { COUNT = PK_COUNT(param) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_arena arena = { 0 };
    struct pk_error err = { 0 };
    const char *value[COUNT] = { NULL };
    int64_t number[COUNT] = { 0 };
    struct pk_param_slot slot[COUNT];
    char *query = pk_strndup((const char *)data, size);
    size_t given = 0;
    size_t pairs = *query ? 1 : 0;

    for (size_t i = 0; i < COUNT; i++) {
        slot[i] = (struct pk_param_slot){ &param[i], &value[i], &number[i] };
    }
    const bool ok = pk_query_read(&arena, query, slot, COUNT, &err);
    for (size_t i = 0; i < COUNT; i++) {
        if (value[i]) {
            const size_t length = strlen(value[i]);
            given++;
            insist(length > 0);
            insist(pk_utf8_check((const uint8_t *)value[i], length) == length);
        }
    }
    for (const char *c = query; *c; c++) {
        pairs += *c == '&';
    }
    insist(ok ? given == pairs : err.code == PK_INVALID && err.hint);
    insist(!ok || (number[1] >= -5 && number[1] <= 1000));
    insist(!ok || (number[3] == 0 || number[3] == 1));
    pk_free(query);
    pk_arena_done(&arena);
    return 0;
}
