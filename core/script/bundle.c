/* bundle.c - Files with names become a bundle: checked, put in order, hashed.
 *
 * The hash is BLAKE2b over a word of ours and then, in the order of names, each
 * name and text with its length before it: no two bundles are the same bytes.
 * A script of one file is known by its text alone: that file counts as
 * 'init.lua' or 'init.json' whatever it is called, so who renames it changes
 * nothing, and its signature fits still. Names within a folder do count, for
 * its files require each other by them. A byte order mark is not part of a text, so an editor that
 * adds one changes nothing.
 *
 * A text is refused for what no author means: nothing in it, bytes that are no
 * UTF-8, NUL, compiled code. What it says is the loader's business. */
/* SPDX-License-Identifier: MIT */
#include "script/bundle.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/base64.h"
#include "doc/json.h"
#include "script/bundle_internal.h"

#include <stdlib.h>
#include <string.h>

static const char hash_word[] = "personakit bundle 1";
static const char main_name[] = "init.lua";

/* ---- Names ---- */

static bool ends_in(const char *name, const char *ending)
{
    const size_t size = strlen(name), ending_size = strlen(ending);
    return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

bool bundle_is_module(const char *name)
{
    return name[0] != '.' && name[0] != '#' && ends_in(name, ".lua") &&
           !ends_in(name, "_spec.lua") && strcmp(name, "spec.lua") != 0;
}

bool bundle_is_tuning(const char *name)
{
    return strcmp(name, PK_BUNDLE_TUNING) == 0;
}

static bool name_is_good(const char *name)
{
    const size_t stem = strcspn(name, ".");
    if (stem == 0 || strlen(name) > PK_BUNDLE_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != stem || name[0] == '_' ||
        name[0] == '-') {
        return false;
    }
    return strcmp(name + stem, ".lua") == 0 || strcmp(name + stem, ".json") == 0;
}

static bool check_name(const struct pk_bundle *bundle, const char *name, struct pk_error *err)
{
    if (!name_is_good(name)) {
        return pk_fail(err, PK_INVALID,
                       "use a-z, 0-9, '_' and '-', the first a letter or digit, at most 64 in all, "
                       "and .lua or .json",
                       "'%.80s' is no name of a script's file", name);
    }
    for (size_t i = 0; i < bundle->count; i++) {
        if (strcmp(bundle->file[i].name, name) == 0) {
            return pk_fail(err, PK_INVALID, "give each file a name of its own",
                           "the file '%s' is there twice", name);
        }
    }
    return true;
}

/* ---- Texts ---- */

static unsigned line_of(const char *text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset; i++) {
        line += text[i] == '\n';
    }
    return line;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!strchr(" \t\r\n", text[i]) || text[i] == '\0') {
            return false;
        }
    }
    return true;
}

static bool check_text(const char *name, const char *text, size_t size, struct pk_error *err)
{
    if (size > PK_BUNDLE_FILE_MAX_BYTES) {
        return pk_fail(err, PK_TOO_LARGE, "make the script smaller", "'%s' has %zu bytes, above %d",
                       name, size, PK_BUNDLE_FILE_MAX_BYTES);
    }
    if (is_blank(text, size)) {
        return pk_fail(err, PK_INVALID, "save it again: perhaps it was not written to its end",
                       "'%s' is empty", name);
    }
    if (text[0] == '\x1b') {
        return pk_fail(err, PK_INVALID, "give the source, not what a compiler made of it",
                       "'%s' is compiled code", name);
    }
    const char *nul = memchr(text, '\0', size);
    if (nul) {
        return pk_fail(err, PK_INVALID, "save it again as UTF-8 without NUL bytes",
                       "'%s' has a NUL byte in line %u", name, line_of(text, (size_t)(nul - text)));
    }
    const size_t bad = pk_utf8_check((const uint8_t *)text, size);
    if (bad < size) {
        return pk_fail(err, PK_INVALID, "save it again as UTF-8", "'%s' is not UTF-8 in line %u",
                       name, line_of(text, bad));
    }
    return true;
}

/* ---- Building ---- */

struct pk_bundle *bundle_new(void)
{
    struct pk_bundle *bundle = pk_calloc(1, sizeof(*bundle));
    bundle->refs = 1;
    return bundle;
}

void bundle_unrefp(struct pk_bundle **bundle)
{
    pk_bundle_unref(*bundle);
}

bool bundle_add(struct pk_bundle *bundle, const char *name, const char *text, size_t size,
                struct pk_error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t total = size;

    if (bundle->count == PK_BUNDLE_FILES_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "join some of them", "the script has more than %d files",
                       PK_BUNDLE_FILES_MAX);
    }
    while (size >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    if (!check_name(bundle, name, err) || !check_text(name, text, size, err)) {
        return false;
    }
    for (size_t i = 0; i < bundle->count; i++) {
        total += bundle->file[i].size;
    }
    if (total > PK_BUNDLE_MAX_BYTES) {
        return pk_fail(err, PK_TOO_LARGE, "make the script smaller",
                       "the files of the script have more than %d bytes together",
                       PK_BUNDLE_MAX_BYTES);
    }
    bundle->file = pk_realloc(bundle->file, (bundle->count + 1) * sizeof(*bundle->file));
    bundle->file[bundle->count++] = (struct pk_bundle_file){ .name = pk_strdup(name),
                                                             .text = pk_strndup(text, size),
                                                             .size = size };
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct pk_bundle_file *)a)->name,
                  ((const struct pk_bundle_file *)b)->name);
}

