/* net_internal.h - What the files of net/ share; nobody else includes it.
 *
 *     net.c          opens, drains, closes; limits and figures     struct pk_net
 *     listen.c       sockets that listen on one address (listen_unix.c: by a file)
 *     trust.c        proxies whose word is believed               struct pk_trust
 *     proxy.c        PROXY headers in front of a connection       struct pk_proxy
 *     tls.c          certificate and key                          struct pk_tls
 *     tls_pipe.c     one connection's bytes, to and from TLS      struct pk_tls_pipe
 *     address.c      how many connections an address has           struct pk_addresses
 *     loop.c         one thread: accepts, timers, mail             struct pk_loop
 *     conn.c         one client: bytes in, answers out, in order   struct pk_conn
 *     socket.c       its bytes from and to the kernel
 *     link.c         what lies between these and its requests
 *     exchange.c     one request and its answer, lane to lane      struct pk_exchange
 *     parse.c        llhttp collects one request                   struct pk_parser
 *     http_policy.c  what a request must not say                   enum pk_refusal
 *     route.c        which handler                                 struct pk_route
 *     cors.c         pages of other origins, and OPTIONS
 *     lane.c         the threads that handlers run on              struct pk_lane
 *     answer.c       what a handler says
 *     wire.c, gzip.c the bytes of an answer
 *     tie.c          what ties another thread to a connection      struct pk_tie
 *     stream.c       bodies and answers in pieces                  struct pk_stream
 *     park.c         requests that wait without a thread           struct pk_parked
 *     sse.c          streams of events                             struct pk_sse
 *     hot.c          the cache of ready answers                    struct pk_hot */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_NET_INTERNAL_H
#define PK_NET_NET_INTERNAL_H

#include "net/listen.h"
#include "net/net.h"
#include "net/tls.h"
#include "net/trust.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <llhttp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct evbuffer;
struct pk_conn;
struct pk_link;
struct pk_loop;
struct pk_parked;
struct pk_sse;
struct pk_stream;

/* ---- http_policy.c ---- */

