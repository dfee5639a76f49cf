/* socket.c - Bytes between a connection's socket and its two buffers.
 *
 *     kernel ──receive──▶ wire_in        wire_out ──send──▶ kernel
 *
 * What is put into the output marks the connection; whoever ends a turn of the
 * loop (each function that libevent calls) has all that are marked sent, once.
 * So an answer costs one recv and one send, and nothing is watched for writing
 * unless the kernel takes no more.
 *
 * A request that comes alone, in one piece, has no buffer either: it lands in
 * the loop's own memory and is parsed there; what the parser leaves of it moves
 * to wire_in. Its answer departs from the loop's memory, too, and moves to
 * wire_out when something stands there, or the kernel does not take it all.
 *
 * An idle connection has no buffer: empty ones go back to the loop, but for
 * those that somebody between wire and requests holds on to (keeps_buffers).
 *
 * Sending may end a connection, and nothing else here does: so it happens
 * where nobody holds one any more. Thread: the loop's. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    READ_FIRST = 4096 - 48,  /* With what evbuffer puts in front, 4 KiB: most requests. */
    READ_NEXT = 32 * 1024,   /* Who sends more sends much more. */
    INPUT_HIGH = 64 * 1024,  /* More is left in the kernel. */
    SPARE_BUFFERS_MAX = 1024 /* Kept by each loop. */
};

/* ---- Buffers ---- */

struct evbuffer *pk_socket_buffer(struct pk_loop *loop)
{
    if (loop->spare_buffers > 0) {
        return loop->spare_buffer[--loop->spare_buffers];
    }
    struct evbuffer *buffer = evbuffer_new();
    if (!buffer) {
        abort(); /* As pk_alloc does. */
    }
    return buffer;
}

static void give_buffer(struct pk_loop *loop, struct evbuffer *buffer)
{
    if (!loop->spare_buffer) {
        loop->spare_buffer = pk_calloc(SPARE_BUFFERS_MAX, sizeof(struct evbuffer *));
    }
    if (loop->spare_buffers < SPARE_BUFFERS_MAX && evbuffer_get_length(buffer) == 0) {
        loop->spare_buffer[loop->spare_buffers++] = buffer;
    } else {
        evbuffer_free(buffer);
    }
}

void pk_socket_forget_spares(struct pk_loop *loop)
{
    while (loop->spare_buffers > 0) {
        evbuffer_free(loop->spare_buffer[--loop->spare_buffers]);
    }
    pk_free(loop->spare_buffer);
    loop->spare_buffer = NULL;
    pk_free(loop->landing);
    loop->landing = NULL;
}

/* Gives an empty buffer back. */
static void tidy(struct pk_conn *conn, struct evbuffer **buffer)
{
    if (*buffer && !conn->keeps_buffers && evbuffer_get_length(*buffer) == 0) {
        give_buffer(conn->loop, *buffer);
        *buffer = NULL;
    }
}

static size_t length_of(struct evbuffer *buffer)
{
    return buffer ? evbuffer_get_length(buffer) : 0;
}

/* ---- What is watched ---- */

static void on_io(evutil_socket_t fd, short what, void *context);

static void watch(struct pk_conn *conn, short what)
{
    if (conn->watched == what) {
        return;
    }
    if (conn->watched) {
        (void)event_del(&conn->io);
    }
    conn->watched = what;
    if (what) {
        (void)event_assign(&conn->io, conn->loop->base, conn->fd, (short)(what | EV_PERSIST), on_io,
                           conn);
        (void)event_add(&conn->io, NULL);
    }
}

void pk_socket_want(struct pk_conn *conn, bool is_wanted)
{
    conn->is_read_wanted = is_wanted;
    if (is_wanted) {
        watch(conn, (short)(conn->watched | EV_READ));
    } /* Else it goes on being watched until something comes: often nothing does. */
}

/* ---- Receiving ---- */

/* Of a recv that brought nothing; errno is its own. */
static enum pk_link_says ask_why(ssize_t got)
{
    bool is_later = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return is_later ? PK_LINK_MORE : got == 0 ? PK_LINK_EOF : PK_LINK_BROKEN;
}

