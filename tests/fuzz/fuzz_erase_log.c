/* fuzz_erase_log.c - erasures.log after power cuts and worse: read in order, or refused with a
 * line.
 *
 * Damage is found by a check that no fuzzer would come behind; so the bytes are
 * tried as they are, and as what stands before a right one. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/error.h"
#include "persona/erase_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHECK_DIGITS = 8, INPUT_MAX = 65536 };

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static void read_log(const char *text, size_t size)
{
    struct pk_erase_log log;
    struct pk_error err = { .code = PK_OK };
    if (!pk_erase_log_parse(&log, text, size, "log", &err)) {
        insist(err.code == PK_INVALID && strstr(err.message, "line ") && log.count == 0);
        return;
    }
    for (size_t i = 0; i < log.count; i++) {
        const struct pk_erase_line *line = &log.line[i];
        insist(strlen(line->hash) == PK_HASH_TEXT - 1 && line->kind <= PK_ERASED_OBSERVATION);
        insist(i == 0 || line->kind > line[-1].kind || strcmp(line->hash, line[-1].hash) > 0);
    }
    pk_erase_log_done(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    uint8_t hash[PK_HASH_BYTES];
    char check[PK_HASH_TEXT];
    if (size > INPUT_MAX) {
        return 0;
    }
    read_log((const char *)data, size);
    pk_hash(hash, data, size, NULL, 0);
    pk_hex(check, hash, sizeof(hash));
    pk_buf_add(&text, data, size);
    pk_buf_printf(&text, " %.*s\n", CHECK_DIGITS, check);
    read_log(text.data, text.size);
    return 0;
}
