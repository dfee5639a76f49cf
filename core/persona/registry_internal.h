/* registry_internal.h - What the registry's files share; nobody else includes it.
 *
 *     registry.c          from new to free; what is held in memory
 *     registry_change.c   draft, activate, roll back, deprecate, lift: one list of writes each
 *     registry_canary.c   the same of canaries: begun, changed, ended
 *     registry_doc.c      a version as a document: made, edited
 *     registry_find.c     reading: versions, what is active, what is barred
 *     registry_load.c     any stored version, as a script that can run
 *     registry_refresh.c  from what is active in the store to this node's generation
 *     registry_train.c    a draft that came of training
 *     registry_thread.c   what is heard and doubted, done later */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_REGISTRY_INTERNAL_H
#define PK_PERSONA_REGISTRY_INTERNAL_H

#include "persona/registry.h"

#include "base/error.h"

#include <pthread.h>

struct pk_store;
struct pk_writes;

enum { REGISTRY_TAKEN = 16, REGISTRY_DOUBTS = 32 };

/* What is to be rolled back by the thread. */
struct registry_doubt {
    enum pk_script_kind kind;
    char id[PK_SCRIPT_ID];
    char hash[PK_HASH_TEXT]; /* Only while this is active. */
    char *reason;
};

struct pk_registry {
    struct pk_registry_options options;

    pthread_mutex_t refreshing;     /* One refresh at a time; before 'lock'. */
    struct pk_scripts_entry *entry; /* What this node's generation is made of: of 'refreshing'. */
    size_t entry_count;

    pthread_mutex_t lock;                    /* Of all below. */
    struct pk_script *taken[REGISTRY_TAKEN]; /* Lately taken in, so that what was drafted is not
                                              * loaded again to be activated. */
    size_t taken_next;
    struct pk_refused *refused;
    size_t refused_count, refused_room;

    pthread_cond_t stir; /* On the monotonic clock. */
    pthread_t thread;
    bool is_running, is_stopping;
    bool is_dirty;    /* A refresh is wanted. */
    bool is_later;    /* Not before a second is over: something has failed. */
    bool is_thorough; /* The next one looks anew at what stands behind each script, too. */
    struct registry_doubt doubt[REGISTRY_DOUBTS];
    size_t doubt_count;
    char (*lifted)[PK_HASH_TEXT]; /* Heard of; to be lifted here, too. */
    size_t lifted_count;
};

/* ---- registry.c ---- */

/* Where versions of a kind lie, and what they are called. */
struct registry_home {
    const char *collection;
    const char *id_field;    /* "mapperId" */
    const char *events;      /* "mapper": the first half of its actions and events. */
    const char *entity_type; /* Of events. */
};
const struct registry_home *registry_home(enum pk_script_kind kind);
struct pk_store *registry_store(const struct pk_registry *registry);

/* A script of that content that was taken in lately or serves, as a reference; or NULL. */
struct pk_script *registry_taken(struct pk_registry *registry, enum pk_script_kind kind,
                                 const char *hash_text);
void registry_keep(struct pk_registry *registry, struct pk_script *script);
/* Notes why a candidate was refused; 'reason' NULL: it is good now. */
void registry_refuse(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                     const char *version, const char *reason);
/* Forgets refusals of scripts that 'is_wanted' does not know any more. */
typedef bool registry_wanted_fn(const void *context, const struct pk_refused *refused);
void registry_refused_keep(struct pk_registry *registry, registry_wanted_fn *is_wanted,
                           const void *context);
bool registry_unhex(const char *text, uint8_t out[PK_HASH_BYTES]);

/* ---- registry_doc.c ---- */

/* A draft; 'version' is the one it is stored under. */
struct pk_doc *registry_doc_new(const struct pk_script *script, const char *version,
                                const char *actor_id, int64_t now_ms);
/* What is wrong with it by its schema, as findings. */
bool registry_doc_check(const struct pk_script *script, const struct pk_doc *doc,
                        struct pk_report *report, struct pk_error *err);

/* What a version becomes. */
struct registry_edit {
    const char *status;
    const char *previous; /* The version that was active before it; NULL: it keeps its own. */
    bool is_activated;    /* activatedAt is now. */
    const bson_t *canary; /* That it has from now on; NULL: none, whatever it had. */
    const char *actor_id;
    int64_t now_ms;
};
struct pk_doc *registry_doc_edit(const struct pk_doc *old, const struct registry_edit *edit);
/* A row of 'script_state'. */
struct pk_doc *registry_doc_bar(const char *hash_text, const char *id, const char *version,
                                const char *reason, int64_t now_ms);
enum pk_script_kind registry_doc_kind(const struct pk_doc *doc);
const char *registry_doc_script_id(const struct pk_doc *doc);
/* The version from its files: runs its examples. */
bool registry_doc_load(struct pk_registry *registry, const struct pk_doc *doc,
                       struct pk_script **out, struct pk_report *report, struct pk_error *err);

/* ---- registry_find.c: '*out' is a reference, or NULL when there is none (that is success) ---- */

