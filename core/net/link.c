/* link.c - What lies between a socket and the requests on it, and who is at its other end.
 *
 *     socket ──▶ wire_in ──▶ PROXY header? ──▶ TLS? ──▶ the clear input ──▶ requests
 *     socket ◀── wire_out ◀─────────────────── TLS? ◀── the clear output ◀── answers
 *
 * Both are used up within the connection's first deadline, that of a head, and
 * whoever fails at them is told nothing but what TLS says by itself.
 *
 * Who a connection stands for: the socket's peer; behind a PROXY header whom
 * that names; for one request whom X-Forwarded-For names, if the one before is
 * trusted. A proxy that does not know its client (PROXY, and no address) is
 * shown itself, and what that client's headers say is not believed.
 *
 * Thread: the loop's. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "net/proxy.h"

#include <event2/buffer.h>
#include <string.h>

/* ---- The server's side: what the options say ---- */

bool pk_link_init(struct pk_net *net, struct pk_error *err)
{
    const struct pk_net_options *options = &net->options;
    bool has_secure = false;
    if (!pk_trust_new(&net->trust, options->trusted, options->trusted_count, err)) {
        return pk_wrap(err, "trusted proxies");
    }
    for (size_t i = 0; i < options->listener_count; i++) {
        has_secure = has_secure || options->listener[i].is_secure;
        if (options->listener[i].is_proxied && options->trusted_count == 0) {
            return pk_fail(err, PK_INVALID, "name the proxies in proxy.trusted",
                           "'%s' takes PROXY headers, and no proxy is trusted to send them",
                           options->listener[i].address);
        }
    }
    return !(has_secure || options->tls_certificate) ||
           pk_tls_open(&net->tls, options->tls_certificate, options->tls_key, err);
}

void pk_link_done(struct pk_net *net)
{
    pk_tls_close(net->tls);
    pk_trust_free(net->trust);
}

bool pk_net_reload_tls(struct pk_net *net, struct pk_error *err)
{
    return !net->tls || pk_tls_reload(net->tls, err);
}

int64_t pk_net_tls_expires_ms(const struct pk_net *net)
{
    return net->tls ? pk_tls_expires_ms(net->tls) : 0;
}

/* ---- One connection ---- */

/* What connections that are more than a socket have besides. */
struct pk_link {
    struct pk_tls_pipe *pipe; /* NULL: no TLS, or nothing was read yet. */
    bool is_secure;
    bool is_proxy_awaited; /* The PROXY header is not whole yet. */
    bool is_unknown;       /* A proxy brought somebody and does not say whom. */
};

void pk_link_open(struct pk_conn *conn, const struct sockaddr *address)
{
    const struct pk_net_listener *row = &conn->listener->row;
    pk_address_from(address, conn->client);
    if (row->is_secure || row->is_proxied) {
        conn->link = pk_calloc(1, sizeof(*conn->link));
        conn->link->is_secure = row->is_secure;
        conn->link->is_proxy_awaited = row->is_proxied;
    }
}

/* The pipe, made when the first byte is here: who is silent costs little. */
static struct pk_tls_pipe *pipe_of(struct pk_conn *conn)
{
    struct pk_link *link = conn->link;
    if (!link || !link->is_secure) {
        return NULL;
    }
    if (!link->pipe) {
        conn->keeps_buffers = true; /* The pipe holds on to them. */
        conn->wire_in = conn->wire_in ? conn->wire_in : pk_socket_buffer(conn->loop);
        conn->wire_out = conn->wire_out ? conn->wire_out : pk_socket_buffer(conn->loop);
        link->pipe = pk_tls_pipe_new(conn->loop->net->tls, conn->wire_in, conn->wire_out);
    }
    return link->pipe;
}

struct evbuffer *pk_link_input(struct pk_conn *conn)
{
    if (conn->link && conn->link->is_secure) {
        return conn->link->pipe ? conn->link->pipe->input : NULL;
    }
    return conn->wire_in;
}

struct evbuffer *pk_link_output(struct pk_conn *conn)
{
    struct pk_tls_pipe *pipe = pipe_of(conn);
    return pipe ? pipe->output : conn->wire_out;
}

/* ---- Reading and writing ---- */

