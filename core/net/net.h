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
    PK_NET_ANSWER_HEADERS = 20,  /* Headers that gate and handler may add. */
    PK_NET_LOOPS_MAX = 64,
    PK_NET_HUNG_MAX = 16,     /* Calls of a lane that hang at the same time; then it is busy. */
    PK_NET_ADDRESS_TEXT = 128 /* "http://[...]:65535" or "unix:/..." and a NUL. */
};

enum pk_method {
    PK_METHOD_GET,
    PK_METHOD_HEAD, /* Answered by the GET route, without the body. */
    PK_METHOD_POST,
    PK_METHOD_PUT,
    PK_METHOD_PATCH,
    PK_METHOD_DELETE,
    PK_METHOD_OPTIONS,
    PK_METHOD_OTHER, /* What HTTP knows and no route has: TRACE and its like. */
    PK_METHOD_COUNT
};
const char *pk_method_name(enum pk_method method); /* "GET"; also a label of metrics. */

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

/* Where the time of a request went; all by the monotonic clock, 0: did not happen. */
struct pk_times {
    int64_t first_ns; /* Its first byte was here. */
    int64_t head_ns;  /* Its head was whole. */
    int64_t whole_ns; /* Its body was. */
    int64_t queue_ns; /* Spent waiting for an executor, added up. */
    int64_t run_ns;   /* Spent in handlers and at the gate, added up. */
    int64_t store_ns; /* Of run_ns: in calls of the store, added up. */
    int64_t park_ns;  /* Spent parked or as a stream of events, added up. */
    int64_t sent_ns;  /* The answer was handed to the connection. */
};

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
    void *kept;          /* A handler's, for the one that goes on with the request; in its arena. */
    void *caller;        /* What the gate made of who asks; the gate's to leave; NULL: nobody. */
    uint8_t address[16]; /* The client's (IPv4 mapped into IPv6), behind trusted proxies; all
                          * zero on a Unix socket. */
    int listener;        /* pk_net_listener.tag of where it came in. */
    bool is_secure;      /* By TLS, or a trusted proxy says so. */
    struct pk_times times;
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
/* The same for a number, under a name that is static text and a token. Left out when the answer has
 * PK_NET_ANSWER_HEADERS already. */
void pk_answer_number(struct pk_request *request, struct pk_answer *answer, const char *name,
                      uint64_t value);
/* "Not here": after the return 'handler' goes on with the request on 'lane'. */
void pk_answer_move(struct pk_answer *answer, enum pk_lane_name lane, pk_handler_fn *handler);
/* Answers with an entry of the hot cache; takes over the reference. */
void pk_answer_entry(struct pk_answer *answer, struct pk_hot_entry *entry);

struct pk_route {
    enum pk_method method;
    const char *path; /* "/v1/people/{person}": '{...}' is any one segment. */
    int action;       /* What it is to who asks for it, in the words of the gate; above 0. */
    enum pk_lane_name lane;
    size_t body_max_bytes; /* 0: no body. */
    pk_handler_fn *handler;
    const char *help;   /* One sentence. */
    const char *others; /* Why the path has no further methods: the hint of its 405; NULL: those it
                         * has are named. Static text. */
    bool is_streamed;   /* The handler starts at the end of the head and reads the body in pieces
                         * (stream.h); never on PK_LANE_HOT. body_max_bytes 0: of any length. */
};

struct pk_lane_limits {
    size_t threads;   /* Started when first needed. */
    size_t queue_max; /* Requests that may wait for one. */
    int64_t hung_ms;  /* A call that takes longer loses its thread, which is replaced, and its
                       * request is answered 504; 0: 10 s in PK_LANE_SCRIPT, never in others. */
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
    size_t connections_max;                    /* Open at the same time; 16,384. */
    size_t connections_address_max;            /* Of these, from one address; 16,384. */
    size_t stream_bytes;                       /* Held for one streamed body or answer; 256 KiB. */
    size_t bodies_bytes;                       /* Of all bodies that are read whole; 512 MiB. */
    struct pk_lane_limits lane[PK_LANE_COUNT]; /* 64, 16 and 8 threads. */
};

