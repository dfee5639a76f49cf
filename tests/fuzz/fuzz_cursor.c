/* fuzz_cursor.c - Cursors come back from strangers: what is read has the right shape, or is refused
 * and leaves nothing.
 *
 * Damage is found by a checksum, behind which no fuzzer would ever come; so
 * the bytes are tried as they are, and as the inside of a cursor whose
 * checksum is right. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/doc.h"
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIX = 9, PREFIX_TEXT = 12, SUM = 8 }; /* Form and fingerprint, as bytes and as text. */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const struct pk_index by_owner = {
    .name = "by_owner",
    .key = { { .path = "owner" }, { .path = "at" } },
    .key_count = 2,
};
static const struct pk_collection things = {
    .name = "things",
    .index = &by_owner,
    .index_count = 1,
};

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static void read_cursor(const char *cursor)
{
    const struct pk_query query = {
        .collection = "things", .index = "by_owner", .limit = 10, .cursor = cursor
    };
    struct pk_error err = { .code = PK_OK };
    struct pk_after after;
    if (!pk_cursor_read(&things, &by_owner, &query, &after, &err)) {
        insist(err.code == PK_INVALID && !after.is_set && !after.id && after.key_count == 0);
        return;
    }
    insist(after.is_set == (cursor[0] != '\0'));
    if (after.is_set) {
        insist(after.id != NULL && after.key_count == by_owner.key_count);
        for (size_t i = 0; i < after.key_count; i++) {
            insist(after.key[i].type <= PK_VALUE_DATE);
            insist((after.key[i].type == PK_VALUE_TEXT) == (after.key[i].text != NULL));
        }
    }
    pk_after_done(&after);
}

/* A cursor that the server made. */
static char *genuine(void)
{
    const struct pk_query query = { .collection = "things", .index = "by_owner", .limit = 10 };
    bson_t *bson = BCON_NEW("_id", BCON_UTF8("t1"), "owner", BCON_UTF8("ann"), "at",
                            BCON_DATE_TIME(1767225600000));
    bson_t copy;
    bson_copy_to(bson, &copy);
    bson_destroy(bson);
    struct pk_doc *doc = pk_doc_take(&copy);
    char *cursor = pk_cursor_write(&things, &by_owner, &query, doc);
    pk_doc_unref(doc);
    return cursor;
}

static void decode_prefix(uint8_t out[PREFIX], const char *text)
{
    for (size_t i = 0; i < PREFIX_TEXT; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            bits = bits << 6 | (uint32_t)(strchr(alphabet, text[i + k]) - alphabet);
        }
        *out++ = (uint8_t)(bits >> 16);
        *out++ = (uint8_t)(bits >> 8);
        *out++ = (uint8_t)bits;
    }
}

static void encode(struct pk_buf *out, const struct pk_buf *from)
{
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < from->size; i++) {
        bits = bits << 8 | (uint8_t)from->data[i];
        for (have += 8; have >= 6; have -= 6) {
            pk_buf_add_char(out, alphabet[bits >> (have - 6) & 63]);
        }
    }
    if (have > 0) {
        pk_buf_add_char(out, alphabet[bits << (6 - have) & 63]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PK_CLEANUP(pk_freep) char *plain = pk_strndup((const char *)data, size);
    PK_CLEANUP(pk_freep) char *real = genuine();
    PK_CLEANUP(pk_buf_done) struct pk_buf inside = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf forged = { 0 };
    uint8_t prefix[PREFIX];
    uint8_t hash[PK_HASH_BYTES];

    read_cursor(plain);
    read_cursor(real);
    decode_prefix(prefix, real);
    pk_buf_add(&inside, prefix, sizeof(prefix));
    pk_buf_add(&inside, data, size);
    pk_hash(hash, inside.data, inside.size, NULL, 0);
    pk_buf_add(&inside, hash, SUM);
    encode(&forged, &inside);
    read_cursor(forged.data);
    return 0;
}
