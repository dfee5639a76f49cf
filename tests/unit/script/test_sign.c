/* test_sign.c - Signatures of scripts: made, kept beside them, trusted, and tampered with. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"
#include "jailed.h"
#include "script/loader.h"
#include "script/sign.h"
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char source[] =
    "return require(\"personakit\").mapper { id = \"a\", core = { x = 1 } }";

/* A script, a key, and whether it is trusted. */
struct bed {
    struct pk_bundle *bundle;
    struct pk_sign_pair pair;
    struct pk_buf pair_text;
    bool is_signed;
    struct pk_error err;
};

static void open_bed(struct bed *bed)
{
    *bed = (struct bed){ 0 };
    assert_ok(pk_crypto_init(&bed->err), &bed->err);
    pk_sign_pair_new(&bed->pair, &bed->pair_text);
    assert_ok(pk_bundle_of_text("a.lua", source, sizeof(source) - 1, &bed->bundle, &bed->err),
              &bed->err);
}

static void close_bed(struct bed *bed)
{
    pk_bundle_unref(bed->bundle);
    pk_buf_done(&bed->pair_text);
    pk_sign_pair_done(&bed->pair);
}

static bool verify(struct bed *bed, bool is_trusted, bool is_required)
{
    const uint8_t(*trusted)[32] = (const uint8_t(*)[32]) & bed->pair.key;
    bed->err = (struct pk_error){ 0 };
    return pk_sign_verify(bed->bundle, trusted, is_trusted, is_required, &bed->is_signed,
                          &bed->err);
}

TEST(a_signature_by_a_trusted_key_counts)
{
    struct bed bed;
    open_bed(&bed);
    pk_sign_bundle(bed.bundle, &bed.pair);
    assert_ok(verify(&bed, true, true), &bed.err);
    assert_true(bed.is_signed);
    close_bed(&bed);
}

TEST(a_file_that_is_renamed_keeps_its_signature)
{
    struct bed bed;
    struct pk_bundle *renamed = NULL;
    bool is_signed = false;
    open_bed(&bed);
    pk_sign_bundle(bed.bundle, &bed.pair);
    assert_ok(pk_bundle_of_text("other-name.lua", bed.bundle->file[0].text,
                                bed.bundle->file[0].size, &renamed, &bed.err),
              &bed.err);
    renamed->signature = bed.bundle->signature;
    assert_ok(pk_sign_verify(renamed, (const uint8_t(*)[PK_SIGN_KEY]) & bed.pair.key, 1, true,
                             &is_signed, &bed.err),
              &bed.err);
    assert_true(is_signed);
    pk_bundle_unref(renamed);
    close_bed(&bed);
}

TEST(one_by_another_key_counts_only_where_none_is_required)
{
    struct bed bed;
    char key[PK_SIGN_KEY_TEXT];
    open_bed(&bed);
    pk_sign_bundle(bed.bundle, &bed.pair);
    pk_sign_key_text(bed.pair.key, key);
    assert_ok(verify(&bed, false, false), &bed.err);
    assert_false(bed.is_signed);
    assert_false(verify(&bed, false, true));
    assert_int_equal(bed.err.code, PK_INVALID);
    assert_non_null(strstr(bed.err.message, key));
    assert_non_null(strstr(bed.err.hint, "scripts.keys"));
    close_bed(&bed);
}

TEST(an_unsigned_script_is_refused_where_one_is_required)
{
    struct bed bed;
    open_bed(&bed);
    assert_ok(verify(&bed, true, false), &bed.err);
    assert_false(verify(&bed, true, true));
    assert_non_null(strstr(bed.err.message, "is not signed"));
    assert_non_null(strstr(bed.err.hint, "mapper sign"));
    close_bed(&bed);
}

TEST(a_signature_that_does_not_fit_is_refused_everywhere)
{
    struct bed bed;
    open_bed(&bed);
    pk_sign_bundle(bed.bundle, &bed.pair);
    for (size_t i = 0; i < PK_SIGN_BYTES; i++) {
        bed.bundle->signature.sig[i] ^= 1;
        assert_false(verify(&bed, true, false));
        assert_non_null(strstr(bed.err.message, "does not fit"));
        bed.bundle->signature.sig[i] ^= 1;
    }
    bed.bundle->hash[0] ^= 1;
    assert_false(verify(&bed, true, false));
    bed.bundle->hash[0] ^= 1;
    bed.bundle->signature.key[0] ^= 1;
    assert_false(verify(&bed, true, false));
    close_bed(&bed);
}

