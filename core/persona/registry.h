/* registry.h - All versions of all scripts, which of them is active, and what may not run.
 *
 * The store is the only truth: mappers lie in 'mappers', processors and
 * conditions in 'scripts', what is barred in 'script_state'. One version per id
 * is active. The registry writes there, with audit row and event in the same
 * list, and keeps this node's generation (script/scripts.h) at what is there:
 *
 *     registry = pk_registry_new(&options);
 *     pk_registry_refresh(registry, err)      at the start, so that what is active serves
 *     pk_registry_start(registry, err)        a thread that follows from then on
 *     pk_watch_tell(watch, hear, registry)    the feed wakes it: pk_registry_hear
 *
 * A version is taken in by the loader before it is written and again before it
 * serves on a node, so a bad one never replaces a good one: what does not load
 * is refused, the old one serves, and pk_registry_refused says why. All
 * functions block, but for pk_registry_hear and pk_registry_doubt; any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_REGISTRY_H
#define PK_PERSONA_REGISTRY_H

#include "access/audit.h"
#include "script/scripts.h"

struct pk_doc;
struct pk_error;
struct pk_feed_item;
struct pk_log;
struct pk_page;
struct pk_registry; /* Opaque. */

struct pk_registry_options {
    const struct pk_books *books;
    struct pk_loader *loader;
    struct pk_scripts *scripts;
    struct pk_log *log;
};
struct pk_registry *pk_registry_new(const struct pk_registry_options *options)
    __attribute__((returns_nonnull, warn_unused_result));
void pk_registry_free(struct pk_registry *registry); /* Stops it first; NULL is fine. */
/* The thread that does what is heard and doubted. */
bool pk_registry_start(struct pk_registry *registry, struct pk_error *err);
void pk_registry_stop(struct pk_registry *registry); /* More than once is fine, as is NULL. */

enum pk_draft_rule {
    PK_DRAFT_STRICT, /* Other content under a used version: PK_CONFLICT, "raise the version". */
    PK_DRAFT_RENAME  /* It becomes 1.2.0+<first 8 digits of its hash>: for files that are saved. */
};
/* Writes a version as a draft, or finds the one that has this very content. '*out' is its document.
 * 'id' NULL: whatever the script says; else it must say the same. When it does not pass, 'err' is
 * PK_INVALID and 'report', which is empty before and ended by the caller, says what is wrong. */
bool pk_registry_draft(struct pk_registry *registry, const struct pk_by *by,
                       struct pk_bundle *bundle, enum pk_script_kind kind, const char *id,
                       enum pk_draft_rule rule, struct pk_doc **out, struct pk_report *report,
                       struct pk_error *err);

/* A draft that came of training (train.h), taken in and tried as every draft is, but not written:
 * '*out' is the document to insert into 'mappers', with 'training' as its trainingMetadata. */
bool pk_registry_prepare(struct pk_registry *registry, const struct pk_by *by,
                         struct pk_bundle *bundle, const char *id, const bson_t *training,
                         struct pk_doc **out, struct pk_report *report, struct pk_error *err);

/* How a change of what is active went on this node. */
struct pk_activation {
    uint64_t generation; /* That every new request gets. */
    size_t old_calls;    /* That still run on older ones. */
    int64_t took_ms;     /* Without the script's own examples, ... */
    int64_t examples_ms; /* ... which took this. */
};
/* Makes a version the active one, by compare-and-set. PK_CONFLICT: its content is barred, or it is
 * deprecated. To be active already is fine. */
bool pk_registry_activate(struct pk_registry *registry, const struct pk_by *by,
                          enum pk_script_kind kind, const char *id, const char *version,
                          struct pk_activation *activation, struct pk_doc **out,
                          struct pk_report *report, struct pk_error *err);
/* Makes the version that was active before it active again, and bars the content of the present
 * one. PK_CONFLICT: there is none. */
bool pk_registry_rollback(struct pk_registry *registry, const struct pk_by *by,
                          enum pk_script_kind kind, const char *id, const char *reason,
                          struct pk_activation *activation, struct pk_doc **out,
                          struct pk_error *err);
