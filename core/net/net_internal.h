/* net_internal.h - What the files of net/ share; nobody else includes it.
 *
 *     loop.c         one thread: listener, timers, wake-ups       struct pk_loop
 *     conn.c         one client: bytes in, answers out, in order  struct pk_conn
 *     parse.c        llhttp collects one request                  struct pk_parser
 *     http_policy.c  what a request must not say                  enum pk_refusal
 *     route.c        which handler                                struct pk_route
 *     lane.c         the threads that handlers run on             struct pk_lane
 *     answer.c       the bytes of an answer                       struct pk_answer */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_NET_INTERNAL_H
#define PK_NET_NET_INTERNAL_H

#include "net/net.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <llhttp.h>
#include <pthread.h>
#include <stdatomic.h>

struct pk_loop;

/* ---- http_policy.c ---- */

/* Why a request is not taken. Each has its row in http_policy.c. */
enum pk_refusal {
    PK_REFUSAL_NONE,
    PK_REFUSAL_SYNTAX,
    PK_REFUSAL_VERSION,
    PK_REFUSAL_METHOD,
    PK_REFUSAL_TARGET,
    PK_REFUSAL_TARGET_LONG,
    PK_REFUSAL_HEADER,
    PK_REFUSAL_HEADERS_LARGE,
    PK_REFUSAL_HOST,
    PK_REFUSAL_LENGTH,
    PK_REFUSAL_ENCODING,
    PK_REFUSAL_UPGRADE,
    PK_REFUSAL_EXPECT,
    PK_REFUSAL_TRAILER,
    PK_REFUSAL_BODY_LARGE,
    PK_REFUSAL_SLOW,
    PK_REFUSAL_COUNT
};
struct pk_refusal_row {
    int status;
    const char *code;   /* Stable. */
    const char *detail; /* What was wrong. */
    const char *hint;   /* What to send instead. */
};
const struct pk_refusal_row *pk_refusal_row(enum pk_refusal refusal);

/* One header at a time, as it completes; 'name' is lower case. */
enum pk_refusal pk_policy_header(const char *name, size_t name_size, const char *value,
                                 size_t value_size);
/* A header behind the body: counted and dropped, but never one that frames a message. */
enum pk_refusal pk_policy_trailer(const char *name);
/* All of the head: 'request' has its headers and method; 'http' has seen a version. */
enum pk_refusal pk_policy_head(const llhttp_t *http, const struct pk_request *request);
/* Splits and decodes 'target' into path, segments and query. */
enum pk_refusal pk_policy_target(struct pk_request *request, char *target);

/* ---- parse.c ---- */

struct pk_span {
    size_t at, size; /* Into request->text. */
};
struct pk_parser {
    llhttp_t http;
    struct pk_request *request; /* The one being collected; NULL between two. */
    struct pk_span *span;       /* Name and value in turn; in the request's arena. */
    size_t span_count;
    size_t target_size;     /* The target lies at the start of the text. */
    size_t header_bytes;    /* Headers and trailers, with their separators. */
    size_t extension_bytes; /* Of chunks. */
    size_t head_bytes;      /* Fed since the request began. */
    size_t name_at;         /* Where the name being collected starts. */
    size_t name_size;
    size_t body_max_bytes;
    const struct pk_net *net; /* Its routes say how large a body may be. */
    enum pk_refusal refusal;
    bool is_version_seen;
    bool is_head_done;
    bool is_complete;
    bool is_continue_wanted; /* Expect: 100-continue; the connection says so and clears it. */
};
void pk_parser_init(struct pk_parser *parser, const struct pk_net *net);
void pk_parser_done(struct pk_parser *parser);
/* Takes bytes up to the end of one request. '*out_used' says how many; parser->is_complete that
 * the request is whole (take it with pk_parser_take). Not PK_REFUSAL_NONE: never feed again. */
enum pk_refusal pk_parser_feed(struct pk_parser *parser, const char *data, size_t size,
                               size_t *out_used);
/* The finished request; the parser is ready for the next one. */
struct pk_request *pk_parser_take(struct pk_parser *parser);

void pk_request_free(struct pk_request *request); /* NULL is fine. */

/* ---- route.c ---- */

