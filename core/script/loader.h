/* loader.h - From a bundle to a script that may serve: checked, compiled, its own examples run.
 *
 *     struct pk_loader *loader = pk_loader_new(&options);
 *     if (!pk_loader_take(loader, bundle, PK_SCRIPT_MAPPER, &script, &report, err)) {
 *         pk_report_print(&report, &text);      for its author: file, line, caret, hint, trace
 *     }
 *
 * A script is loaded in the real jail, under the limits it asks for: syntax,
 * manifest (checked by the authors' library and by the schema of its kind),
 * signature, then every example. Only what passes becomes a pk_script, which
 * never changes. Any thread; it blocks for as long as the examples take, at
 * most PK_LOADER_MAX_MS. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_LOADER_H
#define PK_SCRIPT_LOADER_H

#include "base/buf.h"
#include "script/bundle.h"
#include "script/jail.h"

struct pk_loader; /* Opaque. */

enum pk_script_kind {
    PK_SCRIPT_ANY, /* To pk_loader_take: whatever it says it is. */
    PK_SCRIPT_MAPPER,
    PK_SCRIPT_PROCESSOR,
    PK_SCRIPT_CONDITION,
    PK_SCRIPT_KINDS
};
const char *pk_script_kind_name(enum pk_script_kind kind); /* "mapper" ... */
enum pk_script_kind pk_script_kind_find(const char *name); /* PK_SCRIPT_ANY when there is none. */

enum { PK_SCRIPT_ID = 65, PK_SCRIPT_VERSION = 96, PK_LOADER_MAX_MS = 30 * 1000 };

/* A script that may serve. Never changes; a reference each for generations and calls. */
struct pk_script {
    enum pk_script_kind kind;
    char id[PK_SCRIPT_ID];
    char version[PK_SCRIPT_VERSION]; /* As its manifest has it. */
    const struct pk_bundle *bundle;  /* Owned: a reference. */
    bson_t manifest;                 /* In the documents' names, fit to be stored (keys escaped). */
    bson_t rules;                    /* An array: id, description, condition, detail, traits ... */
    char **accepts;                  /* Processors: types of observations; NULL-terminated. */
    char **grant; /* Capabilities its manifest asks for ("search"); NULL-terminated. */
    struct pk_jail_limits limits;
    struct pk_jail_script serve; /* For pk_jail_call: its files behind the lean library. */
    struct pk_jail_script check; /* The same behind the full one: explain, describe. */
    const char *entry;           /* "map", "process", "holds" */
    unsigned examples;           /* That it brought, all good. */
    bool is_signed;              /* By a key that is trusted. */
    unsigned refs;
};
/* Appends to an input of 'check' what its entries need beside it: { source, configuration?,
 * tuning? }. */
void pk_script_check_input(const struct pk_script *script, bson_t *input);
struct pk_script *pk_script_ref(struct pk_script *script);
void pk_script_unref(struct pk_script *script); /* NULL is fine. */

struct pk_loader_options {
    struct pk_jail *jail;
    struct pk_jail_limits
        limits_max;               /* A manifest may ask for no more. 0: 1 s, 5 s, 64 MiB, 4 MiB. */
    bool require_signature;       /* scripts.require_signature */
    const uint8_t (*trusted)[32]; /* Public keys; scripts.keys */
    size_t trusted_count;
    const char *known_folder; /* Made there: what was found good, for pk_loader_take_again. NULL:
                               * nowhere. Not used where signatures are required. */
};
struct pk_loader *pk_loader_new(const struct pk_loader_options *options);
void pk_loader_free(struct pk_loader *loader);

/* What is wrong with a bundle, or worth saying of it; for authors. */
struct pk_finding {
    bool is_error;     /* Else a remark, and the script may serve. */
    char *file;        /* Or NULL. */
    unsigned line;     /* 0: not known. */
    char *message;     /* What and why. */
    char *hint;        /* How to mend it; or NULL. */
    char *source_line; /* The author's own line; or NULL. */
    char *trace;       /* Lines "file:line: in 'f'"; or NULL. */
};
/* How one of its examples went. */
struct pk_example {
    char *name;      /* Or "". */
    bool is_ok;      /* Else 'message' says what came instead of what. */
    char *message;   /* Or NULL. */
    unsigned line;   /* Where it is written; 0: not known. */
    int64_t took_ns; /* The script's own call. */
};
struct pk_report {
    struct pk_finding *finding; /* In the order in which they were found; at most 100. */
    size_t count;
    struct pk_example *example; /* Those that were run, in their order. */
    size_t example_count;
    const char *folder; /* Printed before names of files; the caller's, or NULL. */
};
void pk_report_done(struct pk_report *report);
/* Adds an error as a finding, as of pk_bundle_read. */
void pk_report_fail(struct pk_report *report, const struct pk_error *err);
/* As compilers show it: "daily.lua:12: error: ...", the line, a caret, "hint: ...", the trace. */
void pk_report_print(const struct pk_report *report, struct pk_buf *out);
/* { findings: [ { severity, file, line, message, hint, sourceLine, trace } ],
 *   examples: [ { name, ok, message, line, ms } ] } */
void pk_report_put(const struct pk_report *report, bson_t *out);

/* 'report' is empty before, and is ended with pk_report_done. False: it has an error at least, and
 * 'err' says the first in one line (PK_INVALID; PK_BUSY or PK_UNAVAILABLE when it was not the
 * script's fault). */
bool pk_loader_take(struct pk_loader *loader, struct pk_bundle *bundle, enum pk_script_kind kind,
                    struct pk_script **out, struct pk_report *report, struct pk_error *err);
/* The same for content that was taken in before: if this very program, with these limits, has found
 * it good, it is believed, and nothing runs (the report has no examples then). */
bool pk_loader_take_again(struct pk_loader *loader, struct pk_bundle *bundle,
                          enum pk_script_kind kind, struct pk_script **out,
                          struct pk_report *report, struct pk_error *err);
/* What a script calls itself, as its manifest says it; none of its examples is run. */
bool pk_loader_id(struct pk_loader *loader, struct pk_bundle *bundle, char out[PK_SCRIPT_ID],
                  struct pk_error *err);
/* Beyond it, for 'mapper check': unused locals, globals, unknown trait paths, and whether two runs
 * in shuffled order differ. Adds its findings; 'known_paths' NULL: those are not looked at. */
bool pk_loader_check(struct pk_loader *loader, const struct pk_script *script,
                     const char *const *known_paths, size_t known_count, struct pk_report *report,
                     struct pk_error *err);

#endif