/* Why a request is not taken. Each has its row in http_policy.c. */
enum pk_refusal {
    PK_REFUSAL_NONE,
    PK_REFUSAL_SYNTAX,
    PK_REFUSAL_VERSION,
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
    PK_REFUSAL_BODIES_FULL,
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

/* One header at a time, as it completes: its value; or both, of a name that may be anything. */
enum pk_refusal pk_policy_value(const char *value, size_t size);
enum pk_refusal pk_policy_header(const char *name, size_t name_size, const char *value,
                                 size_t value_size);
/* A header behind the body: counted and dropped, but never one that frames a message. */
enum pk_refusal pk_policy_trailer(const char *name);
/* All of the head: 'request' has its headers and method; 'http' has seen a version. */
enum pk_refusal pk_policy_head(const llhttp_t *http, const struct pk_request *request);
/* Splits and decodes 'target' into path, segments and query. */
enum pk_refusal pk_policy_target(struct pk_request *request, char *target);

/* ---- Figures ---- */

/* Of a figure that one thread alone changes, and others read. */
static inline void pk_count(atomic_uint_fast64_t *figure, uint64_t more)
{
    uint64_t now = atomic_load_explicit(figure, memory_order_relaxed);
    atomic_store_explicit(figure, now + more, memory_order_relaxed);
}

/* ---- loop.c: mail ---- */

/* Something another thread wants done on the loop. Lies inside its sender's struct. */
struct pk_mail {
    struct pk_mail *next;
    void (*open)(struct pk_mail *mail); /* On the loop's thread. */
};
/* Any thread. One wake-up serves all that is in the box. The mail must not be in it already. */
void pk_loop_post(struct pk_loop *loop, struct pk_mail *mail);

/* ---- exchange.c ---- */

/* One request, its answer, and who has it now. */
struct pk_exchange {
    struct pk_request request; /* First: handlers know only this. */
    struct pk_answer answer;   /* Filled by the handler. */
    struct pk_loop *loop;
    struct pk_conn *conn;               /* NULL when the client has gone. Loop thread only. */
    struct pk_buf text;                 /* Bytes of target and headers, as collected. */
    pk_handler_fn *handler;             /* Runs next on request.lane. */
    struct pk_mail mail;                /* Brings it back from an executor. */
    int64_t since_ns;                   /* When its present wait or run began. */
    size_t gate_headers;                /* Of the answer, before its handler began. */
    uint64_t sent_bytes;                /* Of the answer's body, so far. */
    int sent_status;                    /* 0: nothing has been said. */
    enum pk_refusal refusal;            /* Why it was not taken to its end. */
    atomic_uint holders;                /* Of a hung one: its thread, and the loop. */
    struct pk_exchange *next;           /* In a lane's queue, or a loop's spare list. */
    _Atomic(struct pk_stream *) stream; /* Body or answer in pieces; or NULL. Made by either. */
    atomic_bool is_gone;                /* The client has; for whoever makes 'stream' later. */
    struct pk_parked *parked;           /* After pk_answer_park. */
    struct pk_sse *sse;                 /* After pk_answer_events. */
    size_t body_counted;                /* Bytes of request.body that net->bodies_bytes has. */
    size_t body_read;                   /* By pk_request_read, of a body that was read whole. */
    bool is_keep_alive;                 /* The client wants to send more. */
    bool is_http_1_0;                   /* Understands no chunks. */
    bool is_body_gzip;                  /* answer.body is compressed. */
    bool is_resumed;                    /* It was parked: lanes have let it in before. */
    bool is_entered;                    /* Its head was whole: somebody will be told its end. */
    bool is_reported;                   /* Somebody has been. */
    bool is_fetching;                   /* gate.fetch has it, before any handler. */
    bool is_let_in;                     /* What gate.fetch said. */
    bool is_stand_in;                   /* Answers for a hung one, which has the caller. */
};
struct pk_exchange *pk_exchange_of(struct pk_request *request);
/* From the loop's spare ones, or new. */
struct pk_exchange *pk_exchange_new(struct pk_loop *loop);
/* Back to the loop's spare ones. On the loop's thread, or when it has ended. Whoever watches is
 * told the end of a request that was not reported. NULL is fine. */
void pk_exchange_free(struct pk_exchange *exchange);
/* From the thread of a hung call that has come back: frees it if the loop is done with it, too. */
void pk_exchange_drop(struct pk_exchange *exchange, bool is_abandoned);
/* A call has not come back: its thread keeps the exchange, the client gets another answer. */
void pk_exchange_lose(struct pk_exchange *exchange);
/* Tells options.done what came of it. */
void pk_exchange_report(struct pk_exchange *exchange);

enum pk_entry {
    PK_ENTRY_OPEN,
    PK_ENTRY_SHUT, /* There is an answer to send. */
    PK_ENTRY_AWAY  /* It is elsewhere, and comes back through pk_conn_answered. */
};
/* The head is whole: the gate is asked. */
enum pk_entry pk_exchange_enter(struct pk_exchange *exchange);
/* The three ways on: all of it is here (or all that its handler needs to begin); a handler has
 * returned from an executor; a parked request goes on. True: there is an answer to send now. False:
 * it is elsewhere, and will come back. */
bool pk_exchange_start(struct pk_exchange *exchange);
bool pk_exchange_returned(struct pk_exchange *exchange);
bool pk_exchange_resume(struct pk_exchange *exchange, bool is_timed_out);
/* Gives the request an id if the client did not. */
void pk_exchange_name(struct pk_exchange *exchange, struct pk_loop *loop);

/* ---- parse.c ---- */

struct pk_parser {
    llhttp_t http;
    struct pk_loop *loop;         /* Its net's routes say how large a body may be. */
    struct pk_exchange *exchange; /* The one being collected; NULL between two. */
    bool is_lent;                 /* A handler has it already and gets the body in pieces. */
    size_t header_count;          /* Of the head, and trailers. */
    size_t target_size;           /* The target lies at the start of the text. */
    size_t header_bytes;          /* Headers and trailers, with their separators. */
    size_t extension_bytes;       /* Of chunks. */
    size_t head_bytes;            /* Fed since the request began. */
    struct pk_buf trailer; /* The one being collected; the head's text must not move any more. */
    size_t name_at;        /* Where the name being collected starts. */
    size_t name_size;
    size_t body_max_bytes;
    size_t body_bytes; /* Arrived so far. */
    enum pk_refusal refusal;
    bool is_version_seen;
    bool is_head_done;
    bool is_held; /* Between head and body: pk_parser_go_on takes the body. */
    bool is_complete;
    bool is_continue_wanted; /* Expect: 100-continue; the connection says so and clears it. */
};
void pk_parser_init(struct pk_parser *parser, struct pk_loop *loop);
void pk_parser_done(struct pk_parser *parser);
/* Takes bytes up to the end of one request. '*out_used' says how many; parser->is_complete that
 * the request is whole (take it with pk_parser_take), parser->is_held that its head is and a body
 * follows. Not PK_REFUSAL_NONE: never feed again. */
enum pk_refusal pk_parser_feed(struct pk_parser *parser, const char *data, size_t size,
                               size_t *out_used);
/* The body may come. */
void pk_parser_go_on(struct pk_parser *parser);
/* The finished request; the parser is ready for the next one. */
struct pk_exchange *pk_parser_take(struct pk_parser *parser);

/* ---- route.c ---- */

struct pk_match {
    const struct pk_route *route; /* NULL: none. */
    unsigned allowed;             /* Methods (1 << pk_method) that this path has. */
    const char *others;           /* Why it has no others; or NULL. */
};
void pk_route_find(const struct pk_net *net, const struct pk_request *request,
                   struct pk_match *out);
/* Answers a request that no route takes: 404 or 405. */
void pk_route_miss(const struct pk_net *net, const struct pk_match *match,
                   struct pk_request *request, struct pk_answer *answer);

/* "GET, HEAD, POST" of a set of methods, in the request's arena. */
const char *pk_route_allow(unsigned allowed, struct pk_request *request);

/* ---- cors.c ---- */

/* Before the handler: the headers for the request's origin. */
void pk_cors_add(struct pk_exchange *exchange);
/* After pk_cors_add: answers an OPTIONS that no route takes. False: it is none, or no such path. */
bool pk_cors_options(struct pk_exchange *exchange, const struct pk_match *match);

/* ---- lane.c ---- */

struct pk_lane; /* Opaque. */
struct pk_lane *pk_lane_new(const struct pk_lane_limits *limits, void *context);
/* Waits for what runs, drops what waits. What has hung is waited for a moment only: the number of
 * threads that have not come back. If there are any, the last one frees the lane, and drops a
 * reference of the net that the lane has taken. */
size_t pk_lane_free(struct pk_lane *lane, struct pk_net *net);
/* Runs exchange->handler on a thread of the lane, then posts the exchange's mail. False: full. */
bool pk_lane_add(struct pk_lane *lane, struct pk_exchange *exchange);
/* Gives up on calls that take too long. */
void pk_lane_sweep(struct pk_lane *lane);
void pk_lane_stats(struct pk_lane *lane, struct pk_lane_stats *out);

/* ---- answer.c, wire.c ---- */

/* Empties it. */
void pk_answer_done(struct pk_answer *answer);
/* True when the client has what 'etag' names already. */
bool pk_etag_is_known(const struct pk_request *request, const char *etag);
const char *pk_reason(int status); /* "Not Found" */
/* Says the whole answer, as it goes over the wire; a large body moves into the output. */
void pk_wire_answer(struct pk_exchange *exchange, bool is_last);
/* Says the head of an answer of unknown length: in chunks, or (HTTP/1.0, events) to the end. */
void pk_wire_head(struct pk_exchange *exchange);
/* Compresses the body if it is worth it. On executors only. */
void pk_gzip_answer(struct pk_exchange *exchange);

/* ---- tie.c ---- */

/* What another thread holds of a connection: it may outlive it. */
struct pk_tie {
    atomic_uint refs;
    pthread_mutex_t lock;
    pthread_cond_t moved; /* What 'lock' guards has changed; its clock is monotonic. */
    struct pk_loop *loop; /* Under 'lock'; NULL: the connection is gone. */
    bool is_posted;       /* Under 'lock': 'mail' is in the loop's box and holds a reference. */
    struct pk_mail mail;
    void (*arrive)(struct pk_tie *tie); /* On the loop, if the connection is still there. */
    void (*done)(struct pk_tie *tie);   /* Frees what the outer struct owns, and the struct. */
};
void pk_tie_init(struct pk_tie *tie, struct pk_loop *loop, void (*arrive)(struct pk_tie *),
                 void (*done)(struct pk_tie *));
void pk_tie_ref(struct pk_tie *tie);
void pk_tie_unref(struct pk_tie *tie); /* NULL is fine. */
/* With 'lock' held: 'arrive' will be called. False: the connection is gone. */
bool pk_tie_post_locked(struct pk_tie *tie);
/* From the loop: the connection is gone, or needs it no more. */
void pk_tie_cut(struct pk_tie *tie);

/* ---- park.c ---- */

/* On the loop: the handler that parked has returned. True: it was woken meanwhile. */
bool pk_parked_begin(struct pk_parked *parked, struct pk_exchange *exchange);
/* On the loop: woken, out of time, or the client has gone. */
void pk_parked_end(struct pk_parked *parked); /* NULL is fine. */

/* ---- stream.c ---- */

struct pk_stream *pk_stream_new(struct pk_exchange *exchange);
/* The client has gone: whoever waits is woken and fails. NULL is fine, as for the next. */
void pk_stream_cut(struct pk_stream *stream);
void pk_stream_free(struct pk_stream *stream);
/* From the parser: more of the body; its end. */
void pk_stream_feed(struct pk_stream *stream, const char *data, size_t size);
void pk_stream_feed_end(struct pk_stream *stream);
/* True when the reader is so far behind that no more may be fed; it will then ask for more. */
bool pk_stream_is_full(struct pk_stream *stream);
/* On the loop: moves what the handler has written to the connection's output. */
void pk_stream_flush(struct pk_stream *stream);
/* The handler has returned: the answer's last chunk. */
void pk_stream_end(struct pk_stream *stream);
/* The handler has begun a streamed answer. */
bool pk_stream_has_begun(struct pk_stream *stream);

/* ---- sse.c ---- */

/* On the loop: the connection belongs to the stream from here on. */
void pk_sse_begin(struct pk_sse *sse, struct pk_exchange *exchange);
void pk_sse_flush(struct pk_sse *sse); /* May end the connection, as the next two. */
void pk_sse_beat(struct pk_sse *sse);  /* beat_ms have passed. */
void pk_sse_drain(struct pk_sse *sse); /* The server stops. */
void pk_sse_cut(struct pk_sse *sse);   /* The client has gone. NULL is fine. */

/* ---- address.c ---- */

struct pk_addresses; /* Opaque. */
/* Who comes by a Unix socket, or is in 'trust', is not counted. */
struct pk_addresses *pk_addresses_new(size_t most_each, const struct pk_trust *trust);
void pk_addresses_free(struct pk_addresses *addresses);
/* False: that address has its most already. */
bool pk_addresses_enter(struct pk_addresses *addresses, const struct sockaddr *address,
                        uint8_t out_key[16]);
void pk_addresses_leave(struct pk_addresses *addresses, const uint8_t key[16]);

/* ---- loop.c ---- */

/* Where a loop accepts from: its own socket of one listener. */
struct pk_door {
    struct pk_loop *loop;
    const struct pk_listener *listener;
    struct evconnlistener *accepting; /* NULL once draining. */
};
struct pk_loop {
    struct pk_net *net;
    struct event_base *base;
    struct pk_door *door; /* One for each listener. */
    size_t door_count;
    struct event *wake;         /* Readable 'wake_fd'. */
    struct event *accept_again; /* After running out of descriptors. */
    struct event *flush_again;  /* Connections are marked still. */
    struct event *settled;      /* While draining: no handshake is under way any more. */
    struct event *tick;         /* Each second. */
    struct event *sweep;        /* Looks for hung calls; the first loop's alone, or NULL. */
    int wake_fd;                /* Written by other threads; -1: the loop was not made. */
    int spare_fd;               /* Kept for when there is no other left; -1: it is lost, too. */
    pthread_t thread;
    bool is_started;
    int64_t now_ns;       /* Monotonic; read when libevent calls, and after handlers. */
    struct pk_conn *conn; /* All of them, doubly linked. Loop thread only. */
    struct pk_conn *marked, *last_marked; /* Those with something to send. */
    size_t marked_count;
    char *landing; /* Where a request lands that no buffer waits for; NULL until one did. */
    size_t landed; /* Bytes there, of the connection that pk_conn_came is told of; else 0. */
    struct evbuffer **spare_buffer; /* Empty ones. */
    size_t spare_buffers;
    struct pk_exchange *spare; /* For the next requests. */
    size_t spare_count;
    struct pk_conn *departs; /* Who says something at the end of this turn; or NULL. */
    struct pk_buf departing; /* What that is. */
    uint64_t id_base;        /* Ids of requests are made from it and 'id_count'. */
    uint64_t id_count;
    int64_t date_until_ns; /* When it shows the last second. */
    char date[32];         /* "Sat, 21 Nov 2026 07:32:00 GMT" */
    bool is_draining;      /* Loop thread only, as the next. */
    bool is_shut;          /* And accepts nobody any more. */

