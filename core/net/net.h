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
 * A request's texts live as long as the request. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_NET_H
#define PK_NET_NET_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_net;  /* Opaque. */
struct pk_conn; /* Opaque; net/'s own. */
struct pk_head; /* Opaque; net/'s own. */

enum {
    PK_NET_SEGMENTS_MAX = 16,    /* Segments of a path. */
    PK_NET_HEADERS_MAX = 100,    /* Headers of a request; trailers count, too. */
    PK_NET_LINE_MAX = 8 * 1024,  /* Bytes of the request line's target. */
    PK_NET_HEAD_MAX = 32 * 1024, /* Bytes of all headers and trailers. */
    PK_NET_REQUEST_ID_TEXT = 65, /* An id and its NUL. */
    PK_NET_ADDRESS_TEXT = 80     /* "http://[...]:65535" and a NUL. */
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

/* Where a handler runs. */
enum pk_lane_name {
    PK_LANE_HOT,   /* On the loop: it must not wait. */
    PK_LANE_STORE, /* On an executor: it may ask the store. */
    PK_LANE_COUNT
};

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
    const struct pk_route *route;

    /* net/'s own from here on. */
    struct pk_conn *conn;     /* NULL when the client has gone. Loop thread only. */
    struct pk_answer *answer; /* Filled by the handler. */
    struct pk_buf text;       /* Bytes of target and headers, as collected. */
    struct pk_request *next;  /* In a lane's or loop's list. */
    bool is_keep_alive;       /* The client wants to send more. */
};

/* The header's value, or NULL. 'name' is lower case. */
const char *pk_request_header(const struct pk_request *request, const char *name);

struct pk_answer {
    int status;               /* 200 unless set. */
    const char *content_type; /* Static text; NULL: no body. */
    const char *allow;        /* For 405; owned by the request's arena; or NULL. */
    int retry_after_s;        /* Above 0: sent as Retry-After. */
    struct pk_buf body;
};

/* A JSON answer: fill 'answer->body' and call this. */
void pk_answer_json(struct pk_answer *answer, int status);
/* application/problem+json with code, detail, hint and requestId; 'hint' may be NULL. */
void pk_answer_problem(const struct pk_request *request, struct pk_answer *answer, int status,
                       const char *code, const char *detail, const char *hint);
/* The same from an error; its code decides the status. */
void pk_answer_error(const struct pk_request *request, struct pk_answer *answer,
                     const struct pk_error *err);

typedef void pk_handler_fn(void *context, struct pk_request *request, struct pk_answer *answer);

struct pk_route {
    enum pk_method method;
    const char *path;       /* "/v1/people/{person}": '{...}' is any one segment. */
    const char *capability; /* What the caller needs; "public": nothing. Never NULL. */
    enum pk_lane_name lane;
    size_t body_max_bytes; /* 0: no body. */
    pk_handler_fn *handler;
    const char *help; /* One sentence. */
};

/* Every zero means the default. */
struct pk_net_limits {
    int64_t head_ms;        /* First byte to end of headers; 10 s. */
    int64_t body_ms;        /* End of headers to end of body; 30 s. */
    int64_t idle_ms;        /* Between requests; 60 s. */
    int64_t write_ms;       /* For the client to take an answer; 30 s. */
    int64_t linger_ms;      /* After the last answer, for the client to have read it; 2 s. */
    size_t connections_max; /* Open at the same time; 10,000. */
    size_t executors;       /* Threads of the store lane; 8. */
    size_t queue_max;       /* Requests that may wait for one; 1,024. */
};

struct pk_net_options {
    const char *listen; /* "127.0.0.1:8077", "[::1]:0"; port 0 takes a free one. */
    const struct pk_route *route;
    size_t route_count;
    void *context; /* Handed to every handler. */
    struct pk_net_limits limits;
};

/* Listens and starts the loop and the executors. PK_CONFLICT when the address is taken. */
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
    uint64_t accepted, refused; /* Since the start; refused: over the cap. */
    uint64_t requests;          /* Answered by a handler. */
    uint64_t malformed;         /* Refused by the parser or the policy. */
};
void pk_net_stats(const struct pk_net *net, struct pk_net_stats *out);

#endif
