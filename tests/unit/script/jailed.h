/* jailed.h - A jail for a test: scripts as texts, inputs as JSON, outputs as JSON. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_JAILED_H
#define PK_TEST_JAILED_H

#include "base/error.h"
#include "script/jail.h"
#include "test.h"

/* A jail of at most 'workers_max' workers of this build. */
struct pk_jail *jailed_new(size_t workers_max);

/* One call of a text; end it with jailed_done. Fields that are 0 take the jail's defaults. */
struct jailed {
    const char *source;
    size_t source_size; /* 0: up to the NUL. */
    const char *name;   /* NULL: "test.lua". */
    const char *preamble;
    bool is_preamble_resident;
    const char *const (*module)[2]; /* Name, which with ".lua" is the file's, and text. */
    size_t module_count;
    const char *entry;
    const char *input; /* JSON; NULL: {}. */
    uint64_t seed;
    struct pk_jail_limits limits;
    pk_jail_ask ask;
    void *context;

    bool is_ok; /* From here on: how it went. */
    struct pk_jail_result result;
    struct pk_error err;
    char *output; /* JSON of { value: ... }, NULL when there is none. */
};
void jailed_run(struct pk_jail *jail, struct jailed *jailed);
/* The same as pk_jail_repeat. */
void jailed_repeat(struct pk_jail *jail, struct jailed *jailed, int64_t hard_ms);
void jailed_done(struct jailed *jailed);

/* Runs 'source' on 'input' and expects this output, or this end and words in the message. */
void expect_output(struct pk_jail *jail, const char *source, const char *input, const char *output);
void expect_end(struct pk_jail *jail, const char *source, const char *input, enum pk_jail_end end,
                const char *words);

#endif
