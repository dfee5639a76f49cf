/* trust.c - Ranges of addresses, and the walk through X-Forwarded-For.
 *
 *     X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.3      peer: 10.0.0.2
 *                      ? anybody     the client ◀── trusted ◀──── trusted
 *
 * Everything to the left of the first untrusted address is what that client
 * says about itself, and worth nothing. The header is read from the right and
 * no further than needed.
 *
 * A range is 16 bytes and a count of bits; IPv4 is "::ffff:0:0/96" and what
 * lies in it. "::/0" trusts every IPv6 address and no IPv4 one: whoever writes
 * it does not think of the mapped ones. */
/* SPDX-License-Identifier: MIT */
#include "net/trust.h"

#include "base/alloc.h"
#include "base/error.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

enum { BITS = 128, MAPPED_BITS = 96, TEXT_MAX = INET6_ADDRSTRLEN };

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

struct range {
    uint8_t address[PK_ADDRESS_BYTES];
    unsigned bits; /* Of 'address' that must be equal. */
    bool is_v4;    /* Holds mapped IPv4 addresses, and they alone; else the others alone. */
};
struct pk_trust {
    struct range *range;
    size_t count;
    bool has_unix; /* Who comes by a Unix socket is trusted. */
};

/* ---- Addresses ---- */

bool pk_address_is_v4(const uint8_t address[PK_ADDRESS_BYTES])
{
    return memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static bool is_nobody(const uint8_t address[PK_ADDRESS_BYTES])
{
    static const uint8_t zero[PK_ADDRESS_BYTES];
    return memcmp(address, zero, sizeof(zero)) == 0;
}

static void map(const void *v4, uint8_t out[PK_ADDRESS_BYTES])
{
    memcpy(out, mapped_prefix, sizeof(mapped_prefix));
    memcpy(out + sizeof(mapped_prefix), v4, 4);
}

void pk_address_from(const struct sockaddr *address, uint8_t out[PK_ADDRESS_BYTES])
{
    memset(out, 0, PK_ADDRESS_BYTES);
    if (address->sa_family == AF_INET) {
        map(&((const struct sockaddr_in *)(const void *)address)->sin_addr, out);
    } else if (address->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
               PK_ADDRESS_BYTES);
    }
}

/* An address and nothing else. "::" is refused: it stands for nobody. */
static bool parse_bare(const char *text, size_t size, uint8_t out[PK_ADDRESS_BYTES])
{
    char copy[TEXT_MAX];
    uint8_t found[PK_ADDRESS_BYTES];
    if (size == 0 || size >= sizeof(copy) || memchr(text, '\0', size)) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (inet_pton(AF_INET, copy, found) == 1) {
        map(found, out);
        return true;
    }
    if (inet_pton(AF_INET6, copy, found) != 1 || is_nobody(found)) {
        return false;
    }
    memcpy(out, found, sizeof(found));
    return true;
}

/* ":" and one to five digits, up to 65535. */
static bool is_port(const char *text, size_t size)
{
    unsigned port = 0;
    if (size < 2 || size > 6 || text[0] != ':') {
        return false;
    }
    for (size_t i = 1; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port <= 65535;
}

bool pk_address_parse(const char *text, size_t size, uint8_t out[PK_ADDRESS_BYTES])
{
    const char *end = text + size;
    if (size > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', size);
        return close && memchr(text, ':', (size_t)(close - text)) &&
               (close + 1 == end || is_port(close + 1, (size_t)(end - close - 1))) &&
               parse_bare(text + 1, (size_t)(close - text - 1), out);
    }
    const char *colon = memchr(text, ':', size);
    bool has_port = colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1));
    if (!has_port) {
        return parse_bare(text, size, out);
    }
    return is_port(colon, (size_t)(end - colon)) && parse_bare(text, (size_t)(colon - text), out);
}

/* ---- The list ---- */

/* True when 'range' has no bit behind its prefix. */
static bool is_prefix(const struct range *range)
{
    for (unsigned bit = range->bits; bit < BITS; bit++) {
        if (range->address[bit / 8] & (0x80 >> bit % 8)) {
            return false;
        }
    }
    return true;
}

/* 'bits' behind the slash; no slash means one address. */
static bool parse_bits(const char *slash, unsigned most, unsigned *out)
{
    unsigned bits = 0;
    size_t digits = slash ? strspn(slash + 1, "0123456789") : 0;
    if (!slash) {
        *out = most;
        return true;
    }
    if (digits == 0 || digits > 3 || slash[1 + digits] != '\0') {
        return false;
    }
    for (size_t i = 1; i <= digits; i++) {
        bits = bits * 10 + (unsigned)(slash[i] - '0');
    }
    *out = bits;
    return bits <= most;
}

/* As parse_bare, and "::", which begins ranges. */
static bool parse_base(const char *text, size_t size, uint8_t out[PK_ADDRESS_BYTES])
{
    if (size == 2 && memcmp(text, "::", 2) == 0) {
        memset(out, 0, PK_ADDRESS_BYTES);
        return true;
    }
    return parse_bare(text, size, out);
}

