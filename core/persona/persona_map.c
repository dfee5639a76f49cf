/* persona_map.c - A request to map: what is cached, else one mapping for all who want the same.
 *
 *     look      the scripts that serve, the mindscape (first), what is cached, whether it is fresh
 *     answer    what is fresh; or what is stale, when that will do
 *     board     one of those who want the same maps, the others get what he makes
 *     produce   run the stale half, make the document, write it in one list with its record
 *
 * The document is inserted, or replaced at the version that was read: who loses that race reads
 * what the winner wrote, and looks again.
 *
 * Where something is hidden from who asks, the mapper is run without it. If
 * the result never looked at what is hidden, it is what everybody would get,
 * and lies where everybody's lies; else it has a place of its own.
 *
 * A person on whom a version is tried is served by that one, from places of its
 * own, so the two never meet; where it fails, all of this is done once more by
 * the active version, as if nothing were tried. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "access/access.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "net/hot.h"
#include "persona/canary.h"
#include "persona/mindscape.h"
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS = 8 };

/* ---- Looking ---- */

/* The same words whether there is no such thing or he may not see it. */
static bool is_missing(const struct mapping *mapping, struct pk_error *err)
{
    const struct pk_map_request *request = mapping->request;
    const struct pk_object object = { .person = request->person,
                                      .mapper = request->mapper,
                                      .detail = request->detail,
                                      .is_missing = true };
    if (request->who && !pk_access_check(request->who, PK_ACT_PERSONA_MAP, &object, err)) {
        return false;
    }
    return pk_fail(err, PK_NOT_FOUND, "look at the ids", "there is no such person or mapper");
}

/* The mapper that serves whose id is most like this one; NULL: none is. */
static const char *nearest_mapper(const struct mapping *mapping)
{
    enum { FAR = 4 };
    size_t best = FAR;
    const char *nearest = NULL;
    for (size_t i = 0; i < pk_generation_count(mapping->pinned); i++) {
        const struct pk_script *script = pk_generation_at(mapping->pinned, i);
        const size_t far = script->kind == PK_SCRIPT_MAPPER
                               ? pk_text_distance(script->id, mapping->request->mapper, FAR)
                               : FAR;
        if (far < best) {
            best = far;
            nearest = script->id;
        }
    }
    return nearest;
}

