/* test_tls_pipe.c - Certificates that fit and that do not, and TLS between buffers, without
 * sockets.
 */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "certificate.h"
#include "net/tls.h"
#include "test.h"

#include <event2/buffer.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct files {
    char certificate[128], key[128];
};

/* Fresh paths; with a certificate for 'days', and its key, where 'days' is not 0. */
static struct files make_files(const char *name, int days, const char *password)
{
    struct files files;
    (void)snprintf(files.certificate, sizeof(files.certificate), "%s/%s.pem", pk_test_folder(),
                   name);
    (void)snprintf(files.key, sizeof(files.key), "%s/%s.key", pk_test_folder(), name);
    if (days != 0) {
        certificate_make(files.certificate, files.key, name, days, password);
    }
    return files;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    (void)fclose(file);
}

static void assert_refused(const char *certificate, const char *key, enum pk_code code,
                           const char *part)
{
    struct pk_error err = { 0 };
    struct pk_tls *tls = NULL;
    assert_false(pk_tls_open(&tls, certificate, key, &err));
    assert_null(tls);
    assert_int_equal(err.code, code);
    if (!strstr(err.message, part)) {
        fail_msg("'%s' is not in '%s'", part, err.message);
    }
    assert_non_null(err.hint);
}

/* ---- Files ---- */

TEST(files_that_do_not_fit_are_refused_with_a_sentence)
{
    struct files good = make_files("good", 30, NULL);
    struct files other = make_files("other", 30, NULL);
    struct files locked = make_files("locked", 30, "secret");
    struct files none = make_files("none", 0, NULL);
    struct files text = make_files("text", 0, NULL);
    write_text(text.certificate, "hello\n");
    write_text(text.key, "");

    assert_refused(none.certificate, good.key, PK_NOT_FOUND, "cannot read the certificate");
    assert_refused(good.certificate, none.key, PK_NOT_FOUND, "cannot read the key");
    assert_refused(good.certificate, other.key, PK_INVALID, "does not belong to the certificate");
    assert_refused(locked.certificate, locked.key, PK_INVALID, "has a password");
    assert_refused(text.certificate, good.key, PK_INVALID, "is not a certificate");
    assert_refused(good.certificate, text.key, PK_INVALID, "is not a private key");
    assert_refused(good.key, good.certificate, PK_INVALID, "is not a certificate");
    assert_refused(good.certificate, NULL, PK_INVALID, "certificate and its key");
    assert_refused(pk_test_folder(), good.key, PK_INVALID, "is not a certificate");
}

TEST(an_expired_certificate_is_taken_and_says_so)
{
    struct files old = make_files("old", -3, NULL);
    struct pk_error err;
    struct pk_tls *tls;
    assert_ok(pk_tls_open(&tls, old.certificate, old.key, &err), &err);
    int64_t ago_ms = (int64_t)time(NULL) * 1000 - pk_tls_expires_ms(tls);
    assert_in_range(ago_ms, 3 * 86400 * 1000LL - 60000, 3 * 86400 * 1000LL + 60000);
    pk_tls_close(tls);
}

TEST(a_reload_that_fails_keeps_what_was)
{
    struct files files = make_files("kept", 30, NULL);
    struct files fresh = make_files("fresh", 60, NULL);
    struct pk_error err;
    struct pk_tls *tls;
    assert_ok(pk_tls_open(&tls, files.certificate, files.key, &err), &err);
    int64_t before_ms = pk_tls_expires_ms(tls);

    write_text(files.key, "broken");
    assert_false(pk_tls_reload(tls, &err));
    assert_non_null(strstr(err.message, "is not a private key"));
    assert_int_equal(pk_tls_expires_ms(tls), before_ms);
    SSL *ssl = pk_tls_session(tls);
    assert_non_null(ssl);

    assert_int_equal(rename(fresh.certificate, files.certificate), 0);
    assert_int_equal(rename(fresh.key, files.key), 0);
    assert_ok(pk_tls_reload(tls, &err), &err);
    assert_true(pk_tls_expires_ms(tls) > before_ms);
    pk_tls_close(tls);
    SSL_free(ssl); /* It holds what it began with. */
}

/* ---- Between buffers ---- */

