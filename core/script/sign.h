/* sign.h - Signatures of scripts: who vouches for these files.
 *
 * Ed25519 over the bundle's hash. A signature lies beside the script, in
 * 'daily.lua.sig' or in the folder's 'bundle.sig'; a secret key is a file of
 * its own that only its owner may read. All are short texts:
 *
 *     personakit signature
 *     key: <64 hexadecimal digits>
 *     sig: <128 hexadecimal digits>
 *
 * A key that a server trusts is given to it in scripts.keys. Any
 * thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_SIGN_H
#define PK_SCRIPT_SIGN_H

#include "base/crypto.h"
#include "script/bundle.h"

struct pk_buf;

enum { PK_SIGN_KEY_TEXT = 2 * PK_SIGN_KEY + 1 }; /* Bytes of a public key as text, with its NUL. */

struct pk_sign_pair {
    uint8_t key[PK_SIGN_KEY];
    uint8_t secret[PK_SIGN_SECRET]; /* Wiped by pk_sign_pair_done. */
};
/* Makes a new pair and its file's text, which holds the secret. */
void pk_sign_pair_new(struct pk_sign_pair *pair, struct pk_buf *out_text);
/* Reads such a text; 'shown' names it in errors. */
bool pk_sign_pair_read(struct pk_sign_pair *pair, const char *text, const char *shown,
                       struct pk_error *err);
void pk_sign_pair_done(struct pk_sign_pair *pair);

/* A public key as it is given to a server, and back. */
void pk_sign_key_text(const uint8_t key[PK_SIGN_KEY], char out[PK_SIGN_KEY_TEXT]);
bool pk_sign_key_read(const char *text, uint8_t out[PK_SIGN_KEY], struct pk_error *err);

/* Signs a bundle: its signature, and the text of the file beside it. */
void pk_sign_bundle(struct pk_bundle *bundle, const struct pk_sign_pair *pair);
void pk_sign_put(const struct pk_bundle_signature *signature, struct pk_buf *out_text);
bool pk_sign_read(const char *text, const char *shown, struct pk_bundle_signature *out,
                  struct pk_error *err);

/* Whether the signature fits the files and its key is one of 'trusted'. A bundle without one is
 * refused when 'is_required', else it passes with '*out_is_signed' false; so does one whose key is
 * not trusted. A signature that does not fit is always refused: something was changed. */
bool pk_sign_verify(const struct pk_bundle *bundle, const uint8_t (*trusted)[PK_SIGN_KEY],
                    size_t trusted_count, bool is_required, bool *out_is_signed,
                    struct pk_error *err);

#endif
