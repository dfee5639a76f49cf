/* fuzz_header.c - Headers of answers: what came from data can neither split nor forge one.
 *
 * The first byte is the length of the name, the value follows. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static bool is_token(const char *name)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return name[0] && name[strspn(name, token)] == '\0';
}

/* One line, and nothing that a reader could take for its end. */
static bool is_one_line(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t name_size = data[0] < size ? data[0] : size - 1;
    PK_CLEANUP(pk_freep) char *name = pk_strndup((const char *)data + 1, name_size);
    const char *rest = (const char *)data + 1 + name_size;
    size_t rest_size = size - 1 - name_size;
    PK_CLEANUP(pk_freep) char *value = pk_strndup(rest, rest_size);
    struct pk_request request = { 0 };
    struct pk_answer answer = { 0 };
    struct pk_error err;

    /* With its NULs, as the parser asks. */
    enum pk_refusal refusal = pk_policy_header((const char *)data + 1, name_size, rest, rest_size);
    insist(refusal != PK_REFUSAL_NONE || is_one_line(rest, rest_size));
    /* As a handler adds it. */
    bool is_added = pk_answer_header(&request, &answer, name, value, &err);
    insist(is_added == (is_token(name) && is_one_line(value, strlen(value))));
    insist(answer.header_count == (size_t)is_added);
    if (is_added) {
        insist(strcmp(answer.header[0].name, name) == 0);
        insist(strcmp(answer.header[0].value, value) == 0);
    }
    pk_arena_done(&request.arena);
    return 0;
}