/* Who may use every mapper is told which one there is not. */
static bool is_no_mapper(const struct mapping *mapping, struct pk_error *err)
{
    const struct pk_map_request *request = mapping->request;
    const char *nearest = nearest_mapper(mapping);
    if (request->who && !request->who->mappers.is_all) {
        return is_missing(mapping, err);
    }
    return pk_fail(err, PK_NOT_FOUND, "GET /v1/mappers lists them; one serves once it is active",
                   "no version of a mapper '%s' is active%s%s%s", request->mapper,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* Ready personas lie beside ready answers, good as long as nothing is heard of the person: the
 * store's version, then the document. Who was overtaken ('is_again') asks the store, and what he
 * finds takes the old one's place. */
static void name_ready(char *out, size_t size, const char *id)
{
    (void)snprintf(out, size, "persona %s", id);
}

static struct pk_doc *find_ready(const struct mapping *mapping, const char *name)
{
    struct pk_hot_entry *entry = pk_hot_get(mapping->domain->hot, name, strlen(name));
    struct pk_doc *doc = NULL;
    int64_t version;
    bson_t view;
    if (entry && entry->size > sizeof(version)) {
        memcpy(&version, entry->data, sizeof(version));
        if (bson_init_static(&view, (const uint8_t *)entry->data + sizeof(version),
                             entry->size - sizeof(version))) {
            doc = pk_doc_new_versioned(&view, version);
        }
    }
    pk_hot_unref(entry);
    return doc;
}

static void keep_ready(const struct mapping *mapping, const struct pk_doc *doc, uint64_t stamp)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf data = { 0 };
    const int64_t version = pk_doc_version(doc);
    char name[PERSONA_ID + 16];
    name_ready(name, sizeof(name), pk_doc_id(doc));
    pk_buf_add(&data, &version, sizeof(version));
    pk_buf_add(&data, pk_doc_data(doc), pk_doc_size(doc));
    (void)pk_hot_put(mapping->domain->hot,
                     &(struct pk_hot_fill){ .key = name,
                                            .key_size = strlen(name),
                                            .person = mapping->request->person,
                                            .stamp = stamp,
                                            .etag = "",
                                            .data = data.data,
                                            .size = data.size,
                                            .expires_wall_ms = pk_doc_date(doc, "expiresAt", 1) });
}

/* '*out_is_read': it came from the store itself. */
static bool load(const struct mapping *mapping, const char *id, bool is_again, struct pk_doc **out,
                 bool *out_is_read, struct pk_error *err)
{
    const uint64_t stamp = pk_hot_stamp(mapping->domain->hot, mapping->request->person);
    char name[PERSONA_ID + 16];
    name_ready(name, sizeof(name), id);
    *out = is_again ? NULL : find_ready(mapping, name);
    *out_is_read = !*out;
    if (*out) {
        return true;
    }
    if (!pk_store_get(mapping->domain->books->store, "personas", id, mapping->request->deadline_ns,
                      out, err)) {
        return false;
    }
    if (*out) {
        keep_ready(mapping, *out, stamp);
    }
    return true;
}

/* Finds what is cached for who asks, and where what will be made lies. */
static bool find_stored(struct mapping *mapping, bool is_again, struct pk_error *err)
{
    mapping->place = &mapping->common;
    if (!load(mapping, mapping->common.id, is_again, &mapping->stored, &mapping->is_read, err)) {
        return false;
    }
    if (!mapping->has_hidden ||
        (mapping->stored && !persona_meets_hidden(mapping->stored, mapping->request->who))) {
        return true;
    }
    pk_doc_unref(mapping->stored);
    mapping->stored = NULL;
    mapping->place = &mapping->own;
    return load(mapping, mapping->own.id, is_again, &mapping->stored, &mapping->is_read, err);
}

/* What was read a moment ago lies ready as it was: nobody has written it here since, and nothing
 * was heard of the person. */
static bool is_just_read(const struct mapping *mapping)
{
    char name[PERSONA_ID + 16];
    if (!mapping->stored || !mapping->is_read) {
        return false;
    }
    name_ready(name, sizeof(name), pk_doc_id(mapping->stored));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *ready = find_ready(mapping, name);
    return ready && pk_doc_version(ready) == pk_doc_version(mapping->stored);
}

static void forget_stored(struct mapping *mapping)
{
    pk_doc_unref(mapping->stored);
    mapping->stored = NULL;
    mapping->fresh = (struct pk_fresh){ PK_STALE_READ, PK_STALE_READ };
}

static void forget(struct mapping *mapping)
{
    forget_stored(mapping);
    pk_doc_unref(mapping->mindscape);
    mapping->mindscape = NULL;
}

/* What is cached, and whether it is fresh, by the mindscape that is there. */
static bool look_at_stored(struct mapping *mapping, bool is_again, struct pk_error *err)
{
    forget_stored(mapping);
    return find_stored(mapping, is_again, err) &&
           (!mapping->stored ||
            persona_is_fresh(mapping->domain, mapping->stored, mapping->mapper->version,
                             mapping->now_ms, mapping->request->deadline_ns, &mapping->mindscape,
                             &mapping->fresh, err)) &&
           (mapping->mindscape || is_missing(mapping, err));
}

/* 'is_again': the last look was overtaken, so this one asks the store itself. */
static bool look(struct mapping *mapping, bool is_again, struct pk_error *err)
{
    const struct pk_map_request *request = mapping->request;
    forget(mapping);
    mapping->now_ms = pk_clock_wall_ms(mapping->domain->books->clock);
    if (!(is_again ? pk_mindscape_read : pk_mindscape_get)(
            mapping->domain, request->person, request->deadline_ns, &mapping->mindscape, err)) {
        return false;
    }
    if (!mapping->mindscape) {
        return is_missing(mapping, err);
    }
    mapping->seen_version = pk_doc_int(mapping->mindscape, "version", 0);
    if (request->purpose &&
        !pk_consent_check(mapping->domain, request->person, request->purpose, mapping->now_ms,
                          request->deadline_ns, &mapping->consent, err)) {
        return false;
    }
    return look_at_stored(mapping, is_again, err);
}

/* ---- Writing ---- */

static void announce(const struct mapping *mapping, const struct pk_doc *doc,
                     struct pk_writes *list)
{
    const char *before = mapping->stored && strcmp(pk_doc_id(mapping->stored), pk_doc_id(doc)) == 0
                             ? pk_doc_text(mapping->stored, "personaInstanceId")
                             : NULL;
    const struct pk_fact fact[] = {
        { "personaId", pk_doc_id(doc) },
        { "mapperId", pk_doc_text(doc, "mapperId") },
        { "mapperVersion", pk_doc_text(doc, "mapperVersion") },
        { "detailLevel", pk_doc_text(doc, "detailLevel") },
        { "replaces", before },
        { NULL, NULL },
    };
    pk_news_add(list, mapping->domain->books,
                &(struct pk_news){ .type = "persona.generated",
                                   .entity_type = "persona",
                                   .entity_id = pk_doc_text(doc, "personaInstanceId"),
                                   .service = "mapper",
                                   .person = mapping->request->person,
                                   .fact = fact });
}

/* Whether one more variant may be kept: those of this person, mapper and detail are counted. */
static bool has_room(const struct mapping *mapping, const struct variant *as, bool *out,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "personas",
                                    .index = "by_mapper_user",
                                    .equal = { PK_TEXT(mapping->request->mapper),
                                               PK_TEXT(mapping->request->person) },
                                    .equal_count = 2,
                                    .limit = (PERSONA_VARIANTS_MAX + 1) * PK_DETAIL_COUNT };
    const char *detail = pk_detail_name(mapping->request->detail);
    size_t count = 0;
    *out = true;
    if (!as->name[0]) {
        return true;
    }
    if (!pk_store_find(mapping->domain->books->store, &query, mapping->request->deadline_ns, &page,
                       err)) {
        return false;
    }
    for (size_t i = 0; i < page.count; i++) {
        count += pk_doc_text(page.doc[i], "variant") &&
                 strcmp(pk_doc_text(page.doc[i], "detailLevel"), detail) == 0;
    }
    *out = count < PERSONA_VARIANTS_MAX;
    return true;
}