struct pair {
    struct pk_tls *tls;
    struct evbuffer *up, *down; /* To the server, to the client. */
    struct pk_tls_pipe *pipe;
    SSL_CTX *context;
    SSL *client;
    BIO *from, *to; /* The client's. */
};

static void pair_open(struct pair *pair, int version)
{
    struct pk_error err;
    struct files files = make_files("pair", 30, NULL);
    assert_ok(pk_tls_open(&pair->tls, files.certificate, files.key, &err), &err);
    pair->up = evbuffer_new();
    pair->down = evbuffer_new();
    pair->pipe = pk_tls_pipe_new(pair->tls, pair->up, pair->down);
    pair->context = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_max_proto_version(pair->context, version);
    (void)SSL_CTX_set_min_proto_version(pair->context, version);
    pair->client = SSL_new(pair->context);
    pair->from = BIO_new(BIO_s_mem());
    pair->to = BIO_new(BIO_s_mem());
    SSL_set_bio(pair->client, pair->from, pair->to);
    SSL_set_connect_state(pair->client);
}

static void pair_close(struct pair *pair)
{
    SSL_free(pair->client);
    SSL_CTX_free(pair->context);
    pk_tls_pipe_free(pair->pipe);
    evbuffer_free(pair->up);
    evbuffer_free(pair->down);
    pk_tls_close(pair->tls);
}

/* Carries what both have to say, 'step' bytes at a time towards the server. */
static enum pk_tls_says carry(struct pair *pair, size_t step)
{
    char bytes[4096];
    enum pk_tls_says says = PK_TLS_MORE;
    int got;
    while (evbuffer_get_length(pair->down) > 0) {
        got = evbuffer_remove(pair->down, bytes, sizeof(bytes));
        assert_int_equal(BIO_write(pair->from, bytes, got), got);
    }
    while (says == PK_TLS_MORE && (got = BIO_read(pair->to, bytes, (int)step)) > 0) {
        assert_int_equal(evbuffer_add(pair->up, bytes, (size_t)got), 0);
        says = pk_tls_pipe_read(pair->pipe);
    }
    return says;
}

static void shake_hands(struct pair *pair, size_t step)
{
    for (int rounds = 0; SSL_do_handshake(pair->client) != 1; rounds++) {
        assert_true(rounds < 10);
        assert_int_equal(carry(pair, step), PK_TLS_MORE);
    }
    assert_int_equal(carry(pair, step), PK_TLS_MORE);
}

