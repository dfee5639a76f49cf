/* sketch.h - A mindscape that a test writes as it likes, with what its versions say.
 *
 *     SKETCH(sketch, &kit);                          a person with an empty mindscape
 *     sketch_trait(&sketch, "work.focus", "'deep'"); JSON with ' for "; NULL removes it
 *     sketch_write(&sketch);                         in one commit; the next version
 *
 * What was changed has that version in 'versions', as if it had been processed. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_SKETCH_H
#define PK_TEST_PERSONA_SKETCH_H

#include "kit.h"

enum { SKETCH_MAX = 32 };

struct sketch {
    struct kit *kit;
    char person[PK_UUID_TEXT];
    int64_t version, floor;
    struct sketch_trait {
        char path[64], value[256];
        double confidence;
        int64_t updated_ms, from_ms; /* 'from_ms' 0: always valid. */
        int64_t v;
        bool is_there, is_pinned;
    } trait[SKETCH_MAX];
    size_t trait_count;
    struct sketch_now {
        char key[64], value[256];
        int64_t until_ms; /* 0: for ever. */
        int64_t v;
        bool is_there;
    } now[SKETCH_MAX];
    size_t now_count;
    char goal[128]; /* "": none. */
    int64_t goals_v;
    bool has_changed;
};
void sketch_open(struct sketch *sketch, struct kit *kit);
#define SKETCH(name, kit_)      \
    struct sketch name = { 0 }; \
    sketch_open(&name, kit_)

struct sketch_trait *sketch_trait(struct sketch *sketch, const char *path, const char *value);
void sketch_now(struct sketch *sketch, const char *key, const char *value, int64_t until_ms);
void sketch_goal(struct sketch *sketch, const char *text);
/* Removals up to now are folded into the floor. */
void sketch_fold(struct sketch *sketch);
void sketch_write(struct sketch *sketch);
/* The document as it would be written; ended by the caller. */
void sketch_document(const struct sketch *sketch, bson_t *out);

#endif