/* Tries a draft of a mapper on a share of people, stable per person (canary.h), while the active
 * version serves all others; or changes that share. It passes first what an active one must. '*out'
 * is the active version, whose 'canary' says what is tried. PK_CONFLICT: it is the active version,
 * deprecated or barred; none is active; another one is being tried. */
bool pk_registry_canary(struct pk_registry *registry, const struct pk_by *by, const char *id,
                        const char *version, double share, struct pk_activation *activation,
                        struct pk_doc **out, struct pk_report *report, struct pk_error *err);
/* Ends it: its people get the active version again, which is '*out'. PK_NOT_FOUND: it is not tried.
 * Without being asked for it ends with the active version, and when it is activated or deprecated;
 * and when it fails as a new version would be rolled back for: then its content is barred. */
bool pk_registry_canary_end(struct pk_registry *registry, const struct pk_by *by, const char *id,
                            const char *version, const char *reason,
                            struct pk_activation *activation, struct pk_doc **out,
                            struct pk_error *err);
/* By itself: has its content rolled back once, if it is active still, or its canary ended. A
 * pk_doubt_fn: queues it and returns; 'context' is the registry. */
void pk_registry_doubt(void *context, const struct pk_script *script, const char *reason);
/* This version may not be active any more; 'version' NULL: none that there is now. '*out' is it, or
 * the newest. */
bool pk_registry_deprecate(struct pk_registry *registry, const struct pk_by *by,
                           enum pk_script_kind kind, const char *id, const char *version,
                           struct pk_doc **out, struct pk_error *err);
/* Lets barred or quarantined content run again, on every node. PK_NOT_FOUND: it is neither barred
 * nor does it serve. */
bool pk_registry_lift(struct pk_registry *registry, const struct pk_by *by, const char *hash_text,
                      struct pk_error *err);

/* 'version' NULL: the active one, or the newest. PK_NOT_FOUND: there is none. */
bool pk_registry_get(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                     const char *version, struct pk_doc **out, struct pk_error *err);
/* Any version that is stored, as a script that can run; nothing serves because of it. '*out' is a
 * reference (pk_script_unref). PK_NOT_FOUND: there is no such version; PK_INVALID: it does not load
 * (any more). */
bool pk_registry_load(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                      const char *version, int64_t deadline_ns, struct pk_script **out,
                      struct pk_error *err);
/* 'id' NULL: one entry per id in their order, its active version or its newest; else all versions
 * of it, newest first. 'limit' 0: 100. 'cursor' is 'next' of the page before, or NULL. */
bool pk_registry_list(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                      size_t limit, const char *cursor, struct pk_page *out, struct pk_error *err);
/* What is barred: rows of 'script_state'. 'id' NULL: of all scripts. */
bool pk_registry_barred(struct pk_registry *registry, const char *id, size_t limit,
                        struct pk_page *out, struct pk_error *err);

/* Reads what is active and publishes it; loads only what is new. True also when a script was
 * refused: its old version goes on serving here. False: the store did not answer. */
bool pk_registry_refresh(struct pk_registry *registry, struct pk_error *err);
/* What the feed said. An event about scripts, or a gap, has the thread refresh; many at once have
 * it refresh once. */
void pk_registry_hear(struct pk_registry *registry, const struct pk_feed_item *item);

/* Why the last candidate of each script was refused on this node, since it was last good. */
struct pk_refused {
    enum pk_script_kind kind; /* PK_SCRIPT_ANY: a saved file, and the next two are empty. */
    char id[PK_SCRIPT_ID];
    char version[PK_SCRIPT_VERSION];
    char *file;   /* NULL: a version that is active in the store. */
    char *reason; /* pk_report_print of it. */
    int64_t at_ms;
};
/* A saved file that was refused here; 'reason' NULL: it is good now, or gone. */
void pk_registry_refuse_file(struct pk_registry *registry, const char *path, const char *reason);
/* How many were filled; each is ended with pk_refused_done. */
size_t pk_registry_refused(struct pk_registry *registry, struct pk_refused *out, size_t max);
void pk_refused_done(struct pk_refused *refused);
/* How many there are. */
size_t pk_registry_refused_count(struct pk_registry *registry);

#endif