static void talk(int version, size_t step)
{
    struct pair pair;
    char heard[100];
    pair_open(&pair, version);
    shake_hands(&pair, step);
    assert_int_equal(SSL_write(pair.client, "hello ", 6), 6);
    assert_int_equal(SSL_write(pair.client, "world", 5), 5);
    assert_int_equal(SSL_shutdown(pair.client), 0);
    assert_int_equal(carry(&pair, step), PK_TLS_EOF); /* Behind the words, not instead of them. */
    assert_int_equal(evbuffer_remove(pair.pipe->input, heard, sizeof(heard)), 11);
    assert_memory_equal(heard, "hello world", 11);

    /* The client reads on: an answer in two pieces is one record, and then the end is said. */
    (void)evbuffer_add(pair.pipe->output, "head ", 5);
    (void)evbuffer_add_reference(pair.pipe->output, "body", 4, NULL, NULL);
    assert_true(pk_tls_pipe_write(pair.pipe));
    pk_tls_pipe_end(pair.pipe);
    (void)carry(&pair, step);
    assert_int_equal(SSL_read(pair.client, heard, sizeof(heard)), 9);
    assert_memory_equal(heard, "head body", 9);
    assert_int_equal(SSL_read(pair.client, heard, sizeof(heard)), 0);
    assert_int_equal(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
    pair_close(&pair);
}

TEST(tls_1_3_in_pieces_of_any_size)
{
    talk(TLS1_3_VERSION, 1);
    talk(TLS1_3_VERSION, 7);
    talk(TLS1_3_VERSION, 4096);
}

TEST(tls_1_2_in_pieces_of_any_size)
{
    talk(TLS1_2_VERSION, 1);
    talk(TLS1_2_VERSION, 4096);
}

TEST(what_is_no_tls_gets_an_alert)
{
    static const char *const words[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                         "SSH-2.0-x\r\n\r\n\r\n",
                                         "\x16\x03\x01\xff\xff\x01 much too" };
    for (size_t i = 0; i < PK_COUNT(words); i++) {
        struct pair pair;
        unsigned char alert[7];
        pair_open(&pair, TLS1_3_VERSION);
        (void)evbuffer_add(pair.up, words[i], 13);
        assert_int_equal(pk_tls_pipe_read(pair.pipe), PK_TLS_BROKEN);
        assert_int_equal(evbuffer_copyout(pair.down, alert, 7), 7);
        assert_int_equal(alert[0], 21);
        assert_int_equal(alert[5], 2);
        pk_tls_pipe_end(pair.pipe);
        assert_int_equal(evbuffer_get_length(pair.down), 7);
        pair_close(&pair);
    }
}

TEST(old_versions_and_other_protocols_are_turned_away)
{
    struct pair pair;
    pair_open(&pair, TLS1_3_VERSION);
    assert_int_equal(SSL_set_alpn_protos(pair.client, (const unsigned char *)"\x02h2", 3), 0);
    assert_int_not_equal(SSL_do_handshake(pair.client), 1);
    assert_int_equal(carry(&pair, 4096), PK_TLS_BROKEN);
    pair_close(&pair);

    pair_open(&pair, TLS1_1_VERSION);
    SSL_set_security_level(pair.client, 0);
    assert_int_not_equal(SSL_do_handshake(pair.client), 1);
    assert_int_equal(carry(&pair, 4096), PK_TLS_BROKEN);
    pair_close(&pair);
}

TEST(http_1_1_is_chosen_by_alpn)
{
    struct pair pair;
    const unsigned char *chosen;
    unsigned size;
    pair_open(&pair, TLS1_3_VERSION);
    assert_int_equal(
        SSL_set_alpn_protos(pair.client, (const unsigned char *)"\x02h2\x08http/1.1", 12), 0);
    shake_hands(&pair, 4096);
    SSL_get0_alpn_selected(pair.client, &chosen, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    pair_close(&pair);
}

TEST(renegotiation_is_refused)
{
    struct pair pair;
    pair_open(&pair, TLS1_2_VERSION);
    shake_hands(&pair, 4096);
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    assert_int_not_equal(SSL_do_handshake(pair.client), 1);
    (void)carry(&pair, 4096);
    (void)carry(&pair, 4096);
    assert_int_not_equal(SSL_do_handshake(pair.client), 1);
    assert_int_equal(SSL_get_error(pair.client, -1), SSL_ERROR_SSL);
    pair_close(&pair);
}

TEST(no_more_is_encrypted_than_can_be_sent)
{
    struct pair pair;
    char *much = pk_calloc(1, 1 << 20);
    pair_open(&pair, TLS1_3_VERSION);
    shake_hands(&pair, 4096);
    (void)evbuffer_add(pair.pipe->output, much, 1 << 20);
    assert_true(pk_tls_pipe_write(pair.pipe));
    assert_in_range(evbuffer_get_length(pair.down), PK_TLS_WIRE_HIGH, PK_TLS_WIRE_HIGH + 17 * 1024);
    pk_free(much);
    pair_close(&pair);
}

TEST(a_client_that_makes_tls_talk_and_does_not_listen_is_cut)
{
    struct pair pair;
    pair_open(&pair, TLS1_3_VERSION);
    shake_hands(&pair, 4096);
    bool is_cut = false;
    for (size_t tries = 0; tries < 100000 && !is_cut; tries++) {
        char bytes[256];
        int got;
        assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        (void)SSL_do_handshake(pair.client);
        while ((got = BIO_read(pair.to, bytes, sizeof(bytes))) > 0) {
            (void)evbuffer_add(pair.up, bytes, (size_t)got);
        }
        is_cut = pk_tls_pipe_read(pair.pipe) == PK_TLS_BROKEN;
        assert_true(evbuffer_get_length(pair.down) < PK_TLS_WIRE_MAX + 1024);
    }
    assert_true(is_cut);
    pair_close(&pair);
}
