/* net.h - The front door: HTTP/1.1 from the socket to a handler and back.
 *
 * One table of routes says everything about a route: method, path, who may
 * call it, on which lane it runs, how large its body may be. A handler is
 * plain code that reads a 'struct pk_request' and fills a 'struct pk_answer';
 * on PK_LANE_HOT it runs on the loop and must not wait for anything, on the
 * other lanes it has an executor thread to itself and may.
 *
 *     pk_net_open(&net, &options, &err);     accepts from here on
 *     ... until told to stop ...
 *     pk_net_drain(net);                     accepts no more, answers what it has
 *     poll(pk_net_done_fd(net));             readable when the last connection is gone
 *     pk_net_close(net);                     cuts what is left
 *
 * There is a loop per core, each with its own listener on the same address; a
 * connection stays on the loop that accepted it. A request's texts live as
 * long as the request. Long bodies, long answers and waiting are in stream.h,
 * server-sent events in sse.h, the cache of ready answers in hot.h. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_NET_H
#define PK_NET_NET_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_answer;
struct pk_hot_entry;
struct pk_net; /* Opaque. */

enum {
    PK_NET_SEGMENTS_MAX = 16,    /* Segments of a path. */
    PK_NET_HEADERS_MAX = 100,    /* Headers of a request; trailers count, too. */
    PK_NET_LINE_MAX = 8 * 1024,  /* Bytes of the request line's target. */
    PK_NET_HEAD_MAX = 32 * 1024, /* Bytes of all headers and trailers. */
    PK_NET_REQUEST_ID_TEXT = 65, /* An id and its NUL. */
    PK_NET_ANSWER_HEADERS = 12,  /* Headers that a handler may add. */
    PK_NET_LOOPS_MAX = 64,
    PK_NET_ADDRESS_TEXT = 80 /* "http://[...]:65535" and a NUL. */
};

enum pk_method {
    PK_METHOD_GET,
    PK_METHOD_HEAD, /* Answered by the GET route, without the body. */
    PK_METHOD_POST,
    PK_METHOD_PUT,
    PK_METHOD_PATCH,
    PK_METHOD_DELETE,
    PK_METHOD_OPTIONS,
    PK_METHOD_COUNT
};
const char *pk_method_name(enum pk_method method);

/* Where a handler runs: on the loop, or on an executor of a lane. A full lane answers 503 and
 * disturbs no other. */
enum pk_lane_name {
    PK_LANE_HOT,    /* On the loop: it must not wait. */
    PK_LANE_STORE,  /* It may ask the store; no scripts. */
    PK_LANE_SCRIPT, /* It may run scripts. */
    PK_LANE_SLOW,   /* Uploads, exports, verification. */
    PK_LANE_COUNT
};
const char *pk_lane_text(enum pk_lane_name lane); /* "store" */

struct pk_header {
    const char *name;  /* Lower case. */
    const char *value; /* Without the white space around it. */
};

struct pk_route;

struct pk_request {
    enum pk_method method;
    const char *path;                         /* As it was sent, without the query. */
    const char *segment[PK_NET_SEGMENTS_MAX]; /* Between the slashes, decoded once. */
    size_t segment_count;                     /* "/" has none. */
    const char *query;                        /* Behind '?', as it was sent; "". */
    const struct pk_header *header;
    size_t header_count;
    struct pk_buf body;
    char id[PK_NET_REQUEST_ID_TEXT]; /* The client's X-Request-Id, or one of ours. */
    struct pk_arena arena;           /* For what lives as long as the request. */
    const struct pk_route *route;    /* NULL: none has this path. */
    enum pk_lane_name lane;          /* Where the handler runs now. */
    bool is_timed_out;               /* It was parked, and nobody woke it. */
};

/* The header's value, or NULL. 'name' is lower case. */
const char *pk_request_header(const struct pk_request *request, const char *name);

/* What happens when a handler has returned. */
enum pk_then {
    PK_THEN_SEND,  /* The answer goes out. */
    PK_THEN_MOVE,  /* 'handler' goes on, on 'lane'. */
    PK_THEN_PARK,  /* The same, once woken or out of time; see stream.h. */
    PK_THEN_EVENTS /* The connection becomes a stream of events; see sse.h. */
};
typedef void pk_handler_fn(void *context, struct pk_request *request, struct pk_answer *answer);

struct pk_answer {
    int status;                /* 200 unless set. */
    const char *content_type;  /* Static text; NULL: no body. */
    const char *allow;         /* For 405; owned by the request's arena; or NULL. */
    const char *etag;          /* With its quotes; arena or static; or NULL. A GET that names it in
                                * If-None-Match is answered 304. */
    const char *cache_control; /* Static text; NULL: "no-store". */
    int retry_after_s;         /* Above 0: sent as Retry-After. */
    struct pk_header header[PK_NET_ANSWER_HEADERS]; /* Filled by pk_answer_header. */
    size_t header_count;
    struct pk_buf body;
    struct pk_hot_entry *entry; /* Sent instead of 'body'; a reference that the answer owns. */