/* Takes the PROXY header off the input. */
static enum pk_proxy_says take_proxy(struct pk_conn *conn)
{
    uint8_t head[PK_PROXY_MAX];
    struct pk_proxy proxy;
    const struct pk_trust *trust = conn->loop->net->trust;
    ev_ssize_t size = conn->wire_in ? evbuffer_copyout(conn->wire_in, head, sizeof(head)) : 0;
    if (!pk_trust_has(trust, conn->client)) {
        return PK_PROXY_REFUSED;
    }
    enum pk_proxy_says says = size > 0 ? pk_proxy_parse(head, (size_t)size, &proxy) : PK_PROXY_MORE;
    if (says == PK_PROXY_DONE) {
        (void)evbuffer_drain(conn->wire_in, proxy.used);
        conn->link->is_proxy_awaited = false;
        conn->link->is_unknown = !proxy.has_address && !proxy.is_local;
        if (proxy.has_address) {
            memcpy(conn->client, proxy.address, sizeof(conn->client));
        }
    }
    return says;
}

static enum pk_link_says read_tls(struct pk_conn *conn, enum pk_link_says came)
{
    struct pk_tls_pipe *pipe = pipe_of(conn);
    if (conn->state == PK_CONN_LINGER) {
        (void)evbuffer_drain(conn->wire_in, evbuffer_get_length(conn->wire_in));
        return came;
    }
    enum pk_tls_says says = pk_tls_pipe_read(pipe);
    if (evbuffer_get_length(conn->wire_out) > 0) {
        pk_conn_mark(conn); /* TLS itself has something to say. */
    }
    if (says == PK_TLS_BROKEN) {
        conn->loop->malformed++;
        return PK_LINK_BROKEN;
    }
    if (says == PK_TLS_EOF) {
        return PK_LINK_EOF;
    }
    bool has_input = evbuffer_get_length(pipe->input) > 0;
    return came == PK_LINK_MORE && !has_input ? PK_LINK_WAIT : came;
}

enum pk_link_says pk_link_read(struct pk_conn *conn, enum pk_link_says came)
{
    struct pk_link *link = conn->link;
    if (!link || came == PK_LINK_BROKEN) {
        return came;
    }
    if (link->is_proxy_awaited) {
        enum pk_proxy_says says = take_proxy(conn);
        if (says == PK_PROXY_REFUSED || (says == PK_PROXY_MORE && came == PK_LINK_EOF)) {
            conn->loop->malformed++;
            return PK_LINK_BROKEN;
        }
        if (says == PK_PROXY_MORE) {
            return PK_LINK_WAIT;
        }
    }
    if (link->is_secure) {
        return read_tls(conn, came);
    }
    return came == PK_LINK_MORE && evbuffer_get_length(conn->wire_in) == 0 ? PK_LINK_WAIT : came;
}

bool pk_link_write(struct pk_conn *conn)
{
    return !conn->link || !conn->link->pipe || pk_tls_pipe_write(conn->link->pipe);
}

/* ---- The end ---- */

void pk_link_end_output(struct pk_conn *conn)
{
    if (conn->link && conn->link->pipe) {
        pk_tls_pipe_end(conn->link->pipe);
        (void)evbuffer_write(conn->wire_out, conn->fd);
        if (evbuffer_get_length(conn->wire_out) > 0) {
            pk_conn_mark(conn); /* It goes as soon as it can; the socket's end comes with close. */
            return;
        }
    }
    (void)shutdown(conn->fd, SHUT_WR);
}

void pk_link_close(struct pk_conn *conn)
{
    struct pk_link *link = conn->link;
    if (link && link->pipe) {
        /* A proper end, where nothing is cut off; half an answer must be seen to be one. */
        if (pk_conn_unsent(conn) == 0 &&
            (conn->state == PK_CONN_IDLE || (conn->is_last && conn->is_eof))) {
            pk_tls_pipe_end(link->pipe);
        }
        /* An alert may be there, too; nobody waits for it to be taken. */
        if (link->pipe->is_ended && evbuffer_get_length(conn->wire_out) > 0) {
            (void)evbuffer_write(conn->wire_out, conn->fd);
        }
        pk_tls_pipe_free(link->pipe);
    }
    pk_free(link);
    conn->link = NULL;
}

/* ---- A request ---- */

void pk_link_show(const struct pk_conn *conn, struct pk_request *request)
{
    const struct pk_trust *trust = conn->loop->net->trust;
    const struct pk_link *link = conn->link;
    memcpy(request->address, conn->client, sizeof(request->address));
    request->listener = conn->listener->row.tag;
    request->is_secure = conn->listener->row.is_secure;
    if (!(link && link->is_unknown) && pk_trust_has(trust, conn->client)) {
        pk_trust_walk(trust, request->header, request->header_count, request->address);
        request->is_secure =
            request->is_secure || pk_trust_proto(request->header, request->header_count);
    }
}
