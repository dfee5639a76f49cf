/* certificate.c - See certificate.h. */
/* SPDX-License-Identifier: MIT */
#include "certificate.h"

#include "test.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static void add_extension(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make(EVP_PKEY *key, const char *name, int days)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    uint32_t serial;
    assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial & 0x7fffffff), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -10L * 24 * 3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * 24 * 3600));
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(certificate, subject), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

void certificate_make(const char *certificate, const char *key, const char *name, int days,
                      const char *password)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    assert_non_null(pair);
    X509 *made = make(pair, name, days);
    FILE *file = fopen(certificate, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, made), 1);
    (void)fclose(file);
    file = fopen(key, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, pair, password ? EVP_aes_256_cbc() : NULL,
                                          (const unsigned char *)password,
                                          password ? (int)strlen(password) : 0, NULL, NULL),
                     1);
    (void)fclose(file);
    X509_free(made);
    EVP_PKEY_free(pair);
}