struct pk_match {
    const struct pk_route *route; /* NULL: none. */
    unsigned allowed;             /* Methods (1 << pk_method) that this path has. */
};
void pk_route_find(const struct pk_net *net, const struct pk_request *request,
                   struct pk_match *out);
/* Answers a request that no route takes: 404 or 405. */
void pk_route_miss(const struct pk_match *match, struct pk_request *request,
                   struct pk_answer *answer);

/* ---- lane.c ---- */

struct pk_lane; /* Opaque. */
struct pk_lane *pk_lane_new(size_t threads, size_t queue_max, void *context);
/* Waits for what runs, drops what waits. */
void pk_lane_free(struct pk_lane *lane);
/* Runs the request's handler on a thread of the lane, then hands it to its loop. False: full. */
bool pk_lane_add(struct pk_lane *lane, struct pk_loop *loop, struct pk_request *request);

/* ---- answer.c ---- */

void pk_answer_done(struct pk_answer *answer);
/* Appends the whole answer as it goes over the wire. 'date' is an HTTP date. */
void pk_answer_write(const struct pk_request *request, const struct pk_answer *answer,
                     const char *date, bool is_last, struct evbuffer *out);

/* ---- loop.c ---- */

struct pk_loop {
    struct pk_net *net;
    struct event_base *base;
    struct evconnlistener *listener; /* NULL while draining. */
    struct event *wake;              /* Readable 'wake_fd'. */
    struct event *accept_again;      /* After running out of descriptors. */
    int wake_fd;                     /* Written by other threads. */
    pthread_t thread;
    struct pk_conn *conn; /* All of them, doubly linked. Loop thread only. */
    int64_t date_s;       /* Second that 'date' shows. */
    char date[32];        /* "Sat, 21 Nov 2026 07:32:00 GMT" */
    bool is_draining;     /* Loop thread only. */

    atomic_bool is_drain_wanted, is_stop_wanted;
    pthread_mutex_t lock;    /* Guards 'done' alone. */
    struct pk_request *done; /* Answered by an executor; newest first. */
};
/* From an executor: 'request' has its answer. */
void pk_loop_done(struct pk_loop *loop, struct pk_request *request);
const char *pk_loop_date(struct pk_loop *loop);
/* Called when the last connection of a draining loop is gone. */
void pk_loop_drained(struct pk_loop *loop);

struct pk_net {
    struct pk_net_options options;       /* Limits filled in. */
    struct pk_loop loop;                 /* One; the struct is ready for more. */
    struct pk_lane *lane[PK_LANE_COUNT]; /* NULL for PK_LANE_HOT. */
    int done_fd;
    bool is_started;
    char address[PK_NET_ADDRESS_TEXT];
    atomic_uint_fast64_t connections, accepted, refused, requests, malformed;
};

/* ---- conn.c ---- */

enum pk_conn_state {
    PK_CONN_IDLE,    /* Between requests: idle_ms, and head_ms for the first one. */
    PK_CONN_HEAD,    /* Some bytes of a head are here. */
    PK_CONN_BODY,    /* The head is whole. */
    PK_CONN_RUNNING, /* A handler has the request; nothing is read meanwhile. */
    PK_CONN_WRITING, /* The client must take what there is before more is read. */
    PK_CONN_LINGER   /* The last answer is out; input is thrown away unread. */
};
struct pk_conn {
    struct pk_loop *loop;
    struct pk_conn *next, *previous;
    struct bufferevent *bev;
    struct event *timer; /* The one absolute deadline of the present state. */
    struct pk_parser parser;
    enum pk_conn_state state;
    struct pk_request *running; /* In PK_CONN_RUNNING. */
    bool is_last;               /* Close when the output is out. */
    bool is_eof;                /* The client sends no more. */
    uint64_t served;            /* Requests answered here. */
};
void pk_conn_new(struct pk_loop *loop, int fd);
void pk_conn_close(struct pk_conn *conn);
/* An executor is done with conn->running. */
void pk_conn_answered(struct pk_conn *conn, struct pk_request *request);
/* Draining: closes it now if nothing was asked, else after the answer. */
void pk_conn_drain(struct pk_conn *conn);

#endif
