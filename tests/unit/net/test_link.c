/* test_link.c - Who the client is: PROXY headers and X-Forwarded-For, over real sockets. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "certificate.h"
#include "client.h"
#include "net/net.h"
#include "secure.h"
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROXIED, PROXIED_TLS, PLAIN, LISTENERS };

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PORTS     "\x12\x34\x00\x50"
static const char from_client[] =
    SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x09\x7f\x00\x00\x01" PORTS;
static const char from_proxy[] = SIGNATURE "\x21\x11\x00\x0c\x0a\x00\x00\x05\x7f\x00\x00\x01" PORTS;
static const char from_nobody[] = SIGNATURE "\x21\x00\x00\x00";
static const char from_itself[] = SIGNATURE "\x20\x00\x00\x00";
#define LOOPBACK "00000000000000000000ffff7f000001"
#define CLIENT   "00000000000000000000ffffc0000209"

/* "ADDRESS secure" or "ADDRESS clear". */
static void who(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    for (size_t i = 0; i < sizeof(request->address); i++) {
        pk_buf_printf(&answer->body, "%02x", request->address[i]);
    }
    pk_buf_printf(&answer->body, " %s", request->is_secure ? "secure" : "clear");
    pk_answer_json(answer, 200);
}

static const struct pk_route route[] = {
    { PK_METHOD_GET, "/", 1, PK_LANE_HOT, 0, who, "Who asks.", NULL, false },
};

static char certificate[128], key[128];

static struct pk_net *serve(const char *trusted, int64_t head_ms, size_t most_each)
{
    struct pk_error err;
    struct pk_net *net;
    const struct pk_net_listener listener[LISTENERS] = {
        [PROXIED] = { .address = "127.0.0.1:0", .is_proxied = true },
        [PROXIED_TLS] = { .address = "127.0.0.1:0", .is_proxied = true, .is_secure = true },
        [PLAIN] = { .address = "127.0.0.1:0" },
    };
    const char *const list[] = { trusted, "10.0.0.0/8" };
    if (certificate[0] == '\0') {
        const char *folder = pk_test_folder();
        (void)snprintf(certificate, sizeof(certificate), "%s/link.pem", folder);
        (void)snprintf(key, sizeof(key), "%s/link.key", folder);
        certificate_make(certificate, key, "link", 30, NULL);
    }
    struct pk_net_options options = {
        .listener = listener,
        .listener_count = LISTENERS,
        .tls_certificate = certificate,
        .tls_key = key,
        .trusted = list,
        .trusted_count = PK_COUNT(list),
        .route = route,
        .route_count = PK_COUNT(route),
        .loops = 2,
        .limits = { .head_ms = head_ms, .connections_address_max = most_each },
    };
    assert_ok(pk_net_open(&net, &options, &err), &err);
    return net;
}

/* What is heard after 'head' of 'size' bytes, in pieces of 'step', and a request with 'header'. */
static const char *ask(const struct pk_net *net, size_t listener, const char *head, size_t size,
                       size_t step, const char *header)
{
    char request[200];
    int fd = secure_dial(net, listener);
    for (size_t at = 0; at < size; at += step) {
        client_say(fd, head + at, step < size - at ? step : size - at);
    }
    (void)snprintf(request, sizeof(request),
                   "GET / HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n", header);
    client_say(fd, request, strlen(request));
    const char *heard = client_hear(fd, NULL);
    (void)close(fd);
    return heard;
}
#define ASK(net, head, header) ask(net, PROXIED, head, sizeof(head) - 1, sizeof(head), header)

TEST(a_proxy_header_says_who_the_client_is)
{
    struct pk_net *net = serve("127.0.0.0/8", 0, 0);
    assert_says(ASK(net, from_client, ""), "\r\n\r\n" CLIENT " clear");
    assert_says(ask(net, PROXIED, from_client, sizeof(from_client) - 1, 1, ""), CLIENT);
    assert_says(ASK(net, from_itself, ""), "\r\n\r\n" LOOPBACK);
    assert_says(ASK(net, from_nobody, ""), "\r\n\r\n" LOOPBACK);
    pk_net_close(net);
}

