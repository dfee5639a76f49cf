/* pepper.c - The pepper file: read strictly, written whole.
 *
 *     personakit-pepper 1
 *     3kd7qa2m 5f0c...(64 hexadecimal digits)     oldest first
 *     x2m4ztrw 91be...
 *     check 7d20...                               BLAKE2b of all lines above
 *
 * The check line finds a file that was cut or edited; without it a key would
 * simply be unknown one day. The file is replaced atomically, so a crash
 * leaves the old peppers or the new ones. */
/* SPDX-License-Identifier: MIT */
#include "access/pepper.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILE_MAX_BYTES = 4096,
    ID_SIZE = PK_PEPPER_ID_TEXT - 1,
    ID_BYTES = 5, /* Random bytes of an id: 40 bits are 8 characters. */
    HEX_SIZE = 2 * PK_PEPPER_BYTES
};
static const char head_line[] = "personakit-pepper 1\n";
static const char check_word[] = "check ";

struct pk_peppers {
    struct pk_pepper pepper[PK_PEPPERS_MAX]; /* Oldest first. */
    size_t count;
};

void pk_peppers_free(struct pk_peppers *peppers)
{
    if (peppers) {
        pk_secret_wipe(peppers, sizeof(*peppers));
        pk_free(peppers);
    }
}

void pk_peppers_freep(struct pk_peppers **peppers)
{
    pk_peppers_free(*peppers);
}

/* A buffer that had secrets in it. It was reserved whole, so it has never moved. */
static void wipe_buf(struct pk_buf *buf)
{
    if (buf->data) {
        pk_secret_wipe(buf->data, buf->capacity);
    }
    pk_buf_done(buf);
}

static void add_fresh(struct pk_peppers *peppers)
{
    struct pk_pepper *pepper = &peppers->pepper[peppers->count++];
    uint8_t id[ID_BYTES];
    pk_random(id, sizeof(id));
    pk_base32(pepper->id, id, sizeof(id));
    pk_random(pepper->secret, sizeof(pepper->secret));
}

/* ---- The file ---- */

static void hex_hash(char out[PK_HASH_TEXT], const char *data, size_t size)
{
    uint8_t hash[PK_HASH_BYTES];
    pk_hash(hash, data, size, NULL, 0);
    pk_hex(out, hash, sizeof(hash));
}

static bool write_file(const char *path, const struct pk_peppers *peppers, struct pk_error *err)
{
    PK_CLEANUP(wipe_buf) struct pk_buf text = { 0 };
    char hex[PK_HASH_TEXT];

    (void)pk_buf_reserve(&text, FILE_MAX_BYTES);
    pk_buf_add_text(&text, head_line);
    for (size_t i = 0; i < peppers->count; i++) {
        pk_hex(hex, peppers->pepper[i].secret, PK_PEPPER_BYTES);
        pk_buf_printf(&text, "%s %s\n", peppers->pepper[i].id, hex);
    }
    hex_hash(hex, text.data, text.size);
    pk_buf_printf(&text, "%s%s\n", check_word, hex);
    pk_secret_wipe(hex, sizeof(hex));
    return pk_file_write(path, text.data, text.size, 0600, err);
}

static bool fail_damaged(const char *path, struct pk_error *err)
{
    return pk_fail(
        err, PK_INTERNAL,
        "restore it from a backup, or move it away and run 'key reset': all keys are void then",
        "the pepper file '%s' is damaged", path);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(uint8_t *out, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_id(const char *text)
{
    for (size_t i = 0; i < ID_SIZE; i++) {
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '2' && text[i] <= '7'))) {
            return false;
        }
    }
    return true;
}

/* The lines between head and check; each has one size, so there is nothing to search. */
static bool read_lines(struct pk_peppers *out, const char *at, size_t size)
{
    enum { LINE = ID_SIZE + 1 + HEX_SIZE + 1 };
    if (size == 0 || size % LINE != 0 || size / LINE > PK_PEPPERS_MAX) {
        return false;
    }
    for (; size > 0; at += LINE, size -= LINE) {
        struct pk_pepper *pepper = &out->pepper[out->count];
        if (!is_id(at) || at[ID_SIZE] != ' ' || at[LINE - 1] != '\n' ||
            !read_hex(pepper->secret, at + ID_SIZE + 1, PK_PEPPER_BYTES)) {
            return false;
        }
        memcpy(pepper->id, at, ID_SIZE);
        if (pk_peppers_find(out, pepper->id)) {
            return false;
        }
        out->count++;
    }
    return true;
}

