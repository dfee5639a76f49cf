/* loader_internal.h - What the loader's files share: a script on its way in.
 *
 *     loader.c           the steps, in order
 *     loader_manifest.c  what it says of itself
 *     loader_examples.c  its examples
 *     loader_known.c     what was found good before
 *     loader_check.c     what only 'mapper check' asks
 *     loader_report.c    what its author is told
 *     script.c           the script that comes of it */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_LOADER_INTERNAL_H
#define PK_SCRIPT_LOADER_INTERNAL_H

#include "base/error.h"
#include "script/loader.h"

/* A text that several scripts share. */
struct loader_text {
    unsigned refs;
    size_t size;
    uint8_t hash[PK_HASH_BYTES];
    char data[];
};
struct loader_text *loader_text_new(const struct pk_buf *text);
struct loader_text *loader_text_ref(struct loader_text *text);
void loader_text_unref(struct loader_text *text); /* NULL is fine. */

struct pk_loader {
    struct pk_jail *jail;
    struct pk_jail_limits limits_max;
    bool require_signature;
    uint8_t (*trusted)[32];
    size_t trusted_count;
    struct loader_text *full, *lint;  /* The library. */
    uint8_t lean_hash[PK_HASH_BYTES]; /* Of its lean part, without a program. */
    struct known *known;              /* NULL: nothing is kept. */
};

/* A pk_script with what is nobody else's business; the script is its first field. */
struct made {
    struct pk_script script;
    struct loader_text *full, *lean; /* What 'check' and 'serve' point into. */
    struct pk_jail_module *module;   /* What the main file can require; ... */
    size_t module_count;             /* ... their names are owned here. */
    bson_t configuration;            /* Of declared rules; else empty. */
    bson_t tuning;                   /* What training has changed; else empty. */
    bson_t reads;                    /* An array: traits that rules read. */
    bson_t names;                    /* An array: of examples. */
    bson_t given;                    /* An array: traits that examples give. */
    bool has_code;                   /* An author's function runs beside the rules. */
    struct pk_jail_cut *cut;         /* What its calls read. */
};
struct made *made_new(struct pk_bundle *bundle, struct loader_text *full);

/* A bundle on its way in. */
struct work {
    struct pk_loader *loader;
    struct made *made;
    enum pk_script_kind kind; /* That is wanted. */
    struct pk_report *report;
    struct pk_error *err;
    int64_t deadline_ns;     /* Of all its calls together; see jail_now_ns. */
    const char *main;        /* The name of its main file. */
    uint64_t seed;           /* Of its calls. */
    struct pk_buf described; /* BSON: what 'describe' gave, to be kept; or nothing. */
};

/* ---- loader.c ---- */

/* One call in the jail, cut to what is left of the time. 'result' is ended by the caller. */
bool work_call(const struct work *work, const struct pk_jail_script *script, const char *entry,
               const bson_t *input, const struct pk_jail_limits *limits, bool may_ask,
               struct pk_jail_result *result, struct pk_error *err);
/* { value: ... } of a result: 'out' is a view of the object or array in it. */
bool work_value(const struct pk_jail_result *result, bson_t *out);
/* How a call went wrong, as a finding; 'prefix' is put before its message. Returns false. */
bool work_fail_call(const struct work *work, const struct pk_jail_result *result,
                    const struct pk_error *err, const char *prefix);
/* An error as a finding and as 'work->err', unless that says something already. Returns false. */
bool work_fail(const struct work *work, unsigned line, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The limits under which library and manifest are looked at. */
extern const struct pk_jail_limits loader_limits;

/* ---- loader_manifest.c ---- */

/* What 'describe' gave becomes the script's fields. */
bool work_take_manifest(struct work *work, const bson_t *described);
/* { program, cut }: what serves. */
bool work_take_program(struct work *work, const bson_t *described);
/* A copy with every key escaped as in stored documents, or the other way; 'out' is initialised. */
void loader_escape_keys(const bson_t *doc, bson_t *out);
void loader_unescape_keys(const bson_t *doc, bson_t *out);
/* The line of the source where a key is set: "limits.soft_ms"; 0: not found. */
unsigned loader_line_of(const char *source, const char *path);
/* The line where example 'index' (from 1) is written; 0: not found. */
unsigned loader_line_of_example(const char *source, unsigned index);

/* ---- loader_examples.c ---- */

/* Runs every example; those that fail are findings. */
bool work_run_examples(struct work *work);
/* The input of the script's entry for an example. 'out' is initialised here, on success only. */
bool work_example_input(const struct work *work, unsigned index, bson_t *out);

/* ---- loader_known.c ---- */

struct known; /* Opaque. */
/* NULL: nothing can be kept there. */
struct known *known_open(const struct pk_loader *loader, const char *folder);
void known_close(struct known *known); /* NULL is fine. */
/* Appends what this content gave when it was found good, as well-formed BSON; false: not known. */
bool known_read(const struct known *known, const struct pk_bundle *bundle, struct pk_buf *out);
void known_keep(struct known *known, const struct pk_bundle *bundle, const void *described,
                size_t size);

/* ---- loader_report.c ---- */

struct finding_at {
    bool is_error;
    const char *file; /* NULL: the whole script. */
    unsigned line;
    const char *hint, *trace; /* Or NULL. */
};
void report_add(struct pk_report *report, const struct pk_bundle *bundle,
                const struct finding_at *at, const char *message);
/* How to mend what the machine only has its own words for: 'm.work.chronotype', 'm:valeu'; to be
 * freed. NULL: nothing is known. */
char *report_hint(const struct pk_bundle *bundle, const struct pk_jail_result *result);
void report_add_example(struct pk_report *report, const char *name, unsigned line, bool is_ok,
                        const char *message, int64_t took_ns);

#endif
