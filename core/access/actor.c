/* actor.c - Every change of an actor: read, decide, write; with its audit row and its event.
 *
 *     read the actor ── version still the caller's? ── edit ──┐
 *                                                              ├── one list, committed whole
 *                                    audit row, event ────────┘
 *
 * pk_store_decide repeats all of it when somebody else's write came between,
 * so what is decided always rests on what is replaced. */
/* SPDX-License-Identifier: MIT */
#include "access/actor_internal.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "store/store.h"

#include <string.h>

void actor_note(struct pk_writes *list, const struct pk_books *books, const struct pk_by *by,
                const char *what, const char *actor_id, const struct pk_fact *fact)
{
    const struct pk_audit audit = {
        .action = what, .target_type = "actors", .target_id = actor_id, .fact = fact
    };
    const struct pk_news news = {
        .type = what, .entity_type = "actor", .entity_id = actor_id, .fact = fact
    };
    pk_audit_add(list, books, by, &audit);
    pk_news_add(list, books, &news);
}

/* ---- One change ---- */

struct change {
    const struct pk_books *books;
    const struct pk_by *by;
    const char *id;         /* The actor's; NULL: a new one. */
    int64_t version;        /* The caller's; 0: any. */
    const char *what;       /* "key.revoked": audit and event. */
    const char *email;      /* That the actor gets, lower case; or NULL. */
    struct actor_edit edit; /* What is done. */
    struct pk_fact fact[3]; /* For audit and event. */
    /* Whether it may be done to what is stored now; may say there is nothing to do. NULL: yes. */
    bool (*may)(struct change *change, const struct pk_doc *actor, bool *out_is_done,
                struct pk_error *err);
    struct pk_doc *result; /* The actor afterwards; a reference. */
};

static bool fail_missing(struct pk_error *err)
{
    return pk_fail(err, PK_NOT_FOUND, "list the actors", "there is no such actor");
}

/* Whose email it is may not be said: only that it is taken. */
static bool check_email(const struct change *change, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "actors",
                                    .index = "by_email",
                                    .equal = { PK_TEXT(change->email ? change->email : "") },
                                    .equal_count = 1,
                                    .limit = 1 };
    if (!change->email) {
        return true;
    }
    if (!pk_store_find(change->books->store, &query, change->by->deadline_ns, &page, err)) {
        return pk_wrap(err, "look for the email");
    }
    if (page.count > 0 && (!change->id || strcmp(pk_doc_id(page.doc[0]), change->id) != 0)) {
        return pk_fail_field(err, PK_CONFLICT, "email", "an email belongs to one actor",
                             "the email is taken");
    }
    return true;
}

static bool check_actor(struct change *change, const struct pk_doc *actor, bool *out_is_done,
                        struct pk_error *err)
{
    const char *status = pk_doc_text(actor, "status");

    if (change->version && pk_doc_version(actor) != change->version) {
        return pk_fail(err, PK_PRECONDITION, "read the actor again and decide anew",
                       "the actor has changed since it was read");
    }
    if (change->may && !change->may(change, actor, out_is_done, err)) {
        return false;
    }
    if (!*out_is_done && status && strcmp(status, "archived") == 0) {
        return pk_fail(err, PK_CONFLICT, "create another one",
                       "the actor is archived and does not change any more");
    }
    return true;
}

/* The last step of a decision: what it leads to is kept, and what goes with it is added. */
static bool settle(struct change *change, struct pk_writes *list, struct pk_doc *doc,
                   struct pk_error *err)
{
    const struct pk_by *by = change->by;
    pk_doc_unref(change->result);
    change->result = pk_doc_ref(doc);
    return !by->complete || by->complete(by->context, list, doc, err);
}

/* The document as it will be stored: it is the first write of the list. */
static struct pk_doc *versioned(struct pk_writes *list, const struct pk_doc *doc)
{
    bson_t view;
    pk_doc_view(doc, &view);
    return pk_doc_new_versioned(&view, pk_writes_version(list, 0));
}

