/* fetch_internal.h - What the files of fetch share; nobody else includes it.
 *
 *     fetch.c          the pool of handles, and one request from begin to end
 *     fetch_said.c     what comes back: status, headers, body, held to limits   struct pk_said
 *     fetch_wants.c    what is sent: method, headers, body                      struct pk_wants
 *     fetch_guard.c    which URL may be asked for                               struct pk_guard
 *     fetch_address.c  which address may be connected to */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_FETCH_INTERNAL_H
#define PK_NET_FETCH_INTERNAL_H

#include "net/fetch.h"

#include <curl/curl.h>

/* ---- fetch_guard.c ---- */

enum { PK_HOST_TEXT = 256 };

/* Where a URL leads. */
struct pk_fetch_target {
    char host[PK_HOST_TEXT]; /* Lower case; an IPv6 address in brackets. */
    int port;
    bool is_secure; /* https */
};

/* One entry of the allowed hosts. */
struct pk_guard_rule {
    char *host;    /* Lower case; without "*." */
    bool is_below; /* "*.": what is below 'host'. */
    int port;      /* 0: the scheme's own. */
};
struct pk_guard {
    struct pk_guard_rule *rule;
    size_t count;
};
bool pk_guard_init(struct pk_guard *guard, const char *const *host, size_t count,
                   struct pk_error *err);
void pk_guard_done(struct pk_guard *guard);
/* '*out' (NULL: not wanted) is the URL as it was understood, for curl to use as it is; the caller
 * ends it with curl_url_cleanup. */
bool pk_guard_url(const struct pk_guard *guard, const char *url, CURLU **out,
                  struct pk_fetch_target *out_place, struct pk_error *err);

/* ---- fetch_wants.c ---- */

/* Tells 'curl' method, headers and body. '*out_list' must outlive the request; the caller frees it
 * with curl_slist_free_all, also on failure. */
bool pk_wants_set(CURL *curl, const struct pk_fetch_request *request, struct curl_slist **out_list,
                  struct pk_error *err);

/* ---- fetch_said.c ---- */

/* An answer as it comes. */
struct pk_said {
    struct pk_fetch_answer *answer;
    pk_fetch_piece_fn *piece; /* Or NULL. */
    void *context;            /* For 'piece'. */
    size_t head_bytes;        /* Of all headers so far, those of 1xx and trailers included. */
    size_t body_bytes;        /* So far. */
    size_t body_max_bytes;
    bool is_headed; /* The head is whole: what still comes as a header is a trailer. */
    bool is_over;   /* A limit was passed: that is why it was stopped. */
};
void pk_said_listen(struct pk_said *said, CURL *curl);

#endif
