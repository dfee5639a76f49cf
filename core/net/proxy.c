/* proxy.c - Reads one header of the PROXY protocol, version 2.
 *
 *      0 .. 11   \r\n\r\n\0\r\nQUIT\n
 *     12         version (2) and command (0: LOCAL, 1: PROXY)
 *     13         family (1: IPv4, 2: IPv6, 3: Unix) and transport (1: stream)
 *     14 .. 15   bytes that follow: the addresses, then TLVs
 *
 * Source address first, then destination, then ports. The TLVs say nothing
 * that we use; their lengths are checked all the same, because a header that
 * is wrong there is wrong elsewhere, too.
 *
 * LOCAL says nothing about a client whatever follows. PROXY with an unknown
 * or a Unix family has a client whose address nobody knows. */
/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"

#include <string.h>

enum { SIGNATURE = 12, TLV_HEAD = 3 };

static const uint8_t signature[SIGNATURE] = { '\r', '\n', '\r', '\n', 0,   '\r',
                                              '\n', 'Q',  'U',  'I',  'T', '\n' };

/* What a family's addresses take; in the order of its number. */
static const struct {
    size_t bytes;   /* Of both addresses and both ports. */
    size_t address; /* Of the source's address; 0: not one that we can show. */
} family_table[] = {
    { 0, 0 },   /* Unspecified. */
    { 12, 4 },  /* IPv4. */
    { 36, 16 }, /* IPv6. */
    { 216, 0 }, /* Unix. */
};
enum { FAMILIES = sizeof(family_table) / sizeof(family_table[0]) };

static size_t two_bytes(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

/* Type, two bytes of length, value; one behind the other up to the end. */
static bool tlvs_fit(const uint8_t *data, size_t size)
{
    while (size > 0) {
        if (size < TLV_HEAD || two_bytes(data + 1) > size - TLV_HEAD) {
            return false;
        }
        size_t bytes = TLV_HEAD + two_bytes(data + 1);
        data += bytes;
        size -= bytes;
    }
    return true;
}

static enum pk_proxy_says parse_addresses(const uint8_t *data, size_t size, struct pk_proxy *out)
{
    unsigned family = data[13] >> 4;
    unsigned transport = data[13] & 15;
    const uint8_t *address = data + PK_PROXY_FIXED;

    /* Only a wholly unspecified one may lack the transport. */
    if (family >= FAMILIES || transport != (family > 0 ? 1 : 0) ||
        size - PK_PROXY_FIXED < family_table[family].bytes) {
        return PK_PROXY_REFUSED;
    }
    size_t skipped = PK_PROXY_FIXED + family_table[family].bytes;
    if (family > 0 && !tlvs_fit(data + skipped, size - skipped)) {
        return PK_PROXY_REFUSED;
    }
    if (family_table[family].address == 4) {
        memset(out->address + 10, 0xff, 2);
        memcpy(out->address + 12, address, 4);
    } else if (family_table[family].address == 16) {
        memcpy(out->address, address, 16);
    }
    /* "::" is how a Unix socket's peer is shown: nobody may come by that name. */
    static const uint8_t nobody[16];
    out->has_address =
        family_table[family].address > 0 && memcmp(out->address, nobody, sizeof(nobody)) != 0;
    return PK_PROXY_DONE;
}

enum pk_proxy_says pk_proxy_parse(const uint8_t *data, size_t size, struct pk_proxy *out)
{
    if (memcmp(data, signature, size < SIGNATURE ? size : SIGNATURE) != 0 ||
        (size > 12 && data[12] >> 4 != 2) || (size > 12 && (data[12] & 15) > 1)) {
        return PK_PROXY_REFUSED;
    }
    if (size < PK_PROXY_FIXED) {
        return PK_PROXY_MORE;
    }
    size_t whole = PK_PROXY_FIXED + two_bytes(data + 14);
    if (whole > PK_PROXY_MAX) {
        return PK_PROXY_REFUSED;
    }
    if (size < whole) {
        return PK_PROXY_MORE;
    }
    memset(out, 0, sizeof(*out));
    out->used = whole;
    out->is_local = (data[12] & 15) == 0;
    return out->is_local ? PK_PROXY_DONE : parse_addresses(data, whole, out);
}
