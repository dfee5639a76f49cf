/* test_memory.c - alloc, buf, arena and error: what all else stands on. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

TEST(an_empty_buffer_is_an_empty_text)
{
    struct pk_buf buf = { 0 };
    assert_string_equal(pk_buf_text(&buf), "");
    pk_buf_clear(&buf);
    pk_buf_add(&buf, NULL, 0);
    assert_string_equal(pk_buf_text(&buf), "");
    pk_buf_done(&buf);
    pk_buf_done(&buf);
    char *text = pk_buf_take(&buf);
    assert_string_equal(text, "");
    pk_free(text);
}

TEST(a_buffer_grows_keeps_bytes_and_ends_with_nul)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    for (int i = 0; i < 10000; i++) {
        pk_buf_add_char(&buf, (char)i);
        assert_int_equal(buf.data[buf.size], 0);
    }
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf.data[i], (char)i);
    }
    pk_buf_clear(&buf);
    pk_buf_printf(&buf, "%s-%d", "x", 7);
    pk_buf_add_text(&buf, "!");
    assert_string_equal(pk_buf_text(&buf), "x-7!");
    char *text = pk_buf_take(&buf);
    assert_string_equal(text, "x-7!");
    assert_null(buf.data);
    pk_free(text);
}

TEST(reserved_room_is_used_in_place)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    for (size_t size = 0; size < 300; size++) {
        memset(pk_buf_reserve(&buf, size), 'r', size); /* ASan watches the end. */
        buf.size += size;
        pk_buf_add(&buf, "", 0);
    }
    assert_int_equal(buf.size, 299 * 300 / 2);
    assert_int_equal(strlen(buf.data), buf.size);
}

TEST(reserved_room_that_is_not_used_leaves_an_empty_text)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    (void)pk_buf_reserve(&buf, 1000);
    assert_string_equal(pk_buf_text(&buf), "");
}

TEST(arena_memory_is_zeroed_aligned_and_apart)
{
    PK_CLEANUP(pk_arena_done) struct pk_arena arena = { 0 };
    char *piece[500];
    for (size_t i = 0; i < 500; i++) {
        size_t size = i * 37 % 2000;
        piece[i] = pk_arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)piece[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++) {
            assert_int_equal(piece[i][j], 0);
        }
        memset(piece[i], (int)(i % 127) + 1, size);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < i * 37 % 2000; j++) {
            assert_int_equal(piece[i][j], (char)(i % 127 + 1));
        }
    }
    assert_ptr_not_equal(pk_arena_alloc(&arena, 0), pk_arena_alloc(&arena, 0));
}

TEST(a_big_arena_piece_does_not_waste_the_block_at_hand)
{
    PK_CLEANUP(pk_arena_done) struct pk_arena arena = { 0 };
    char *a = pk_arena_alloc(&arena, 16);
    memset(pk_arena_alloc(&arena, 10 << 20), 1, 10 << 20);
    char *b = pk_arena_alloc(&arena, 16);
    assert_ptr_equal(b, a + 16);
}

TEST(a_reset_arena_starts_again_zeroed)
{
    struct pk_arena arena = { 0 };
    pk_arena_reset(&arena);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            char *memory = pk_arena_alloc(&arena, 1000);
            assert_int_equal(memory[999], 0);
            memset(memory, 7, 1000);
        }
        pk_arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
    pk_arena_done(&arena);
    pk_arena_done(&arena);
}

TEST(arena_texts_are_copies)
{
    PK_CLEANUP(pk_arena_done) struct pk_arena arena = { 0 };
    char text[] = "hello";
    char *a = pk_arena_strdup(&arena, text);
    char *b = pk_arena_strndup(&arena, text, 2);
    char *c = pk_arena_strndup(&arena, text, 99);
    text[0] = 'j';
    assert_string_equal(a, "hello");
    assert_string_equal(b, "he");
    assert_string_equal(c, "hello");
    assert_string_equal(pk_arena_printf(&arena, "%d%s", 1, "x"), "1x");
}

TEST(an_error_carries_code_message_field_and_hint)
{
    struct pk_error err = { 0 };
    assert_false(pk_fail_field(&err, PK_INVALID, "a.b", "do this", "wrong: '%d'", 3));
    assert_int_equal(err.code, PK_INVALID);
    assert_string_equal(err.message, "wrong: '3'");
    assert_string_equal(err.field, "a.b");
    assert_string_equal(err.hint, "do this");
    assert_false(pk_wrap(&err, "load '%s'", "x"));
    assert_string_equal(err.message, "load 'x': wrong: '3'");
    assert_int_equal(err.code, PK_INVALID);
    assert_false(pk_fail(&err, PK_BUSY, NULL, "busy"));
    assert_null(err.field);
    assert_false(pk_fail(NULL, PK_BUSY, NULL, "busy"));
    assert_false(pk_wrap(NULL, "x"));
}

TEST(a_long_message_loses_its_tail_and_never_half_a_character)
{
    char text[600];
    struct pk_error err = { 0 };
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', sizeof(text));
        for (size_t i = shift; i + 4 < sizeof(text); i += 4) {
            memcpy(text + i, "\xf0\x9f\x98\x80", 4);
        }
        text[sizeof(text) - 1] = '\0';
        (void)pk_fail(&err, PK_INVALID, NULL, "%s", text);
        size_t size = strlen(err.message);
        assert_true(size >= 252 && size <= 255);
        assert_int_equal((size - shift) % 4, 0);
        for (int i = 0; i < 3; i++) {
            (void)pk_wrap(&err, "context %s", i ? text : "y");
            size = strlen(err.message);
            assert_true(size <= 255);
            assert_memory_equal(err.message, "context ", 8);
        }
    }
}

TEST(a_value_cannot_put_a_second_line_into_a_message)
{
    struct pk_error err = { 0 };
    (void)pk_fail(&err, PK_INVALID, NULL, "no '%s'", "a\nforged: b\x1b[2J\x7f \xc3\xa4");
    (void)pk_wrap(&err, "read '%s'", "\r");
    assert_string_equal(err.message, "read '?': no 'a?forged: b?[2J? \xc3\xa4'");
}

TEST(an_error_may_be_made_of_itself)
{
    struct pk_error err = { 0 };
    (void)pk_fail(&err, PK_INVALID, NULL, "inner");
    (void)pk_wrap(&err, "again '%s'", err.message);
    assert_string_equal(err.message, "again 'inner': inner");
    (void)pk_fail(&err, PK_BUSY, NULL, "outer: %s", err.message);
    assert_string_equal(err.message, "outer: again 'inner': inner");
}

TEST(every_code_has_a_name_of_its_own_and_a_status)
{
    for (int a = 0; a < PK_CODE_COUNT; a++) {
        int http = pk_code_http((enum pk_code)a);
        assert_non_null(pk_code_name((enum pk_code)a));
        assert_true(a == PK_OK ? http == 200 : http >= 400 && http < 600);
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(pk_code_name((enum pk_code)a), pk_code_name((enum pk_code)b));
        }
    }
    assert_true(pk_code_retry(PK_BUSY));
    assert_false(pk_code_retry(PK_INVALID));
}
