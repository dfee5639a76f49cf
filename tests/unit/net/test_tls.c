/* test_tls.c - The server over TLS, by OpenSSL's client: everything that plain connections do. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "certificate.h"
#include "client.h"
#include "net/net.h"
#include "net/stream.h"
#include "secure.h"
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { LARGE = 8 * 1024 * 1024, HEAD_MS = 300, RELOADS = 200, CLIENTS = 3 };

/* ---- A server ---- */

static void hello(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_buf_printf(&answer->body, "hello %s by %s", request->query,
                  request->is_secure ? "TLS" : "nothing");
    pk_answer_json(answer, 200);
}

static char letter_at(size_t at)
{
    return (char)('a' + (at * 31 + at / 4099) % 26);
}

static void large(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    char *to = pk_buf_reserve(&answer->body, LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        to[i] = letter_at(i);
    }
    answer->body.size += LARGE;
    pk_answer_json(answer, 200);
}

/* Says what it is told, piece by piece. */
static void echo(void *context, struct pk_request *request, struct pk_answer *answer)
{
    char bytes[10000];
    size_t got;
    struct pk_error err;
    (void)context;
    pk_answer_json(answer, 200);
    while (pk_request_read(request, bytes, sizeof(bytes), &got, &err) && got > 0 &&
           pk_answer_write(request, answer, bytes, got, &err)) {
    }
}

static const struct pk_route route[] = {
    { PK_METHOD_GET, "/", 1, PK_LANE_HOT, 0, hello, "A word.", NULL, false },
    { PK_METHOD_GET, "/large", 1, PK_LANE_STORE, 0, large, "Many letters.", NULL, false },
    { PK_METHOD_POST, "/echo", 1, PK_LANE_SLOW, 0, echo, "What came.", NULL, true },
};

struct server {
    struct pk_net *net;
    char certificate[128], key[128];
};

static struct server serve(const char *name, const struct pk_net_limits *limits)
{
    struct pk_error err;
    struct server server;
    const struct pk_net_listener listener[] = {
        { .address = "127.0.0.1:0", .is_secure = true },
        { .address = "127.0.0.1:0", .tag = 1 },
    };
    (void)snprintf(server.certificate, sizeof(server.certificate), "%s/%s.pem", pk_test_folder(),
                   name);
    (void)snprintf(server.key, sizeof(server.key), "%s/%s.key", pk_test_folder(), name);
    certificate_make(server.certificate, server.key, name, 30, NULL);
    struct pk_net_options options = { .listener = listener,
                                      .listener_count = 2,
                                      .tls_certificate = server.certificate,
                                      .tls_key = server.key,
                                      .route = route,
                                      .route_count = PK_COUNT(route),
                                      .loops = 2,
                                      .limits = *limits };
    assert_ok(pk_net_open(&server.net, &options, &err), &err);
    return server;
}

static const struct pk_net_limits no_limits;

#define REQUEST(query) "GET /?" query " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* ---- Requests ---- */

TEST(requests_over_tls_are_answered_on_one_connection)
{
    struct server server = serve("keep", &no_limits);
    struct secure client;
    assert_memory_equal(pk_net_address(server.net, 0), "https://127.0.0.1:", 18);
    secure_open(&client, server.net, server.certificate);
    for (int i = 0; i < 3; i++) {
        secure_say(&client, REQUEST("one"));
        assert_says(secure_hear(&client, "TLS"), "hello one by TLS");
    }
    secure_say(&client, REQUEST("a") REQUEST("b") REQUEST("c"));
    const char *heard = secure_hear(&client, "hello c by TLS");
    assert_true(strstr(heard, "hello a") < strstr(heard, "hello b"));
    assert_true(strstr(heard, "hello b") < strstr(heard, "hello c"));
    secure_close(&client);

    int fd = secure_dial(server.net, 1); /* The other listener is plain. */
    client_say(fd, REQUEST("x"), strlen(REQUEST("x")));
    assert_says(client_hear(fd, "nothing"), "hello x by nothing");
    (void)close(fd);
    pk_net_close(server.net);
}

