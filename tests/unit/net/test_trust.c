/* test_trust.c - Ranges of addresses, and who the client is behind trusted proxies. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "net/net.h"
#include "net/trust.h"
#include "test.h"

#include <arpa/inet.h>
#include <string.h>

static void address(const char *text, uint8_t out[16])
{
    memset(out, 0, 16);
    if (strcmp(text, "unix") != 0) {
        assert_true(pk_address_parse(text, strlen(text), out));
    }
}

static struct pk_trust *trust(const char *const *text, size_t count)
{
    struct pk_error err;
    struct pk_trust *made;
    assert_ok(pk_trust_new(&made, text, count, &err), &err);
    return made;
}

#define TRUST(...) \
    trust((const char *const[]){ __VA_ARGS__ }, PK_COUNT(((const char *const[]){ __VA_ARGS__ })))

static bool has(const struct pk_trust *list, const char *text)
{
    uint8_t bytes[16];
    address(text, bytes);
    return pk_trust_has(list, bytes);
}

TEST(a_range_holds_its_addresses_and_no_others)
{
    struct pk_trust *list = TRUST("10.0.0.0/8", "192.0.2.7", "fd00::/9", "::1", "172.16.0.0/12");
    assert_true(has(list, "10.0.0.0") && has(list, "10.255.255.255"));
    assert_false(has(list, "9.255.255.255") || has(list, "11.0.0.0"));
    assert_true(has(list, "192.0.2.7") && !has(list, "192.0.2.6"));
    assert_true(has(list, "fd7f::1") && !has(list, "fd80::1") && !has(list, "fc00::1"));
    assert_true(has(list, "::1") && !has(list, "::2"));
    assert_true(has(list, "172.31.255.255") && !has(list, "172.32.0.0"));
    assert_true(has(list, "::ffff:10.1.2.3")); /* The same address in other words. */
    assert_false(has(list, "unix"));
    pk_trust_free(list);
}

TEST(all_of_one_family_is_none_of_the_other)
{
    struct pk_trust *six = TRUST("::/0");
    struct pk_trust *four = TRUST("0.0.0.0/0");
    struct pk_trust *mapped = TRUST("::ffff:10.0.0.0/104", "unix");
    assert_true(has(six, "2001:db8::1") && !has(six, "192.0.2.1") && !has(six, "unix"));
    assert_true(has(four, "192.0.2.1") && !has(four, "2001:db8::1") && !has(four, "unix"));
    assert_true(has(mapped, "10.9.9.9") && !has(mapped, "11.0.0.0") && has(mapped, "unix"));
    pk_trust_free(six);
    pk_trust_free(four);
    pk_trust_free(mapped);
}

TEST(what_is_no_range_is_named)
{
    static const char *const wrong[] = { "",          "10.0.0.0/33", "10.0.0.0/",   "10.0.0.0/8x",
                                         "10.0.0/8",  "10.0.0.1/8",  "::1/129",     "fe80::1%eth0",
                                         "localhost", "10.0.0.0/-1", "10.0.0.0:80", "[::1]",
                                         "fd00::1/8", "/8",          "::",          "Unix" };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        struct pk_error err = { 0 };
        struct pk_trust *list;
        assert_false(pk_trust_new(&list, &wrong[i], 1, &err));
        assert_int_equal(err.code, PK_INVALID);
        assert_non_null(strstr(err.message, wrong[i]));
        assert_non_null(err.hint);
    }
}

TEST(elements_of_x_forwarded_for_are_addresses_with_or_without_a_port)
{
    static const char *const right[] = { "192.0.2.1",           "192.0.2.1:65535",
                                         "2001:db8::1",         "[2001:db8::1]",
                                         "[2001:db8::1]:80",    "::ffff:192.0.2.1",
                                         "[::ffff:192.0.2.1]:1" };
    static const char *const wrong[] = { "",
                                         "unknown",
                                         "_hidden",
                                         "192.0.2",
                                         "192.0.2.1:",
                                         "192.0.2.1:65536",
                                         "192.0.2.1:8a",
                                         "[192.0.2.1]",
                                         "[::1",
                                         "[::1]:",
                                         "[::1]80",
                                         "::",
                                         "192.0.2.01",
                                         "\"192.0.2.1\"",
                                         "192.0.2.1 ",
                                         "[]",
                                         "[",
                                         ":80" };
    uint8_t bytes[16];
    for (size_t i = 0; i < PK_COUNT(right); i++) {
        assert_true(pk_address_parse(right[i], strlen(right[i]), bytes));
    }
    memset(bytes, 7, sizeof(bytes));
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        if (pk_address_parse(wrong[i], strlen(wrong[i]), bytes)) {
            fail_msg("'%s' was taken for an address", wrong[i]);
        }
        assert_int_equal(bytes[0] + bytes[15], 14);
    }
}

