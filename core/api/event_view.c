/* event_view.c - One table says who is shown rows about what; the person rule stands above it.
 *
 *     {"type": "mindscape.updated", "entityType": "mindscape", "entityId": "...",
 *      "personId": "...", "paths": ["work.focus"], "version": 12,
 *      "occurredAt": "2026-11-21T07:32:00.123Z", "facts": {...}}
 *
 * If you add a kind of entity: nothing to do when its rows name a person or
 * are for who runs the server; else a row in rule_table. */
/* SPDX-License-Identifier: MIT */
#include "api/event_view.h"

#include "access/principal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"
#include "persona/sight.h"

#include <bson/bson.h>
#include <string.h>

/* ---- What was asked for ---- */

static bool is_type_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

/* Types separated by commas; each may end with '*', or be nothing else. */
static bool is_list_of_types(const char *text)
{
    for (;;) {
        const char *start = text;
        while (is_type_letter(*text)) {
            text++;
        }
        text += *text == '*';
        if (text == start) {
            return false;
        }
        if (*text != ',') {
            return *text == '\0';
        }
        text++;
    }
}

bool pk_event_filter_look(struct pk_event_filter *filter, const struct pk_domain *domain,
                          const struct pk_principal *who, int64_t deadline_ns, struct pk_error *err)
{
    struct pk_sight_ids *ids = filter->person ? pk_alloc(sizeof(*ids)) : NULL;
    if (ids && !pk_sight_ids(domain, who, filter->person, deadline_ns, ids, err)) {
        pk_free(ids);
        return false;
    }
    pk_free(filter->ids);
    filter->ids = ids;
    return true;
}

bool pk_event_filter_init(struct pk_event_filter *out, const char *types, const char *person,
                          struct pk_error *err)
{
    if (types && !is_list_of_types(types)) {
        return pk_fail_field(err, PK_INVALID, "type",
                             "name event types, separated by commas; 'actor.*' is all of a kind",
                             "'%.64s' is not a list of event types", types);
    }
    out->types = types ? pk_strdup(types) : NULL;
    out->person = person ? pk_strdup(person) : NULL;
    out->ids = NULL;
    return true;
}

void pk_event_filter_done(struct pk_event_filter *filter)
{
    pk_free(filter->types);
    pk_free(filter->person);
    pk_free(filter->ids);
    *filter = (struct pk_event_filter){ 0 };
}

static bool is_type_in(const char *types, const char *type)
{
    for (const char *one = types;; one++) {
        const size_t size = strcspn(one, ",");
        const bool is_open = one[size - 1] == '*';
        if (is_open ? strncmp(type, one, size - 1) == 0
                    : strlen(type) == size && memcmp(type, one, size) == 0) {
            return true;
        }
        one += size;
        if (*one == '\0') {
            return false;
        }
    }
}

bool pk_event_is_turning(const struct pk_event_filter *filter, const struct pk_principal *who,
                         const struct pk_doc *event)
{
    const char *person = pk_doc_text(event, "userId");
    return filter->person && pk_sight_is_moving(event) &&
           (pk_sight_is_limited(who) || !filter->ids ||
            (person && pk_sight_ids_have(filter->ids, person)));
}

bool pk_event_is_wanted(const struct pk_event_filter *filter, const struct pk_doc *event)
{
    const char *type = pk_doc_text(event, "eventType");
    if (filter->types && (!type || !is_type_in(filter->types, type))) {
        return false;
    }
    const char *person = filter->person ? pk_doc_text(event, "userId") : NULL;
    return !filter->person || (person && filter->ids && pk_sight_ids_have(filter->ids, person));
}

/* ---- Who may see it ---- */

static bool runs_the_server(const struct pk_principal *who, const struct pk_doc *event)
{
    (void)event;
    return (who->capabilities & PK_CAN_OPERATE) != 0;
}

static bool runs_it_or_is_it(const struct pk_principal *who, const struct pk_doc *event)
{
    const char *id = pk_doc_text(event, "payload.entityId");
    return runs_the_server(who, event) || (id && strcmp(id, who->actor_id) == 0);
}

static bool uses_mapper(const struct pk_principal *who, const struct pk_doc *event)
{
    const char *mapper = pk_doc_text(event, "payload.entityId");
    return runs_the_server(who, event) ||
           ((who->capabilities & (PK_CAN_REQUEST | PK_CAN_AUTHOR)) != 0 && mapper &&
            pk_principal_may_use(who, mapper));
}

/* A persona's id begins with its mapper's, unless it is that of one generation: then a fact says
 * which mapper it was. */