/* 'target' is what lies in its place now, or NULL. */
static bool write_down(const struct mapping *mapping, const struct made *made,
                       const struct variant *as, const struct pk_doc *target,
                       struct product *product, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    bool is_kept = true;
    bson_t view;

    if (!target && !has_room(mapping, as, &is_kept, err)) {
        return false;
    }
    if (target) {
        pk_writes_replace(&list, "personas", product->doc, pk_doc_version(target));
    } else if (is_kept) {
        pk_writes_insert(&list, "personas", product->doc);
    }
    const size_t own = list.count;
    const uint64_t stamp = pk_hot_stamp(mapping->domain->hot, mapping->request->person);
    struct pk_commit commit = { .conflict_write = -1 };
    pk_writes_expect_absent(&list, "tombstones", mapping->request->person);
    if (mapping->request->purpose) {
        pk_consent_expect(&list, mapping->request->person, mapping->request->purpose,
                          &mapping->consent);
    }
    if (product->is_new) {
        row = persona_log_row(mapping, made, product->doc);
        pk_writes_insert(&list, "persona_log", row);
        announce(mapping, product->doc, &list);
    }
    if (!pk_store_commit(mapping->domain->books->store, &list, mapping->request->deadline_ns,
                         &commit, err)) {
        const bool is_erased = err->code == PK_CONFLICT && commit.conflict_write == (int)own;
        return is_erased && is_missing(mapping, err);
    }
    if (own > 0) {
        pk_doc_view(product->doc, &view);
        struct pk_doc *stored = pk_doc_new_versioned(&view, list.write[0].version);
        pk_doc_unref(product->doc);
        product->doc = stored;
        keep_ready(mapping, stored, stamp);
    }
    return true;
}

/* ---- Making ---- */