TEST(keys_and_signatures_come_back_from_their_texts)
{
    struct bed bed;
    struct pk_sign_pair again;
    struct pk_bundle_signature signature = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    char key[PK_SIGN_KEY_TEXT];
    uint8_t read[PK_SIGN_KEY];
    open_bed(&bed);
    assert_ok(pk_sign_pair_read(&again, bed.pair_text.data, "key", &bed.err), &bed.err);
    assert_memory_equal(again.key, bed.pair.key, PK_SIGN_KEY);
    assert_memory_equal(again.secret, bed.pair.secret, PK_SIGN_SECRET);
    pk_sign_bundle(bed.bundle, &again);
    pk_sign_put(&bed.bundle->signature, &text);
    assert_ok(pk_sign_read(text.data, "a.lua.sig", &signature, &bed.err), &bed.err);
    assert_memory_equal(&signature, &bed.bundle->signature, sizeof(signature));
    pk_sign_key_text(bed.pair.key, key);
    assert_ok(pk_sign_key_read(key, read, &bed.err), &bed.err);
    assert_memory_equal(read, bed.pair.key, PK_SIGN_KEY);
    close_bed(&bed);
}

TEST(texts_that_are_none_are_refused)
{
    static const char good_key[] =
        "key: 0000000000000000000000000000000000000000000000000000000000000000\n";
    static const char *const text[] = {
        "",  "personakit signature\n",          "personakit signature\nkey: 00\nsig: 00\n",
        "x", "personakit signature\nsig: 00\n", good_key,
    };
    struct pk_bundle_signature signature = { 0 };
    struct pk_sign_pair pair;
    struct pk_error err = { 0 };
    uint8_t key[PK_SIGN_KEY];
    for (size_t i = 0; i < PK_COUNT(text); i++) {
        assert_false(pk_sign_read(text[i], "x.sig", &signature, &err));
        assert_false(signature.is_there);
        assert_non_null(strstr(err.message, "'x.sig' is no signature"));
        assert_false(pk_sign_pair_read(&pair, text[i], "x.key", &err));
        assert_non_null(strstr(err.message, "'x.key' is no signing key"));
        assert_false(pk_sign_key_read(text[i], key, &err));
    }
    PK_CLEANUP(pk_freep)
    char *liar = pk_strdupf("personakit signing key (secret)\n%sseed: %s", good_key, good_key + 5);
    assert_false(pk_sign_pair_read(&pair, liar, "x.key", &err));
}

TEST(a_signature_lies_beside_its_script)
{
    struct bed bed;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/a.lua", pk_test_folder());
    PK_CLEANUP(pk_freep) char *sig = pk_strdupf("%s.sig", path);
    struct pk_bundle *read = NULL;
    open_bed(&bed);
    pk_sign_bundle(bed.bundle, &bed.pair);
    pk_sign_put(&bed.bundle->signature, &text);
    assert_ok(pk_file_write(path, source, sizeof(source) - 1, 0600, &bed.err), &bed.err);
    assert_ok(pk_file_write(sig, text.data, text.size, 0600, &bed.err), &bed.err);
    assert_ok(pk_bundle_read(path, &read, &bed.err), &bed.err);
    assert_true(read->signature.is_there);
    pk_bundle_unref(bed.bundle);
    bed.bundle = read;
    assert_ok(verify(&bed, true, true), &bed.err);
    assert_ok(pk_file_write(sig, "x", 1, 0600, &bed.err), &bed.err);
    assert_false(pk_bundle_read(path, &read, &bed.err));
    assert_non_null(strstr(bed.err.message, "a.lua.sig' is no signature"));
    close_bed(&bed);
}

TEST(the_loader_asks_for_signatures_when_it_is_told_to)
{
    struct bed bed;
    struct pk_jail *jail = jailed_new(1);
    open_bed(&bed);
    const struct pk_loader_options options = {
        .jail = jail,
        .require_signature = true,
        .trusted = (const uint8_t(*)[32]) & bed.pair.key,
        .trusted_count = 1,
    };
    struct pk_loader *loader = pk_loader_new(&options);
    struct pk_report report = { 0 };
    struct pk_script *script = NULL;
    assert_false(pk_loader_take(loader, bed.bundle, PK_SCRIPT_ANY, &script, &report, &bed.err));
    assert_int_equal(bed.err.code, PK_INVALID);
    assert_int_equal(report.count, 1);
    pk_report_done(&report);
    pk_sign_bundle(bed.bundle, &bed.pair);
    assert_ok(pk_loader_take(loader, bed.bundle, PK_SCRIPT_ANY, &script, &report, &bed.err),
              &bed.err);
    assert_true(script->is_signed);
    pk_script_unref(script);
    pk_report_done(&report);
    pk_loader_free(loader);
    pk_jail_free(jail);
    close_bed(&bed);
}
