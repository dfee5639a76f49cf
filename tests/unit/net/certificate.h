/* certificate.h - Certificates and keys for tests, made as they are needed. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_CERTIFICATE_H
#define PK_TEST_CERTIFICATE_H

#include <stdbool.h>

/* Writes a self-signed certificate for 'name', localhost and 127.0.0.1 that is good for 'days'
 * (below 0: expired), and its ECDSA key, encrypted when 'password' is given. */
void certificate_make(const char *certificate, const char *key, const char *name, int days,
                      const char *password);

#endif