/* Puts what was made where it belongs: the common place when hiding has changed nothing. */
static bool make(const struct mapping *mapping, const struct made *made,
                 const struct variant **out_as, struct product *out, struct pk_error *err)
{
    const struct variant *as = mapping->place;
    if (!persona_make(mapping, made, as, mapping->stored, out, err)) {
        return false;
    }
    const bool meets = mapping->has_hidden && persona_meets_hidden(out->doc, mapping->request->who);
    const struct variant *other = meets ? &mapping->own : &mapping->common;
    const bool is_placed = !mapping->has_hidden || as == other || (!meets && mapping->stored);
    *out_as = as;
    if (!is_placed) {
        pk_doc_unref(out->doc);
        *out = (struct product){ 0 };
        *out_as = other;
        return persona_make(mapping, made, other, mapping->stored, out, err);
    }
    return true;
}

static bool run(const struct mapping *mapping, struct made *made, struct pk_error *err)
{
    const bool wants_core = mapping->fresh.core != PK_FRESH;
    const bool wants_overlay = mapping->fresh.overlay != PK_FRESH;
    assert(wants_core || wants_overlay);
    if (!persona_run(mapping, wants_core, wants_overlay, made, err)) {
        return false;
    }
    /* A half of one version does not go with a half of another. */
    if (wants_core && wants_overlay) {
        return true;
    }
    if (strcmp(made->ran->version, pk_doc_text(mapping->stored, "mapperVersion")) == 0) {
        return true;
    }
    made_done(made);
    return persona_run(mapping, true, true, made, err);
}

/* PK_CONFLICT with '*out_lost': somebody else's write came first. */
static bool produce(struct mapping *mapping, struct product *out, bool *out_lost,
                    struct pk_error *err)
{
    PK_CLEANUP(made_done) struct made made = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = NULL;
    const struct variant *as = NULL;
    bool is_read = false;

    *out_lost = false;
    if (!run(mapping, &made, err) || !make(mapping, &made, &as, out, err)) {
        return false;
    }
    if (as == mapping->place) {
        target = mapping->stored ? pk_doc_ref(mapping->stored) : NULL;
    } else if (!load(mapping, as->id, true, &target, &is_read, err)) {
        return false;
    }
    if (!write_down(mapping, &made, as, target, out, err)) {
        *out_lost = err->code == PK_CONFLICT;
        pk_doc_unref(out->doc);
        *out = (struct product){ 0 };
        return false;
    }
    if (!out->is_new) {
        atomic_fetch_add(&mapping->personas->unchanged, 1);
    }
    return true;
}

/* What is replaced is read from the store, for another node may have been quicker, and uses have
 * been counted; unless the first look has just done so. */
static bool look_before(struct mapping *mapping, int attempt, struct pk_error *err)
{
    return attempt > 0 ? look(mapping, true, err)
                       : is_just_read(mapping) || look_at_stored(mapping, true, err);
}

/* One mapping, repeated while others write first. */
static bool fly(struct mapping *mapping, struct product *out, struct pk_error *err)
{
    struct pk_error why = { 0 };
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        bool is_lost = false;
        if (!look_before(mapping, attempt, err)) {
            return false;
        }
        if (mapping->stored && pk_fresh_is(&mapping->fresh)) {
            out->doc = pk_doc_ref(mapping->stored); /* The winner's. */
            return true;
        }
        if (produce(mapping, out, &is_lost, &why)) {
            return true;
        }
        if (!is_lost) {
            *err = why;
            return false;
        }
    }
    return pk_fail(err, PK_BUSY, "try again", "this persona is written by too many at once: %s",
                   why.message);
}

/* ---- Sharing ---- */

static void name_flight(const struct mapping *mapping, char *out, size_t size)
{
    (void)snprintf(out, size, "%s %s %s", mapping->own.id, mapping->mapper->version,
                   mapping->mapper->bundle->hash_text);
}

