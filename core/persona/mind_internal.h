/* mind_internal.h - What the files of mind.h share. For mind_*.c only.
 *
 *     mind.c           opening, one observation from begin to end, what has come of it
 *     mind_table.c     the things of a mindscape by key; every change can be taken back
 *     mind_check.c     operations read and checked, by a table
 *     mind_say.c       what the verbs about traits do
 *     mind_tell.c      goals, beliefs, summary, what is true just now, and other collections
 *     mind_document.c  the stored document; what replay compares
 *     mind_rest.c      what is beside traits, in history; history taken back
 *
 * All memory of a mind is its arena's. A thing's document is a slice of bytes
 * that never changes: a change puts another in its place, and the journal
 * keeps the one before, so taking back is reading the journal from its end. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_MIND_INTERNAL_H
#define PK_PERSONA_MIND_INTERNAL_H

#include "base/arena.h"
#include "persona/mind.h"
#include "persona/trait.h"

#include <bson/bson.h>

enum {
    MIND_TRAITS_MAX = 16000,
    MIND_FEW_MAX = 200,      /* Goals; beliefs; keys of what is true just now. */
    MIND_REMOVED_MAX = 2000, /* Removals that are remembered. */
    MIND_GONE_MAX = 2000,    /* Versions of things that are not there: the rest is 'floor'. */
    MIND_DERIVED_MAX = 32,   /* Observations that a goal or belief names. */
    MIND_KEY_MAX = 190,      /* Bytes of a key of what is true just now. */
    MIND_BYTES_MAX = 4 * 1024 * 1024,
    MIND_NOW_TTL_S = 24 * 3600 /* Of what is true just now, unless said. */
};

/* ---- Things by key (mind_table.c) ---- */

enum mind_kind {
    MIND_TRAIT,     /* By path: the trait's document. */
    MIND_GOAL,      /* By id. */
    MIND_BELIEF,    /* By id. */
    MIND_HOT,       /* By key: { v, since, until }. */
    MIND_NARRATIVE, /* By "": the summary. */
    MIND_REMOVED,   /* By "trait:PATH" ...: { kind, key, at, byPerson }. */
    MIND_VERSION,   /* By "trait:PATH", "goals" ...: a number alone. */
    MIND_KINDS
};
struct slice {
    const uint8_t *data; /* BSON; NULL: none. */
    uint32_t size;
};
struct mind_thing {
    const char *key;
    struct slice doc;
    int64_t number;
};
struct mind_table {
    struct mind_thing *thing; /* Sorted by key. */
    size_t count, capacity;
};
struct mind_note { /* One line of the journal. */
    enum mind_kind kind;
    bool was_there;
    struct mind_thing before; /* Its key, and what it was. */
};

/* Where everything stands, to go back to. */
struct mind_mark {
    size_t notes, changes, proposals, joined, news;
    int64_t last_updated_ms;
};

struct pk_mind {
    struct pk_arena arena;
    const struct pk_policies *policies;
    struct slice stored; /* As it was opened. */

    struct mind_table table[MIND_KINDS];
    struct mind_note *note;
    size_t note_count, note_capacity;

    int64_t version, version_first; /* Now, and as it was opened. */
    int64_t touch_version;          /* Given by the last touch outside observations; -1: none. */
    int64_t seq, seq_first;
    bool is_regrouped; /* Its places were given anew: the next one follows the last. */
    int64_t epoch, floor;
    int64_t total; /* Observations processed. */
    int64_t created_ms, last_updated_ms;
    char last_obs[PK_UUID_TEXT]; /* "": none yet. */
    const char *person;          /* The document's id. */
    bool is_again;               /* Made anew: versions are given at the end, by comparison. */

    bool is_open; /* Between begin and end. */
    struct pk_evidence evidence;
    struct mind_mark start; /* Of the observation. */
    int64_t before_seq;

    struct pk_trait_change *change;
    size_t change_count, change_capacity;
    struct pk_proposal *proposal;
    size_t proposal_count, proposal_capacity;
    struct pk_joined *joined;
    size_t joined_count, joined_capacity;
    const char **news; /* Touched, though nothing here has changed: "narratives" ... */
    size_t news_count, news_capacity;
    const char **touched; /* Since it was opened; sorted on demand. */
    size_t touched_count, touched_capacity;
};

const struct mind_thing *mind_find(const struct pk_mind *mind, enum mind_kind kind,
                                   const char *key);
/* Puts a copy of 'doc' under 'key', or takes the thing away (NULL); noted in the journal. */
void mind_put(struct pk_mind *mind, enum mind_kind kind, const char *key, const bson_t *doc);
void mind_put_number(struct pk_mind *mind, enum mind_kind kind, const char *key, int64_t number);
/* For opening: no note, slices are not copied. Ordered by mind_sort when all are there. */
void mind_add(struct pk_mind *mind, enum mind_kind kind, const char *key, struct slice doc,
              int64_t number);
