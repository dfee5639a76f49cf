/* tls.c - The server's certificate and key, read, checked, and exchanged while it runs.
 *
 * Everything that was read is an SSL_CTX, which never changes once it is made;
 * each connection holds a reference to the one that it began with. A reload
 * makes a new one and, only if all of it is right, puts it in the place of the
 * old one.
 *
 * What is offered: TLS 1.2 and 1.3, key exchange with forward secrecy, ciphers
 * that authenticate; no renegotiation, no compression, no early data. HTTP/1.1
 * is named by ALPN; a client that offers only something else is turned away.
 * Sessions are resumed by tickets alone: the server remembers nothing.
 *
 * Locked by its own mutex: any thread, once per connection. */
/* SPDX-License-Identifier: MIT */
#include "net/tls.h"

#include "base/alloc.h"
#include "base/error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct pk_tls {
    char *certificate, *key; /* Paths. */
    BIO_METHOD *method;      /* See tls_pipe.c. */
    pthread_mutex_t lock;    /* Guards the two below. */
    SSL_CTX *now;            /* For connections from here on. */
    int64_t expires_ms;      /* Of its certificate. */
};

/* ---- What is wrong with a file ---- */

/* The latest reason in OpenSSL's words; the others are dropped. */
static const char *reason(void)
{
    unsigned long code = ERR_peek_error(); /* The last may be as vague as 'PEM lib'. */
    const char *text = ERR_reason_error_string(code);
    ERR_clear_error();
    return text ? text : "no reason is known";
}

static bool can_open(const char *path, const char *what, struct pk_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return pk_fail(err, errno == EACCES ? PK_FORBIDDEN : PK_NOT_FOUND,
                       "check the path in tls.certificate and tls.key, and that this user may "
                       "read the file",
                       "cannot read the %s '%s': %s", what, path, strerror(errno));
    }
    (void)fclose(file);
    return true;
}

/* Asked for a password: there is nobody to ask, and it is noted that one is needed. */
static int no_password(char *out, int size, int is_written, void *was_asked)
{
    (void)out;
    (void)size;
    (void)is_written;
    *(bool *)was_asked = true;
    return -1;
}

static bool use_certificate(SSL_CTX *context, const char *path, struct pk_error *err)
{
    if (!can_open(path, "certificate", err)) {
        return false;
    }
    if (SSL_CTX_use_certificate_chain_file(context, path) == 1) {
        return true;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_EE_KEY_TOO_SMALL) {
        ERR_clear_error();
        return pk_fail(err, PK_INVALID, "make one with an ECDSA key, or RSA of 2048 bits or more",
                       "the key of the certificate '%s' is too small", path);
    }
    return pk_fail(err, PK_INVALID,
                   "tls.certificate names a PEM file: the server's certificate, then those above "
                   "it",
                   "'%s' is not a certificate: %s", path, reason());
}

static bool use_key(SSL_CTX *context, const char *path, struct pk_error *err)
{
    bool was_asked = false;
    if (!can_open(path, "key", err)) {
        return false;
    }
    SSL_CTX_set_default_passwd_cb(context, no_password);
    SSL_CTX_set_default_passwd_cb_userdata(context, &was_asked);
    bool is_used = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (is_used) {
        return true;
    }
    if (was_asked) {
        ERR_clear_error();
        return pk_fail(err, PK_INVALID,
                       "remove the password ('openssl pkey -in KEY -out NEW'), and let only this "
                       "user read the file",
                       "the key '%s' has a password", path);
    }
    int why = ERR_GET_REASON(ERR_peek_last_error());
    if (why == X509_R_KEY_VALUES_MISMATCH || why == X509_R_KEY_TYPE_MISMATCH) {
        ERR_clear_error();
        return pk_fail(err, PK_INVALID, "name the key that the certificate was made for",
                       "the key '%s' does not belong to the certificate", path);
    }
    return pk_fail(err, PK_INVALID, "tls.key names a PEM file with one private key",
                   "'%s' is not a private key: %s", path, reason());
}

/* ---- One context ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *offered, unsigned offered_size, void *context)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)context;
    if (SSL_select_next_proto(&chosen, out_size, ours, sizeof(ours) - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool configure(SSL_CTX *context)
{
    static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    static const unsigned char id[] = "personakit";
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* An idle connection keeps no buffers for records. */
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, ciphers) == 1 &&
           SSL_CTX_set_num_tickets(context, 1) == 1 &&
           SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1) == 1;
}

static int64_t find_expiry(SSL_CTX *context)
{
    struct tm parts;
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) {
        return 0;
    }
    return (int64_t)timegm(&parts) * 1000;
}

static SSL_CTX *make_context(const struct pk_tls *tls, struct pk_error *err)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context || !configure(context)) {
        (void)pk_fail(err, PK_INTERNAL, "check the machine's OpenSSL configuration",
                      "cannot set up TLS: %s", reason());
        SSL_CTX_free(context);
        return NULL;
    }
    if (!use_certificate(context, tls->certificate, err) || !use_key(context, tls->key, err)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* ---- Open, reload, close ---- */

bool pk_tls_reload(struct pk_tls *tls, struct pk_error *err)
{
    SSL_CTX *fresh = make_context(tls, err);
    if (!fresh) {
        return false;
    }
    (void)pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->now;
    tls->now = fresh;
    tls->expires_ms = find_expiry(fresh);
    (void)pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    return true;
}

bool pk_tls_open(struct pk_tls **out, const char *certificate, const char *key,
                 struct pk_error *err)
{
    if (!certificate || !key) {
        return pk_fail(err, PK_INVALID, "set both tls.certificate and tls.key",
                       "TLS needs a certificate and its key");
    }
    struct pk_tls *tls = pk_calloc(1, sizeof(*tls));
    (void)pthread_mutex_init(&tls->lock, NULL);
    tls->certificate = pk_strdup(certificate);
    tls->key = pk_strdup(key);
    tls->method = pk_tls_method_new();
    if (!tls->method) {
        pk_tls_close(tls);
        return pk_fail(err, PK_INTERNAL, "give the program more memory", "cannot set up TLS");
    }
    if (!pk_tls_reload(tls, err)) {
        pk_tls_close(tls);
        return false;
    }
    *out = tls;
    return true;
}

void pk_tls_close(struct pk_tls *tls)
{
    if (tls) {
        SSL_CTX_free(tls->now);
        BIO_meth_free(tls->method);
        (void)pthread_mutex_destroy(&tls->lock);
        pk_free(tls->certificate);
        pk_free(tls->key);
        pk_free(tls);
    }
}

int64_t pk_tls_expires_ms(struct pk_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    int64_t expires_ms = tls->expires_ms;
    (void)pthread_mutex_unlock(&tls->lock);
    return expires_ms;
}

struct ssl_st *pk_tls_session(struct pk_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->now);
    (void)pthread_mutex_unlock(&tls->lock);
    return ssl;
}

const struct bio_method_st *pk_tls_method(const struct pk_tls *tls)
{
    return tls->method;
}