/* Maps, or rides with somebody who does. '*out' is a reference; NULL: the request is parked. */
static bool map(struct mapping *mapping, struct pk_doc **out, struct pk_error *err)
{
    struct pk_personas *personas = mapping->personas;
    struct pk_flight *flight = NULL;
    struct pk_flight_outcome outcome = { 0 };
    struct product product = { 0 };
    char name[PERSONA_ID + PK_SCRIPT_VERSION + PK_HASH_TEXT + 2];

    *out = NULL;
    name_flight(mapping, name, sizeof(name));
    const struct pk_flight_want want = { .key = name,
                                         .version = pk_doc_int(mapping->mindscape, "version", 0),
                                         .deadline_ns = mapping->request->deadline_ns,
                                         .parking = mapping->request->parking };
    switch (pk_flight_board(personas->flights, &want, &flight, &outcome)) {
    case PK_FLIGHT_PILOT:
        if (fly(mapping, &product, &outcome.err)) {
            outcome.doc = product.doc;
            outcome.is_new = product.is_new;
        }
        pk_flight_land(personas->flights, flight, &outcome);
        break;
    case PK_FLIGHT_PASSENGER:
        break;
    case PK_FLIGHT_PARKED:
        return true;
    case PK_FLIGHT_MISSED:
        return pk_fail(err, PK_TIMEOUT, "try again", "mapping takes longer than the request may");
    }
    if (!outcome.doc) {
        *err = outcome.err;
        return false;
    }
    *out = outcome.doc;
    return true;
}

/* ---- Answering ---- */

static void warn(struct pk_mapped *out, const char *text)
{
    out->warning = pk_realloc(out->warning, (out->warning_count + 1) * sizeof(*out->warning));
    out->warning[out->warning_count++] = pk_strdup(text);
}

void pk_mapped_done(struct pk_mapped *mapped)
{
    for (size_t i = 0; i < mapped->warning_count; i++) {
        pk_free(mapped->warning[i]);
    }
    pk_free(mapped->warning);
    pk_doc_unref(mapped->persona);
    *mapped = (struct pk_mapped){ 0 };
}

static bool has_section(const struct pk_doc *persona, const char *name)
{
    static const char *const half[] = { "coreSnapshot", "overlaySlice" };
    bson_t view;
    bson_iter_t iter, field;
    pk_doc_view(persona, &view);
    for (size_t i = 0; i < PK_COUNT(half); i++) {
        if (bson_iter_init_find(&iter, &view, half[i]) && bson_iter_recurse(&iter, &field) &&
            bson_iter_find(&field, name) && !BSON_ITER_HOLDS_NULL(&field)) {
            return true;
        }
    }
    return false;
}

static void note_missing(const struct pk_doc *persona, const char *name, struct pk_mapped *out,
                         struct pk_buf *missing)
{
    PK_CLEANUP(pk_freep) char *text = pk_strdupf("required section '%.100s' is missing", name);
    if (has_section(persona, name)) {
        return;
    }
    for (size_t i = 0; i < out->warning_count; i++) {
        if (strcmp(out->warning[i], text) == 0) {
            return;
        }
    }
    warn(out, text);
    pk_buf_printf(missing, "%s'%.100s'", missing->size ? ", " : "", name);
}

/* A section of the mapper's template that a persona of this detail must have; or NULL. */
static const char *required_section(const bson_iter_t *item, enum pk_detail detail)
{
    bson_iter_t field;
    const char *name = NULL, *least = NULL;
    bool is_required = false;
    for (bool more = bson_iter_recurse(item, &field); more && bson_iter_next(&field);) {
        const char *key = bson_iter_key(&field);
        if (strcmp(key, "sectionName") == 0 && BSON_ITER_HOLDS_UTF8(&field)) {
            name = bson_iter_utf8(&field, NULL);
        } else if (strcmp(key, "detail") == 0 && BSON_ITER_HOLDS_UTF8(&field)) {
            least = bson_iter_utf8(&field, NULL);
        } else if (strcmp(key, "required") == 0) {
            is_required = bson_iter_as_bool(&field);
        }
    }
    return is_required && (!least || pk_detail_find(least) <= detail) ? name : NULL;
}