    /* Filled by pk_answer_move and its like. */
    enum pk_then then;
    enum pk_lane_name lane;
    pk_handler_fn *handler;
    int64_t park_ms;
};

/* A JSON answer: fill 'answer->body' and call this. */
void pk_answer_json(struct pk_answer *answer, int status);
/* application/problem+json with code, detail, hint and requestId; 'hint' may be NULL. */
void pk_answer_problem(const struct pk_request *request, struct pk_answer *answer, int status,
                       const char *code, const char *detail, const char *hint);
/* The same from an error; its code decides the status. */
void pk_answer_error(const struct pk_request *request, struct pk_answer *answer,
                     const struct pk_error *err);

/* Adds a header; both texts are copied. PK_INVALID when the name is no token or the value has CR,
 * LF, NUL or another control character: what came from data must not split an answer. */
bool pk_answer_header(struct pk_request *request, struct pk_answer *answer, const char *name,
                      const char *value, struct pk_error *err);
/* "Not here": after the return 'handler' goes on with the request on 'lane'. */
void pk_answer_move(struct pk_answer *answer, enum pk_lane_name lane, pk_handler_fn *handler);
/* Answers with an entry of the hot cache; takes over the reference. */
void pk_answer_entry(struct pk_answer *answer, struct pk_hot_entry *entry);

struct pk_route {
    enum pk_method method;
    const char *path;       /* "/v1/people/{person}": '{...}' is any one segment. */
    const char *capability; /* What the caller needs; "public": nothing. Never NULL. */
    enum pk_lane_name lane;
    size_t body_max_bytes; /* 0: no body. */
    pk_handler_fn *handler;
    const char *help; /* One sentence. */
    bool is_streamed; /* The handler starts at the end of the head and reads the body in pieces
                       * (stream.h); never on PK_LANE_HOT. body_max_bytes 0: of any length. */
};

struct pk_lane_limits {
    size_t threads;   /* Started when first needed. */
    size_t queue_max; /* Requests that may wait for one. */
};

/* Every zero means the default. */
struct pk_net_limits {
    int64_t head_ms;   /* First byte to end of headers; 10 s. */
    int64_t body_ms;   /* In each such time the body brings rate_min bytes for each second; 10 s. */
    size_t rate_min;   /* Bytes per second, of bodies and of answers taken; 1,024. */
    int64_t idle_ms;   /* Between requests; 60 s. */
    int64_t write_ms;  /* For the client to take an answer, and 1 s for each rate_min; 30 s. */
    int64_t linger_ms; /* After the last answer, for the client to have read it; 2 s. */
    int64_t beat_ms;   /* Between heartbeats of a stream of events; 15 s. */
    size_t connections_max;                    /* Open at the same time; 10,000. */
    size_t connections_address_max;            /* Of these, from one address; 10,000. */
    size_t stream_bytes;                       /* Held for one streamed body or answer; 256 KiB. */
    struct pk_lane_limits lane[PK_LANE_COUNT]; /* 64, 16 and 8 threads. */
};

struct pk_net_options {
    const char *listen; /* "127.0.0.1:8077", "[::1]:0"; port 0 takes a free one. */
    const struct pk_route *route;
    size_t route_count;
    void *context;             /* Handed to every handler. */
    size_t loops;              /* 0: one for each core. */
    const char *const *origin; /* Whose pages may call: "https://app.example.org"; "*": all. */
    size_t origin_count;       /* 0: none. */
    struct pk_net_limits limits;
};

/* Listens and starts the loops. PK_CONFLICT when the address is taken. */
bool pk_net_open(struct pk_net **out, const struct pk_net_options *options, struct pk_error *err);
/* "http://127.0.0.1:8077"; owned by 'net'. */
const char *pk_net_address(const struct pk_net *net);
/* Stops accepting; what was accepted is answered and its connection closed. Any thread, once. */
void pk_net_drain(struct pk_net *net);
/* Readable when a drain has closed the last connection. */
int pk_net_done_fd(const struct pk_net *net);
void pk_net_close(struct pk_net *net); /* NULL is fine. */

struct pk_net_stats {
    uint64_t connections;       /* Open now. */
    uint64_t accepted, refused; /* Since the start; refused: over a cap. */
    uint64_t requests;          /* Answered by a handler. */
    uint64_t malformed;         /* Refused by the parser or the policy. */
    uint64_t wakes;             /* Times that other threads woke a loop. */
};
/* Of all loops together. Any thread, as the next two. */
void pk_net_stats(const struct pk_net *net, struct pk_net_stats *out);
size_t pk_net_loops(const struct pk_net *net);
void pk_net_loop_stats(const struct pk_net *net, size_t loop, struct pk_net_stats *out);

struct pk_lane_stats {
    size_t threads; /* Started so far. */
    size_t running; /* Requests that have a thread. */
    size_t waiting; /* Requests that wait for one. */
    uint64_t busy;  /* Refused since the start, because the queue was full. */
};
/* All zero for PK_LANE_HOT. */
void pk_net_lane_stats(const struct pk_net *net, enum pk_lane_name lane, struct pk_lane_stats *out);

#endif
