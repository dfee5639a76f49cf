/* replay_internal.h - What the files of replay.h share. For replay*.c only.
 *
 *     replay.c         the tasks: from the first observation to the flip
 *     replay_make.c    observations in order, through their processors, into a mind
 *     replay_joined.c  what lies in other collections is brought to what was made
 *     replay_differ.c  what would change, for people
 *     replay_ask.c     asking for it
 *     replay_all.c     all people, a few a second */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_REPLAY_INTERNAL_H
#define PK_PERSONA_REPLAY_INTERNAL_H

#include "persona/consent.h"
#include "persona/joined.h"
#include "persona/mind.h"
#include "persona/process.h"
#include "persona/replay.h"
#include "store/store.h"

struct pk_doc;
struct pk_script;
struct pk_scripts;

enum {
    REPLAY_SCRIPTS_MAX = 256, /* Versions that one person's observations were processed by. */
    REPLAY_STEP_WRITES = 400, /* Of one list that is committed on the way. */
    REPLAY_STEP_BYTES = 4 * 1024 * 1024,
    REPLAY_DIFFERENCES_MAX = 2000
};

/* One replay under way. */
struct replay {
    const struct pk_domain *domain;
    const char *person;
    const struct pk_remake *asked;
    const struct pk_task *task; /* NULL: a dry run, which writes nothing. */
    int64_t deadline_ns;

    struct pk_doc *stored;     /* The mindscape as it is. */
    struct pk_consent consent; /* To processing; not of what is forgotten. */
    struct pk_mind *mind;
    struct pk_joins *joins;
    struct pk_scripts *scripts;                   /* Apart from those that serve. */
    struct pk_script *script[REPLAY_SCRIPTS_MAX]; /* References: each version once. */
    size_t script_count;
    struct pk_script *given; /* The version that was asked for; NULL: none. */
    struct pk_script *published[PK_PROCESSORS_MAX]; /* The generation of 'scripts'; borrowed. */
    size_t published_count;

    struct pk_writes step;      /* Committed on the way. */
    int64_t observations, last; /* Replayed; of how many, by 'seq'. */
    bson_t differences;         /* Of a dry run: an array. */
    uint32_t difference_count;
    char (*proposal)[PK_UUID_TEXT]; /* Reviews that came up. */
    size_t proposal_count, proposal_room;
};
/* Reads the mindscape and what was asked for. */
bool replay_begin(struct replay *replay, struct pk_error *err);
void replay_done(struct replay *replay);
/* All observations; the mind is settled then. */
bool replay_make(struct replay *replay, struct pk_error *err);
/* Commits what 'step' holds when that is much, or 'is_last'; renews the lease. */
bool replay_step(struct replay *replay, bool is_last, struct pk_error *err);
/* Everything outside the mindscape: written and touched; of a dry run noted as differences. */
bool replay_joined(struct replay *replay, struct pk_error *err);
/* What the mindscape's own document would differ in is noted. */
bool replay_differ(struct replay *replay, struct pk_error *err);
/* 'before' and 'after' stand on values, or are NULL: there is none. */
void replay_note(struct replay *replay, const char *path, const bson_iter_t *before,
                 const bson_iter_t *after);
/* The same with whole documents. */
void replay_note_docs(struct replay *replay, const char *path, const bson_t *before,
                      const bson_t *after);
/* Pages through a person's documents of a collection, in the order of an index whose first key is
 * the person; 'each' false ends it. */
typedef bool replay_each_fn(struct replay *replay, struct pk_doc *doc, struct pk_error *err);
bool replay_each(struct replay *replay, const struct pk_query *query, replay_each_fn *each,
                 struct pk_error *err);

#endif
