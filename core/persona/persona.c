/* persona.c - Cached personas: read, listed, and said to be fresh or not.
 *
 * Nothing here writes a persona but persona_map.c. A cached one is shown with
 * 'isStale' as it is now: by the scripts that serve, the mindscape as it is
 * here, and the clock. Who has hidden paths sees those whose read set meets none of
 * them (hiding could not have changed these), and those that were made without
 * exactly what is hidden from him. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/canary.h"
#include "persona/mindscape.h"
#include "persona/trait.h"
#include "store/store.h"

#include <string.h>

struct pk_personas *pk_personas_new(const struct pk_domain *domain)
{
    struct pk_personas *personas = pk_calloc(1, sizeof(*personas));
    personas->domain = domain;
    personas->flights = pk_flights_new(domain->books->clock);
    personas->uses = uses_new(domain);
    return personas;
}

void pk_personas_free(struct pk_personas *personas)
{
    if (personas) {
        uses_stop(personas->uses);
        (void)pk_personas_flush(personas, NULL);
        uses_free(personas->uses);
        pk_flights_free(personas->flights);
        pk_free(personas);
    }
}

void pk_personas_stats(struct pk_personas *personas, struct pk_personas_stats *out)
{
    struct pk_flight_stats flights;
    pk_flights_stats(personas->flights, &flights);
    *out = (struct pk_personas_stats){
        .fresh = personas->by_status[PK_PERSONA_FRESH],
        .stale = personas->by_status[PK_PERSONA_STALE],
        .regenerated = personas->by_status[PK_PERSONA_REGENERATED],
        .mapped = flights.flown,
        .shared = flights.shared,
        .unchanged = personas->unchanged,
        .parked = flights.parked,
        .fallbacks = personas->fallbacks,
    };
}

bool pk_personas_scripts_changed(struct pk_personas *personas)
{
    struct pk_generation *pinned = pk_scripts_pin(personas->domain->scripts);
    const uint64_t number = pk_generation_number(pinned);
    pk_generation_unpin(pinned);
    return number != atomic_load(&personas->generation) &&
           number != atomic_exchange(&personas->generation, number);
}

/* ---- Freshness ---- */

