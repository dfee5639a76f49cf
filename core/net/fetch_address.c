/* fetch_address.c - Which addresses are of the public network, and which only look so.
 *
 * IPv4: a table of what is not public. IPv6: only 2000::/3 has been handed out
 * for the public network, so the rest is refused whole, and a table names what
 * is special within. Several kinds of IPv6 address carry an IPv4 address that
 * a gateway will unpack; such an address is what the one inside is. */
/* SPDX-License-Identifier: MIT */
#include "net/fetch_internal.h"

#include "base/alloc.h"

#include <netinet/in.h>
#include <string.h>

struct range {
    uint8_t prefix[16];
    int bits;
    const char *kind;
};

static const struct range v4_table[] = {
    { { 0 }, 8, "unspecified" },
    { { 10 }, 8, "private" },
    { { 100, 64 }, 10, "carrier's private" },
    { { 127 }, 8, "loopback" },
    { { 169, 254 }, 16, "link-local" },
    { { 172, 16 }, 12, "private" },
    { { 192, 0, 0 }, 24, "reserved" },
    { { 192, 0, 2 }, 24, "documentation" },
    { { 192, 88, 99 }, 24, "6to4 relay" },
    { { 192, 168 }, 16, "private" },
    { { 198, 18 }, 15, "benchmark" },
    { { 198, 51, 100 }, 24, "documentation" },
    { { 203, 0, 113 }, 24, "documentation" },
    { { 224 }, 4, "multicast" },
    { { 240 }, 4, "reserved" },
};

/* The first that fits says it. Whatever is in none of them is not public, either. */
static const struct range v6_table[] = {
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, "documentation" },
    { { 0x20, 0x01 }, 23, "special" }, /* Teredo, ORCHID and what is like them. */
    { { 0x3f, 0xff }, 20, "documentation" },
    { { 0x20 }, 3, NULL },
    { { [15] = 1 }, 128, "loopback" },
    { { 0 }, 128, "unspecified" },
    { { 0xfc }, 7, "private" },
    { { 0xfe, 0x80 }, 10, "link-local" },
    { { 0xfe, 0xc0 }, 10, "private" },
    { { 0xff }, 8, "multicast" },
    { { 0 }, 0, "reserved" },
};

/* IPv6 addresses with an IPv4 address inside, at byte 'at'. */
static const struct {
    uint8_t prefix[16];
    int bits;
    size_t at;
} carrier_table[] = {
    { { [10] = 0xff, 0xff }, 96, 12 },      /* Mapped: ::ffff:a.b.c.d */
    { { 0x00, 0x64, 0xff, 0x9b }, 96, 12 }, /* NAT64: 64:ff9b::a.b.c.d */
    { { 0x20, 0x02 }, 16, 2 },              /* 6to4: 2002:ab:cd:: */
};

static bool is_within(const uint8_t *address, const uint8_t *prefix, int bits)
{
    const size_t whole = (size_t)bits / 8;
    const int rest = bits % 8;
    if (memcmp(address, prefix, whole) != 0) {
        return false;
    }
    return rest == 0 || (address[whole] ^ prefix[whole]) >> (8 - rest) == 0;
}

static const char *v4_kind(const uint8_t address[4])
{
    for (size_t i = 0; i < PK_COUNT(v4_table); i++) {
        if (is_within(address, v4_table[i].prefix, v4_table[i].bits)) {
            return v4_table[i].kind;
        }
    }
    return NULL;
}

/* ISATAP: whatever the prefix, then 0000:5efe or 0200:5efe and the IPv4 address. */
static bool is_isatap(const uint8_t address[16])
{
    return (address[8] & 0xfd) == 0 && address[9] == 0 && address[10] == 0x5e &&
           address[11] == 0xfe;
}

static const char *v6_kind(const uint8_t address[16])
{
    for (size_t i = 0; i < PK_COUNT(carrier_table); i++) {
        if (is_within(address, carrier_table[i].prefix, carrier_table[i].bits)) {
            return v4_kind(address + carrier_table[i].at);
        }
    }
    if (is_isatap(address) && v4_kind(address + 12)) {
        return v4_kind(address + 12);
    }
    size_t i = 0;
    while (!is_within(address, v6_table[i].prefix, v6_table[i].bits)) {
        i++; /* The last one fits all. */
    }
    return v6_table[i].kind;
}

const char *pk_fetch_address_kind(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        return v4_kind((const uint8_t *)&v4->sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        return v6_kind(v6->sin6_addr.s6_addr);
    }
    return "local"; /* A Unix socket, or what nobody thought of. */
}
