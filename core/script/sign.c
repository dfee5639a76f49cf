/* sign.c - Ed25519 over a word of ours and the bundle's hash.
 *
 * The word keeps a signature from meaning anything elsewhere; the hash covers
 * names and texts of all files, the manifest in them included. A file of two
 * lines more than its title is read as strictly as it is written, so that two
 * files never mean the same signature. */
/* SPDX-License-Identifier: MIT */
#include "script/sign.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"

#include <string.h>

static const char sign_word[] = "personakit script 1";
static const char sig_title[] = "personakit signature";
static const char pair_title[] = "personakit signing key (secret)";

enum { MESSAGE_BYTES = sizeof(sign_word) - 1 + PK_HASH_BYTES, LINE_BYTES = PK_SIGN_BYTES };

/* ---- Texts of lines ---- */

static void put_line(struct pk_buf *out, const char *name, const uint8_t *data, size_t size)
{
    char hex[2 * LINE_BYTES + 1];
    pk_hex(hex, data, size);
    pk_buf_printf(out, "%s: %s\n", name, hex);
    pk_secret_wipe(hex, sizeof(hex));
}

/* Exactly 'size' bytes in lower-case hexadecimal. */
static bool read_hex(const char *text, size_t length, uint8_t *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    if (length != 2 * size) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) {
            return false;
        }
        const unsigned value = (unsigned)(digit - digits);
        out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : out[i / 2] | value);
    }
    return true;
}

/* Takes "NAME: digits" at '*text' and goes behind it. */
static bool take_line(const char **text, const char *name, uint8_t *out, size_t size)
{
    const size_t name_size = strlen(name);
    const char *at = *text;

    if (strncmp(at, name, name_size) != 0 || strncmp(at + name_size, ": ", 2) != 0) {
        return false;
    }
    at += name_size + 2;
    const size_t length = strcspn(at, "\r\n");
    if (!read_hex(at, length, out, size)) {
        return false;
    }
    at += length;
    at += *at == '\r';
    *text = at + (*at == '\n');
    return true;
}

static bool take_title(const char **text, const char *title)
{
    const size_t size = strlen(title);
    if (strncmp(*text, title, size) != 0) {
        return false;
    }
    const char *at = *text + size;
    at += *at == '\r';
    *text = at + (*at == '\n');
    return *at == '\n';
}

/* ---- Keys ---- */

void pk_sign_pair_new(struct pk_sign_pair *pair, struct pk_buf *out_text)
{
    uint8_t seed[PK_SIGN_SEED];
    pk_random(seed, sizeof(seed));
    pk_sign_pair(seed, pair->key, pair->secret);
    pk_buf_printf(out_text, "%s\n", pair_title);
    put_line(out_text, "key", pair->key, sizeof(pair->key));
    put_line(out_text, "seed", seed, sizeof(seed));
    pk_secret_wipe(seed, sizeof(seed));
}

bool pk_sign_pair_read(struct pk_sign_pair *pair, const char *text, const char *shown,
                       struct pk_error *err)
{
    uint8_t seed[PK_SIGN_SEED], key[PK_SIGN_KEY];
    const bool is_read = take_title(&text, pair_title) &&
                         take_line(&text, "key", key, sizeof(key)) &&
                         take_line(&text, "seed", seed, sizeof(seed)) && *text == '\0';
    if (is_read) {
        pk_sign_pair(seed, pair->key, pair->secret);
        pk_secret_wipe(seed, sizeof(seed));
    }
    if (!is_read || memcmp(pair->key, key, sizeof(key)) != 0) {
        pk_sign_pair_done(pair);
        return pk_fail(err, PK_INVALID, "'personakit mapper keygen FILE' makes one",
                       "'%.160s' is no signing key", shown);
    }
    return true;
}

void pk_sign_pair_done(struct pk_sign_pair *pair)
{
    pk_secret_wipe(pair->secret, sizeof(pair->secret));
}

void pk_sign_key_text(const uint8_t key[PK_SIGN_KEY], char out[PK_SIGN_KEY_TEXT])
{
    pk_hex(out, key, PK_SIGN_KEY);
}

bool pk_sign_key_read(const char *text, uint8_t out[PK_SIGN_KEY], struct pk_error *err)
{
    return read_hex(text, strlen(text), out, PK_SIGN_KEY) ||
           pk_fail(err, PK_INVALID, "give the 64 digits that 'personakit mapper keygen' printed",
                   "'%.80s' is no public key", text);
}

/* ---- Signatures ---- */

static void message_of(const struct pk_bundle *bundle, uint8_t out[MESSAGE_BYTES])
{
    memcpy(out, sign_word, sizeof(sign_word) - 1);
    memcpy(out + sizeof(sign_word) - 1, bundle->hash, sizeof(bundle->hash));
}

void pk_sign_bundle(struct pk_bundle *bundle, const struct pk_sign_pair *pair)
{
    uint8_t message[MESSAGE_BYTES];
    message_of(bundle, message);
    bundle->signature.is_there = true;
    memcpy(bundle->signature.key, pair->key, sizeof(pair->key));
    pk_sign_make(bundle->signature.sig, message, sizeof(message), pair->secret);
}

void pk_sign_put(const struct pk_bundle_signature *signature, struct pk_buf *out_text)
{
    pk_buf_printf(out_text, "%s\n", sig_title);
    put_line(out_text, "key", signature->key, sizeof(signature->key));
    put_line(out_text, "sig", signature->sig, sizeof(signature->sig));
}

bool pk_sign_read(const char *text, const char *shown, struct pk_bundle_signature *out,
                  struct pk_error *err)
{
    out->is_there = take_title(&text, sig_title) &&
                    take_line(&text, "key", out->key, sizeof(out->key)) &&
                    take_line(&text, "sig", out->sig, sizeof(out->sig)) && *text == '\0';
    return out->is_there ||
           pk_fail(err, PK_INVALID, "sign it again with 'personakit mapper sign', or remove it",
                   "'%.160s' is no signature", shown);
}

bool pk_sign_verify(const struct pk_bundle *bundle, const uint8_t (*trusted)[PK_SIGN_KEY],
                    size_t trusted_count, bool is_required, bool *out_is_signed,
                    struct pk_error *err)
{
    const struct pk_bundle_signature *signature = &bundle->signature;
    uint8_t message[MESSAGE_BYTES];
    char key[PK_SIGN_KEY_TEXT];

    *out_is_signed = false;
    if (!signature->is_there) {
        return !is_required ||
               pk_fail(err, PK_INVALID,
                       "sign it with 'personakit mapper sign', or set scripts.require_signature "
                       "to false",
                       "the script is not signed");
    }
    message_of(bundle, message);
    pk_sign_key_text(signature->key, key);
    if (!pk_sign_check(signature->sig, message, sizeof(message), signature->key)) {
        return pk_fail(err, PK_INVALID,
                       "the script was changed since: sign it again, or remove its signature",
                       "the signature by key '%s' does not fit the script", key);
    }
    for (size_t i = 0; i < trusted_count; i++) {
        *out_is_signed |= memcmp(trusted[i], signature->key, sizeof(signature->key)) == 0;
    }
    return *out_is_signed || !is_required ||
           pk_fail(err, PK_INVALID, "add the key to scripts.keys, if you trust who has it",
                   "the script is signed by key '%s', which is not trusted", key);
}