bool registry_find_version(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                           const char *version, int64_t deadline_ns, struct pk_doc **out,
                           struct pk_error *err);
bool registry_find_active(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
bool registry_find_newest(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
bool registry_find_bar(struct pk_registry *registry, const char *hash_text, int64_t deadline_ns,
                       struct pk_doc **out, struct pk_error *err);
/* The version that a rollback of 'active' goes to: the nearest before it that may run. */
bool registry_find_before(struct pk_registry *registry, const struct pk_doc *active,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
bool registry_fail_missing(enum pk_script_kind kind, const char *version, struct pk_error *err);

/* ---- registry_change.c ---- */

/* One change: 'decide' makes its list, perhaps more than once. */
struct registry_change {
    struct pk_registry *registry;
    const struct pk_by *by;
    enum pk_script_kind kind;
    const char *id;
    const char *version; /* Of the version at hand; NULL: found out. */
    const char *reason;  /* Of a rollback, or of the end of a canary. */
    const char *hash;    /* Of a rollback: what must be active; of the end of a canary: what must be
                          * it; or NULL. */
    bool (*decide)(struct registry_change *change, struct pk_writes *list, struct pk_error *err);

    const struct pk_script *script; /* Of a draft. */
    enum pk_draft_rule rule;        /* The same. */
    bool is_known;                  /* Of a lift: it serves, so other nodes may know more. */
    double share;                   /* Of a canary. */

    struct pk_doc *result; /* The version afterwards; a reference. */
    const char *what;      /* "activated"; NULL: nothing was to be done. */
};
/* Decides, commits, decides again when others were quicker. '*out' (or NULL): the result. */
bool change_run(struct registry_change *change, struct pk_doc **out, struct pk_error *err);
const struct pk_books *change_books(const struct registry_change *change);
int64_t change_now(const struct registry_change *change);
/* "mapper.activated" as audit row and event. */
void change_note(struct registry_change *change, struct pk_writes *list, const char *what,
                 const struct pk_fact *fact);
/* 'doc' is the result: has it stored with an idempotency key, too. */
bool change_settle(struct registry_change *change, struct pk_writes *list, struct pk_doc *doc,
                   struct pk_error *err);
/* Replaces a version by what it becomes; returns the document as it will be stored. A canary that
 * it loses with that has ended, which is noted. */
struct pk_doc *change_replace(struct registry_change *change, struct pk_writes *list,
                              const struct pk_doc *old, struct registry_edit edit);
bool change_has_status(const struct pk_doc *doc, const char *status);
bool change_find_version(struct registry_change *change, const char *version, struct pk_doc **out,
                         struct pk_error *err);
bool change_find_active(struct registry_change *change, struct pk_doc **out, struct pk_error *err);
/* Its content is not barred, and that is so when the list commits. */
bool change_check_bar(struct registry_change *change, const struct pk_doc *doc,
                      struct pk_writes *list, struct pk_error *err);
/* Bars its content, for change->reason. */
bool change_add_bar(struct registry_change *change, struct pk_writes *list,
                    const struct pk_doc *doc, struct pk_error *err);
/* As long as a reason may be; to be freed. */
char *change_cut_reason(const char *reason);
/* Loads a version unless it has been taken in lately. '*took_ns': of its examples. */
bool change_load(struct pk_registry *registry, const struct pk_by *by, enum pk_script_kind kind,
                 const char *id, const char *version, struct pk_report *report, int64_t *took_ns,
                 struct pk_error *err);
/* Whoever asks gets the generation that his change is in, on this node. */
void change_apply(struct pk_registry *registry, int64_t from_ns, int64_t examples_ns,
                  struct pk_activation *out);

/* ---- registry_canary.c ---- */

/* An active version that had a canary has none any more. */
void canary_note_end(struct registry_change *change, struct pk_writes *list,
                     const struct pk_doc *active);
/* A version that serves nobody any more is not tried on anybody either. */
bool canary_end_of(struct registry_change *change, struct pk_writes *list, const char *version,
                   struct pk_error *err);
/* By itself, because it fails: only while content 'hash_text' is a canary; its content is barred.
 * '*out_ended' is false when it is none (any more). */
bool registry_end_canary(struct pk_registry *registry, const struct pk_by *by,
                         enum pk_script_kind kind, const char *id, const char *hash_text,
                         const char *reason, bool *out_ended, struct pk_error *err);

/* A rollback that happens only while 'hash_text' (NULL: whatever it is) is the active content. */
bool registry_roll_back(struct pk_registry *registry, const struct pk_by *by,
                        enum pk_script_kind kind, const char *id, const char *hash_text,
                        const char *reason, struct pk_doc **out, struct pk_error *err);

/* ---- registry_refresh.c ---- */

/* What is known of versions before those that serve may be out of date. */
void registry_doubt_before(struct pk_registry *registry);

/* ---- registry_thread.c ---- */

/* Has the thread refresh; 'is_later': in a second, for it has just failed. */
void registry_stir(struct pk_registry *registry, bool is_later);

#endif
