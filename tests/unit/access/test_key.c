/* test_key.c - Keys: their one spelling, hostile ones, hashes, and time that tells nothing. */
/* SPDX-License-Identifier: MIT */
#include "access/key.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct pk_pepper pepper = { .id = "aaaaaaaa", .secret = { 1, 2, 3 } };
static const struct pk_pepper other_pepper = { .id = "bbbbbbbb", .secret = { 1, 2, 4 } };

TEST(a_key_is_read_back_as_it_was_printed)
{
    for (int i = 0; i < 1000; i++) {
        struct pk_key key, again;
        char text[PK_KEY_TEXT];
        pk_key_new(&key);
        pk_key_print(&key, text);
        assert_int_equal(strlen(text), PK_KEY_SIZE);
        assert_true(pk_key_parse(&again, text, PK_KEY_SIZE));
        assert_string_equal(key.id, again.id);
        assert_string_equal(key.secret, again.secret);
    }
}

TEST(no_two_keys_are_alike)
{
    struct pk_key a, b;
    pk_key_new(&a);
    pk_key_new(&b);
    assert_string_not_equal(a.id, b.id);
    assert_string_not_equal(a.secret, b.secret);
}

static bool parses(const char *text, size_t length)
{
    struct pk_key key;
    const bool ok = pk_key_parse(&key, text, length);
    static const struct pk_key none = { 0 };
    assert_true(ok || memcmp(&key, &none, sizeof(key)) == 0); /* A refused key leaves nothing. */
    return ok;
}

TEST(every_other_length_is_refused)
{
    struct pk_key key;
    char text[10 * 1024];
    memset(text, 'a', sizeof(text));
    pk_key_new(&key);
    pk_key_print(&key, text);
    text[PK_KEY_SIZE] = 'a';
    for (size_t size = 0; size < 200; size++) {
        char *exact = pk_alloc(size ? size : 1); /* So that ASan sees one byte too many. */
        memcpy(exact, text, size);
        assert_int_equal(parses(exact, size), size == PK_KEY_SIZE);
        pk_free(exact);
    }
    assert_false(parses(text, sizeof(text)));
}

TEST(every_byte_that_is_not_of_the_alphabet_is_refused_at_every_place)
{
    struct pk_key key;
    char text[PK_KEY_TEXT];
    pk_key_new(&key);
    pk_key_print(&key, text);
    for (size_t at = 0; at < PK_KEY_SIZE; at++) {
        const char was = text[at];
        for (int c = 0; c < 256; c++) {
            text[at] = (char)c;
            const bool is_letter = (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
            const bool is_fixed = at < 3 || at == 3 + PK_KEY_ID;
            const bool is_last = at == PK_KEY_SIZE - 1;
            const bool is_fine = is_fixed  ? (char)c == was
                                 : is_last ? c == 'a' || c == 'q'
                                           : is_letter;
            assert_int_equal(parses(text, PK_KEY_SIZE), is_fine);
        }
        text[at] = was;
    }
}

TEST(the_log_masks_a_key)
{
    struct pk_key key;
    struct pk_buf shown = { 0 };
    char text[PK_KEY_TEXT];
    pk_key_new(&key);
    pk_key_print(&key, text);
    pk_text_mask(&shown, text, strlen(text));
    assert_null(strstr(pk_buf_text(&shown), key.secret));
    assert_non_null(strstr(pk_buf_text(&shown), key.id));
    pk_buf_done(&shown);
}

TEST(a_key_fits_its_own_hash_under_its_own_pepper_only)
{
    struct pk_key key, other;
    uint8_t hash[PK_HASH_BYTES];
    pk_key_new(&key);
    pk_key_hash(hash, &pepper, &key);
    assert_true(pk_key_fits(&key, &pepper, hash));
    assert_false(pk_key_fits(&key, &other_pepper, hash));
    other = key;
    other.secret[0] = other.secret[0] == 'a' ? 'b' : 'a';
    assert_false(pk_key_fits(&other, &pepper, hash));
    other = key;
    other.id[0] = other.id[0] == 'a' ? 'b' : 'a';
    assert_false(pk_key_fits(&other, &pepper, hash)); /* A hash moved to another id is void. */
    for (size_t i = 0; i < PK_HASH_BYTES; i++) {
        hash[i] ^= 0x10;
        assert_false(pk_key_fits(&key, &pepper, hash));
        hash[i] ^= 0x10;
    }
}

TEST(without_a_pepper_nothing_fits_whatever_the_hash)
{
    struct pk_key key;
    uint8_t hash[PK_HASH_BYTES];
    pk_key_new(&key);
    pk_key_hash(hash, NULL, &key);
    assert_false(pk_key_fits(&key, NULL, hash));
}

TEST(a_wiped_key_is_gone)
{
    struct pk_key key;
    static const struct pk_key none = { 0 };
    pk_key_new(&key);
    pk_key_wipe(&key);
    assert_memory_equal(&key, &none, sizeof(key));
}

/* Welch's t of two samples, kept as sums. */
struct sample {
    double count, sum, squares;
};

static void add_sample(struct sample *sample, double value)
{
    sample->count++;
    sample->sum += value;
    sample->squares += value * value;
}

static double welch(const struct sample *a, const struct sample *b)
{
    const double mean_a = a->sum / a->count;
    const double mean_b = b->sum / b->count;
    const double var_a = a->squares / a->count - mean_a * mean_a;
    const double var_b = b->squares / b->count - mean_b * mean_b;
    return (mean_a - mean_b) / sqrt(var_a / a->count + var_b / b->count);
}

/* Not asserted: on a shared machine a figure like this says little at any one time. */
TEST(time_to_compare_is_told_for_equal_and_unequal_beginnings)
{
    enum { RUNS = 100000, CUT_NS = 20000 };
    struct pk_key key, near, far;
    uint8_t hash[PK_HASH_BYTES];
    struct sample sample[2] = { 0 };
    const struct pk_clock *clock = pk_clock_system();

    pk_key_new(&key);
    near = far = key;
    near.secret[PK_KEY_SECRET - 2] = near.secret[PK_KEY_SECRET - 2] == 'a' ? 'b' : 'a';
    far.secret[0] = far.secret[0] == 'a' ? 'b' : 'a';
    pk_key_hash(hash, &pepper, &key);
    for (int i = 0; i < RUNS; i++) {
        const bool is_near = pk_random_u64() & 1;
        const int64_t start_ns = pk_clock_mono_ns(clock);
        const bool fits = pk_key_fits(is_near ? &near : &far, &pepper, hash);
        const int64_t took_ns = pk_clock_mono_ns(clock) - start_ns;
        assert_false(fits);
        if (took_ns < CUT_NS) {
            add_sample(&sample[is_near], (double)took_ns);
        }
    }
    print_message("# key comparison: %.0f ns, t = %.2f over %d (|t| above 4.5 would be a leak)\n",
                  sample[0].sum / sample[0].count, welch(&sample[0], &sample[1]), (int)RUNS);
}