static bool uses_its_mapper(const struct pk_principal *who, const struct pk_doc *event)
{
    const char *id = pk_doc_text(event, "payload.entityId");
    const char *fact = pk_doc_text(event, "payload.metadata.mapperId");
    const size_t size = id ? strcspn(id, ":") : 0;
    const bool is_composed = id && id[size] == ':';
    PK_CLEANUP(pk_freep)
    char *mapper = is_composed ? pk_strndup(id, size) : fact ? pk_strdup(fact) : NULL;
    return mapper ? pk_principal_may_use(who, mapper) : who->mappers.is_all;
}

static const struct {
    const char *entity_type;
    bool (*may)(const struct pk_principal *who, const struct pk_doc *event);
} rule_table[] = {
    { "actor", runs_it_or_is_it }, /* Keys, too: their rows are about their actor. */
    { "key", runs_the_server },     { "mapper", uses_mapper },      { "node", runs_the_server },
    { "persona", uses_its_mapper }, { "plugin", runs_the_server },  { "script", runs_the_server },
    { "setting", runs_the_server }, { "webhook", runs_the_server },
};

static bool is_allowed(const struct pk_principal *who, const struct pk_doc *event,
                       const char *person)
{
    const char *type = pk_doc_text(event, "payload.entityType");
    for (size_t i = 0; type && i < PK_COUNT(rule_table); i++) {
        if (strcmp(rule_table[i].entity_type, type) == 0) {
            return rule_table[i].may(who, event);
        }
    }
    return person || runs_the_server(who, event);
}

bool pk_event_is_shown(const struct pk_principal *who, const struct pk_doc *event)
{
    const char *person = pk_doc_text(event, "userId");
    const char *path = pk_doc_text(event, "payload.metadata.path");
    return (!person || pk_principal_may_see(who, person)) && is_allowed(who, event, person) &&
           !(path && pk_principal_hides(who, path));
}

/* ---- How ---- */

static void put_text(bson_t *bson, const char *name, const struct pk_doc *event, const char *path)
{
    const char *text = pk_doc_text(event, path);
    if (text) {
        BSON_APPEND_UTF8(bson, name, text);
    }
}

/* The paths that 'who' may know of. False: there were some, and none is left. */
static bool put_paths(bson_t *bson, const bson_t *event, const struct pk_principal *who)
{
    bson_iter_t iter;
    bson_iter_t path;
    bson_t array;
    char key[16];
    const char *name;
    uint32_t count = 0;
    bool is_cut = false;

    if (!pk_path_find(event, "payload.changes.paths", &iter) || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &path)) {
        return true;
    }
    BSON_APPEND_ARRAY_BEGIN(bson, "paths", &array);
    while (bson_iter_next(&path)) {
        const char *text = BSON_ITER_HOLDS_UTF8(&path) ? bson_iter_utf8(&path, NULL) : NULL;
        if (text && pk_principal_hides(who, text)) {
            is_cut = true;
        } else if (text) {
            const size_t size = bson_uint32_to_string(count++, &name, key, sizeof(key));
            bson_append_utf8(&array, name, (int)size, text, -1);
        }
    }
    bson_append_array_end(bson, &array);
    return count > 0 || !is_cut;
}

static void put_facts(bson_t *bson, const bson_t *event, const struct pk_principal *who)
{
    bson_iter_t iter;
    if (pk_path_find(event, "payload.metadata", &iter) && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        pk_sight_put_facts(who, &iter, bson);
    } else {
        bson_t none;
        BSON_APPEND_DOCUMENT_BEGIN(bson, "facts", &none);
        bson_append_document_end(bson, &none);
    }
}

bool pk_event_write(struct pk_buf *out, const struct pk_principal *who, const struct pk_doc *event)
{
    bson_t view;
    bson_t bson = BSON_INITIALIZER;

    pk_doc_view(event, &view);
    put_text(&bson, "type", event, "eventType");
    put_text(&bson, "entityType", event, "payload.entityType");
    put_text(&bson, "entityId", event, "payload.entityId");
    put_text(&bson, "personId", event, "userId"); /* As doc/names.c spells it. */
    const bool has_some = put_paths(&bson, &view, who);
    const int64_t version = pk_doc_int(event, "payload.changes.version", -1);
    if (version >= 0) {
        BSON_APPEND_INT64(&bson, "version", version);
    }
    BSON_APPEND_DATE_TIME(&bson, "occurredAt", pk_doc_date(event, "timestamp", 0));
    put_facts(&bson, &view, who);
    const bool ok = has_some && pk_json_write(out, &bson, PK_JSON_COMPACT, NULL);
    bson_destroy(&bson);
    return ok;
}