TEST(a_client_that_has_said_its_last_word_is_answered_and_told_the_end)
{
    struct server server = serve("last", &no_limits);
    struct secure client;
    for (int i = 0; i < 20; i++) { /* The end comes with the request, or behind it. */
        secure_open(&client, server.net, server.certificate);
        secure_say(&client, REQUEST("first") REQUEST("end") "GET /?part");
        assert_int_equal(SSL_shutdown(client.ssl), 0);
        const char *heard = secure_hear(&client, NULL);
        assert_says(heard, "hello first by TLS");
        assert_says(heard, "hello end by TLS");
        assert_true(secure_is_ended(&client));
        secure_close(&client);
    }

    secure_open(&client, server.net, server.certificate);
    secure_say(&client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_says(secure_hear(&client, NULL), "by TLS");
    assert_true(secure_is_ended(&client));
    secure_close(&client);
    pk_net_close(server.net);
}

TEST(a_refusal_over_tls_is_the_last_thing_said)
{
    struct server server = serve("refuse", &no_limits);
    struct secure client;
    secure_open(&client, server.net, server.certificate);
    secure_say(&client, "GET / HTTP/1.1\r\n\r\n" REQUEST("smuggled"));
    const char *heard = secure_hear(&client, NULL);
    assert_says(heard, "HTTP/1.1 400");
    assert_null(strstr(heard, "smuggled"));
    assert_true(secure_is_ended(&client));
    secure_close(&client);
    pk_net_close(server.net);
}

TEST(tls_in_pieces_of_one_byte_is_understood)
{
    struct server server = serve("bytes", &no_limits);
    char bytes[4096];
    int fd = secure_dial(server.net, 0);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *from = BIO_new(BIO_s_mem());
    BIO *to = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, from, to);
    SSL_set_connect_state(ssl);
    size_t heard = 0;
    while (heard == 0 || !strstr(bytes, "hello tiny by TLS")) {
        char byte;
        bool is_open = SSL_do_handshake(ssl) == 1;
        if (is_open && BIO_number_written(to) > 0 && heard == 0) {
            (void)SSL_write(ssl, REQUEST("tiny"), (int)strlen(REQUEST("tiny")));
        }
        while (BIO_read(to, &byte, 1) == 1) {
            client_say(fd, &byte, 1);
        }
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        assert_true(got > 0);
        assert_int_equal(BIO_write(from, bytes, (int)got), got);
        if (is_open) {
            int clear = SSL_read(ssl, bytes, sizeof(bytes) - 1);
            heard += clear > 0 ? (size_t)clear : 0;
            bytes[clear > 0 ? clear : 0] = '\0';
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
    pk_net_close(server.net);
}

/* ---- Long bodies ---- */

TEST(a_large_answer_reaches_a_slow_reader_whole)
{
    struct server server = serve("large", &no_limits);
    struct secure client;
    static char bytes[50000];
    secure_open(&client, server.net, server.certificate);
    secure_say(&client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t size = 0;
    size_t head = 0;
    while (size < LARGE) {
        int got = SSL_read(client.ssl, bytes, sizeof(bytes));
        assert_true(got > 0);
        const char *body = bytes;
        if (head == 0) {
            body = memmem(bytes, (size_t)got, "\r\n\r\n", 4);
            assert_non_null(body);
            head = (size_t)(body + 4 - bytes);
            body += 4;
        }
        for (const char *at = body; at < bytes + got; at++, size++) {
            if (*at != letter_at(size)) {
                fail_msg("byte %zu is wrong", size);
            }
        }
        if (size < LARGE / 2) {
            client_pause(); /* Slower than the server, which must wait. */
        }
    }
    assert_int_equal(size, LARGE);
    secure_say(&client, REQUEST("after"));
    assert_says(secure_hear(&client, "TLS"), "hello after by TLS");
    secure_close(&client);
    pk_net_close(server.net);
}

TEST(a_client_that_does_not_take_its_answer_is_cut)
{
    struct server server =
        serve("cut", &(struct pk_net_limits){ .write_ms = 100, .rate_min = 64 * 1024 * 1024 });
    struct pk_net_stats stats;
    struct secure client = { 0 };
    int small = 4096;
    int fd = secure_dial(server.net, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_true(secure_start(&client, fd, server.certificate));
    secure_say(&client, "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_until((pk_net_stats(server.net, &stats), stats.requests == 1));
    wait_until((pk_net_stats(server.net, &stats), stats.connections == 0));
    secure_close(&client);
    pk_net_close(server.net);
}

enum { CHUNKS = 32, CHUNK = 16 * 1024 };

static void send_body(struct secure *client)
{
    static char chunk[CHUNK + 20];
    size_t size = (size_t)snprintf(chunk, sizeof(chunk), "4000\r\n");
    memset(chunk + size, 'x', CHUNK);
    memcpy(chunk + size + CHUNK, "\r\n", 3);
    secure_say(client, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                       "Content-Type: application/x-ndjson\r\n\r\n");
    for (int i = 0; i < CHUNKS; i++) {
        secure_say(client, chunk);
    }
    secure_say(client, "0\r\n\r\n");
}

TEST(bodies_stream_both_ways_over_tls)
{
    struct server server = serve("stream", &no_limits);
    struct secure client;
    secure_open(&client, server.net, server.certificate);
    send_body(&client); /* All of it: what is not held for the stream lies in the kernel. */
    size_t letters = 0;
    bool has_ended = false;
    static char bytes[16 * 1024];
    while (!has_ended) {
        int got = SSL_read(client.ssl, bytes, sizeof(bytes));
        assert_true(got > 0);
        for (int i = 0; i < got; i++) {
            letters += bytes[i] == 'x';
        }
        has_ended = got >= 5 && memcmp(bytes + got - 5, "0\r\n\r\n", 5) == 0;
    }
    assert_in_range(letters, CHUNKS * CHUNK, CHUNKS * CHUNK + 3); /* Headers may have an x. */
    secure_close(&client);
    pk_net_close(server.net);
}

/* ---- Who is no client ---- */

TEST(a_handshake_that_stalls_is_cut_in_time)
{
    struct server server = serve("stall", &(struct pk_net_limits){ .head_ms = HEAD_MS });
    static const char start[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    int silent = secure_dial(server.net, 0);
    int half = secure_dial(server.net, 0);
    struct secure open; /* Shakes hands in time, and asks nothing. */
    bool is_open = false;
    for (int tries = 0; !is_open; tries++) {
        assert_true(tries < 100);
        is_open = secure_start(&open, secure_dial(server.net, 0), server.certificate);
        if (!is_open) {
            secure_close(&open);
        }
    }
    client_say(half, start, sizeof(start) - 1);
    assert_string_equal(client_hear(silent, NULL), "");
    assert_string_equal(client_hear(half, NULL), "");
    assert_true(secure_is_ended(&open));
    secure_close(&open);
    (void)close(silent);
    (void)close(half);
    pk_net_close(server.net);
}

TEST(plain_http_on_the_tls_port_gets_an_alert)
{
    struct server server = serve("plain", &no_limits);
    int fd = secure_dial(server.net, 0);
    client_say(fd, REQUEST("x"), strlen(REQUEST("x")));
    const char *heard = client_hear(fd, NULL);
    assert_memory_equal(heard, "\x15\x03\x01", 4); /* Its next byte is a NUL. */
    (void)close(fd);
    struct secure client;
    secure_open(&client, server.net, server.certificate);
    secure_say(&client, REQUEST("well"));
    assert_says(secure_hear(&client, "TLS"), "hello well by TLS");
    secure_close(&client);
    pk_net_close(server.net);
}

TEST(an_idle_tls_connection_is_told_its_end)
{
    struct server server = serve("idle", &(struct pk_net_limits){ .idle_ms = HEAD_MS });
    struct secure client;
    secure_open(&client, server.net, server.certificate);
    secure_say(&client, REQUEST("one"));
    assert_says(secure_hear(&client, "TLS"), "hello one by TLS");
    assert_true(secure_is_ended(&client));
    secure_close(&client);
    pk_net_close(server.net);
}

TEST(a_drain_ends_tls_connections_properly)
{
    struct server server = serve("drain", &no_limits);
    struct secure idle;
    struct secure busy;
    struct pollfd done = { .fd = pk_net_done_fd(server.net), .events = POLLIN };
    secure_open(&idle, server.net, server.certificate);
    secure_say(&idle, REQUEST("one"));
    assert_says(secure_hear(&idle, "TLS"), "hello one by TLS");
    secure_open(&busy, server.net, server.certificate);
    secure_say(&busy, REQUEST("two"));
    pk_net_drain(server.net);
    assert_says(secure_hear(&busy, NULL), "hello two by TLS");
    assert_true(secure_is_ended(&busy));
    assert_true(secure_is_ended(&idle));
    secure_close(&busy);
    secure_close(&idle);
    assert_int_equal(poll(&done, 1, CLIENT_PATIENCE_MS), 1);
    pk_net_close(server.net);
}

TEST(tls_without_a_certificate_is_refused_at_the_start)
{
    struct pk_error err = { 0 };
    struct pk_net *net = NULL;
    struct pk_net_listener listener = { .address = "127.0.0.1:0", .is_secure = true };
    struct pk_net_options options = {
        .listener = &listener, .listener_count = 1, .route = route, .route_count = PK_COUNT(route)
    };
    assert_false(pk_net_open(&net, &options, &err));
    assert_says(err.message, "needs a certificate and its key");
    assert_int_equal(err.code, PK_INVALID);
}

/* ---- Reloading ---- */

struct load {
    const struct server *server;
    atomic_bool *is_over;
    atomic_size_t requests, failed;
};

/* Requests on new connections, two on each, until it is over. */
static void *ask_again(void *argument)
{
    struct load *load = argument;
    while (!*load->is_over) {
        struct secure client;
        bool is_good =
            secure_start(&client, secure_dial(load->server->net, 0), load->server->certificate);
        for (int i = 0; i < 2 && is_good; i++) {
            is_good = SSL_write(client.ssl, REQUEST("r"), (int)strlen(REQUEST("r"))) > 0 &&
                      strstr(secure_hear(&client, "TLS"), "hello r by TLS");
        }
        load->failed += !is_good;
        load->requests++;
        secure_close(&client);
    }
    return NULL;
}

TEST(certificates_are_reloaded_under_load_without_a_failed_request)
{
    struct server server = serve("reload", &no_limits);
    atomic_bool is_over = false;
    pthread_t thread[CLIENTS];
    struct load load[CLIENTS];
    struct pk_error err;
    for (size_t i = 0; i < CLIENTS; i++) {
        load[i].server = &server;
        load[i].is_over = &is_over;
        load[i].requests = load[i].failed = 0;
        assert_int_equal(pthread_create(&thread[i], NULL, ask_again, &load[i]), 0);
    }
    for (int i = 0; i < RELOADS; i++) {
        assert_ok(pk_net_reload_tls(server.net, &err), &err);
        client_pause();
    }
    wait_until(load[0].requests > 0 && load[1].requests > 0 && load[2].requests > 0);
    is_over = true;
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(load[i].failed, 0);
        assert_true(load[i].requests > 0);
    }
    pk_net_close(server.net);
}

TEST(a_reload_reaches_new_connections_and_leaves_old_ones)
{
    struct server server = serve("swap", &no_limits);
    struct pk_error err = { 0 };
    struct secure old;
    struct secure fresh;
    char kept[160];
    secure_open(&old, server.net, server.certificate);
    int64_t before_ms = pk_net_tls_expires_ms(server.net);

    (void)snprintf(kept, sizeof(kept), "%s.old", server.certificate);
    assert_int_equal(rename(server.certificate, kept), 0);
    assert_false(pk_net_reload_tls(server.net, &err));
    assert_says(err.message, "cannot read the certificate");
    secure_open(&fresh, server.net, kept); /* The one in use stays. */
    secure_close(&fresh);

    certificate_make(server.certificate, server.key, "swapped", 60, NULL);
    assert_ok(pk_net_reload_tls(server.net, &err), &err);
    assert_true(pk_net_tls_expires_ms(server.net) > before_ms);
    secure_open(&fresh, server.net, server.certificate);
    struct secure late; /* Trusts the old one alone. */
    assert_false(secure_start(&late, secure_dial(server.net, 0), kept));
    secure_close(&late);
    secure_say(&old, REQUEST("old"));
    assert_says(secure_hear(&old, "TLS"), "hello old by TLS");
    secure_close(&old);
    secure_close(&fresh);
    pk_net_close(server.net);
}