/* Most requests come whole and are parsed at once: they need no buffer. False: this may be none. */
static bool may_land(const struct pk_conn *conn)
{
    return !conn->wire_in && !conn->link &&
           (conn->state == PK_CONN_IDLE || conn->state == PK_CONN_HEAD);
}

/* True when it has brought all there was. */
static bool land(struct pk_conn *conn, enum pk_link_says *out)
{
    struct pk_loop *loop = conn->loop;
    if (!loop->landing) {
        loop->landing = pk_alloc(READ_FIRST);
    }
    ssize_t got = recv(conn->fd, loop->landing, READ_FIRST, MSG_DONTWAIT);
    loop->landed = got > 0 ? (size_t)got : 0;
    *out = got > 0 ? PK_LINK_MORE : ask_why(got);
    return got < READ_FIRST;
}

void pk_socket_keep(struct pk_conn *conn, size_t used)
{
    struct pk_loop *loop = conn->loop;
    size_t left = loop->landed - used;
    if (loop->landed > 0 && left > 0) {
        conn->wire_in = conn->wire_in ? conn->wire_in : pk_socket_buffer(loop);
        (void)evbuffer_add(conn->wire_in, loop->landing + used, left);
    }
    loop->landed = 0;
}

/* Up to INPUT_HIGH bytes. */
static enum pk_link_says receive(struct pk_conn *conn)
{
    enum pk_link_says says;
    size_t room = READ_FIRST;
    if (may_land(conn)) {
        if (land(conn, &says)) {
            return says;
        }
        pk_socket_keep(conn, 0);
        room = READ_NEXT;
    }
    if (!conn->wire_in) {
        conn->wire_in = pk_socket_buffer(conn->loop);
    }
    while (evbuffer_get_length(conn->wire_in) < INPUT_HIGH) {
        struct evbuffer_iovec piece;
        if (evbuffer_reserve_space(conn->wire_in, (ev_ssize_t)room, &piece, 1) != 1) {
            return PK_LINK_BROKEN;
        }
        ssize_t got = recv(conn->fd, piece.iov_base, piece.iov_len, MSG_DONTWAIT);
        if (got <= 0) {
            says = ask_why(got);
            piece.iov_len = 0;
            (void)evbuffer_commit_space(conn->wire_in, &piece, 1);
            return says;
        }
        bool is_all = (size_t)got < piece.iov_len;
        piece.iov_len = (size_t)got;
        (void)evbuffer_commit_space(conn->wire_in, &piece, 1);
        if (is_all) {
            return PK_LINK_MORE;
        }
        room = READ_NEXT;
    }
    return PK_LINK_MORE;
}

static void on_io(evutil_socket_t fd, short what, void *context)
{
    struct pk_conn *conn = context;
    struct pk_loop *loop = conn->loop;
    (void)fd;
    (void)pk_loop_now(loop);
    if (what & EV_WRITE) {
        pk_conn_mark(conn);
    }
    if (what & EV_READ) {
        if (conn->is_read_wanted) {
            pk_conn_came(conn, receive(conn)); /* Last: it may end the connection. */
        } else {
            watch(conn, (short)(conn->watched & ~EV_READ));
        }
    }
    pk_loop_flush(loop);
}

/* ---- Sending ---- */

void pk_conn_mark(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    if (!conn->is_marked) {
        conn->is_marked = true;
        conn->next_marked = NULL;
        *(loop->last_marked ? &loop->last_marked->next_marked : &loop->marked) = conn;
        loop->last_marked = conn;
        loop->marked_count++;
    }
}

static void unmark(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    struct pk_conn *before = NULL;
    if (!conn->is_marked) {
        return;
    }
    for (struct pk_conn *at = loop->marked; at != conn; at = at->next_marked) {
        before = at;
    }
    *(before ? &before->next_marked : &loop->marked) = conn->next_marked;
    if (loop->last_marked == conn) {
        loop->last_marked = before;
    }
    loop->marked_count--;
    conn->is_marked = false;
}

