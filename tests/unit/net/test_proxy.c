/* test_proxy.c - Headers of the PROXY protocol, whole and in pieces. */
/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"
#include "test.h"

#include <string.h>

static const uint8_t v4[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"
                            "\xcb\x00\x71\x09\x0a\x00\x00\x01\x12\x34\x00\x50";
static const uint8_t v6[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x2b"
                            "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                            "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x34\x01\xbb"
                            "\x04\x00\x04"
                            "abcd";

/* 'size' bytes of 'header', with 'value' at 'at' instead. */
static enum pk_proxy_says spoilt(const uint8_t *header, size_t size, size_t at, uint8_t value)
{
    uint8_t copy[600] = { 0 };
    struct pk_proxy proxy;
    memcpy(copy, header, size);
    copy[at] = value;
    return pk_proxy_parse(copy, size, &proxy);
}

TEST(a_proxy_header_is_needed_to_its_last_byte)
{
    struct pk_proxy proxy;
    uint8_t copy[sizeof(v6)];
    for (size_t size = 0; size < sizeof(v6) - 1; size++) {
        memcpy(copy, v6, size);
        assert_int_equal(pk_proxy_parse(copy, size, &proxy), PK_PROXY_MORE);
    }
    assert_int_equal(pk_proxy_parse(v6, sizeof(v6), &proxy), PK_PROXY_DONE);
    assert_int_equal(proxy.used, sizeof(v6) - 1);
    assert_memory_equal(proxy.address, v6 + 16, 16);
    assert_true(proxy.has_address);
}

TEST(a_proxys_ipv4_client_is_mapped)
{
    static const uint8_t client[16] = { [10] = 0xff, 0xff, 203, 0, 113, 9 };
    struct pk_proxy proxy;
    assert_int_equal(pk_proxy_parse(v4, sizeof(v4) - 1, &proxy), PK_PROXY_DONE);
    assert_memory_equal(proxy.address, client, 16);
    assert_true(proxy.has_address && !proxy.is_local);
    assert_int_equal(proxy.used, 28);
}

TEST(a_proxy_that_speaks_for_itself_names_nobody)
{
    static const uint8_t local[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    static const uint8_t unknown[] = "\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x03\x01\x02\x03";
    struct pk_proxy proxy;
    assert_int_equal(pk_proxy_parse(local, sizeof(local) - 1, &proxy), PK_PROXY_DONE);
    assert_true(proxy.is_local && !proxy.has_address && proxy.used == 16);
    assert_int_equal(pk_proxy_parse(unknown, sizeof(unknown) - 1, &proxy), PK_PROXY_DONE);
    assert_true(!proxy.is_local && !proxy.has_address && proxy.used == 19);
    /* LOCAL: whatever follows is skipped, and not believed. */
    assert_int_equal(spoilt(v4, sizeof(v4) - 1, 12, 0x20), PK_PROXY_DONE);
}

TEST(what_is_no_proxy_header_is_refused_at_its_first_wrong_byte)
{
    struct pk_proxy proxy;
    static const char text[] = "PROXY TCP4 203.0.113.9 10.0.0.1 4660 80\r\n";
    assert_int_equal(pk_proxy_parse((const uint8_t *)text, 1, &proxy), PK_PROXY_REFUSED);
    assert_int_equal(pk_proxy_parse((const uint8_t *)"GET / HTTP/1.1", 14, &proxy),
                     PK_PROXY_REFUSED);
    assert_int_equal(pk_proxy_parse((const uint8_t *)"\r\n\r\nG", 5, &proxy), PK_PROXY_REFUSED);
    for (size_t at = 0; at < 12; at++) {
        assert_int_equal(spoilt(v4, at + 1, at, 'x'), PK_PROXY_REFUSED);
    }
    assert_int_equal(spoilt(v4, 13, 12, 0x11), PK_PROXY_REFUSED); /* Version 1. */
    assert_int_equal(spoilt(v4, 13, 12, 0x22), PK_PROXY_REFUSED); /* No such command. */
}

TEST(odd_families_and_lengths_of_proxy_headers_are_refused)
{
    size_t size = sizeof(v4) - 1;
    assert_int_equal(spoilt(v4, size, 13, 0x41), PK_PROXY_REFUSED); /* No such family. */
    assert_int_equal(spoilt(v4, size, 13, 0x12), PK_PROXY_REFUSED); /* Datagrams. */
    assert_int_equal(spoilt(v4, size, 13, 0x10), PK_PROXY_REFUSED);
    assert_int_equal(spoilt(v4, size, 13, 0x01), PK_PROXY_REFUSED);
    assert_int_equal(spoilt(v4, size, 13, 0x21), PK_PROXY_REFUSED); /* Too short for IPv6. */
    assert_int_equal(spoilt(v4, size, 15, 11), PK_PROXY_REFUSED);
    assert_int_equal(spoilt(v4, size, 14, 3), PK_PROXY_REFUSED);           /* Over PK_PROXY_MAX. */
    assert_int_equal(spoilt(v6, sizeof(v6) - 1, 54, 5), PK_PROXY_REFUSED); /* A TLV too long, */
    assert_int_equal(spoilt(v6, sizeof(v6) - 1, 15, 0x2a), PK_PROXY_REFUSED); /* one cut short. */
}