static bool read_text(struct pk_peppers *out, const char *text, size_t size)
{
    const size_t head = sizeof(head_line) - 1;
    const size_t word = sizeof(check_word) - 1;
    const size_t tail = word + HEX_SIZE + 1;
    char hex[PK_HASH_TEXT];

    if (size < head + tail || memcmp(text, head_line, head) != 0) {
        return false;
    }
    const char *check = text + size - tail;
    hex_hash(hex, text, size - tail);
    return memcmp(check, check_word, word) == 0 && memcmp(check + word, hex, HEX_SIZE) == 0 &&
           check[tail - 1] == '\n' && read_lines(out, text + head, size - head - tail);
}

/* Nobody but its owner may be able to read it. PK_NOT_FOUND when it is not there. */
static bool check_mode(const char *path, struct pk_error *err)
{
    struct stat info;
    if (lstat(path, &info) != 0) {
        return pk_fail(err, PK_NOT_FOUND, NULL, "there is no pepper file '%s'", path);
    }
    if (S_ISREG(info.st_mode) && (info.st_mode & 0077) != 0) {
        return pk_fail(err, PK_FORBIDDEN, "run 'chmod 600' on it, then 'personakit pepper rotate'",
                       "the pepper file '%s' is open to others (mode %03o)", path,
                       (unsigned)info.st_mode & 0777u);
    }
    return true;
}

static bool read_file(struct pk_peppers **out, const char *path, struct pk_error *err)
{
    PK_CLEANUP(pk_peppers_freep) struct pk_peppers *peppers = pk_calloc(1, sizeof(*peppers));
    PK_CLEANUP(wipe_buf) struct pk_buf text = { 0 };

    (void)pk_buf_reserve(&text, 65536 + FILE_MAX_BYTES); /* What pk_file_read asks for, and more. */
    if (!check_mode(path, err) || !pk_file_read(&text, path, FILE_MAX_BYTES, err)) {
        return false;
    }
    if (!read_text(peppers, pk_buf_text(&text), text.size)) {
        return fail_damaged(path, err);
    }
    *out = peppers;
    peppers = NULL;
    return true;
}

/* ---- The keys there are ---- */

struct fit {
    const struct pk_peppers *peppers; /* NULL: there is no file. */
    size_t keys;                      /* Active ones seen. */
    bool is_any;                      /* One of them names a pepper of ours. */
};

static void look_at_key(struct fit *fit, const struct pk_doc *actor, size_t number)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "apiKeys.%zu.status", number);
    const char *status = pk_doc_text(actor, path);
    if (!status || strcmp(status, "active") != 0) {
        return;
    }
    fit->keys++;
    (void)snprintf(path, sizeof(path), "apiKeys.%zu.pepperId", number);
    if (fit->peppers && pk_peppers_find(fit->peppers, pk_doc_text(actor, path))) {
        fit->is_any = true;
    }
}

static void look_at_actor(struct fit *fit, const struct pk_doc *actor)
{
    char path[48];
    for (size_t i = 0;; i++) {
        (void)snprintf(path, sizeof(path), "apiKeys.%zu.keyId", i);
        if (!pk_doc_text(actor, path)) {
            return;
        }
        look_at_key(fit, actor, i);
    }
}

/* Until one key fits, or there are no more. A file that is in use fits the first key. */
static bool look_at_store(struct fit *fit, struct pk_store *store, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = "actors", .index = "_id", .limit = PK_PAGE_MAX, .cursor = cursor
        };
        if (!pk_store_find(store, &query, 0, &page, err)) {
            return pk_wrap(err, "look for keys");
        }
        for (size_t i = 0; i < page.count; i++) {
            look_at_actor(fit, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor && !fit->is_any && (fit->peppers || fit->keys == 0));
    return true;
}

/* ---- Opening and changing ---- */

static bool make_file(struct pk_peppers **out, const char *path, struct pk_error *err)
{
    PK_CLEANUP(pk_peppers_freep) struct pk_peppers *peppers = pk_calloc(1, sizeof(*peppers));
    add_fresh(peppers);
    if (!write_file(path, peppers, err)) {
        return pk_wrap(err, "make the pepper");
    }
    *out = peppers;
    peppers = NULL;
    return true;
}