/* Sections that the mapper or the request calls required, and that are not there. */
static bool check_sections(const struct mapping *mapping, struct pk_mapped *out,
                           struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf missing = { 0 };
    const struct pk_map_request *request = mapping->request;
    bson_iter_t iter, sections, item;

    if (bson_iter_init(&iter, &mapping->mapper->manifest) &&
        bson_iter_find_descendant(&iter, "outputTemplate.sections", &sections) &&
        BSON_ITER_HOLDS_ARRAY(&sections) && bson_iter_recurse(&sections, &item)) {
        while (bson_iter_next(&item)) {
            const char *name = required_section(&item, request->detail);
            if (name) {
                note_missing(out->persona, name, out, &missing);
            }
        }
    }
    for (const char *const *name = request->sections; name && *name; name++) {
        note_missing(out->persona, *name, out, &missing);
    }
    if (request->is_strict && missing.size > 0) {
        return pk_fail(err, PK_CONFLICT, "ask without 'strict', or for a higher detail level",
                       "the persona lacks the required sections %s", pk_buf_text(&missing));
    }
    return true;
}

/* Why it is out of date; the first that holds of either half. */
static const char *stale_words(const struct pk_fresh *fresh)
{
    static const struct {
        enum pk_freshness why;
        const char *words;
    } row[] = {
        { PK_STALE_MAPPER, "the persona is out of date: another version of its mapper serves" },
        { PK_STALE_READ,
          "the persona is out of date: something that it rests on has changed since" },
        { PK_STALE_TIME, "the persona is out of date: its time is over" },
    };
    size_t i = 0;
    while (i + 1 < PK_COUNT(row) && fresh->core != row[i].why && fresh->overlay != row[i].why) {
        i++;
    }
    return row[i].words;
}

static bool answer(struct mapping *mapping, struct pk_doc *doc, enum pk_cache_status status,
                   struct pk_mapped *out, struct pk_error *err)
{
    const struct pk_principal *who = mapping->request->who;
    out->persona = persona_marked(doc, status == PK_PERSONA_STALE);
    out->status = status;
    out->tokens = pk_doc_int(doc, "generationMetadata.totalTokensUsed", 0);
    out->took_ns = pk_clock_mono_ns(mapping->domain->books->clock) - mapping->started_ns;
    if (status == PK_PERSONA_STALE) {
        warn(out, stale_words(&mapping->fresh));
    }
    if (!check_sections(mapping, out, err)) {
        pk_mapped_done(out);
        return false;
    }
    atomic_fetch_add(&mapping->personas->by_status[status], 1);
    uses_add(mapping->personas->uses, pk_doc_id(doc), pk_doc_text(doc, "mapperVersion"),
             who ? who->actor_id : NULL);
    return true;
}

/* Whether what is cached may be served though it is out of date. */
static bool will_do(const struct mapping *mapping)
{
    return mapping->stored && mapping->request->is_stale_fine &&
           mapping->now_ms < pk_doc_date(mapping->stored, "expiresAt", 0);
}

/* ---- Which version serves ---- */

static void begin(struct mapping *mapping, const struct pk_script *mapper, bool is_canary)
{
    mapping->mapper = mapper;
    mapping->is_canary = is_canary;
    mapping->seen_version = -1;
    (is_canary ? variant_init_canary : variant_init)(&mapping->common, mapping->request, mapper,
                                                     false);
    (is_canary ? variant_init_canary : variant_init)(&mapping->own, mapping->request, mapper,
                                                     mapping->has_hidden);
}

static void end(struct mapping *mapping)
{
    variant_done(&mapping->common);
    variant_done(&mapping->own);
    forget(mapping);
}

/* Until the version that is tried has made something, what the active one has made is what is out
 * of date; unless that is known to stand in for it. '*out_is_served': it did. */
static bool serve_older(const struct mapping *canary, struct pk_mapped *out, bool *out_is_served,
                        struct pk_error *err)
{
    struct mapping mapping = { .personas = canary->personas,
                               .domain = canary->domain,
                               .request = canary->request,
                               .started_ns = canary->started_ns,
                               .pinned = canary->pinned,
                               .has_hidden = canary->has_hidden };
    begin(&mapping, pk_generation_find(canary->pinned, PK_SCRIPT_MAPPER, canary->request->mapper),
          false);
    bool ok = look(&mapping, true, err); /* Another node may have noted it. */
    *out_is_served =
        ok && will_do(&mapping) &&
        !persona_is_instead(mapping.stored, canary->mapper->version, mapping.mindscape);
    if (*out_is_served) {
        mapping.fresh = (struct pk_fresh){ PK_STALE_MAPPER, PK_STALE_MAPPER };
        ok = answer(&mapping, mapping.stored, PK_PERSONA_STALE, out, err);
    }
    end(&mapping);
    return ok;
}

