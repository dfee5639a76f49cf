/* http_evhttp.c - A peer for the HTTP bench: libevent's evhttp, one body for every request. */
/* SPDX-License-Identifier: MIT */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include <stdio.h>
#include <stdlib.h>

struct body {
    char *data;
    size_t size;
};

static void answer(struct evhttp_request *request, void *context)
{
    const struct body *body = context;
    struct evbuffer *out = evbuffer_new();
    (void)evbuffer_add_reference(out, body->data, body->size, NULL, NULL);
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                            "application/json");
    evhttp_send_reply(request, 200, "OK", out);
    evbuffer_free(out);
}

static int read_body(const char *path, struct body *out)
{
    enum { BODY_MAX = 1 << 20 };
    FILE *file = fopen(path, "rb");
    if (!file) {
        return -1;
    }
    out->data = malloc(BODY_MAX);
    out->size = out->data ? fread(out->data, 1, BODY_MAX, file) : 0;
    (void)fclose(file);
    return out->size > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct body body = { 0 };
    if (argc != 3 || read_body(argv[2], &body) != 0) {
        (void)fprintf(stderr, "use: http_bench_evhttp PORT FILE\n");
        return 2;
    }
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    evhttp_set_gencb(http, answer, &body);
    if (evhttp_bind_socket(http, "127.0.0.1", (ev_uint16_t)strtoul(argv[1], NULL, 10)) != 0) {
        perror("http_bench_evhttp");
        return 1;
    }
    (void)event_base_dispatch(base);
    return 0;
}