    atomic_int_fast64_t tick_due_ns; /* When the next tick should come; 0: none will. */
    atomic_int_fast64_t lag_ns;      /* How late the last one was. */
    atomic_bool is_drain_wanted, is_stop_wanted;
    atomic_uint_fast64_t connections, accepted, refused, requests, malformed, wakes;
    pthread_mutex_t lock; /* Guards 'box' alone. */
    struct pk_mail *box;  /* Newest first. */
};
/* Before pk_loop_start. */
bool pk_loop_init(struct pk_loop *loop, struct pk_net *net, struct pk_error *err);
/* Takes over 'fd', also when it fails. */
bool pk_loop_listen(struct pk_loop *loop, const struct pk_listener *listener, int fd,
                    struct pk_error *err);
bool pk_loop_start(struct pk_loop *loop, struct pk_error *err);
/* Any thread: looks at the two flags. */
void pk_loop_wake(struct pk_loop *loop);
void pk_loop_stop(struct pk_loop *loop);
/* The thread has ended: everybody who waits for a client is told that it has gone. */
void pk_loop_cut(struct pk_loop *loop);
void pk_loop_done(struct pk_loop *loop);
/* After it, and after the last hung call: until then others may post, and nothing comes of it. */
void pk_loop_bury(struct pk_loop *loop);
const char *pk_loop_date(struct pk_loop *loop);
/* Reads the clock, into loop->now_ns, too. */
int64_t pk_loop_now(struct pk_loop *loop);
/* Sends what the marked connections have to say. At the end of whatever libevent calls: it may end
 * connections. */
void pk_loop_flush(struct pk_loop *loop);
/* Called when the last connection of a draining loop is gone. */
void pk_loop_drained(struct pk_loop *loop);

/* One row of options.listener. */
struct pk_listener {
    struct pk_net_listener
        row; /* Of the options; its texts are the caller's: not after the open. */
    char text[PK_NET_ADDRESS_TEXT]; /* What pk_net_address says. */
    struct pk_socket_file file;     /* Of a Unix socket; removed at the close. */
};

struct pk_net {
    struct pk_net_options options; /* Limits filled in. */
    struct pk_listener *listener;
    size_t listener_count;
    struct pk_loop *loop;
    size_t loop_count;
    struct pk_lane *lane[PK_LANE_COUNT]; /* NULL for PK_LANE_HOT. */
    struct pk_addresses *addresses;
    struct pk_trust *trust; /* Proxies. */
    struct pk_tls *tls;     /* NULL: no certificate was given. */
    int done_fd;
    atomic_uint_fast64_t connections; /* Of all loops: for the cap. */
    atomic_size_t bodies_bytes;       /* Held for bodies that are read whole. */
    atomic_size_t undrained;          /* Loops that still have connections. */
    uint64_t cut;                     /* Requests that the end cut off. */
    atomic_size_t refs;               /* Its owner's, and one for each abandoned lane. */
};

/* The last one frees what hung calls still needed. */
void pk_net_unref(struct pk_net *net);

/* ---- conn.c ---- */

/* What a socket, and what lies above it, says. */
enum pk_link_says {
    PK_LINK_MORE,  /* There may be something in the input. */
    PK_LINK_WAIT,  /* What has come is not for requests, or not whole. */
    PK_LINK_EOF,   /* There may be something in the input, and nothing will follow. */
    PK_LINK_BROKEN /* Nothing can be said any more. */
};

enum pk_conn_state {
    PK_CONN_IDLE,    /* Between requests: idle_ms, and head_ms for the first one. */
    PK_CONN_HEAD,    /* Some bytes of a head are here. */
    PK_CONN_BODY,    /* The head is whole; a handler may have it already. */
    PK_CONN_HELD,    /* A streamed body waits for its reader; nothing is read meanwhile. */
    PK_CONN_RUNNING, /* A handler has the request; nothing is read meanwhile. */
    PK_CONN_PARKED,  /* The request waits without a thread; nothing is read meanwhile. */
    PK_CONN_EVENTS,  /* A stream of events; input is thrown away. */
    PK_CONN_WRITING, /* The client must take what there is before more is read. */
    PK_CONN_LINGER   /* The last answer is out; input is thrown away unread. */
};
struct pk_conn {
    struct pk_loop *loop;
    const struct pk_listener *listener; /* Where it came in. */
    struct pk_link *link;               /* What link.c keeps; NULL for a plain connection. */
    struct pk_conn *next, *previous;
    int fd;
    short watched;       /* EV_READ, EV_WRITE, both or none. */
    bool is_read_wanted; /* Else what comes stays in the kernel. */
    bool is_marked;      /* In the loop's list. */
    bool keeps_buffers;  /* wire_in and wire_out stay, also when they are empty. */
    bool is_last;        /* Close when the output is out. */
    bool is_eof;         /* The client sends no more. */
    bool is_draining;    /* What is here is answered, and then it closes. */
    struct event io, timer;
    int64_t timer_ns;    /* When 'timer' comes; 0: it is not set. */
    int64_t deadline_ns; /* The one of the present state; 0: none. */
    struct pk_conn *next_marked;
    struct evbuffer *wire_in, *wire_out; /* As the socket has them; NULL: empty. */
    struct pk_parser parser;
    enum pk_conn_state state;
    struct pk_exchange *running; /* The one that a handler has, or that is parked. */
    size_t window_bytes;         /* Of the body when its present window began. */
    int64_t queued_bytes;        /* Of streamed answers, ever put into the output. */
    int64_t window_sent;         /* Of these, taken by the client when its window began. */
    uint64_t served;             /* Requests answered here. */
    size_t owed_bytes;           /* Here when the drain began, and not parsed yet. */
    uint8_t address[16];         /* Counted in net->addresses. */
    uint8_t client[16];          /* As pk_request.address, but for what the request says. */
};
/* False: its address has its most connections already; 'fd' is still the caller's. */
bool pk_conn_new(struct pk_loop *loop, const struct pk_listener *listener, int fd,
                 const struct sockaddr *address);
void pk_conn_close(struct pk_conn *conn);
/* Whoever had conn->running is done with it. */
void pk_conn_answered(struct pk_conn *conn, struct pk_exchange *exchange);
/* conn->running has hung; 'instead' is answered. */
void pk_conn_hung(struct pk_conn *conn, struct pk_exchange *instead);
/* The parked request goes on. */
void pk_conn_unpark(struct pk_conn *conn, bool is_timed_out);
/* The stream of events is over; its last event is in the output. */
void pk_conn_end_events(struct pk_conn *conn);
/* Sends what is left of the output, then closes. */
void pk_conn_finish(struct pk_conn *conn);
/* The reader of a streamed body wants more. */
void pk_conn_feed_again(struct pk_conn *conn);
/* 'added_bytes' of a streamed answer went into the output. */
void pk_conn_sending(struct pk_conn *conn, size_t added_bytes);
/* The socket has brought something. */
void pk_conn_came(struct pk_conn *conn, enum pk_link_says says);
/* The kernel takes no more until it says so. */
void pk_conn_stuck(struct pk_conn *conn);
/* All of the output is out. */
void pk_conn_written(struct pk_conn *conn);
/* Where answers go; it is sent when this turn of the loop ends. */
struct evbuffer *pk_conn_output(struct pk_conn *conn);
/* The short way there: text is added to what this returns, and then it has been said. */
struct pk_buf *pk_conn_say(struct pk_conn *conn);
void pk_conn_said(struct pk_conn *conn);
size_t pk_conn_unsent(struct pk_conn *conn); /* Bytes. */
/* There may be something to send. */
void pk_conn_mark(struct pk_conn *conn);
/* Nothing is read until the exchange comes back (or the rest of its body alone); 'ms' as deadline,
 * 0: none. */
void pk_conn_wait(struct pk_conn *conn, enum pk_conn_state state, int64_t ms);
/* Somebody has asked, and has not all of the answer. */
bool pk_conn_is_owing(struct pk_conn *conn);
/* Draining: closes it now if nothing was asked, else after the answer. */
void pk_conn_drain(struct pk_conn *conn);

/* ---- socket.c ---- */

void pk_socket_open(struct pk_conn *conn, int fd);
void pk_socket_close(struct pk_conn *conn);
void pk_socket_want(struct pk_conn *conn, bool is_wanted);
/* What has landed goes into the input, but for the first 'used' bytes. */
void pk_socket_keep(struct pk_conn *conn, size_t used);
/* As much of the output as goes at once, of a connection that is about to end. */
void pk_socket_send(struct pk_conn *conn);
/* An empty input goes back to the loop. */
void pk_socket_tidy(struct pk_conn *conn);
/* An empty one, that the caller gives to a connection. */
struct evbuffer *pk_socket_buffer(struct pk_loop *loop);
void pk_socket_forget_spares(struct pk_loop *loop);

/* ---- link.c ---- */

/* What the options say about proxies and TLS, checked and read; and its end. */
bool pk_link_init(struct pk_net *net, struct pk_error *err);
void pk_link_done(struct pk_net *net);

/* Takes down who is at the other end. */
void pk_link_open(struct pk_conn *conn, const struct sockaddr *address);
void pk_link_close(struct pk_conn *conn);
/* More lies in wire_in, or has ended there: 'came' is what the socket says. */
enum pk_link_says pk_link_read(struct pk_conn *conn, enum pk_link_says came);
/* Moves what there is to say to wire_out. False: nothing can be said any more. */
bool pk_link_write(struct pk_conn *conn);
/* What requests are read from, and answers put into; NULL: nothing is there. */
struct evbuffer *pk_link_input(struct pk_conn *conn);
struct evbuffer *pk_link_output(struct pk_conn *conn);
/* The output is out, and nothing more will come from us. */
void pk_link_end_output(struct pk_conn *conn);
/* A head is whole: where it came from, before anybody asks. */
void pk_link_show(const struct pk_conn *conn, struct pk_request *request);

#endif