static bool serve(struct mapping *mapping, struct pk_mapped *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = NULL;
    if (!look(mapping, false, err)) {
        return false;
    }
    if (mapping->is_canary && !mapping->stored && mapping->request->is_stale_fine) {
        bool is_served = false;
        if (!serve_older(mapping, out, &is_served, err) || is_served) {
            return is_served && out->persona;
        }
    }
    if (mapping->stored && pk_fresh_is(&mapping->fresh)) {
        return answer(mapping, mapping->stored, PK_PERSONA_FRESH, out, err);
    }
    if (will_do(mapping)) {
        return answer(mapping, mapping->stored, PK_PERSONA_STALE, out, err);
    }
    if (!map(mapping, &made, err)) {
        return false;
    }
    out->is_parked = made == NULL;
    return out->is_parked || answer(mapping, made, PK_PERSONA_REGENERATED, out, err);
}

static bool serve_by(struct mapping *mapping, const struct pk_script *mapper, bool is_canary,
                     struct pk_mapped *out, struct pk_error *err)
{
    begin(mapping, mapper, is_canary);
    const bool ok = serve(mapping, out, err);
    end(mapping);
    return ok;
}

/* The version's doing, not the machine's: it would be so again. */
static bool is_its_doing(const struct pk_error *err)
{
    return err->code == PK_REFUSED || err->code == PK_CONFLICT || err->code == PK_TOO_LARGE ||
           err->code == PK_UNAVAILABLE;
}

/* The version that is tried has failed for this person: he gets what all others get. */
static bool fall_back(struct mapping *mapping, struct pk_mapped *out, struct pk_error *err)
{
    const struct pk_map_request *request = mapping->request;
    const int64_t failed_on = mapping->seen_version;
    const char *tried = mapping->mapper->version;
    const struct pk_error why = *err;
    PK_CLEANUP(pk_freep)
    char *text = pk_strdupf("version %s, which is tried on this person, failed, so the active "
                            "version serves: %s",
                            tried, why.message);
    *err = (struct pk_error){ 0 };
    if (!serve_by(mapping, pk_generation_find(mapping->pinned, PK_SCRIPT_MAPPER, request->mapper),
                  false, out, err)) {
        return false;
    }
    if (!out->is_parked) {
        warn(out, text);
        atomic_fetch_add(&mapping->personas->fallbacks, 1);
        if (failed_on >= 0) {
            persona_note_instead(mapping->domain, out->persona, tried, failed_on,
                                 request->deadline_ns);
        }
    }
    return true;
}

bool pk_persona_map(struct pk_personas *personas, const struct pk_map_request *request,
                    struct pk_mapped *out, struct pk_error *err)
{
    struct pk_error local = { 0 };
    struct mapping mapping = { .personas = personas,
                               .domain = personas->domain,
                               .request = request,
                               .started_ns = pk_clock_mono_ns(personas->domain->books->clock) };
    bool ok = false, is_canary = false;

    err = err ? err : &local;
    *out = (struct pk_mapped){ 0 };
    mapping.has_hidden = request->who && pk_principal_hides_any(request->who);
    mapping.pinned = pk_scripts_pin(mapping.domain->scripts);
    const struct pk_script *mapper =
        pk_canary_mapper(mapping.pinned, request->mapper, request->person, &is_canary);
    ok = mapper ? serve_by(&mapping, mapper, is_canary, out, err) : is_no_mapper(&mapping, err);
    if (!ok && is_canary && is_its_doing(err)) {
        ok = fall_back(&mapping, out, err);
    }
    pk_generation_unpin(mapping.pinned);
    return ok;
}
