/* scripts.h - The scripts that serve now: one generation at a time, replaced whole.
 *
 * A generation is an immutable set of scripts. A request pins the one that
 * serves when it begins and keeps it to its end; publishing another is one
 * pointer store. An old generation ends with its last call.
 *
 *     struct pk_generation *pinned = pk_scripts_pin(scripts);
 *     const struct pk_script *mapper = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");
 *     ok = pk_scripts_call(scripts, pinned, mapper, &call, &result, err);
 *     pk_generation_unpin(pinned);
 *
 * A script that keeps being killed is quarantined (quarantine.h), and the
 * version before it serves meanwhile, when the generation has it. In a
 * version's first 60 s its failures are counted against its predecessor's; when
 * it fails too often, 'doubt' is told once, and whoever listens rolls it back.
 * A canary is judged so by the version beside it, as long as it is one.
 *
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_SCRIPTS_H
#define PK_SCRIPT_SCRIPTS_H

#include "script/loader.h"

struct pk_clock;
struct pk_generation; /* Opaque. */
struct pk_log;
struct pk_quarantine_options;
struct pk_scripts; /* Opaque. */

/* Told on the thread of the call that tipped the scale; must not block. */
typedef void pk_doubt_fn(void *context, const struct pk_script *script, const char *reason);

struct pk_scripts_options {
    const struct pk_clock *clock;
    struct pk_log *log;
    struct pk_jail *jail;
    const struct pk_quarantine_options *quarantine; /* NULL: its defaults. */
    pk_doubt_fn *doubt;                             /* NULL: nobody asks. */
    void *context;                                  /* Of 'doubt'. */
    int64_t watch_ms;                               /* A version is young for so long; 0: 60 s. */
    unsigned watch_calls, watch_failures;           /* 0: 20 and 5. */
};
struct pk_scripts *pk_scripts_new(const struct pk_scripts_options *options);
void pk_scripts_free(struct pk_scripts *scripts); /* Nothing may be pinned. */
/* Others on the same jail, which serve nobody: for replays and dry runs. No generation yet, and
 * nobody doubts them. */
struct pk_scripts *pk_scripts_apart(const struct pk_scripts *scripts)
    __attribute__((returns_nonnull, warn_unused_result));

/* ---- Generations ---- */

/* What a generation is made of. 'before' is the last good version of the same script, which serves
 * while 'script' is quarantined; or NULL. */
struct pk_scripts_entry {
    struct pk_script *script;
    struct pk_script *before;
    int64_t since_ms; /* When 'script' became the active version (wall); 0: now. It is young from
                       * then on, so a server that starts again does not judge it anew. */
    struct pk_script *canary; /* Another version, which serves a share of people; or NULL. */
    double canary_share;      /* Above 0, at most 1. */
    int64_t canary_since_ms;  /* When that began (wall); 0: now. */
};
/* Publishes a generation of these scripts (references are taken; one entry per kind and id).
 * Entries that are the same as now (by hash) keep their counts. Returns its number, from 1. */
uint64_t pk_scripts_publish(struct pk_scripts *scripts, const struct pk_scripts_entry *entry,
                            size_t count);

/* Never NULL: before the first publication there is an empty one, number 0. */
struct pk_generation *pk_scripts_pin(struct pk_scripts *scripts);
void pk_generation_unpin(struct pk_generation *generation);
uint64_t pk_generation_number(const struct pk_generation *generation);
/* NULL when there is none. */
const struct pk_script *pk_generation_find(const struct pk_generation *generation,
                                           enum pk_script_kind kind, const char *id);
/* The processors that accept a type, in declared order (by id); how many. */
size_t pk_generation_accepting(const struct pk_generation *generation, const char *source_type,
                               const struct pk_script **out, size_t max);
size_t pk_generation_count(const struct pk_generation *generation);
const struct pk_script *pk_generation_at(const struct pk_generation *generation, size_t i);
/* The version that is tried on a share of people beside the one that serves all others; NULL: there
 * is none. Who they are says persona/canary.h. '*out_share' may be NULL. */
const struct pk_script *pk_generation_canary(const struct pk_generation *generation,
                                             enum pk_script_kind kind, const char *id,
                                             double *out_share);

/* Generations that are still alive, the one that serves first. */
struct pk_generation_info {
    uint64_t number;
    size_t scripts;
    size_t calls; /* Pins. */
    int64_t published_ms;
    bool is_serving;
};
size_t pk_scripts_generations(struct pk_scripts *scripts, struct pk_generation_info *out,
                              size_t max);

/* ---- Calls ---- */

struct pk_scripts_call {
    const char *entry; /* NULL: the script's own; or "explain". */
    const uint8_t *input;
    size_t input_size;
    uint64_t seed;
    pk_jail_ask ask; /* Asked only for what the manifest was granted; NULL: nothing. A question
                      * "http" needs { url }, and the grant "http:<its host>". */
    void *context;
    uint64_t person; /* Any number for the person whose data it runs on (a hash of the id), so that
                      * one whose data kills a script bars it for himself alone; 0: nobody's. */
};
struct pk_scripts_result {
    struct pk_jail_result jail;
    const struct pk_script *ran; /* 'script', or the version before it; lives with the pin. */
    bool is_fallback;            /* The version before it ran, for it is quarantined. */
    int64_t retry_ms;            /* Quarantined, and nothing ran: it may be tried after so long. */
};
/* 'script' is of this generation. False: 'err' says file, line, message; PK_UNAVAILABLE when it is
 * quarantined and there is no version before it, or that one is, too, or it is a canary. End
 * 'result' with pk_scripts_result_done either way. */
bool pk_scripts_call(struct pk_scripts *scripts, struct pk_generation *generation,
                     const struct pk_script *script, const struct pk_scripts_call *call,
                     struct pk_scripts_result *result, struct pk_error *err);
void pk_scripts_result_done(struct pk_scripts_result *result);

/* An operator lifts a quarantine; what was said of this content may be said again. False: nothing
 * was known. */
bool pk_scripts_lift(struct pk_scripts *scripts, const uint8_t hash[PK_HASH_BYTES]);

/* ---- For /metrics and /v1/admin/generations ---- */

struct pk_script_stats {
    uint64_t calls, failures; /* Of this version, since it was published here; no explanations. */
    uint64_t end[PK_JAIL_ENDS];
    int64_t mean_ns, p99_ns; /* Of its calls; the second to an eighth. */
    bool is_quarantined;     /* Or on trial. */
    int64_t since_ms;        /* When it was published here (wall). */
    int64_t failed_ms;       /* When it failed last (wall), and how; 0 and "": never. */
    char failure[256];
};
/* Of a script that serves now, all or some, or of the version before one. False: it is neither. */
bool pk_scripts_stats(struct pk_scripts *scripts, const struct pk_script *script,
                      struct pk_script_stats *out);

#endif
