/* curation.c - A person's word, made into an observation.
 *
 * What is asked for is turned into operations here; they are applied when the
 * observation gets its place in the person's order, by the one function that
 * changes a mindscape. So the answer to a change is not the changed mindscape
 * but the ids of the observation and of the task that carries it out.
 *
 * A decision rests on the mindscape as it was read: the list raises that one's
 * version (what will change has the new one), and is decided again when
 * something came between. So of two corrections of one version the second is
 * refused, though the first may still have to be carried out.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/curation_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/peek.h"
#include "persona/mindscape.h"
#include "persona/observation.h"
#include "store/store.h"

#include <assert.h>
#include <string.h>

/* ---- Operations ---- */

void curation_begin(struct curation_list *list, bson_t *structured)
{
    *list = (struct curation_list){ .structured = structured };
    BSON_APPEND_ARRAY_BEGIN(structured, "operations", &list->operations);
}

void curation_end(struct curation_list *list)
{
    bson_append_array_end(list->structured, &list->operations);
}

void curation_open(struct curation_list *list, bson_t *operation, const char *op)
{
    char number[16];
    const char *key;
    (void)bson_uint32_to_string(list->count++, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(&list->operations, key, operation);
    BSON_APPEND_UTF8(operation, "op", op);
}

void curation_close(struct curation_list *list, bson_t *operation)
{
    bson_append_document_end(&list->operations, operation);
}

/* Copies those fields of 'from' that are there. */
static void copy(bson_t *to, const bson_t *from, const char *const *field)
{
    bson_iter_t iter;
    for (; *field; field++) {
        if (bson_iter_init_find(&iter, from, *field) && !BSON_ITER_HOLDS_NULL(&iter)) {
            (void)bson_append_iter(to, *field, -1, &iter);
        }
    }
}

/* ---- A patch ---- */

static bool is_true(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && bson_iter_as_bool(&iter);
}

static void add_pin(struct curation_list *list, const char *path, bool is_pinned)
{
    bson_t operation;
    curation_open(list, &operation, is_pinned ? "pin" : "unpin");
    BSON_APPEND_UTF8(&operation, "path", path);
    curation_close(list, &operation);
}

/* { traitName, value | null, ... }: null: it is no longer held; without a value only 'pinned'
 * counts. */
static bool add_trait(struct curation_list *list, const bson_t *item, struct pk_error *err)
{
    static const char *const said[] = { "value",    "confidence", "weight",   "volatility",
                                        "category", "validFrom",  "metadata", NULL };
    static const char *const why[] = { "reason", NULL };
    const char *name = pk_peek_text(item, "traitName", NULL);
    const char *path = name ? name : pk_peek_text(item, "id", NULL);
    bson_iter_t value, pinned;
    bson_t operation;
    const bool has_value = bson_iter_init_find(&value, item, "value");
    const bool has_pin = bson_iter_init_find(&pinned, item, "pinned");
    if (!has_value && !has_pin) {
        return pk_fail_field(err, PK_INVALID, "traits",
                             "give 'value' (null: forget it) or 'pinned'",
                             "nothing is said of trait '%.100s'", path);
    }
    if (has_value) {
        const bool is_null = BSON_ITER_HOLDS_NULL(&value);
        curation_open(list, &operation, is_null ? "retract" : "set");
        BSON_APPEND_UTF8(&operation, "path", path);
        copy(&operation, item, is_null ? why : said);
        curation_close(list, &operation);
    }
    if (has_pin) {
        add_pin(list, path, is_true(item, "pinned"));
    }
    return true;
}

/* The words of a goal or belief by its id, as the mindscape has them. */
static const char *find_words(const bson_t *mindscape, const char *list, const char *id_name,
                              const char *id, const char *words_name)
{
    bson_iter_t iter, each;
    bson_t item;
    if (!bson_iter_init_find(&iter, mindscape, list) || !bson_iter_recurse(&iter, &each)) {
        return NULL;
    }
    while (bson_iter_next(&each)) {
        const char *found =
            pk_peek_object(&each, &item) ? pk_peek_text(&item, id_name, NULL) : NULL;
        if (found && strcmp(found, id) == 0) {
            return pk_peek_text(&item, words_name, NULL);
        }
    }
    return NULL;
}

/* Goals and beliefs differ in names only. */
struct held {
    const char *list, *id, *words, *op, *remove;
    const char *const *said;
};
static const char *const goal_said[] = { "timeframe", "priority", "confidence", "volatility",
                                         NULL };
static const char *const belief_said[] = { "category", "strength", "confidence", "volatility",
                                           NULL };
static const struct held held_table[] = {
    { "goals", "goalId", "description", "goal", "removeGoal", goal_said },
    { "beliefs", "beliefId", "statement", "belief", "removeBelief", belief_said },
};

static const struct held *find_held(const char *list)
{
    size_t i = 0;
    while (strcmp(held_table[i].list, list) != 0) {
        i++;
        assert(i < PK_COUNT(held_table));
    }
    return &held_table[i];
}

static bool add_held(struct curation_list *list, const struct held *held, const bson_t *item,
                     const bson_t *mindscape, struct pk_error *err)
{
    const char *id = pk_peek_text(item, held->id, NULL);
    const char *words = pk_peek_text(item, held->words, NULL);
    bson_t operation;
    if (id && !find_words(mindscape, held->list, held->id, id, held->words)) {
        return pk_fail_field(err, PK_NOT_FOUND, held->list, "read the mindscape again",
                             "there is no such entry in '%s': '%.60s'", held->list, id);
    }
    if (is_true(item, "remove")) {
        if (!id) {
            return pk_fail_field(err, PK_INVALID, held->list, "name it by its id",
                                 "what is to be removed from '%s' has no '%s'", held->list,
                                 held->id);
        }
        curation_open(list, &operation, held->remove);
        BSON_APPEND_UTF8(&operation, held->id, id);
        curation_close(list, &operation);
        return true;
    }
    if (id && words) {
        return pk_fail_field(err, PK_INVALID, held->list,
                             "other words are another entry: remove this one and add that one",
                             "'%s' and '%s' cannot both be given", held->id, held->words);
    }
    words = id ? find_words(mindscape, held->list, held->id, id, held->words) : words;
    if (!words) {
        return pk_fail_field(err, PK_INVALID, held->list, "give its words, or the id of one",
                             "an entry of '%s' has neither '%s' nor '%s'", held->list, held->words,
                             held->id);
    }
    curation_open(list, &operation, held->op);
    BSON_APPEND_UTF8(&operation, held->words, words);
    copy(&operation, item, held->said);
    curation_close(list, &operation);
    return true;
}

static void add_narrative(struct curation_list *list, const bson_t *narrative)
{
    static const char *const said[] = { "summary", "keyThemes", NULL };
    bson_t operation;
    curation_open(list, &operation, "summary");
    copy(&operation, narrative, said);
    curation_close(list, &operation);
}

static void add_now(struct curation_list *list, const bson_t *item)
{
    bson_iter_t value;
    static const char *const said[] = { "key", "ttl", NULL };
    bson_t operation;
    curation_open(list, &operation, "now");
    copy(&operation, item, said);
    if (bson_iter_init_find(&value, item, "value")) {
        (void)bson_append_iter(&operation, "value", -1, &value);
    }
    curation_close(list, &operation);
}

static bool add_item(struct curation_list *list, const char *name, const bson_t *item,
                     const bson_t *mindscape, struct pk_error *err)
{
    if (strncmp(name, "trait", 5) == 0) { /* Both of its names. */
        return add_trait(list, item, err);
    }
    if (strcmp(name, "now") == 0) {
        add_now(list, item);
        return true;
    }
    return add_held(list, find_held(name), item, mindscape, err);
}

/* 'changes' is checked against its schema already. */
static bool read_patch(struct curation_list *list, const bson_t *changes, const bson_t *mindscape,
                       struct pk_error *err)
{
    static const char *const part[] = { "traitMatrix", "traits", "goals", "beliefs", "now" };
    bson_iter_t iter, each;
    bson_t item;
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        if (!bson_iter_init_find(&iter, changes, part[i]) || !bson_iter_recurse(&iter, &each)) {
            continue;
        }
        while (bson_iter_next(&each)) {
            if (pk_peek_object(&each, &item) && !add_item(list, part[i], &item, mindscape, err)) {
                return false;
            }
        }
    }
    if (bson_iter_init_find(&iter, changes, "narrative") && pk_peek_object(&iter, &item)) {
        add_narrative(list, &item);
    }
    return list->count > 0 ||
           pk_fail(err, PK_INVALID, "send traits, goals, beliefs, narrative or now",
                   "the change says nothing");
}

