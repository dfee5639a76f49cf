/* admin.c - A key in a file and its hash in the store, with no instant at which only one counts.
 *
 *     1  write the fresh key to admin.key.new
 *     2  commit the actor with its hash
 *     3  write it to admin.key, remove admin.key.new
 *
 * A crash before 2 leaves a key that nobody knows: the next start finds that
 * it fits nothing and removes it. A crash behind 2 leaves one that fits: the
 * next start does step 3. The old admin.key is never touched before the new
 * key works. When nobody can say whether 2 happened (PK_UNKNOWN), the new file
 * stays, and the next start finds out.
 *
 * Two nodes that meet an empty store at once insert the same id; the loser
 * removes its file and goes on without a key of its own. */
/* SPDX-License-Identifier: MIT */
#include "access/admin.h"

#include "access/actor_internal.h"
#include "access/pepper.h"
#include "access/principal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/doc.h"
#include "store/store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct pk_by server_itself = { .actor_id = "personakit" };

struct paths {
    char *file;  /* FOLDER/admin.key */
    char *fresh; /* FOLDER/admin.key.new */
};

static void paths_done(struct paths *paths)
{
    pk_free(paths->file);
    pk_free(paths->fresh);
}

static struct paths paths_of(const char *folder)
{
    return (struct paths){ .file = pk_strdupf("%s/admin.key", folder),
                           .fresh = pk_strdupf("%s/admin.key.new", folder) };
}

/* ---- The file ---- */

static bool write_key(const char *path, const struct pk_key *key, struct pk_error *err)
{
    char text[PK_KEY_TEXT + 1];
    pk_key_print(key, text);
    text[PK_KEY_SIZE] = '\n';
    const bool ok = pk_file_write(path, text, PK_KEY_SIZE + 1, 0600, err);
    pk_secret_wipe(text, sizeof(text));
    return ok;
}

/* PK_NOT_FOUND: no file. A file that holds no key is like one that fits nothing. */
static bool read_key(const char *path, struct pk_key *out, bool *out_is_key, struct pk_error *err)
{
    struct pk_buf text = { 0 };
    (void)pk_buf_reserve(&text, 65536 * 2); /* Never moves, so that wiping it wipes all. */
    const bool ok = pk_file_read(&text, path, 4096, err);
    const bool has_line = ok && text.size == PK_KEY_SIZE + 1 && text.data[PK_KEY_SIZE] == '\n';
    *out_is_key = pk_key_parse(out, pk_buf_text(&text), has_line ? PK_KEY_SIZE : 0);
    pk_secret_wipe(text.data, text.capacity);
    pk_buf_done(&text);
    return ok;
}

static bool remove_file(const char *path, struct pk_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return pk_fail(err, PK_UNAVAILABLE, "remove it by hand", "cannot remove '%s'", path);
    }
    return true;
}

/* Step 3. */
static bool publish_key(const struct paths *paths, const struct pk_key *key, struct pk_error *err)
{
    return write_key(paths->file, key, err) && remove_file(paths->fresh, err);
}

/* ---- After a crash ---- */

static bool is_working(const struct pk_books *books, const struct pk_doc *actor,
                       const struct pk_key *key)
{
    PK_CLEANUP(pk_principal_unrefp)
    struct pk_principal *principal = actor ? pk_principal_new(actor, key->id) : NULL;
    return principal && principal->is_active &&
           pk_key_fits(key, pk_peppers_find(books->peppers, principal->pepper_id), principal->hash);
}

/* Finishes or forgets what a former run left in admin.key.new. */
static bool recover(const struct pk_books *books, const struct paths *paths, struct pk_error *err)
{
    PK_CLEANUP(pk_key_wipe) struct pk_key key = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    struct pk_error own = { 0 };
    bool is_key = false;

    if (!read_key(paths->fresh, &key, &is_key, &own)) {
        return own.code == PK_NOT_FOUND || pk_fail(err, own.code, own.hint, "%s", own.message);
    }
    if (!pk_store_get(books->store, "actors", PK_ADMIN_ID, 0, &actor, err)) {
        return false;
    }
    return is_key && is_working(books, actor, &key) ? publish_key(paths, &key, err)
                                                    : remove_file(paths->fresh, err);
}

/* ---- A new key ---- */

