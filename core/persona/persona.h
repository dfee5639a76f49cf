/* persona.h - The view made for one task: mapped, kept, and known to be fresh or not.
 *
 * Freshness is computed when asked for: the mapper's version is the same, the
 * time is before 'validUntil', and nothing in the read set has a newer version
 * in the mindscape. Core and overlay have each their own; only the half that is
 * stale runs again, and a result that is equal leaves the old one standing
 * (same instance, same ETag, later expiry). Equal requests at the same time
 * make one mapping. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PERSONA_H
#define PK_PERSONA_PERSONA_H

#include "access/principal.h"
#include "persona/domain.h"
#include "persona/flight.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_page;
struct pk_personas; /* Opaque: mappings under way, and use counts not yet written. Any thread. */

enum { PK_PERSONA_MAPPER = 65 }; /* A mapper's id with its NUL. */

struct pk_personas *pk_personas_new(const struct pk_domain *domain);
/* A thread that writes use counts every 5 s, and announces the ends of personas every 30 s. */
bool pk_personas_start(struct pk_personas *personas, struct pk_error *err);
void pk_personas_free(struct pk_personas *personas); /* Stops it first; NULL is fine. */

enum pk_cache_status { PK_PERSONA_FRESH, PK_PERSONA_STALE, PK_PERSONA_REGENERATED };

struct pk_map_request {
    const char *mapper, *person;
    enum pk_detail detail;
    bool is_stale_fine;             /* includeStale: see pk_persona_map. */
    bool is_strict;                 /* A missing required section is PK_CONFLICT. */
    const char *purpose;            /* For consent; NULL: none was named. */
    const bson_t *context;          /* Of the request; or NULL. */
    const char *const *sections;    /* context.requiredSections; NULL-terminated; or NULL. */
    const struct pk_principal *who; /* What he may not see is not there for him. */
    int64_t deadline_ns;
    struct pk_flight_parking parking; /* For the time in which another maps the same; or zeroes. */
};
struct pk_mapped {
    bool is_parked;         /* Nothing else is there: 'wake' is called; ask again then. */
    struct pk_doc *persona; /* Stored form, 'isStale' as computed; a reference. */
    enum pk_cache_status status;
    int64_t took_ns;
    int64_t tokens;
    char **warning; /* Beyond those of the persona; 'warning_count' of them. */
    size_t warning_count;
};
void pk_mapped_done(struct pk_mapped *mapped);

/* A person on whom a version is tried (canary.h) gets what that makes, cached apart; when that
 * fails, what the active version makes, with a warning. With 'is_stale_fine' a cached persona that
 * is out of date but not past its 'expiresAt' is served at once, marked (isStale, PK_PERSONA_STALE,
 * a warning that says why) and without running the mapper: so it is served, too, when the mapper
 * would fail. One past its 'expiresAt' stands in for nothing: it is mapped anew, and a failure is
 * answered as such. Without 'is_stale_fine' a failure always is. PK_NOT_FOUND: no such person or
 * mapper; PK_CONFLICT: a trait it requires is not known (named); PK_FORBIDDEN: no consent for the
 * purpose; PK_TOO_LARGE; PK_REFUSED: the mapper failed, with file and line. */
bool pk_persona_map(struct pk_personas *personas, const struct pk_map_request *request,
                    struct pk_mapped *out, struct pk_error *err);
/* The composite id that 'id' (one, or a generation's that is still cached) stands for, to be freed;
 * NULL: none. Tells nothing else, and asks for no consent: for who must ask for access first. */
bool pk_persona_find_name(struct pk_personas *personas, const char *id, int64_t deadline_ns,
                          char **out_name, struct pk_error *err);
/* The cached one by its id or instance id, with 'isStale' as computed now; '*out' NULL: there is
 * none (any more), or none that 'who' may see. An id without a variant stands for what the version
 * made that is tried on the person, if there is such a one. PK_FORBIDDEN names the purpose that is
 * not agreed to (any more): ask for access to the person before. */
bool pk_persona_get(struct pk_personas *personas, const char *id, const struct pk_principal *who,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
/* Those of a person that 'who' may have, in the order of their ids; a page may hold fewer than
 * 'limit', or none, and yet have a next one. */
bool pk_persona_list(struct pk_personas *personas, const char *person,
                     const struct pk_principal *who, size_t limit, const char *cursor,
                     int64_t deadline_ns, struct pk_page *out, struct pk_error *err);
/* In what stretch of time it is fresh if nothing is written (wall). */
int64_t pk_persona_valid_from(const struct pk_doc *persona);
int64_t pk_persona_valid_until(const struct pk_doc *persona);
/* The person, mapper and detail that a composite id names; false: it is none. */
struct pk_persona_name {
    char mapper[PK_PERSONA_MAPPER], person[PK_UUID_TEXT];
    enum pk_detail detail;
    const char *variant; /* Within the id; "": none. */
};
bool pk_persona_name(const char *id, struct pk_persona_name *out);
/* Counts that the one that was asked for by this composite id was served to an actor; never blocks
 * for long. */
void pk_persona_used(struct pk_personas *personas, const char *id, const char *actor);
/* The same of one that is at hand. */
void pk_persona_served(struct pk_personas *personas, const struct pk_doc *persona,
                       const char *actor);
/* What a composite id without a variant stands for while a version is tried on the person; to be
 * freed. NULL: for itself. */
char *pk_persona_canary_id(const struct pk_domain *domain, const char *id);
/* Made by a version that is tried on some people. */
bool pk_persona_is_canary(const struct pk_doc *persona);
/* True when 'persona' is the one that a composite id names: it has that id, or the id has no
 * variant and a version is tried on the person. */
bool pk_persona_is_named(const struct pk_doc *persona, const char *id);
/* Writes what has been counted so far; the thread does so every 5 s. */
bool pk_personas_flush(struct pk_personas *personas, struct pk_error *err);
/* True when other scripts serve than when it was last asked: ready answers may be those of another
 * version of a mapper, so whoever has some forgets them (pk_hot_gap). Cheap; any thread. */
bool pk_personas_scripts_changed(struct pk_personas *personas);
/* Announces 'persona.expired' for up to 'limit' of those whose time has passed, each once whoever
 * else does so, and says how many rows it has settled: fewer than 'limit' when none is left. */
bool pk_personas_expire(struct pk_personas *personas, size_t limit, size_t *out_count,
                        struct pk_error *err);

struct pk_personas_stats {
    uint64_t fresh, stale, regenerated; /* Answers of pk_persona_map, by status. */
    uint64_t mapped, shared;            /* Mappings carried out, and requests that rode along. */
    uint64_t unchanged;                 /* Mappings that gave what was there. */
    uint64_t parked;    /* Requests that wait for a mapping now, without a thread. */
    uint64_t fallbacks; /* Answers of the active version, for one that is tried had failed. */
};
void pk_personas_stats(struct pk_personas *personas, struct pk_personas_stats *out);

#endif
