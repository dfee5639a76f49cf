/* sse.h - Streams of server-sent events.
 *
 * A handler turns its connection into a stream and hands the stream to whoever
 * has events. Sending never waits: what a client has not taken is held for it
 * up to limits.stream_bytes; a client that is further behind is sent an 'end'
 * event and cut, and comes back with Last-Event-ID.
 *
 *     event: end
 *     data: {"reason":"slow"}          or "stopping", or what pk_sse_end said
 *
 * A comment every limits.beat_ms keeps the connection alive in between. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_SSE_H
#define PK_NET_SSE_H

#include "net/net.h"

struct pk_sse; /* Opaque; shared by counting references. */

struct pk_sse_event {
    const char *id;   /* The client sends the last one back as Last-Event-ID; or NULL. */
    const char *type; /* NULL: "message". */
    const char *data; /* One line, such as JSON. */
    size_t data_size;
};

/* After the handler's return the connection is a stream of events. Headers may be added to
 * 'answer' as usual. The result is a reference of the caller's; it may outlive the client and the
 * server. */
struct pk_sse *pk_answer_events(struct pk_request *request, struct pk_answer *answer);
/* Any thread, also before the handler has returned. PK_INVALID: a text has CR, LF or NUL, and
 * nothing was sent. PK_TOO_LARGE: the client was too far behind, and is cut. PK_NOT_FOUND: it has
 * gone, or was ended. */
bool pk_sse_send(struct pk_sse *sse, const struct pk_sse_event *event, struct pk_error *err);
/* For who would rather wait than have the client cut: it is behind when half of what may be held
 * for it is. Asks the loop to look again at what it has taken. False: it has gone, or was ended. */
bool pk_sse_look(struct pk_sse *sse, bool *out_is_behind);
/* Ends the stream, after what was sent, with an 'end' event; 'reason' is plain static text. */
void pk_sse_end(struct pk_sse *sse, const char *reason);
void pk_sse_unref(struct pk_sse *sse); /* NULL is fine. */

#endif