static void add_capabilities(bson_t *bson)
{
    bson_t child;
    bson_t list;
    BSON_APPEND_DOCUMENT_BEGIN(bson, "capabilities", &child);
    BSON_APPEND_BOOL(&child, "canRequestPersonas", true);
    BSON_APPEND_BOOL(&child, "canProvideFeedback", true);
    BSON_APPEND_UTF8(&child, "maxDetailLevel", pk_detail_name(PK_DETAIL_DEEP_DIVE));
    static const char *const all[] = { "allowedMappers", "people" };
    for (size_t i = 0; i < PK_COUNT(all); i++) {
        BSON_APPEND_ARRAY_BEGIN(&child, all[i], &list);
        BSON_APPEND_UTF8(&list, "0", "*");
        bson_append_array_end(&child, &list);
    }
    BSON_APPEND_ARRAY_BEGIN(&child, "grants", &list);
    uint32_t count = 0;
    for (unsigned bit = 1; bit & PK_CAN_ALL; bit <<= 1) {
        if (!pk_capability_field((enum pk_capability)bit)) {
            char key[2] = { (char)('0' + count++), '\0' };
            BSON_APPEND_UTF8(&list, key, pk_capability_name((enum pk_capability)bit));
        }
    }
    bson_append_array_end(&child, &list);
    BSON_APPEND_ARRAY_BEGIN(&child, "hiddenPaths", &list);
    bson_append_array_end(&child, &list);
    bson_append_document_end(bson, &child);
}

/* What 'admin' is. */
static void make_wanted(bson_t *out)
{
    bson_init(out);
    BSON_APPEND_UTF8(out, "actorType", "system");
    BSON_APPEND_UTF8(out, "name", "admin");
    BSON_APPEND_UTF8(out, "description", "Made at the first start; may do everything.");
    add_capabilities(out);
}

struct gift {
    const struct pk_books *books;
    const struct pk_key *key;
    const bson_t *wanted;
    bool is_first; /* Only on a store without actors. */
    bool is_late;  /* There was one: nothing was done. */
};

static bool has_actors(const struct pk_books *books, bool *out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "actors", .index = "_id", .limit = 1 };
    if (!pk_store_find(books->store, &query, 0, &page, err)) {
        return pk_wrap(err, "look for actors");
    }
    *out = page.count > 0;
    return true;
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct gift *gift = context;
    const struct pk_books *books = gift->books;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = NULL;
    const int64_t now_ms = pk_clock_wall_ms(books->clock);
    const struct actor_edit edit = { .wanted = gift->wanted,
                                     .status = "active",
                                     .new_key = gift->key,
                                     .pepper = pk_peppers_newest(books->peppers),
                                     .key_name = gift->is_first ? "first start" : "key reset",
                                     .is_all_revoked = true };
    const struct pk_fact fact[] = { { "keyId", gift->key->id }, { NULL, NULL } };

    if (gift->is_first && (!has_actors(books, &gift->is_late, err) || gift->is_late)) {
        return gift->is_late;
    }
    if (!pk_store_get(books->store, "actors", PK_ADMIN_ID, 0, &old, err)) {
        return false;
    }
    if (gift->is_first && old) { /* Another node made it between the two reads: its key stays. */
        gift->is_late = true;
        return true;
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc =
        old ? actor_doc_edit(old, &edit, now_ms) : actor_doc_new(PK_ADMIN_ID, &edit, now_ms);
    if (old) {
        pk_writes_replace(list, "actors", doc, pk_doc_version(old));
    } else {
        pk_writes_insert(list, "actors", doc);
    }
    actor_note(list, books, &server_itself, gift->is_first ? "actor.created" : "key.reset",
               PK_ADMIN_ID, fact);
    return true;
}

static bool give_key(const struct pk_books *books, const struct paths *paths, bool is_first,
                     bool *out_is_given, struct pk_error *err)
{
    PK_CLEANUP(pk_key_wipe) struct pk_key key = { 0 };
    PK_CLEANUP(bson_destroy) bson_t wanted;
    struct pk_error own = { 0 };

    make_wanted(&wanted);
    pk_key_new(&key);
    struct gift gift = { .books = books, .key = &key, .wanted = &wanted, .is_first = is_first };
    if (!write_key(paths->fresh, &key, err)) {
        return false;
    }
    if (!pk_store_decide(books->store, decide, &gift, 0, NULL, &own)) {
        if (own.code != PK_UNKNOWN) { /* Else the next start finds out whether it works. */
            (void)remove_file(paths->fresh, NULL);
        }
        return pk_fail(err, own.code, own.hint, "%s", own.message);
    }
    *out_is_given = !gift.is_late;
    return gift.is_late ? remove_file(paths->fresh, err) : publish_key(paths, &key, err);
}

bool pk_admin_ensure(const struct pk_books *books, const char *folder, bool *out_is_new,
                     struct pk_error *err)
{
    PK_CLEANUP(paths_done) struct paths paths = paths_of(folder);
    bool is_inhabited = false;

    *out_is_new = false;
    if (!recover(books, &paths, err) || !has_actors(books, &is_inhabited, err)) {
        return pk_wrap(err, "make sure of the actor 'admin'");
    }
    return is_inhabited || give_key(books, &paths, true, out_is_new, err) ||
           pk_wrap(err, "create the actor 'admin'");
}

bool pk_admin_reset(const struct pk_books *books, const char *folder, struct pk_error *err)
{
    PK_CLEANUP(paths_done) struct paths paths = paths_of(folder);
    bool is_given = false;
    return (recover(books, &paths, err) && give_key(books, &paths, false, &is_given, err)) ||
           pk_wrap(err, "reset the key of 'admin'");
}
