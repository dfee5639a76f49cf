/* train_internal.h - What the files of train.h share. For train*.c only.
 *
 *     train.c           the task: from feedback to a draft, told and marked
 *     train_ask.c       asking for it, showing it, the row of its state
 *     train_feedback.c  the mapper's feedback: learnt, weighed, marked
 *     train_votes.c     proposals of lessons, added up
 *     train_decide.c    which of them are changes, against the version as it is
 *     train_write.c     changes as a 'tuning.json', and the draft that has it */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_TRAIN_INTERNAL_H
#define PK_PERSONA_TRAIN_INTERNAL_H

#include "persona/train.h"
#include "script/loader.h"

struct pk_generation;
struct pk_writes;

enum {
    TRAIN_ENOUGH = 999000,    /* Millionths: 1, less what thirds lose. */
    TRAIN_PLACES_MAX = 20000, /* Things that proposals are about. */
    TRAIN_VALUES_MAX = 64,    /* Different values that are proposed for one of them. */
    TRAIN_NAME_BYTES = 200,   /* Of a rule's id and a setting's name: longer ones are nobody's. */
    TRAIN_VALUE_BYTES = 8192, /* Of one. */
    TRAIN_SHOWN_MAX = 100,    /* Changes that are made, and proposals that are shown. */
    TRAIN_PAGE = 200          /* Feedback read, and marked, at a time. */
};
#define TRAIN_WEIGHT 0.34 /* Of a proposal that names none: three of them are enough. */

/* What a proposal is about. */
enum train_field {
    TRAIN_OFF,
    TRAIN_PRIORITY,
    TRAIN_CONFIDENCE,
    TRAIN_TEXT,
    TRAIN_RULE_FIELDS,
    TRAIN_SETTING = TRAIN_RULE_FIELDS,
    TRAIN_KEEP, /* A rule is good as it is. */
    TRAIN_FIELDS
};
extern const char *const train_field_name[TRAIN_FIELDS]; /* As in operations and tunings. */
enum train_field train_field_find(const char *name);     /* TRAIN_FIELDS: there is none. */

/* ---- train_votes.c ---- */

/* One thing that a feedback's lessons say; borrowed. */
struct train_said {
    enum train_field field;
    const char *name;         /* The rule's or setting's. */
    const bson_iter_t *value; /* NULL: TRAIN_KEEP. */
    int64_t weight;           /* Millionths. */
};
typedef void train_said_fn(void *context, const struct train_said *said);
/* Everything that is proposed in the lessons of a feedback. */
void train_each_said(const struct pk_doc *feedback, train_said_fn *each, void *context);

struct train_vote {
    bson_t *value;  /* { "value": ... }; NULL: TRAIN_KEEP. */
    int64_t weight; /* Millionths; all added up. */
    int64_t count;  /* Of feedback. */
    int64_t last;   /* The feedback that was added last: each counts once. */
};
struct train_place {
    char *name;
    enum train_field field;
    struct train_vote *vote;
    size_t count;
};
struct train_tally {
    struct train_place *place; /* By name and field. */
    size_t count, room;
    int64_t feedback; /* Added. */
};
void train_tally_add(struct train_tally *tally, const struct pk_doc *feedback);
void train_tally_done(struct train_tally *tally);
/* NULL: nothing is said of it. */
const struct train_place *train_tally_find(const struct train_tally *tally, const char *name,
                                           enum train_field field);

/* ---- One training ---- */

struct train {
    const struct pk_domain *domain;
    const struct pk_task *task; /* NULL: a dry run, which writes nothing. */
    const char *mapper;
    const char *actor;               /* Who asked. */
    char parent[PK_SCRIPT_VERSION];  /* The version that it is trained from. */
    char version[PK_SCRIPT_VERSION]; /* The draft; "": none yet. */
    int64_t since_ms, started_ms;    /* Wall; feedback that came within. */
    int64_t deadline_ns;
    int64_t renewed_ns; /* When the lease was renewed last, ... */
    double progress;    /* ... with this. */

    struct pk_script *script; /* The parent; NULL until it is looked at. */
    struct train_tally tally;
    bson_t changes, open; /* Arrays as they are shown: made, and not (yet). */

    int64_t samples;        /* Feedback that was looked at. */
    int64_t failures;       /* Of these: a processor failed, and they wait. */
    int64_t incorporated;   /* Of these: weighed in a change. */
    int64_t rated, ratings; /* Of the incorporated: how many have an overall rating; their sum. */
    char problem[512];      /* Of the first failure, or why the draft was not written; or "". */
};
void train_begin(struct train *train, const struct pk_domain *domain, const char *mapper);
void train_done(struct train *train);

/* ---- train_feedback.c ---- */

/* Looks at all feedback that waits: its processors run where they have not, proposals add up. */
bool train_learn(struct train *train, struct pk_error *err);
/* Counts the feedback that was weighed in 'changes'; with 'is_marked' it is incorporated in
 * 'version' from here on, in steps that can be repeated. */
bool train_weighed(struct train *train, bool is_marked, struct pk_error *err);

/* ---- train_decide.c ---- */

/* Fills 'changes' and 'open' from the tally; true when there is a change. */
bool train_decide(struct train *train);
bool train_has_changes(const struct train *train);
/* True for what is said of something that 'changes' has. */
bool train_is_weighed(const bson_t *changes, const struct train_said *said);

/* ---- train_write.c ---- */

/* The value that the parent's own tuning has, in an object that lives as long as 'tuning'. */
bool train_tuned(const bson_t *tuning, const char *name, enum train_field field, bson_iter_t *out);
/* The tuning of the parent, { } when it has none; ended by the caller. */
void train_tuning(const struct train *train, bson_t *out);
/* The draft, taken in and tried, not written; 'version' is set. PK_INVALID: it does not pass. */
bool train_draft(struct train *train, struct pk_doc **out, struct pk_error *err);

/* ---- train_ask.c ---- */

/* The row that says how it goes: of 'settings'. */
char *train_row_id(const char *mapper); /* Freed by the caller. */
bool train_row_read(const struct pk_domain *domain, const char *mapper, int64_t deadline_ns,
                    struct pk_doc **out, struct pk_error *err);
/* Adds to 'list' that it stands so; 'row' NULL: there is none yet. */
void train_row_put(const struct train *train, const struct pk_doc *row, const char *task,
                   const char *status, int64_t completed_ms, struct pk_writes *list);
/* What the row says, into an empty training: it goes on from there. */
void train_row_take(struct train *train, const struct pk_doc *row);
/* As it is shown, but for what the row alone has. */
void train_put(const struct train *train, bson_t *out);

#endif