static bool may_go_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* What 'loop->departs' says; what the kernel does not take goes the long way. */
static bool depart(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    struct pk_buf *text = &loop->departing;
    ssize_t sent = send(conn->fd, text->data, text->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    bool is_open = sent >= 0 || may_go_later();
    size_t taken = sent > 0 ? (size_t)sent : 0;
    if (is_open && taken < text->size) {
        conn->wire_out = pk_socket_buffer(loop);
        (void)evbuffer_add(conn->wire_out, text->data + taken, text->size - taken);
    }
    pk_buf_clear(text);
    loop->departs = NULL;
    return is_open;
}

/* True: all of it is out, or as much as goes. False: nothing will go any more. */
static bool send_some(struct pk_conn *conn)
{
    if (conn->loop->departs == conn) {
        return depart(conn); /* Nothing else is there. */
    }
    do {
        if (!pk_link_write(conn)) {
            return false;
        }
        if (length_of(conn->wire_out) == 0) {
            return true;
        }
        if (evbuffer_write(conn->wire_out, conn->fd) < 0) {
            return may_go_later();
        }
    } while (length_of(conn->wire_out) == 0 && pk_conn_unsent(conn) > 0);
    return true;
}

void pk_socket_send(struct pk_conn *conn)
{
    (void)send_some(conn);
}

static void flush(struct pk_conn *conn)
{
    if (!send_some(conn)) {
        pk_conn_close(conn);
        return;
    }
    if (length_of(conn->wire_out) > 0) {
        watch(conn, (short)(conn->watched | EV_WRITE));
        pk_conn_stuck(conn);
        return;
    }
    watch(conn, (short)(conn->watched & ~EV_WRITE));
    tidy(conn, &conn->wire_out);
    tidy(conn, &conn->wire_in);
    pk_conn_written(conn); /* May end it. */
}

void pk_loop_flush(struct pk_loop *loop)
{
    static const struct timeval at_once = { 0 };
    /* Those that are marked meanwhile have their turn when others have had one. */
    for (size_t left = loop->marked_count; left > 0 && loop->marked; left--) {
        struct pk_conn *conn = loop->marked;
        unmark(conn);
        flush(conn);
    }
    if (loop->marked) {
        (void)evtimer_add(loop->flush_again, &at_once);
    }
}

size_t pk_conn_unsent(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    struct evbuffer *output = pk_link_output(conn);
    return length_of(conn->wire_out) + (output == conn->wire_out ? 0 : length_of(output)) +
           (loop->departs == conn ? loop->departing.size : 0);
}

struct evbuffer *pk_conn_output(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    if (!conn->wire_out) {
        conn->wire_out = pk_socket_buffer(loop);
    }
    pk_conn_mark(conn);
    struct evbuffer *output = pk_link_output(conn);
    if (loop->departs == conn) {
        (void)evbuffer_add(output, loop->departing.data, loop->departing.size);
        pk_buf_clear(&loop->departing);
        loop->departs = NULL;
    }
    return output;
}

struct pk_buf *pk_conn_say(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    if (loop->departs && loop->departs != conn) {
        (void)pk_conn_output(loop->departs); /* There is one at a time. */
    }
    loop->departs = conn;
    return &loop->departing;
}

void pk_conn_said(struct pk_conn *conn)
{
    if (conn->link || conn->wire_out) {
        (void)pk_conn_output(conn);
    } else {
        pk_conn_mark(conn);
    }
}

/* ---- Beginning and end ---- */

void pk_socket_open(struct pk_conn *conn, int fd)
{
    conn->fd = fd;
    conn->watched = 0;
}

void pk_socket_tidy(struct pk_conn *conn)
{
    tidy(conn, &conn->wire_in);
}

void pk_socket_close(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    unmark(conn);
    watch(conn, 0);
    if (loop->departs == conn) {
        pk_buf_clear(&loop->departing);
        loop->departs = NULL;
    }
    if (conn->wire_in) {
        give_buffer(conn->loop, conn->wire_in);
    }
    if (conn->wire_out) {
        give_buffer(conn->loop, conn->wire_out);
    }
    (void)close(conn->fd);
}
