/* trust.h - Whose word about a client's address is believed.
 *
 *     pk_trust_new(&trust, text, count, &err);     "10.0.0.0/8", "::1", "fd00::/8", "unix"
 *     pk_trust_has(trust, peer)                    may this peer speak for others?
 *     pk_trust_walk(trust, header, count, who)     'who' in: the peer; out: the client
 *
 * Addresses are 16 bytes, IPv4 mapped into IPv6; all zero is who comes by a
 * Unix socket. X-Forwarded-For and X-Forwarded-Proto are read; `Forwarded`
 * (RFC 7239) is not: two headers that may disagree are one too many. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_TRUST_H
#define PK_NET_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;
struct pk_header;
struct pk_trust; /* Opaque; does not change, so that any thread may ask. */
struct sockaddr;

enum {
    PK_ADDRESS_BYTES = 16,
    PK_TRUST_MAX = 1024,   /* Ranges in one list. */
    PK_TRUST_HOPS_MAX = 32 /* Of X-Forwarded-For that are looked at, from the right. */
};

/* PK_INVALID names the text that is no range. */
bool pk_trust_new(struct pk_trust **out, const char *const *text, size_t count,
                  struct pk_error *err);
void pk_trust_free(struct pk_trust *trust); /* NULL is fine. */
bool pk_trust_has(const struct pk_trust *trust, const uint8_t address[PK_ADDRESS_BYTES]);

/* Replaces 'address', the peer's, by that of the first one, from the right, who is not trusted.
 * What is no address ends the walk there; an untrusted peer is not listened to at all. */
void pk_trust_walk(const struct pk_trust *trust, const struct pk_header *header, size_t count,
                   uint8_t address[PK_ADDRESS_BYTES]);
/* True when the last X-Forwarded-Proto says "https"; to be asked for trusted peers only. */
bool pk_trust_proto(const struct pk_header *header, size_t count);

/* The 16 bytes of a socket's address; all zero for other families than IPv4 and IPv6. */
void pk_address_from(const struct sockaddr *address, uint8_t out[PK_ADDRESS_BYTES]);
/* IPv4, mapped. */
bool pk_address_is_v4(const uint8_t address[PK_ADDRESS_BYTES]);
/* One element of X-Forwarded-For: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80".
 * False leaves 'out' as it was. */
bool pk_address_parse(const char *text, size_t size, uint8_t out[PK_ADDRESS_BYTES]);

#endif