/* Beside other files it is no script; alone it is one that is called so. */
static void find_tuning(struct pk_bundle *bundle)
{
    for (size_t i = 0; bundle->count > 1 && i < bundle->count; i++) {
        if (bundle_is_tuning(bundle->file[i].name)) {
            bundle->tuning = &bundle->file[i];
        }
    }
}

static bool find_main(struct pk_bundle *bundle, struct pk_error *err)
{
    const size_t parts = bundle->count - (bundle->tuning != NULL);
    size_t found = bundle->count;
    for (size_t i = 0; i < bundle->count; i++) {
        if (&bundle->file[i] == bundle->tuning) {
            continue;
        }
        if (parts == 1 || strcmp(bundle->file[i].name, main_name) == 0) {
            found = i;
        }
        if (parts > 1 && !ends_in(bundle->file[i].name, ".lua")) {
            return pk_fail(err, PK_INVALID, "declared rules are one file, alone",
                           "'%s' cannot be a part of a script of many files", bundle->file[i].name);
        }
    }
    bundle->main = found;
    return found < bundle->count ||
           pk_fail(err, PK_INVALID, "name the one that is the script 'init.lua'",
                   bundle->count ? "none of its files is 'init.lua'" : "the script has no files");
}

static void hash_piece(struct pk_hasher *hasher, const char *data, size_t size)
{
    uint8_t length[8];
    for (size_t i = 0; i < sizeof(length); i++) {
        length[i] = (uint8_t)((uint64_t)size >> (8 * i));
    }
    pk_hasher_add(hasher, length, sizeof(length));
    pk_hasher_add(hasher, data, size);
}

static void hash_files(struct pk_bundle *bundle)
{
    static const char *const name_alone[] = {
        [PK_BUNDLE_LUA] = "init.lua", [PK_BUNDLE_RULES] = "init.json"
    };
    struct pk_hasher hasher;

    pk_hasher_init(&hasher);
    hash_piece(&hasher, hash_word, sizeof(hash_word) - 1);
    for (size_t i = 0; i < bundle->count; i++) {
        const struct pk_bundle_file *file = &bundle->file[i];
        const char *name = bundle->count == 1 ? name_alone[bundle->format] : file->name;
        hash_piece(&hasher, name, strlen(name));
        hash_piece(&hasher, file->text, file->size);
    }
    pk_hasher_end(&hasher, bundle->hash);
    pk_hex(bundle->hash_text, bundle->hash, sizeof(bundle->hash));
}

bool bundle_finish(struct pk_bundle *bundle, struct pk_error *err)
{

    if (bundle->count > 1) {
        qsort(bundle->file, bundle->count, sizeof(*bundle->file), by_name);
    }
    find_tuning(bundle);
    if (!find_main(bundle, err)) {
        return false;
    }
    bundle->format =
        ends_in(bundle->file[bundle->main].name, ".json") ? PK_BUNDLE_RULES : PK_BUNDLE_LUA;
    hash_files(bundle);
    return true;
}

bool pk_bundle_of_text(const char *name, const char *text, size_t size, struct pk_bundle **out,
                       struct pk_error *err)
{
    PK_CLEANUP(bundle_unrefp) struct pk_bundle *bundle = bundle_new();
    if (!bundle_add(bundle, name, text, size, err) || !bundle_finish(bundle, err)) {
        return false;
    }
    *out = bundle;
    bundle = NULL;
    return true;
}

bool pk_bundle_tune(const struct pk_bundle *bundle, const char *tuning, size_t size,
                    struct pk_bundle **out, struct pk_error *err)
{
    PK_CLEANUP(bundle_unrefp) struct pk_bundle *made = bundle_new();
    bool ok = true;
    for (size_t i = 0; ok && i < bundle->count; i++) {
        const struct pk_bundle_file *file = &bundle->file[i];
        ok = file == bundle->tuning || bundle_add(made, file->name, file->text, file->size, err);
    }
    if (!ok || !bundle_add(made, PK_BUNDLE_TUNING, tuning, size, err) ||
        !bundle_finish(made, err)) {
        return false;
    }
    *out = made;
    made = NULL;
    return true;
}

struct pk_bundle *pk_bundle_ref(struct pk_bundle *bundle)
{
    (void)__atomic_add_fetch(&bundle->refs, 1, __ATOMIC_RELAXED);
    return bundle;
}