static bool decide_new(struct change *change, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = actor_doc_new(NULL, &change->edit, pk_clock_wall_ms(change->books->clock));
    pk_writes_insert(list, "actors", doc);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = versioned(list, doc);
    actor_note(list, change->books, change->by, change->what, pk_doc_id(doc), change->fact);
    return settle(change, list, stored, err);
}

static bool decide_old(struct change *change, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    bool is_done = false;

    if (!pk_store_get(change->books->store, "actors", change->id, change->by->deadline_ns, &actor,
                      err)) {
        return pk_wrap(err, "read the actor");
    }
    if (!actor) {
        return fail_missing(err);
    }
    if (!check_actor(change, actor, &is_done, err)) {
        return false;
    }
    if (is_done) {
        return settle(change, list, actor, err);
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc =
        actor_doc_edit(actor, &change->edit, pk_clock_wall_ms(change->books->clock));
    pk_writes_replace(list, "actors", doc, pk_doc_version(actor));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = versioned(list, doc);
    actor_note(list, change->books, change->by, change->what, change->id, change->fact);
    return actor_keep_operator(list, change->books, change->by->deadline_ns, actor, doc, err) &&
           settle(change, list, stored, err);
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct change *change = context;
    if (!check_email(change, err)) {
        return false;
    }
    return change->id ? decide_old(change, list, err) : decide_new(change, list, err);
}

static bool run(struct change *change, struct pk_doc **out, struct pk_error *err)
{
    const bool ok = pk_by_decide(change->by, change->books, decide, change, err);
    if (ok && out) {
        *out = pk_doc_ref(change->result);
    }
    pk_doc_unref(change->result);
    return ok;
}

/* ---- Actors ---- */

bool pk_actor_create(const struct pk_books *books, const struct pk_by *by, const bson_t *wanted,
                     struct pk_doc **out, struct pk_error *err)
{
    if (!actor_wanted_check(wanted, true, err)) {
        return pk_wrap(err, "create an actor");
    }
    PK_CLEANUP(pk_freep) char *email = actor_wanted_email(wanted);
    struct change change = { .books = books,
                             .by = by,
                             .what = "actor.created",
                             .email = email,
                             .edit = { .wanted = wanted } };
    return run(&change, out, err);
}

bool pk_actor_change(const struct pk_books *books, const struct pk_by *by, const char *id,
                     int64_t version, const bson_t *wanted, struct pk_doc **out,
                     struct pk_error *err)
{
    if (!actor_wanted_check(wanted, false, err)) {
        return pk_wrap(err, "change an actor");
    }
    PK_CLEANUP(pk_freep) char *email = actor_wanted_email(wanted);
    PK_CLEANUP(pk_freep) char *names = actor_wanted_names(wanted);
    struct change change = { .books = books,
                             .by = by,
                             .id = id,
                             .version = version,
                             .what = "actor.updated",
                             .email = email,
                             .edit = { .wanted = wanted },
                             .fact = { { "fields", names } } };
    return run(&change, out, err);
}

static const struct {
    const char *status; /* Afterwards. */
    const char *what;
} move_table[] = {
    [PK_ACTOR_SUSPEND] = { "suspended", "actor.suspended" },
    [PK_ACTOR_RESUME] = { "active", "actor.resumed" },
    [PK_ACTOR_ARCHIVE] = { "archived", "actor.archived" },
};

static bool may_move(struct change *change, const struct pk_doc *actor, bool *out_is_done,
                     struct pk_error *err)
{
    const char *status = pk_doc_text(actor, "status");
    (void)err;
    *out_is_done = status && strcmp(status, change->edit.status) == 0;
    return true;
}

bool pk_actor_move(const struct pk_books *books, const struct pk_by *by, const char *id,
                   int64_t version, enum pk_actor_move move, struct pk_doc **out,
                   struct pk_error *err)
{
    struct change change = { .books = books,
                             .by = by,
                             .id = id,
                             .version = version,
                             .what = move_table[move].what,
                             .edit = { .status = move_table[move].status },
                             .may = may_move };
    return run(&change, out, err);
}

/* ---- Keys ---- */

static bool may_add_key(struct change *change, const struct pk_doc *actor, bool *out_is_done,
                        struct pk_error *err)
{
    const size_t count = actor_key_count(actor);
    size_t active = 0;
    (void)change;
    (void)out_is_done;
    for (size_t i = 0; i < count; i++) {
        const char *status = actor_key_text(actor, (int)i, "status");
        active += status && strcmp(status, "active") == 0;
    }
    if (active >= PK_ACTOR_KEYS_MAX) {
        return pk_fail(err, PK_CONFLICT, "revoke those that are not used any more",
                       "the actor has %zu active keys already", active);
    }
    return true;
}

bool pk_actor_add_key(const struct pk_books *books, const struct pk_by *by, const char *id,
                      int64_t version, const char *name, int64_t expires_at_ms,
                      struct pk_key *out_key, struct pk_doc **out, struct pk_error *err)
{
    struct pk_key key;

    if (expires_at_ms && expires_at_ms <= pk_clock_wall_ms(books->clock)) {
        return pk_fail_field(err, PK_INVALID, "expiresAt", "give a time that is still to come",
                             "the key would have expired already");
    }
    if (!*name) {
        return pk_fail_field(err, PK_INVALID, "name", "say what the key is for",
                             "a key needs a name");
    }
    pk_key_new(&key);
    struct change change = { .books = books,
                             .by = by,
                             .id = id,
                             .version = version,
                             .what = "key.created",
                             .edit = { .new_key = &key,
                                       .pepper = pk_peppers_newest(books->peppers),
                                       .key_name = name,
                                       .key_expires_at_ms = expires_at_ms },
                             .fact = { { "keyId", key.id } },
                             .may = may_add_key };
    const bool ok = run(&change, out, err);
    if (ok) {
        *out_key = key;
    }
    pk_key_wipe(&key);
    return ok;
}

static bool may_revoke(struct change *change, const struct pk_doc *actor, bool *out_is_done,
                       struct pk_error *err)
{
    const int number = actor_key_find(actor, change->edit.revoked_key);
    if (number < 0) {
        return pk_fail(err, PK_NOT_FOUND, "list the actor's keys", "there is no such key");
    }
    const char *status = actor_key_text(actor, number, "status");
    *out_is_done = status && strcmp(status, "revoked") == 0;
    return true;
}

bool pk_actor_revoke_key(const struct pk_books *books, const struct pk_by *by, const char *id,
                         int64_t version, const char *key_id, struct pk_doc **out,
                         struct pk_error *err)
{
    struct change change = { .books = books,
                             .by = by,
                             .id = id,
                             .version = version,
                             .what = "key.revoked",
                             .edit = { .revoked_key = key_id },
                             .fact = { { "keyId", key_id } },
                             .may = may_revoke };
    return run(&change, out, err);
}

/* ---- Reading ---- */

bool pk_actor_get(const struct pk_books *books, const char *id, struct pk_doc **out,
                  struct pk_error *err)
{
    if (!pk_store_get(books->store, "actors", id, 0, out, err)) {
        return pk_wrap(err, "read the actor");
    }
    return *out != NULL || fail_missing(err);
}

bool pk_actor_list(const struct pk_books *books, const char *status, size_t limit,
                   const char *cursor, struct pk_page *out, struct pk_error *err)
{
    struct pk_query query = {
        .collection = "actors", .index = "_id", .limit = limit, .cursor = cursor
    };
    if (status) {
        query.index = "by_status";
        query.equal[0] = PK_TEXT(status);
        query.equal_count = 1;
    }
    return pk_store_find(books->store, &query, 0, out, err) || pk_wrap(err, "list the actors");
}
