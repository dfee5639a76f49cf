/* proxy.h - The PROXY protocol's header, version 2, in front of a connection.
 *
 * Bytes in, verdict out; it keeps nothing, so that it is fed the same bytes
 * and some more until it has enough. Version 1 (text) is not taken. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_PROXY_H
#define PK_NET_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PK_PROXY_FIXED = 16, /* Bytes before the addresses. */
    PK_PROXY_MAX = 536   /* Of a whole header; what proxies send with TLVs is less. */
};

enum pk_proxy_says {
    PK_PROXY_MORE,   /* So far it is one; more bytes are needed. */
    PK_PROXY_DONE,   /* 'used' bytes are the header; what is behind belongs to the client. */
    PK_PROXY_REFUSED /* It is none, or none that we take. */
};
struct pk_proxy {
    size_t used;         /* Bytes of the header. */
    uint8_t address[16]; /* The client's, IPv4 mapped into IPv6; if has_address. */
    bool has_address;    /* False: nobody knows it. */
    bool is_local;       /* The proxy speaks for itself, to see whether we live. */
};

/* Fills 'out' when PK_PROXY_DONE. */
enum pk_proxy_says pk_proxy_parse(const uint8_t *data, size_t size, struct pk_proxy *out);

#endif