/* ---- Writing ---- */

static bool fail_changed(const struct pk_doc *mindscape, int64_t version, struct pk_error *err)
{
    char changed[200];
    pk_mindscape_changed_since(mindscape, version, changed, sizeof(changed));
    return pk_fail(err, PK_PRECONDITION, "read the mindscape again and decide anew",
                   "the mindscape has changed since it was read: %s",
                   *changed ? changed : "its version is another one");
}

/* What is asked of a person's mindscape. */
struct change {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *person;
    int64_t version;
    const bson_t *patch;  /* Or: */
    const char *pin_path; /* NULL: it is a patch. */
    bool is_pinned;
    struct pk_curated *out;
};

/* What an operation will change. */
static const struct {
    const char *op, *kind;
    const char *key; /* The field that names it; NULL: the kind has no keys. */
} readable_table[] = {
    { "set", "trait", "path" },       { "retract", "trait", "path" },
    { "restore", "trait", "path" },   { "pin", "trait", "path" },
    { "unpin", "trait", "path" },     { "goal", "goals", NULL },
    { "removeGoal", "goals", NULL },  { "belief", "beliefs", NULL },
    { "summary", "narrative", NULL }, { "removeBelief", "beliefs", NULL },
    { "now", "hot", "key" },
};

static struct pk_readable readable_of(const bson_t *operation)
{
    const char *op = pk_peek_text(operation, "op", NULL);
    size_t i = 0;
    while (strcmp(readable_table[i].op, op) != 0) {
        i++;
    }
    return (struct pk_readable){ .kind = readable_table[i].kind,
                                 .key = readable_table[i].key
                                            ? pk_peek_text(operation, readable_table[i].key, NULL)
                                            : NULL };
}

