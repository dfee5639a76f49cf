/* pipe.c - Frames over the worker's one descriptor.
 *
 * Blocking read and write, nothing else: whoever waits is the server, and it
 * has the clock. A server that has gone ends the worker (read gives 0, write
 * raises SIGPIPE). */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void bytes_reserve(struct bytes *bytes, size_t size)
{
    if (bytes->capacity - bytes->size >= size) {
        return;
    }
    size_t capacity = bytes->capacity ? bytes->capacity : 4096;
    while (capacity - bytes->size < size) {
        capacity *= 2;
    }
    uint8_t *data = realloc(bytes->data, capacity);
    if (!data) {
        _exit(4);
    }
    bytes->data = data;
    bytes->capacity = capacity;
}

uint8_t *bytes_more(struct bytes *bytes, size_t size)
{
    bytes_reserve(bytes, size);
    uint8_t *more = bytes->data + bytes->size;
    bytes->size += size;
    return more;
}

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    bytes_reserve(bytes, size);
    if (size) {
        memcpy(bytes->data + bytes->size, data, size);
    }
    bytes->size += size;
}

void bytes_trim(struct bytes *bytes)
{
    bytes->size = 0;
    if (bytes->capacity > BUFFER_KEEP_BYTES) {
        free(bytes->data);
        *bytes = (struct bytes){ 0 };
    }
}

/* Until 'to' holds 'size' bytes. May take more than was asked: never past one frame, because the
 * server waits for an answer to each. */
static void read_up_to(struct worker *worker, struct bytes *to, size_t size)
{
    while (to->size < size) {
        ssize_t got = read(worker->fd, to->data + to->size, to->capacity - to->size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            _exit(0);
        }
        to->size += (size_t)got;
    }
}

enum pk_wire_kind pipe_read(struct worker *worker, struct bytes *to)
{
    struct pk_wire_head head;

    to->size = 0;
    bytes_reserve(to, 16384);
    read_up_to(worker, to, sizeof(head));
    memcpy(&head, to->data, sizeof(head));
    if (head.size > FRAME_MAX_BYTES) {
        _exit(5);
    }
    size_t size = sizeof(head) + head.size;
    if (size > to->capacity) {
        bytes_reserve(to, size - to->size);
    }
    read_up_to(worker, to, size);
    if (to->size != size) {
        _exit(5);
    }
    return (enum pk_wire_kind)head.kind;
}

void pipe_begin(struct worker *worker, enum pk_wire_kind kind)
{
    struct pk_wire_head head = { .kind = kind };
    worker->out.size = 0;
    bytes_add(&worker->out, &head, sizeof(head));
}

void pipe_send(struct worker *worker)
{
    struct bytes *out = &worker->out;
    struct pk_wire_head head;

    memcpy(&head, out->data, sizeof(head));
    head.size = (uint32_t)(out->size - sizeof(head));
    memcpy(out->data, &head, sizeof(head));
    for (size_t at = 0; at < out->size;) {
        ssize_t done = write(worker->fd, out->data + at, out->size - at);
        if (done < 0 && errno != EINTR) {
            _exit(0);
        }
        at += done > 0 ? (size_t)done : 0;
    }
}