static bool basis_of(const struct pk_doc *persona, const char *name, bson_t *out)
{
    bson_t view;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    pk_doc_view(persona, &view);
    if (!bson_iter_init_find(&iter, &view, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

bool persona_meets_hidden(const struct pk_doc *persona, const struct pk_principal *who)
{
    bson_t core, overlay;
    if (!who || !pk_principal_hides_any(who)) {
        return false;
    }
    return !basis_of(persona, "coreBasis", &core) || !basis_of(persona, "overlayBasis", &overlay) ||
           pk_fresh_meets_hidden(&core, who) || pk_fresh_meets_hidden(&overlay, who);
}

/* Made for who has the very same hidden paths: what is hidden from him was not there for it. */
static bool is_made_without_hidden(const struct pk_doc *persona, const struct pk_principal *who)
{
    const char *hidden = pk_doc_text(persona, "variantValues.hidden");
    char own[2 * sizeof(who->hidden_id) + 1];
    pk_hex(own, who->hidden_id, sizeof(who->hidden_id));
    return hidden && strcmp(hidden, own) == 0;
}

static bool may_see(const struct pk_doc *persona, const struct pk_principal *who)
{
    return !persona_meets_hidden(persona, who) || is_made_without_hidden(persona, who);
}

static int64_t greatest_version(const struct pk_doc *persona)
{
    const int64_t core = pk_doc_int(persona, "coreBasis.mindscapeVersion", 0);
    const int64_t overlay = pk_doc_int(persona, "overlayBasis.mindscapeVersion", 0);
    return core > overlay ? core : overlay;
}

bool persona_is_fresh(const struct pk_domain *domain, const struct pk_doc *persona,
                      const char *mapper_version, int64_t now_ms, int64_t deadline_ns,
                      struct pk_doc **mindscape, struct pk_fresh *out, struct pk_error *err)
{
    const char *person = pk_doc_text(persona, "userId");
    bson_t view, mind;

    *out = (struct pk_fresh){ PK_STALE_READ, PK_STALE_READ };
    if (!*mindscape && !pk_mindscape_get(domain, person, deadline_ns, mindscape, err)) {
        return false;
    }
    if (*mindscape && pk_doc_int(*mindscape, "version", 0) < greatest_version(persona)) {
        pk_doc_unref(*mindscape); /* Another node has heard more than this one. */
        *mindscape = NULL;
        if (!pk_mindscape_read(domain, person, deadline_ns, mindscape, err)) {
            return false;
        }
    }
    if (*mindscape) {
        pk_doc_view(persona, &view);
        pk_doc_view(*mindscape, &mind);
        pk_fresh_persona(&view, mapper_version, &mind, pk_policies_decay_key(domain->policies),
                         now_ms, out);
    }
    return true;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t pk_persona_valid_from(const struct pk_doc *persona)
{
    return later(pk_doc_date(persona, "coreBasis.validFrom", INT64_MAX),
                 pk_doc_date(persona, "overlayBasis.validFrom", INT64_MAX));
}

int64_t pk_persona_valid_until(const struct pk_doc *persona)
{
    return earlier(pk_doc_date(persona, "expiresAt", 0),
                   earlier(pk_doc_date(persona, "coreBasis.validUntil", 0),
                           pk_doc_date(persona, "overlayBasis.validUntil", 0)));
}

/* A persona that was made for a purpose is shown while that is agreed to. */
static bool check_purpose(const struct pk_domain *domain, const struct pk_doc *persona,
                          int64_t deadline_ns, struct pk_error *err)
{
    const char *purpose = pk_doc_text(persona, "variantValues.purpose");
    return !purpose ||
           pk_consent_check(domain, pk_doc_text(persona, "userId"), purpose,
                            pk_clock_wall_ms(domain->books->clock), deadline_ns, NULL, err);
}

/* A reference to the persona with 'isStale' as it is now. */
static bool mark(const struct pk_domain *domain, struct pk_generation *pinned,
                 const struct pk_doc *persona, int64_t deadline_ns, struct pk_doc **mindscape,
                 struct pk_doc **out, struct pk_error *err)
{
    if (!*mindscape &&
        !pk_mindscape_get(domain, pk_doc_text(persona, "userId"), deadline_ns, mindscape, err)) {
        return false;
    }
    const struct pk_script *mapper = persona_serving(pinned, persona, *mindscape);
    struct pk_fresh fresh = { PK_STALE_MAPPER, PK_STALE_MAPPER };
    if (mapper &&
        !persona_is_fresh(domain, persona, mapper->version, pk_clock_wall_ms(domain->books->clock),
                          deadline_ns, mindscape, &fresh, err)) {
        return false;
    }
    *out = persona_marked(persona, !pk_fresh_is(&fresh));
    return true;
}

/* ---- Reading ---- */

static bool find_instance(struct pk_store *store, const char *id, int64_t deadline_ns,
                          struct pk_doc **out, struct pk_error *err)
{
    const struct pk_query query = { .collection = "personas",
                                    .index = "by_instance",
                                    .equal = { PK_TEXT(id) },
                                    .equal_count = 1,
                                    .limit = 1 };
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    if (!pk_store_find(store, &query, deadline_ns, &page, err)) {
        return false;
    }
    *out = page.count > 0 ? pk_doc_ref(page.doc[0]) : NULL;
    return true;
}

bool pk_persona_find_name(struct pk_personas *personas, const char *id, int64_t deadline_ns,
                          char **out_name, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    struct pk_persona_name name;
    *out_name = NULL;
    if (pk_persona_name(id, &name)) {
        *out_name = pk_strdup(id);
    } else if (pk_uuid_is_v4(id, strlen(id))) {
        if (!find_instance(personas->domain->books->store, id, deadline_ns, &stored, err)) {
            return false;
        }
        *out_name = stored ? pk_strdup(pk_doc_id(stored)) : NULL;
    }
    return true;
}

/* Where that lies which a version tried on the person has made; NULL: none is tried on him, or the
 * id says which variant it means. To be freed. */
static char *find_canary(const struct pk_generation *pinned, const struct pk_persona_name *name)
{
    bool is_canary = false;
    const struct pk_script *mapper =
        name->variant[0] ? NULL : pk_canary_mapper(pinned, name->mapper, name->person, &is_canary);
    return is_canary ? variant_canary_id(name, mapper) : NULL;
}

/* What a composite id stands for: what lies there; or, where a version is tried on the person, what
 * that has made, unless it failed on the mindscape as it is. */
static bool find_named(const struct pk_domain *domain, const struct pk_generation *pinned,
                       const char *id, const struct pk_persona_name *name,
                       const struct pk_doc *mindscape, int64_t deadline_ns, struct pk_doc **out,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *canary = find_canary(pinned, name);
    struct pk_store *store = domain->books->store;
    struct pk_doc *made = NULL;
    if (!pk_store_get(store, "personas", id, deadline_ns, out, err)) {
        return false;
    }
    if (!canary || (*out && persona_serving(pinned, *out, mindscape) ==
                                pk_generation_find(pinned, PK_SCRIPT_MAPPER, name->mapper))) {
        return true;
    }
    if (!pk_store_get(store, "personas", canary, deadline_ns, &made, err)) {
        return false;
    }
    if (made) {
        pk_doc_unref(*out);
        *out = made;
    }
    return true;
}

char *pk_persona_canary_id(const struct pk_domain *domain, const char *id)
{
    struct pk_persona_name name;
    if (!pk_persona_name(id, &name)) {
        return NULL;
    }
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    char *found = find_canary(pinned, &name);
    pk_generation_unpin(pinned);
    return found;
}

bool pk_persona_is_canary(const struct pk_doc *persona)
{
    return pk_doc_text(persona, "variantValues.canary") != NULL;
}

bool pk_persona_is_named(const struct pk_doc *persona, const char *id)
{
    struct pk_persona_name name;
    return strcmp(id, pk_doc_id(persona)) == 0 ||
           (pk_persona_name(id, &name) && !name.variant[0] && pk_persona_is_canary(persona));
}

static bool get(const struct pk_domain *domain, struct pk_generation *pinned, const char *id,
                const struct pk_principal *who, int64_t deadline_ns, struct pk_doc **out,
                struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    struct pk_persona_name name;

    *out = NULL;
    if (pk_uuid_is_v4(id, strlen(id))) {
        if (!find_instance(domain->books->store, id, deadline_ns, &stored, err)) {
            return false;
        }
    } else if (!pk_persona_name(id, &name)) {
        return true;
    } else if (!pk_mindscape_get(domain, name.person, deadline_ns, &mindscape, err) ||
               !find_named(domain, pinned, id, &name, mindscape, deadline_ns, &stored, err)) {
        return false;
    }
    if (!stored || !may_see(stored, who)) {
        return true;
    }
    return check_purpose(domain, stored, deadline_ns, err) &&
           mark(domain, pinned, stored, deadline_ns, &mindscape, out, err);
}

bool pk_persona_get(struct pk_personas *personas, const char *id, const struct pk_principal *who,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct pk_generation *pinned = pk_scripts_pin(personas->domain->scripts);
    const bool ok = get(personas->domain, pinned, id, who, deadline_ns, out, err);
    pk_generation_unpin(pinned);
    return ok;
}

static bool may_have(const struct pk_doc *persona, const struct pk_principal *who)
{
    return !who || (pk_principal_may_use(who, pk_doc_text(persona, "mapperId")) &&
                    pk_detail_find(pk_doc_text(persona, "detailLevel")) <= who->max_detail &&
                    may_see(persona, who));
}

bool pk_persona_list(struct pk_personas *personas, const char *person,
                     const struct pk_principal *who, size_t limit, const char *cursor,
                     int64_t deadline_ns, struct pk_page *out, struct pk_error *err)
{
    const struct pk_domain *domain = personas->domain;
    const struct pk_query query = { .collection = "personas",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(person) },
                                    .equal_count = 1,
                                    .limit = limit,
                                    .cursor = cursor };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    struct pk_page page = { 0 };
    bool ok = true;

    if (!pk_mindscape_get(domain, person, deadline_ns, &mindscape, err) ||
        !pk_store_find(domain->books->store, &query, deadline_ns, &page, err)) {
        return false;
    }
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    size_t count = 0;
    for (size_t i = 0; i < page.count; i++) {
        struct pk_doc *marked = NULL;
        if (ok && may_have(page.doc[i], who) &&
            check_purpose(domain, page.doc[i], deadline_ns, NULL)) {
            ok = mark(domain, pinned, page.doc[i], deadline_ns, &mindscape, &marked, err);
        }
        pk_doc_unref(page.doc[i]);
        page.doc[i] = NULL;
        if (marked) {
            page.doc[count++] = marked;
        }
    }
    page.count = count;
    pk_generation_unpin(pinned);
    if (!ok) {
        pk_page_done(&page);
        return false;
    }
    *out = page;
    return true;
}

/* On the loop: what serves the person now is what was served. */
void pk_persona_used(struct pk_personas *personas, const char *id, const char *actor)
{
    PK_CLEANUP(pk_freep) char *canary = NULL;
    struct pk_persona_name name;
    if (pk_persona_name(id, &name)) {
        struct pk_generation *pinned = pk_scripts_pin(personas->domain->scripts);
        bool is_canary = false;
        const struct pk_script *mapper =
            pk_canary_mapper(pinned, name.mapper, name.person, &is_canary);
        canary = is_canary && !name.variant[0] ? variant_canary_id(&name, mapper) : NULL;
        uses_add(personas->uses, canary ? canary : id, mapper ? mapper->version : "", actor);
        pk_generation_unpin(pinned);
    }
}

void pk_persona_served(struct pk_personas *personas, const struct pk_doc *persona,
                       const char *actor)
{
    uses_add(personas->uses, pk_doc_id(persona), pk_doc_text(persona, "mapperVersion"), actor);
}