/* What is asked for counts from here on, though it is carried out later: whoever has read the
 * mindscape before is told that it has changed, and how. */
static bool touch(const struct pk_domain *domain, const struct pk_doc *mindscape,
                  const bson_t *structured, struct pk_writes *list, struct pk_error *err)
{
    bson_iter_t iter, each;
    bson_t operation;
    size_t count = 0, room = 0;
    PK_CLEANUP(pk_freep) struct pk_readable *what = NULL;
    if (!bson_iter_init_find(&iter, structured, "operations") || !bson_iter_recurse(&iter, &each)) {
        return true;
    }
    while (bson_iter_next(&each)) {
        if (count == room) {
            room = room ? 2 * room : 16;
            what = pk_realloc(what, room * sizeof(*what));
        }
        if (pk_peek_object(&each, &operation)) {
            what[count++] = readable_of(&operation);
        }
    }
    return count == 0 || pk_mindscape_touch_all(domain, mindscape, what, count, list, err);
}

bool curation_write(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                    const bson_t *structured, const struct pk_doc *mindscape, const char *action,
                    struct pk_writes *list, struct pk_curated *out, struct pk_error *err)
{
    if (!pk_observation_add_curation(domain, by, person, structured, list, out->observation,
                                     out->task, err) ||
        !touch(domain, mindscape, structured, list, err)) {
        return false;
    }
    pk_audit_add(list, domain->books, by,
                 &(struct pk_audit){ .action = action,
                                     .person = person,
                                     .target_type = "observations",
                                     .target_id = out->observation });
    return true;
}

struct pk_doc *pk_curated_doc(const struct pk_curated *curated)
{
    bson_t *bson = bson_new();
    BSON_APPEND_UTF8(bson, "observationId", curated->observation);
    BSON_APPEND_UTF8(bson, "taskId", curated->task);
    return pk_doc_take(bson);
}

bool curation_find_mindscape(const struct pk_domain *domain, const struct pk_by *by,
                             const char *person, struct pk_doc **out, struct pk_error *err)
{
    if (!pk_mindscape_read(domain, person, by->deadline_ns, out, err)) {
        return false;
    }
    return *out || pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
}

static bool has_trait(const bson_t *mindscape, const char *path)
{
    return find_words(mindscape, "traits", "id", path, "id") != NULL;
}

static bool fill(const struct change *change, const struct pk_doc *mindscape,
                 struct curation_list *operations, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(mindscape, &view);
    if (!change->pin_path) {
        return read_patch(operations, change->patch, &view, err);
    }
    if (!has_trait(&view, change->pin_path)) {
        return pk_fail(err, PK_NOT_FOUND, "read the mindscape for what is known",
                       "the trait '%.100s' is not known of this person", change->pin_path);
    }
    add_pin(operations, change->pin_path, change->is_pinned);
    return true;
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct change *change = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    struct curation_list operations;
    bson_t structured = BSON_INITIALIZER;

    if (!curation_find_mindscape(change->domain, change->by, change->person, &mindscape, err)) {
        return false;
    }
    if (change->version && pk_doc_int(mindscape, "version", 0) != change->version) {
        return fail_changed(mindscape, change->version, err);
    }
    curation_begin(&operations, &structured);
    bool ok = fill(change, mindscape, &operations, err);
    curation_end(&operations);
    ok = ok && curation_write(change->domain, change->by, change->person, &structured, mindscape,
                              change->pin_path ? "trait.pinned" : "mindscape.curated", list,
                              change->out, err);
    bson_destroy(&structured);
    if (!ok) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = pk_curated_doc(change->out);
    return !change->by->complete || change->by->complete(change->by->context, list, answer, err);
}

bool pk_curation_patch(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                       int64_t version, const bson_t *changes, struct pk_curated *out,
                       struct pk_error *err)
{
    struct change change = { .domain = domain,
                             .by = by,
                             .person = person,
                             .version = version,
                             .patch = changes,
                             .out = out };
    return pk_by_decide(by, domain->books, decide, &change, err) ||
           pk_wrap(err, "correct the mindscape");
}

bool pk_curation_pin(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                     const char *path, bool is_pinned, struct pk_curated *out, struct pk_error *err)
{
    struct change change = { .domain = domain,
                             .by = by,
                             .person = person,
                             .pin_path = path,
                             .is_pinned = is_pinned,
                             .out = out };
    return pk_by_decide(by, domain->books, decide, &change, err) ||
           pk_wrap(err, is_pinned ? "pin the trait" : "unpin the trait");
}