void pk_bundle_unref(struct pk_bundle *bundle)
{
    if (!bundle || __atomic_sub_fetch(&bundle->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < bundle->count; i++) {
        pk_free(bundle->file[i].name);
        pk_free(bundle->file[i].text);
    }
    pk_free(bundle->file);
    pk_free(bundle);
}

/* ---- As a document ---- */

static bool fail_doc(struct pk_error *err, const char *what)
{
    return pk_fail(err, PK_INVALID, "give { files: { name: text }, signature: { key, sig } }",
                   "the document is no script: %s", what);
}

static bool add_files(struct pk_bundle *bundle, bson_iter_t *files, struct pk_error *err)
{
    while (bson_iter_next(files)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf name = { 0 };
        uint32_t size = 0;
        if (!BSON_ITER_HOLDS_UTF8(files)) {
            return fail_doc(err, "a file is no text");
        }
        pk_key_unescape(&name, bson_iter_key(files), bson_iter_key_len(files));
        const char *text = bson_iter_utf8(files, &size);
        if (!bundle_add(bundle, pk_buf_text(&name), text, size, err)) {
            return false;
        }
    }
    return true;
}

/* Binary, or base64 in a text: exactly 'size' bytes. */
static bool take_bytes(const bson_iter_t *iter, const char *name, uint8_t *out, size_t size)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf bytes = { 0 };
    bson_iter_t child;
    uint32_t length = 0;

    if (!bson_iter_recurse(iter, &child) || !bson_iter_find(&child, name)) {
        return false;
    }
    if (BSON_ITER_HOLDS_BINARY(&child)) {
        const uint8_t *data = NULL;
        bson_subtype_t subtype;
        bson_iter_binary(&child, &subtype, &length, &data);
        pk_buf_add(&bytes, data, length);
    } else if (BSON_ITER_HOLDS_UTF8(&child)) {
        const char *text = bson_iter_utf8(&child, &length);
        (void)pk_base64_read(&bytes, text, length);
    }
    if (bytes.size != size) {
        return false;
    }
    memcpy(out, bytes.data, size);
    return true;
}

static bool take_signature(struct pk_bundle_signature *signature, const bson_iter_t *iter,
                           struct pk_error *err)
{
    signature->is_there = true;
    return (BSON_ITER_HOLDS_DOCUMENT(iter) &&
            take_bytes(iter, "key", signature->key, sizeof(signature->key)) &&
            take_bytes(iter, "sig", signature->sig, sizeof(signature->sig))) ||
           fail_doc(err, "its signature needs 'key' of 32 bytes and 'sig' of 64");
}

bool pk_bundle_of_doc(const bson_t *doc, struct pk_bundle **out, struct pk_error *err)
{
    PK_CLEANUP(bundle_unrefp) struct pk_bundle *bundle = bundle_new();
    bson_iter_t iter, files;

    if (!bson_iter_init_find(&iter, doc, "files") || !BSON_ITER_HOLDS_DOCUMENT(&iter) ||
        !bson_iter_recurse(&iter, &files)) {
        return fail_doc(err, "it has no 'files'");
    }
    if (!add_files(bundle, &files, err)) {
        return false;
    }
    if (bson_iter_init_find(&iter, doc, "signature") && !BSON_ITER_HOLDS_NULL(&iter) &&
        !take_signature(&bundle->signature, &iter, err)) {
        return false;
    }
    if (!bundle_finish(bundle, err)) {
        return false;
    }
    *out = bundle;
    bundle = NULL;
    return true;
}

void pk_bundle_put(const struct pk_bundle *bundle, bson_t *out)
{
    bson_t child;

    (void)bson_append_document_begin(out, "files", -1, &child);
    for (size_t i = 0; i < bundle->count; i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf key = { 0 };
        const struct pk_bundle_file *file = &bundle->file[i];
        pk_key_escape(&key, file->name, strlen(file->name));
        (void)bson_append_utf8(&child, key.data, (int)key.size, file->text, (int)file->size);
    }
    (void)bson_append_document_end(out, &child);
    if (bundle->signature.is_there) {
        (void)bson_append_document_begin(out, "signature", -1, &child);
        (void)bson_append_binary(&child, "key", -1, BSON_SUBTYPE_BINARY, bundle->signature.key,
                                 sizeof(bundle->signature.key));
        (void)bson_append_binary(&child, "sig", -1, BSON_SUBTYPE_BINARY, bundle->signature.sig,
                                 sizeof(bundle->signature.sig));
        (void)bson_append_document_end(out, &child);
    }
}

/* ---- Lines ---- */

bool pk_bundle_line(const struct pk_bundle *bundle, const char *file, unsigned number,
                    const char **out, size_t *out_size)
{
    for (size_t i = 0; number > 0 && i < bundle->count; i++) {
        if (strcmp(bundle->file[i].name, file) != 0) {
            continue;
        }
        const char *line = bundle->file[i].text;
        for (unsigned at = 1; at < number && line; at++) {
            const char *end = strchr(line, '\n');
            line = end ? end + 1 : NULL;
        }
        if (!line || !*line) {
            return false;
        }
        *out = line;
        *out_size = strcspn(line, "\r\n");
        return true;
    }
    return false;
}