void mind_sort(struct pk_mind *mind, enum mind_kind kind);
void mind_take_back(struct pk_mind *mind, size_t notes);
/* Copies into the arena. */
struct slice mind_keep(struct pk_mind *mind, const bson_t *doc);
/* A view that lives as long as the mind; NULL for no slice. */
const bson_t *mind_view(struct pk_mind *mind, struct slice doc);
/* A view on the stack. False: there is nothing. */
bool slice_view(struct slice doc, bson_t *out);
bool slice_same(struct slice a, struct slice b);
/* Room for one more in an array of the arena's. */
#define MIND_ROOM(mind, array, count_, capacity_)                                   \
    ((count_) < (capacity_)                                                         \
         ? (void)0                                                                  \
         : (void)((capacity_) = (capacity_) ? (capacity_)*2 : 16,                   \
                  (array) = mind_grow((mind), (array), (count_) * sizeof(*(array)), \
                                      (capacity_) * sizeof(*(array)))))
void *mind_grow(struct pk_mind *mind, const void *array, size_t used, size_t size);

/* ---- An operation, checked (mind_check.c) ---- */

enum mind_verb {
    MIND_SET,
    MIND_REINFORCE,
    MIND_WEAKEN,
    MIND_CONTRADICT,
    MIND_RETRACT,
    MIND_PIN,
    MIND_UNPIN,
    MIND_NARRATIVE_OP,
    MIND_GOAL_OP,
    MIND_BELIEF_OP,
    MIND_SUMMARY_OP,
    MIND_REMEMBER,
    MIND_LEARN,
    MIND_NODE,
    MIND_EDGE,
    MIND_NOW,
    MIND_REMOVE_GOAL,
    MIND_REMOVE_BELIEF,
    MIND_RESTORE,
    MIND_VERBS
};
struct mind_operation {
    enum mind_verb verb;
    const bson_t *doc;
    const char *path; /* '/' is '.'; NULL: has none. */
    const char *word; /* description, statement, summary, key, goalId, beliefId; NUL-terminated. */
    bson_t value;     /* { "v": value }; empty: has none. */
    const char *const *obs;
    size_t obs_count;
};
/* Texts go into the mind's arena; 'out->value' is the caller's to end, on success only. */
bool mind_check(struct pk_mind *mind, const struct pk_ran *ran, const bson_t *doc,
                struct mind_operation *out, struct pk_error *err);
/* Fields of a checked operation. */
const char *mind_text(const struct mind_operation *operation, const char *name);
double mind_unit(const struct mind_operation *operation, const char *name, double fallback);
bool mind_instant(const struct mind_operation *operation, const char *name, int64_t *out_ms);
/* What stands in 'text' of at most 'max' bytes, whole characters; in the arena. */
const char *mind_cut(struct pk_mind *mind, const char *text, size_t max);

/* ---- What operations do ---- */

typedef bool mind_verb_fn(struct pk_mind *mind, const struct pk_ran *ran,
                          const struct mind_operation *operation, size_t index,
                          struct pk_error *err);
mind_verb_fn mind_say_trait; /* mind_say.c */
mind_verb_fn mind_restore;   /* A trait as it was, by a person. */
mind_verb_fn mind_tell_goal; /* mind_tell.c ... */
mind_verb_fn mind_tell_belief;
mind_verb_fn mind_tell_summary;
mind_verb_fn mind_tell_now;
mind_verb_fn mind_tell_joined; /* What lies in other collections. */
mind_verb_fn mind_remove;      /* A goal or belief, by a person. */

/* Touches something, though nothing here has changed. */
void mind_touch_later(struct pk_mind *mind, const char *kind, const char *key);
/* What was removed is remembered (so that what is older does not bring it back), or forgotten. */
void mind_remember_removal(struct pk_mind *mind, const char *kind, const char *key,
                           bool is_by_person);
void mind_forget_removal(struct pk_mind *mind, const char *kind, const char *key);
/* True when 'kind' 'key' was removed; by a person, or later than the evidence under way. */
struct mind_removal {
    bool is_by_person;
    int64_t at_ms;
};
bool mind_is_removed(const struct pk_mind *mind, const char *kind, const char *key,
                     struct mind_removal *out);
/* Drops what was true just now and is over. */
void mind_drop_expired(struct pk_mind *mind, int64_t now_ms);
/* "trait" and "work.focus": "trait:work.focus"; in the arena. */
const char *mind_name(struct pk_mind *mind, const char *kind, const char *key);
/* The name under which a change of that thing is readable; NULL: under none. */
const char *mind_readable(struct pk_mind *mind, enum mind_kind kind, const char *key);

/* The row of what differs beside traits, if something does: notes by kind and key (mind_rest.c). */
void mind_add_rest(struct pk_mind *mind, const struct mind_note *const *note, size_t count);
/* The stored document taken apart (mind_document.c). */
void mind_read(struct pk_mind *mind, const bson_t *stored, bool is_again);

#endif
