/* sight.c - Copies documents field by field; a table says which fields name people. */
/* SPDX-License-Identifier: MIT */
#include "persona/sight.h"

#include "access/principal.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/peek.h"
#include "persona/people.h"

#include <stdio.h>
#include <string.h>

bool pk_sight_is_limited(const struct pk_principal *who)
{
    return who && !who->people.is_all;
}

bool pk_sight_has(const struct pk_principal *who, const char *person)
{
    return !who || !person || pk_principal_may_see(who, person);
}

/* ---- Documents ---- */

/* Of payloads of tasks and facts of events: ids of people who are merged. */
static const char *const id_table[] = { "from", "into", "holder" };

static bool is_hidden(const struct pk_principal *who, const bson_iter_t *id)
{
    return BSON_ITER_HOLDS_UTF8(id) && !pk_sight_has(who, bson_iter_utf8(id, NULL));
}

/* '*' is nobody in particular. */
static bool is_person(const bson_iter_t *name)
{
    return BSON_ITER_HOLDS_UTF8(name) && strcmp(bson_iter_utf8(name, NULL), "*") != 0;
}

static bool names_person(const char *key)
{
    for (size_t i = 0; i < PK_COUNT(id_table); i++) {
        if (strcmp(id_table[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void put_ids(const struct pk_principal *who, const bson_iter_t *object, const char *key,
                    bson_t *out)
{
    bson_iter_t iter;
    bson_t inner;
    BSON_APPEND_DOCUMENT_BEGIN(out, key, &inner);
    for (bool more = bson_iter_recurse(object, &iter); more && bson_iter_next(&iter);) {
        if (!names_person(bson_iter_key(&iter)) || !is_hidden(who, &iter)) {
            (void)bson_append_iter(&inner, NULL, 0, &iter);
        }
    }
    bson_append_document_end(out, &inner);
}

/* Appends what is shown of a field of 'stored', or nothing. False: it is shown as it is. */
typedef bool put_fn(const struct pk_principal *who, const bson_t *stored, const bson_iter_t *field,
                    bson_t *out);

static bool put_payload(const struct pk_principal *who, const bson_t *stored,
                        const bson_iter_t *field, bson_t *out)
{
    (void)stored;
    if (!BSON_ITER_HOLDS_DOCUMENT(field)) {
        return false;
    }
    put_ids(who, field, bson_iter_key(field), out);
    return true;
}

/* Merges with people in sight; without any there is no list. */
static bool put_merges(const struct pk_principal *who, const bson_t *stored,
                       const bson_iter_t *list, bson_t *out)
{
    bson_iter_t entry, field;
    bson_t kept = BSON_INITIALIZER;
    size_t count = 0;
    (void)stored;
    for (bool more = bson_iter_recurse(list, &entry); more && bson_iter_next(&entry);) {
        char room[PK_ARRAY_KEY];
        if (bson_iter_recurse(&entry, &field) && bson_iter_find(&field, "personId") &&
            !is_hidden(who, &field)) {
            (void)bson_append_iter(&kept, pk_array_key(count++, room), -1, &entry);
        }
    }
    if (count > 0) {
        BSON_APPEND_ARRAY(out, "merges", &kept);
    }
    bson_destroy(&kept);
    return true;
}

/* Those of an actor's 'people' who are in sight. */
static void put_people(const struct pk_principal *who, const bson_iter_t *list, bson_t *out)
{
    bson_iter_t item;
    bson_t kept;
    size_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "people", &kept);
    for (bool more = bson_iter_recurse(list, &item); more && bson_iter_next(&item);) {
        char room[PK_ARRAY_KEY];
        if (!is_person(&item) || !is_hidden(who, &item)) {
            (void)bson_append_iter(&kept, pk_array_key(count++, room), -1, &item);
        }
    }
    bson_append_array_end(out, &kept);
}

static bool put_capabilities(const struct pk_principal *who, const bson_t *stored,
                             const bson_iter_t *capabilities, bson_t *out)
{
    bson_iter_t iter;
    bson_t inner;
    (void)stored;
    if (!BSON_ITER_HOLDS_DOCUMENT(capabilities)) {
        return false;
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "capabilities", &inner);
    for (bool more = bson_iter_recurse(capabilities, &iter); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "people") == 0 && BSON_ITER_HOLDS_ARRAY(&iter)) {
            put_people(who, &iter, &inner);
        } else {
            (void)bson_append_iter(&inner, NULL, 0, &iter);
        }
    }
    bson_append_document_end(out, &inner);
    return true;
}

/* Of what has moved to one out of sight, the id that it came with. */
static bool put_person(const struct pk_principal *who, const bson_t *stored,
                       const bson_iter_t *person, bson_t *out)
{
    bson_iter_t from;
    return is_hidden(who, person) && bson_iter_init_find(&from, stored, "mergedFrom") &&
           bson_append_iter(out, "userId", -1, &from);
}

/* "<mapper>:<person>:..." with the person out of sight becomes that of whom the document is now. */
static bool put_composed(const struct pk_principal *who, const bson_t *stored,
                         const bson_iter_t *name, bson_t *out)
{
    char person[PK_UUID_TEXT];
    bson_iter_t now;
    const char *text = BSON_ITER_HOLDS_UTF8(name) ? bson_iter_utf8(name, NULL) : "";
    const size_t at = strcspn(text, ":") + 1;
    if (strlen(text) < at + PK_UUID_TEXT - 1) {
        return false;
    }
    (void)snprintf(person, sizeof(person), "%s", text + at);
    if (pk_sight_has(who, person) || !bson_iter_init_find(&now, stored, "userId") ||
        is_hidden(who, &now)) {
        return false;
    }
    PK_CLEANUP(pk_freep)
    char *made = pk_strdupf("%.*s%s%s", (int)at, text, bson_iter_utf8(&now, NULL),
                            text + at + PK_UUID_TEXT - 1);
    return BSON_APPEND_UTF8(out, bson_iter_key(name), made);
}

/* Nothing, where it is out of sight; or where it stands in the place of 'userId'. */
static bool put_other(const struct pk_principal *who, const bson_t *stored,
                      const bson_iter_t *other, bson_t *out)
{
    bson_iter_t person;
    const bool has_moved =
        bson_iter_init_find(&person, stored, "userId") && is_hidden(who, &person);
    (void)out;
    return has_moved || is_hidden(who, other);
}

/* Fields of stored documents that name people; all others are shown as they are. */
static const struct {
    const char *field;
    put_fn *put;
} field_table[] = {
    { "userId", put_person },
    { "mergedFrom", put_other },
    { "mergedInto", put_other },
    { "merges", put_merges },
    { "personaId", put_composed },
    { "personaInstanceId", put_composed },
    { "payload", put_payload },           /* Of tasks. */
    { "capabilities", put_capabilities }, /* Of actors. */
};

static void put_field(const struct pk_principal *who, const bson_t *stored, const bson_iter_t *iter,
                      bson_t *out)
{
    const char *key = bson_iter_key(iter);
    size_t i = 0;
    while (i < PK_COUNT(field_table) && strcmp(field_table[i].field, key) != 0) {
        i++;
    }
    if (i == PK_COUNT(field_table) || !field_table[i].put(who, stored, iter, out)) {
        (void)bson_append_iter(out, NULL, 0, iter);
    }
}

void pk_sight_show(const struct pk_principal *who, const bson_t *stored, bson_t *out)
{
    bson_iter_t iter;
    if (!pk_sight_is_limited(who)) {
        bson_copy_to(stored, out);
        return;
    }
    bson_init(out);
    for (bool more = bson_iter_init(&iter, stored); more && bson_iter_next(&iter);) {
        put_field(who, stored, &iter, out);
    }
}

void pk_sight_put_facts(const struct pk_principal *who, const bson_iter_t *facts, bson_t *out)
{
    put_ids(who, facts, "facts", out);
}

/* ---- Who is one person ---- */

static void add(struct pk_sight_ids *ids, const char *id)
{
    if (ids->count < PK_IDS_MAX) {
        (void)snprintf(ids->id[ids->count++], PK_UUID_TEXT, "%s", id);
    }
}

bool pk_sight_ids_have(const struct pk_sight_ids *ids, const char *id)
{
    size_t i = 0;
    while (i < ids->count && strcmp(ids->id[i], id) != 0) {
        i++;
    }
    return i < ids->count;
}

bool pk_sight_ids(const struct pk_domain *domain, const struct pk_principal *who,
                  const char *person, int64_t deadline_ns, struct pk_sight_ids *out,
                  struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *root = NULL;
    PK_CLEANUP(pk_person_ids_done) struct pk_person_ids ids = { .count = 0 };
    const struct pk_person_ref ref = { .id = person };
    out->count = 0;
    if (!pk_sight_has(who, person)) {
        return true;
    }
    if (!pk_person_find(domain, &ref, deadline_ns, &root, err)) {
        return false;
    }
    if (!root || !pk_sight_has(who, pk_doc_id(root))) {
        add(out, person);
        return true;
    }
    if (!pk_person_ids(domain, pk_doc_id(root), deadline_ns, &ids, err)) {
        return false;
    }
    for (size_t i = 0; i < ids.count; i++) {
        if (pk_sight_has(who, pk_doc_id(ids.doc[i]))) {
            add(out, pk_doc_id(ids.doc[i]));
        }
    }
    return true;
}

bool pk_sight_is_moving(const struct pk_doc *event)
{
    const char *type = pk_doc_text(event, "eventType");
    return type && (strcmp(type, "person.merge_asked") == 0 || strcmp(type, "person.parted") == 0);
}
