/* fuzz_json.c - What is read can be written, and reads back as the same document.
 *
 * Seeds: corpus/fuzz_json/. */
/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"

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

/* Writes 'doc' in that style, reads it again, and compares. */
static void write_and_read(const bson_t *doc, enum pk_json_style style)
{
    struct pk_buf text = { 0 };
    struct pk_buf again_text = { 0 };
    bson_t again;
    insist(pk_json_write(&text, doc, style, NULL));
    insist(pk_json_read(&again, text.data, text.size, NULL, NULL));
    insist(pk_json_write(&again_text, &again, style, NULL));
    insist(text.size == again_text.size && memcmp(text.data, again_text.data, text.size) == 0);

    struct pk_doc *a = pk_doc_new(doc);
    struct pk_doc *b = pk_doc_take(&again);
    insist(pk_doc_same(a, b));
    insist(style == PK_JSON_CANONICAL ||
           memcmp(pk_doc_data(a), pk_doc_data(b), pk_doc_size(a)) == 0);
    pk_doc_unref(a);
    pk_doc_unref(b);
    pk_buf_done(&text);
    pk_buf_done(&again_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bson_t doc;
    struct pk_error err;
    size_t offset = SIZE_MAX;
    struct pk_buf plain = { 0 };
    struct pk_buf stored = { 0 };

    if (pk_json_read(&doc, (const char *)data, size, &offset, &err)) {
        /* Ours is well-formed by both judges. */
        struct pk_doc *parsed = NULL;
        insist(bson_validate(&doc, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
        insist(pk_doc_parse(&parsed, bson_get_data(&doc), doc.len, NULL));
        pk_doc_unref(parsed);
        write_and_read(&doc, PK_JSON_COMPACT);
        write_and_read(&doc, PK_JSON_PRETTY);
        write_and_read(&doc, PK_JSON_CANONICAL);
        bson_destroy(&doc);
    } else {
        insist(offset <= size && err.code != PK_OK);
    }

    pk_key_escape(&stored, (const char *)data, size);
    pk_key_unescape(&plain, pk_buf_text(&stored), stored.size);
    insist(plain.size == size && (size == 0 || memcmp(plain.data, data, size) == 0));
    pk_buf_clear(&plain);
    pk_json_add_string(&plain, (const char *)data, size);
    pk_buf_done(&plain);
    pk_buf_done(&stored);
    return 0;
}
