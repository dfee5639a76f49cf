/* fuzz_key.c - The parser of keys: what it takes has one spelling, what it refuses leaves nothing.
 */
/* SPDX-License-Identifier: MIT */
#include "access/key.h"
#include "access/pepper.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pk_key none = { 0 };
    static const struct pk_pepper pepper = { .id = "aaaaaaaa", .secret = { 7 } };
    struct pk_key key;
    char text[PK_KEY_TEXT];
    uint8_t hash[PK_HASH_BYTES];

    if (!pk_key_parse(&key, (const char *)data, size)) {
        insist(memcmp(&key, &none, sizeof(key)) == 0);
        return 0;
    }
    insist(size == PK_KEY_SIZE);
    pk_key_print(&key, text);
    insist(memcmp(text, data, size) == 0);
    pk_key_hash(hash, &pepper, &key);
    insist(pk_key_fits(&key, &pepper, hash) && !pk_key_fits(&key, NULL, hash));
    return 0;
}
