/* test_crypto.c - Known answers of the standards. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/crypto.h"

#include <string.h>

static void check_hash(const uint8_t hash[PK_HASH_BYTES], const char *expected)
{
    char text[PK_HASH_TEXT];
    pk_hex(text, hash, PK_HASH_BYTES);
    assert_string_equal(text, expected);
}

TEST(a_short_hash_is_siphash_and_depends_on_its_key)
{
    uint8_t key[PK_SHORT_KEY_BYTES];
    uint64_t hash[2], again[2];
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)i;
    }
    /* The first vector of SipHash's reference, 128 bits: no data. */
    static const uint8_t expected[16] = { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                          0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93 };
    pk_hash_short(hash, "", 0, key);
    assert_memory_equal(hash, expected, sizeof(expected));
    key[0] ^= 1;
    pk_hash_short(again, "", 0, key);
    assert_memory_not_equal(hash, again, sizeof(hash));
}

TEST(blake2b_gives_known_answers)
{
    uint8_t hash[PK_HASH_BYTES];
    uint8_t key[64];
    pk_hash(hash, "", 0, NULL, 0);
    check_hash(hash, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    pk_hash(hash, "abc", 3, NULL, 0);
    check_hash(hash, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)i;
    }
    pk_hash(hash, "abc", 3, key, sizeof(key));
    check_hash(hash, "dff38c978666dff5631db35ca15535520d134f5c8060ea569c6a178ad393719f");
}

TEST(sha256_gives_known_answers)
{
    uint8_t hash[PK_HASH_BYTES];
    pk_sha256(hash, "", 0);
    check_hash(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    pk_sha256(hash, "abc", 3);
    check_hash(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(a_hash_in_pieces_is_the_hash_of_the_whole)
{
    static const char text[] = "a hash in pieces is the hash of the whole, however it is cut";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct pk_hasher hasher;
        uint8_t a[PK_HASH_BYTES];
        uint8_t b[PK_HASH_BYTES];
        pk_hasher_init(&hasher);
        pk_hasher_add(&hasher, text, cut);
        pk_hasher_add(&hasher, text + cut, sizeof(text) - cut);
        pk_hasher_end(&hasher, a);
        pk_hash(b, text, sizeof(text), NULL, 0);
        assert_memory_equal(a, b, PK_HASH_BYTES);
    }
}

TEST(base32_gives_the_answers_of_rfc_4648_in_lower_case)
{
    static const struct {
        const char *data, *text;
    } row[] = {
        { "", "" },
        { "f", "my" },
        { "fo", "mzxq" },
        { "foo", "mzxw6" },
        { "foob", "mzxw6yq" },
        { "fooba", "mzxw6ytb" },
        { "foobar", "mzxw6ytboi" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        size_t size = strlen(row[i].data);
        char *out = pk_alloc((size * 8 + 4) / 5 + 1); /* Exactly what the header says. */
        pk_base32(out, row[i].data, size);
        assert_string_equal(out, row[i].text);
        pk_free(out);
    }
}

TEST(secrets_are_compared_whole_and_wiped)
{
    char a[] = "secret-a";
    char b[] = "secret-b";
    assert_true(pk_secret_equal(a, a, 8));
    assert_false(pk_secret_equal(a, b, 8));
    assert_true(pk_secret_equal(a, b, 7));
    assert_true(pk_secret_equal(a, b, 0));
    pk_secret_wipe(a, sizeof(a));
    assert_memory_equal(a, "\0\0\0\0\0\0\0\0", 8);
}

TEST(random_bytes_differ)
{
    uint8_t a[32];
    uint8_t b[32];
    pk_random(a, sizeof(a));
    pk_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(pk_random_u64() != pk_random_u64());
}
