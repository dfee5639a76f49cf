/* fetch.h - Outgoing HTTP: to hosts that were allowed, and nowhere else.
 *
 * A fetcher is made with the hosts that may be reached; every address is
 * looked at once more when it has been resolved, at the moment of connecting,
 * so a name that suddenly points into the private network leads nowhere.
 * What comes back is held to a size and to a time; a redirect is an answer
 * like any other and is not followed. Nothing is taken from the environment
 * or from files of the user: no proxy, no .netrc, no cookies.
 *
 *     struct pk_fetch_answer answer = { 0 };
 *     if (pk_fetch(fetcher, &(struct pk_fetch_request){ .url = url }, &answer, err)) ...
 *     pk_fetch_answer_done(&answer);
 *
 * Everything here blocks: for executor threads and commands, never for loops.
 * A fetcher serves any number of threads at once and keeps connections for the
 * next request to the same place. A request on a kept connection that the
 * other side has closed without a word is sent again on a new one: targets
 * that must not see a request twice are told by an id in it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_FETCH_H
#define PK_NET_FETCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_fetcher; /* Opaque. */
struct sockaddr;

enum {
    PK_FETCH_HOSTS_MAX = 256,            /* Of a fetcher. */
    PK_FETCH_URL_MAX = 8 * 1024,         /* Bytes. */
    PK_FETCH_HEADERS_MAX = 100,          /* Of a request and of an answer. */
    PK_FETCH_HEAD_MAX = 64 * 1024,       /* Bytes of all headers, each way. */
    PK_FETCH_ANSWER_BYTES = 1024 * 1024, /* Default of answer_max_bytes. */
    PK_FETCH_TIME_MS = 30 * 1000,        /* Default time for all of it. */
    PK_FETCH_CONNECT_MS = 5 * 1000       /* Default time for resolving, connecting and TLS. */
};
#define PK_FETCH_NO_DEADLINE INT64_MAX

struct pk_fetch_options {
    const struct pk_clock *clock;
    const char *const *host; /* "api.example.org", "*.example.org" (what is below it, at any depth,
                              * not itself), an address ("192.0.2.1", "[2001:db8::1]"), each with
                              * ":port" or for the scheme's own port (80, 443). */
    size_t host_count;       /* 0: none may be reached. */
    bool is_private_allowed; /* Loopback, private, link-local and other special addresses, too. */
    const char *ca_file;     /* PEM of those whose certificates are believed; NULL: the system's. */
    const char *unix_path;   /* All requests go to this socket, whatever host the URL names (which
                              * must be allowed all the same); NULL: by network. */
    size_t idle_max;         /* Handles kept with their connections; 0: 16. */
};

/* Copies 'options', but for the clock. PK_INVALID names the entry of 'host' that is wrong. */
bool pk_fetcher_new(struct pk_fetcher **out, const struct pk_fetch_options *options,
                    struct pk_error *err);
void pk_fetcher_free(struct pk_fetcher *fetcher); /* NULL is fine. No request may be under way. */
void pk_fetcher_freep(struct pk_fetcher **fetcher);

struct pk_fetch_header {
    const char *name;
    const char *value;
    size_t value_size; /* Bytes; a NUL among them is refused as CR and LF are. */
};

struct pk_fetch_answer {
    int status;               /* 100 to 999, as it came; 3xx included. */
    struct pk_header *header; /* Names in lower case, in the order they came. */
    size_t header_count;
    struct pk_buf body;    /* Decompressed; empty when it went to 'piece'. */
    bool is_stopped;       /* 'piece' wanted no more. */
    struct pk_arena arena; /* Of the headers. */
};
void pk_fetch_answer_done(struct pk_fetch_answer *answer);
/* The first value of a header, or NULL. 'name' is lower case. */
const char *pk_fetch_header(const struct pk_fetch_answer *answer, const char *name);

/* Gets the body as it comes; status and headers are in 'answer' already. False: no more, and
 * pk_fetch returns true. On the caller's thread. */
typedef bool pk_fetch_piece_fn(void *context, const struct pk_fetch_answer *answer,
                               const void *data, size_t size);

struct pk_fetch_request {
    const char *method; /* "GET" (also NULL), "HEAD", "POST", "PUT", "PATCH", "DELETE". */
    const char *url;    /* http or https; no user, no password, no white space. */
    const struct pk_fetch_header *header; /* Those that frame a message (Host, Content-Length,
                                           * Transfer-Encoding, Connection ...) are refused. */
    size_t header_count;
    const void *body; /* NULL: none. */
    size_t body_size;
    size_t answer_max_bytes;  /* Of the body, as sent and decompressed; 0: PK_FETCH_ANSWER_BYTES;
                               * SIZE_MAX: any number. */
    int64_t deadline_ns;      /* For all of it, mono; 0: in PK_FETCH_TIME_MS. */
    int64_t connect_ms;       /* 0: PK_FETCH_CONNECT_MS. */
    pk_fetch_piece_fn *piece; /* NULL: gathered in answer.body. */
    void *context;            /* For 'piece'. */
};

/* Any status is a success. Fills 'answer' ('{ 0 }' before), which the caller ends in any case.
 *
 *     PK_INVALID      the URL, the method or a header is wrong
 *     PK_FORBIDDEN    the host is not allowed, or its address is private
 *     PK_UNAVAILABLE  no resolving, connecting or TLS; or what came is no HTTP, or was cut off
 *     PK_TIMEOUT      the deadline, or connect_ms, passed
 *     PK_TOO_LARGE    the answer is above answer_max_bytes or PK_FETCH_HEAD_MAX
 *
 * Messages name the host, never path or query: these may hold what nobody should read. */
bool pk_fetch(struct pk_fetcher *fetcher, const struct pk_fetch_request *request,
              struct pk_fetch_answer *answer, struct pk_error *err);

/* Whether a URL would be taken and its host is allowed: PK_INVALID, PK_FORBIDDEN. Resolves
 * nothing: for those who keep a URL to use it later. */
bool pk_fetch_check(const struct pk_fetcher *fetcher, const char *url, struct pk_error *err);

/* What sort of address that should not be reached from outside it is ("loopback", "private",
 * "link-local" ...), or NULL for one of the public network. Addresses that carry an IPv4 address
 * (mapped, NAT64, 6to4, ISATAP) are what that one is. */
const char *pk_fetch_address_kind(const struct sockaddr *address);

#endif