/* Who stands between a whole head and everything behind it. 'look' is asked for every request
 * that a route takes, on the loop, before a byte of its body is taken and before "100 Continue" is
 * said; it must not wait. Headers that it adds to 'answer' go out with whatever is answered. */
enum pk_gate_says {
    PK_GATE_OPEN, /* Go on to the handler. */
    PK_GATE_SHUT, /* 'answer' is the refusal; the body is not read, and the connection closes when
                   * there was to be one. */
    PK_GATE_AWAY  /* Ask 'fetch', on an executor of the store's lane. */
};
struct pk_gate {
    enum pk_gate_says (*look)(void *context, struct pk_request *request, struct pk_answer *answer);
    bool (*fetch)(void *context, struct pk_request *request, struct pk_answer *answer);
    void (*leave)(void *context, void *caller); /* The request ends; not called with NULL. */
};

/* What came of a request, for metrics and logs. On the loop, when its answer has been handed to
 * the connection; must not wait. Requests that were refused unparsed come, too (route NULL). */
struct pk_done {
    const struct pk_request *request;
    int status;            /* As sent; 499: the client had gone. */
    const char *refusal;   /* The code of the parser's refusal, or NULL. */
    uint64_t answer_bytes; /* Of the answer's body. */
};
typedef void pk_done_fn(void *context, const struct pk_done *done);

struct pk_net_listener {
    const char *address; /* "127.0.0.1:8077", "[::1]:0" (port 0 takes a free one), or
                          * "unix:/run/personakit/http.sock". */
    int tag;             /* Shown in pk_request.listener. */
    bool is_secure;      /* TLS, with options.tls. */
    bool is_proxied;     /* Every connection begins with a PROXY protocol header, version 2; only
                          * from trusted addresses, others are closed. */
};

struct pk_net_options {
    const struct pk_net_listener *listener;
    size_t listener_count;
    const char *tls_certificate; /* Paths of PEM files: the chain, and its key; NULL: no TLS. */
    const char *tls_key;
    const char *const *trusted; /* Proxies, as "10.0.0.0/8" or "::1": their PROXY header and
                                 * X-Forwarded-For are believed. "unix" is who comes by socket. */
    size_t trusted_count;
    const struct pk_gate *gate; /* NULL: open to all. */
    pk_done_fn *done;           /* NULL: nobody. */
    void *done_context;         /* Handed to 'done', instead of 'context'. */
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
/* "http://127.0.0.1:8077", "https://...", "unix:/..." of a listener; owned by 'net'. */
const char *pk_net_address(const struct pk_net *net, size_t listener);
/* Reads certificate and key anew, for connections from here on; when they do not fit, those in use
 * stay. Any thread. */
bool pk_net_reload_tls(struct pk_net *net, struct pk_error *err);
/* When the certificate in use expires, by the wall clock; 0: no TLS. Any thread. */
int64_t pk_net_tls_expires_ms(const struct pk_net *net);
/* Stops accepting; what was accepted is answered and its connection closed. Any thread, once. */
void pk_net_drain(struct pk_net *net);
/* Readable when a drain has closed the last connection. */
int pk_net_done_fd(const struct pk_net *net);
/* What an end has left behind. */
struct pk_net_rest {
    uint64_t cut; /* Requests that were not answered to their end. */
    size_t hung;  /* Calls that have not come back a second later. Above 0: what they use (the
                   * contexts of the options) must not be freed; the process ends with them. */
};
/* Cuts what is left, and waits for what runs on the lanes. NULL is fine. */
struct pk_net_rest pk_net_close(struct pk_net *net);

struct pk_net_stats {
    uint64_t connections;       /* Open now. */
    uint64_t accepted, refused; /* Since the start; refused: over a cap. */
    uint64_t requests;          /* Answered by a handler. */
    uint64_t malformed;         /* Refused by the parser or the policy. */
    uint64_t wakes;             /* Times that other threads woke a loop. */
    int64_t lag_ns;             /* How late the loop's last tick was; of all loops the worst. */
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
    uint64_t hung;  /* Calls given up since the start; their threads were replaced. */
    size_t lost;    /* Of these, not back yet. */
};
/* All zero for PK_LANE_HOT. */
void pk_net_lane_stats(const struct pk_net *net, enum pk_lane_name lane, struct pk_lane_stats *out);

#endif
