/* test_fetch_tls.c - Outgoing HTTPS: whom it believes, and what it says of those it does not. */
/* SPDX-License-Identifier: MIT */
#include "certificate.h"
#include "fake.h"
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/fetch.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

/* A server with a certificate of its own making. */
struct scene {
    struct fake fake;
    SSL_CTX *tls;
    char certificate[300], key[300];
};
static struct scene scene;

static void answer_securely(struct fake *fake, int fd)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];
    SSL *ssl = SSL_new(scene.tls);
    (void)SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        while (SSL_read(ssl, request, sizeof(request)) > 0) {
            fake->heard++;
            (void)SSL_write(ssl, text, sizeof(text) - 1);
        }
    }
    SSL_free(ssl);
}

/* 'newest': the highest version of TLS that it speaks; 0: all. */
static void start(const char *name, int days, int newest)
{
    (void)snprintf(scene.certificate, sizeof(scene.certificate), "%s/fetch-cert.pem",
                   pk_test_folder());
    (void)snprintf(scene.key, sizeof(scene.key), "%s/fetch-key.pem", pk_test_folder());
    certificate_make(scene.certificate, scene.key, name, days, NULL);
    scene.tls = SSL_CTX_new(TLS_server_method());
    if (newest) {
        SSL_CTX_set_security_level(scene.tls, 0); /* Old versions are not offered otherwise. */
        (void)SSL_CTX_set_max_proto_version(scene.tls, newest);
    }
    assert_int_equal(SSL_CTX_use_certificate_file(scene.tls, scene.certificate, SSL_FILETYPE_PEM),
                     1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(scene.tls, scene.key, SSL_FILETYPE_PEM), 1);
    fake_start(&scene.fake, answer_securely, "", NULL);
}

static void stop(void)
{
    fake_stop(&scene.fake);
    SSL_CTX_free(scene.tls);
}

/* What comes of asking 'name' on the scene's port, when 'ca' is believed; twice, for reuse. */
static enum pk_code ask(const char *name, const char *ca, struct pk_error *err)
{
    char host[128];
    char url[160];
    const char *const one = host;
    struct pk_fetcher *fetcher = NULL;
    (void)snprintf(host, sizeof(host), "%s:%d", name, scene.fake.port);
    (void)snprintf(url, sizeof(url), "https://%s/?token=hunter2", host);
    const struct pk_fetch_options options = { .clock = pk_clock_system(),
                                              .host = &one,
                                              .host_count = 1,
                                              .is_private_allowed = true,
                                              .ca_file = ca };
    *err = (struct pk_error){ 0 };
    assert_ok(pk_fetcher_new(&fetcher, &options, err), err);
    for (int i = 0; i < 2; i++) {
        struct pk_fetch_answer answer = { 0 };
        (void)pk_fetch(fetcher, &(struct pk_fetch_request){ .url = url }, &answer, err);
        assert_true(err->code != PK_OK || answer.status == 200);
        pk_fetch_answer_done(&answer);
    }
    pk_fetcher_free(fetcher);
    assert_null(strstr(err->message, "hunter2"));
    return err->code;
}

TEST(who_is_certified_by_one_that_is_believed_is_asked)
{
    struct pk_error err;
    start("secure.test", 1, 0);
    assert_ok(ask("localhost", scene.certificate, &err) == PK_OK, &err);
    assert_int_equal(scene.fake.heard, 2);
    assert_int_equal(scene.fake.accepted, 1);
    stop();
}

TEST(who_is_certified_by_nobody_known_is_not)
{
    struct pk_error err;
    start("secure.test", 1, 0);
    assert_int_equal(ask("secure.test", NULL, &err), PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "cannot trust the certificate of 'secure.test'"));
    assert_non_null(strstr(err.hint, "CA file"));
    assert_int_equal(scene.fake.heard, 0);
    stop();
}

TEST(a_certificate_for_another_name_is_not_believed)
{
    struct pk_error err;
    start("other.test", 1, 0); /* And for localhost and 127.0.0.1, as all that are made here. */
    assert_int_equal(ask("secure.test", scene.certificate, &err), PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "cannot trust the certificate"));
    assert_non_null(strstr(err.message, "secure.test"));
    assert_int_equal(scene.fake.heard, 0);
    stop();
}

TEST(a_certificate_that_has_expired_is_not_believed)
{
    struct pk_error err;
    start("secure.test", -1, 0);
    assert_int_equal(ask("localhost", scene.certificate, &err), PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "expired"));
    assert_int_equal(scene.fake.heard, 0);
    stop();
}

TEST(an_old_version_of_tls_is_not_spoken)
{
    struct pk_error err;
    start("secure.test", 1, TLS1_1_VERSION);
    assert_int_equal(ask("secure.test", scene.certificate, &err), PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "no TLS with the server"));
    stop();
}

static void speak_first(struct fake *fake, int fd)
{
    (void)fake_say(fd, fake->says, strlen(fake->says));
    fake_wait(fake, fd);
}

TEST(plain_http_where_tls_should_be_is_not_taken)
{
    struct pk_error err;
    fake_start(&scene.fake, speak_first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL);
    assert_int_equal(ask("127.0.0.1", NULL, &err), PK_UNAVAILABLE);
    fake_stop(&scene.fake);
}

TEST(a_ca_file_that_is_none_is_said_to_be_the_fault)
{
    struct pk_error err;
    start("secure.test", 1, 0);
    assert_int_equal(ask("secure.test", "/nonexistent/ca.pem", &err), PK_INVALID);
    assert_non_null(strstr(err.message, "CA file"));
    assert_int_equal(scene.fake.heard, 0);
    stop();
}