static bool parse_range(const char *text, struct range *range, struct pk_error *err)
{
    static const char hint[] = "write addresses and ranges such as 10.0.0.0/8, 192.0.2.7, ::1 or "
                               "fd00::/8, or 'unix' for who comes by a Unix socket";
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    if (!parse_base(text, size, range->address)) {
        return pk_fail(err, PK_INVALID, hint, "'%s' is no address and no range of addresses", text);
    }
    bool is_short = pk_address_is_v4(range->address) && memchr(text, '.', size) &&
                    !memchr(text, ':', size); /* "/8" counts from the IPv4 address. */
    if (!parse_bits(slash, is_short ? BITS - MAPPED_BITS : BITS, &range->bits)) {
        return pk_fail(err, PK_INVALID, hint, "'%s' has no such prefix: at most /%d fits", text,
                       is_short ? BITS - MAPPED_BITS : BITS);
    }
    range->bits += is_short ? MAPPED_BITS : 0;
    range->is_v4 = pk_address_is_v4(range->address) && range->bits >= MAPPED_BITS;
    if (!is_prefix(range)) {
        return pk_fail(err, PK_INVALID, "set the bits behind the prefix to zero, as in 10.0.0.0/8",
                       "'%s' has bits behind its prefix", text);
    }
    if (range->bits == BITS && is_nobody(range->address)) {
        return pk_fail(err, PK_INVALID, hint, "'%s' is nobody's address", text);
    }
    return true;
}

bool pk_trust_new(struct pk_trust **out, const char *const *text, size_t count,
                  struct pk_error *err)
{
    if (count > PK_TRUST_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "use larger ranges",
                       "%zu trusted proxies, at most %d fit", count, PK_TRUST_MAX);
    }
    struct pk_trust *trust = pk_calloc(1, sizeof(*trust));
    trust->range = pk_calloc(count + 1, sizeof(*trust->range));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text[i], "unix") == 0) {
            trust->has_unix = true;
        } else if (parse_range(text[i], &trust->range[trust->count], err)) {
            trust->count++;
        } else {
            pk_trust_free(trust);
            return false;
        }
    }
    *out = trust;
    return true;
}

void pk_trust_free(struct pk_trust *trust)
{
    if (trust) {
        pk_free(trust->range);
        pk_free(trust);
    }
}

static bool range_has(const struct range *range, const uint8_t address[PK_ADDRESS_BYTES])
{
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    if (memcmp(range->address, address, whole) != 0) {
        return false;
    }
    return rest == 0 || ((range->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool pk_trust_has(const struct pk_trust *trust, const uint8_t address[PK_ADDRESS_BYTES])
{
    if (is_nobody(address)) {
        return trust->has_unix;
    }
    bool is_v4 = pk_address_is_v4(address);
    for (size_t i = 0; i < trust->count; i++) {
        if (trust->range[i].is_v4 == is_v4 && range_has(&trust->range[i], address)) {
            return true;
        }
    }
    return false;
}

/* ---- The walk ---- */

/* Where the walk is: in 'header[at]', with 'size' bytes of its value still to read. */
struct walk {
    const struct pk_header *header;
    size_t at;   /* Headers to the left of it, and itself. */
    size_t size; /* Bytes of its value to the left; 0 when it is used up. */
    bool is_in;  /* 'at' and 'size' stand for a value. */
};

/* The next header to the left that is an X-Forwarded-For. */
static bool next_header(struct walk *walk)
{
    while (walk->at > 0) {
        walk->at--;
        if (strcmp(walk->header[walk->at].name, "x-forwarded-for") == 0) {
            walk->size = strlen(walk->header[walk->at].value);
            walk->is_in = true;
            return true;
        }
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The element to the left of the last one, without white space. False: there is none. */
static bool next_element(struct walk *walk, const char **out, size_t *out_size)
{
    if (!walk->is_in && !next_header(walk)) {
        return false;
    }
    const char *value = walk->header[walk->at].value;
    const char *comma = memrchr(value, ',', walk->size);
    const char *from = comma ? comma + 1 : value;
    const char *to = value + walk->size;
    walk->is_in = comma != NULL;
    walk->size = comma ? (size_t)(comma - value) : 0;
    while (from < to && is_blank(*from)) {
        from++;
    }
    while (to > from && is_blank(to[-1])) {
        to--;
    }
    *out = from;
    *out_size = (size_t)(to - from);
    return true;
}

void pk_trust_walk(const struct pk_trust *trust, const struct pk_header *header, size_t count,
                   uint8_t address[PK_ADDRESS_BYTES])
{
    struct walk walk = { .header = header, .at = count };
    const char *text;
    size_t size;
    for (size_t hop = 0; hop < PK_TRUST_HOPS_MAX && pk_trust_has(trust, address); hop++) {
        if (!next_element(&walk, &text, &size) || !pk_address_parse(text, size, address)) {
            return;
        }
    }
}

bool pk_trust_proto(const struct pk_header *header, size_t count)
{
    while (count-- > 0) {
        if (strcmp(header[count].name, "x-forwarded-proto") == 0) {
            const char *value = header[count].value;
            const char *comma = strrchr(value, ',');
            value = comma ? comma + 1 : value;
            value += strspn(value, " \t");
            size_t size = strcspn(value, " \t");
            return size == 5 && strncasecmp(value, "https", 5) == 0;
        }
    }
    return false;
}