static bool open_missing(struct pk_peppers **out, const char *path, struct pk_store *store,
                         bool is_loss_accepted, struct pk_error *err)
{
    struct fit fit = { 0 };
    if (!is_loss_accepted && !look_at_store(&fit, store, err)) {
        return false;
    }
    if (fit.keys > 0) {
        return pk_fail(err, PK_PRECONDITION,
                       "copy the pepper file from a backup or another node, or run 'key reset' "
                       "to start over with a new key",
                       "the pepper file '%s' is missing, and there are keys that need it", path);
    }
    return make_file(out, path, err);
}

bool pk_peppers_open(struct pk_peppers **out, const char *folder, struct pk_store *store,
                     bool is_loss_accepted, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/pepper", folder);
    PK_CLEANUP(pk_peppers_freep) struct pk_peppers *peppers = NULL;
    struct pk_error own = { 0 };

    if (!read_file(&peppers, path, &own)) {
        if (own.code == PK_NOT_FOUND) {
            return open_missing(out, path, store, is_loss_accepted, err);
        }
        return pk_fail(err, own.code, own.hint, "%s", own.message);
    }
    struct fit fit = { .peppers = peppers };
    if (!look_at_store(&fit, store, err)) {
        return false;
    }
    if (fit.keys > 0 && !fit.is_any && !is_loss_accepted) {
        return pk_fail(err, PK_PRECONDITION,
                       "copy the pepper file from a backup or another node, or run 'key reset' "
                       "to start over with a new key",
                       "the pepper file '%s' belongs to another store: it fits none of the keys",
                       path);
    }
    *out = peppers;
    peppers = NULL;
    return true;
}

bool pk_peppers_rotate(const char *folder, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/pepper", folder);
    PK_CLEANUP(pk_peppers_freep) struct pk_peppers *peppers = NULL;

    if (!read_file(&peppers, path, err)) {
        return pk_wrap(err, "rotate the pepper");
    }
    if (peppers->count == PK_PEPPERS_MAX) {
        return pk_fail(err, PK_PRECONDITION,
                       "'personakit pepper list' shows one without keys: retire it first",
                       "cannot rotate the pepper: there are %d already", (int)PK_PEPPERS_MAX);
    }
    add_fresh(peppers);
    return write_file(path, peppers, err) || pk_wrap(err, "rotate the pepper");
}

bool pk_peppers_retire(const char *folder, const char *id, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/pepper", folder);
    PK_CLEANUP(pk_peppers_freep) struct pk_peppers *peppers = NULL;

    if (!read_file(&peppers, path, err)) {
        return pk_wrap(err, "retire a pepper");
    }
    const struct pk_pepper *found = pk_peppers_find(peppers, id);
    if (!found) {
        return pk_fail(err, PK_NOT_FOUND, "the ids stand at the start of the file's lines",
                       "there is no pepper '%s'", id);
    }
    const size_t at = (size_t)(found - peppers->pepper);
    if (at == 0 || at + 1 == peppers->count) {
        return pk_fail(err, PK_PRECONDITION, "rotate first; the first one stays for good",
                       "pepper '%s' is in use: it is the %s", id, at == 0 ? "first" : "newest");
    }
    memmove(&peppers->pepper[at], &peppers->pepper[at + 1],
            (peppers->count - at - 1) * sizeof(peppers->pepper[0]));
    peppers->count--;
    return write_file(path, peppers, err) || pk_wrap(err, "retire a pepper");
}

const struct pk_pepper *pk_peppers_newest(const struct pk_peppers *peppers)
{
    return &peppers->pepper[peppers->count - 1];
}

const struct pk_pepper *pk_peppers_first(const struct pk_peppers *peppers)
{
    return &peppers->pepper[0];
}

const struct pk_pepper *pk_peppers_find(const struct pk_peppers *peppers, const char *id)
{
    for (size_t i = 0; id && i < peppers->count; i++) {
        if (strcmp(peppers->pepper[i].id, id) == 0) {
            return &peppers->pepper[i];
        }
    }
    return NULL;
}

size_t pk_peppers_count(const struct pk_peppers *peppers)
{
    return peppers->count;
}