TEST(only_a_trusted_client_of_a_proxy_may_speak_for_others)
{
    static const char header[] = "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n";
    static const char other[] = "X-Forwarded-For: 192.0.2.8\r\nX-Forwarded-Proto: https\r\n";
    struct pk_net *net = serve("127.0.0.0/8", 0, 0);
    assert_says(ASK(net, from_proxy, header), CLIENT " secure");
    assert_says(ASK(net, from_client, other), CLIENT " clear");
    assert_says(ASK(net, from_nobody, header), LOOPBACK " clear");
    assert_says(ask(net, PLAIN, "", 0, 1, header), CLIENT " secure");
    pk_net_close(net);
    net = serve("192.168.0.0/16", 0, 0);
    assert_says(ask(net, PLAIN, "", 0, 1, header), LOOPBACK " clear");
    pk_net_close(net);
}

TEST(tls_begins_behind_the_proxy_header)
{
    struct pk_net *net = serve("127.0.0.1", 0, 0);
    struct secure client;
    int fd = secure_dial(net, PROXIED_TLS);
    client_say(fd, from_client, sizeof(from_client) - 1);
    assert_true(secure_start(&client, fd, certificate));
    secure_say(&client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_says(secure_hear(&client, NULL), CLIENT " secure");
    assert_true(secure_is_ended(&client));
    secure_close(&client);

    fd = secure_dial(net, PROXIED_TLS); /* TLS is TLS, also where nobody says "https". */
    client_say(fd, from_proxy, sizeof(from_proxy) - 1);
    assert_true(secure_start(&client, fd, certificate));
    secure_say(&client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(secure_hear(&client, "secure"), "0a000005 secure");
    secure_close(&client);
    pk_net_close(net);
}

TEST(what_is_no_proxy_header_is_closed_without_a_byte)
{
    struct pk_net *net = serve("127.0.0.1", 0, 0);
    static const char text[] = "PROXY TCP4 192.0.2.9 127.0.0.1 4660 80\r\n";
    assert_string_equal(ASK(net, text, ""), "");
    assert_string_equal(ask(net, PROXIED, "", 0, 1, ""), "");
    int fd = secure_dial(net, PROXIED);
    client_say(fd, from_client, 20); /* Not whole, and then the end. */
    (void)shutdown(fd, SHUT_WR);
    assert_string_equal(client_hear(fd, NULL), "");
    (void)close(fd);
    pk_net_close(net);
}

TEST(a_proxy_that_is_not_trusted_is_closed_without_a_byte)
{
    struct pk_net *net = serve("192.168.0.0/16", 0, 0);
    assert_string_equal(ASK(net, from_client, ""), "");
    pk_net_close(net);
}

TEST(a_proxy_header_has_its_deadline)
{
    struct pk_net *net = serve("127.0.0.1", 200, 0);
    int fd = secure_dial(net, PROXIED);
    client_say(fd, from_client, 20);
    assert_string_equal(client_hear(fd, NULL), "");
    (void)close(fd);
    pk_net_close(net);
}

TEST(proxies_are_not_counted_by_their_address)
{
    struct pk_net *net = serve("127.0.0.1", 0, 1);
    int first = secure_dial(net, PLAIN);
    assert_says(ask(net, PLAIN, "", 0, 1, ""), LOOPBACK);
    assert_says(ask(net, PLAIN, "", 0, 1, ""), LOOPBACK);
    (void)close(first);
    pk_net_close(net);
}

TEST(proxy_headers_without_a_trusted_proxy_are_refused_at_the_start)
{
    struct pk_error err = { 0 };
    struct pk_net *net = NULL;
    struct pk_net_listener listener = { .address = "127.0.0.1:0", .is_proxied = true };
    const char *wrong = "10.0.0.1/8";
    struct pk_net_options options = {
        .listener = &listener, .listener_count = 1, .route = route, .route_count = 1
    };
    assert_false(pk_net_open(&net, &options, &err));
    assert_says(err.message, "no proxy is trusted");
    options.trusted = &wrong;
    options.trusted_count = 1;
    assert_false(pk_net_open(&net, &options, &err));
    assert_says(err.message, "trusted proxies: '10.0.0.1/8' has bits behind its prefix");
}