/* Who it is that comes from 'peer' with these values of X-Forwarded-For, in their order. */
static void assert_client(const char *expected, const char *peer, const char *const *value,
                          size_t count)
{
    struct pk_trust *list = TRUST("10.0.0.0/8", "fd00::/8", "unix");
    struct pk_header header[8] = { { "host", "a" }, { "forwarded", "for=192.0.2.99" } };
    uint8_t who[16];
    uint8_t wanted[16];
    for (size_t i = 0; i < count; i++) {
        header[2 + i] = (struct pk_header){ "x-forwarded-for", value[i] };
    }
    address(peer, who);
    address(expected, wanted);
    pk_trust_walk(list, header, 2 + count, who);
    assert_memory_equal(who, wanted, 16);
    pk_trust_free(list);
}
#define CLIENT(expected, peer, ...)                                     \
    assert_client(expected, peer, (const char *const[]){ __VA_ARGS__ }, \
                  PK_COUNT(((const char *const[]){ __VA_ARGS__ })))

TEST(the_first_untrusted_address_from_the_right_is_the_client)
{
    CLIENT("203.0.113.9", "10.0.0.1", "203.0.113.9");
    CLIENT("203.0.113.9", "10.0.0.1", "198.51.100.1, 203.0.113.9, 10.2.2.2");
    CLIENT("203.0.113.9", "10.0.0.1", "198.51.100.1", "203.0.113.9 ,10.2.2.2,\t10.0.0.7:99");
    CLIENT("2001:db8::5", "fd00::1", "[2001:db8::5]:4444, [fd00::2]:1");
    CLIENT("203.0.113.9", "10.0.0.1", "::ffff:203.0.113.9, ::ffff:10.0.0.2");
    CLIENT("203.0.113.9", "unix", "203.0.113.9");
}

TEST(an_untrusted_peer_is_not_listened_to)
{
    CLIENT("192.0.2.1", "192.0.2.1", "203.0.113.9");
}

TEST(garbage_ends_the_walk_at_the_last_good_address)
{
    CLIENT("10.2.2.2", "10.0.0.1", "203.0.113.9, unknown, 10.2.2.2");
    CLIENT("10.0.0.1", "10.0.0.1", "203.0.113.9,");
    CLIENT("10.0.0.1", "10.0.0.1", "");
    CLIENT("10.2.2.2", "10.0.0.1", "203.0.113.9", "", "10.2.2.2");
}

TEST(where_all_are_trusted_the_leftmost_is_the_client)
{
    CLIENT("10.3.3.3", "10.0.0.1", "10.3.3.3, 10.2.2.2");
}

TEST(the_walk_is_at_most_so_long)
{
    char value[PK_TRUST_HOPS_MAX * 10 + 20] = "203.0.113.9";
    for (size_t i = 1; i < PK_TRUST_HOPS_MAX; i++) {
        strcat(value, ",10.0.0.1");
    }
    CLIENT("203.0.113.9", "10.2.2.2", value);
    strcat(value, ",10.0.0.1");
    CLIENT("10.0.0.1", "10.2.2.2", value);
}

TEST(the_last_x_forwarded_proto_counts)
{
    struct pk_header header[] = { { "x-forwarded-proto", "http" },
                                  { "x-forwarded-proto", "https" },
                                  { "x-forwarded-for", "a" } };
    assert_true(pk_trust_proto(header, 3));
    assert_false(pk_trust_proto(header, 1));
    assert_false(pk_trust_proto(header, 0));
    header[1].value = "https, http";
    assert_false(pk_trust_proto(header, 3));
    header[1].value = "http,\tHTTPS ";
    assert_true(pk_trust_proto(header, 3));
    header[1].value = "httpsx";
    assert_false(pk_trust_proto(header, 3));
}
