/* scene.h - A store with everything the room needs, for one case.
 *
 * The clock is a fake one that the case moves. The engine is SQLite in a
 * folder of its own. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_ACCESS_SCENE_H
#define PK_TEST_ACCESS_SCENE_H

#include "access/audit.h"
#include "access/key.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "store/store.h"
#include "test.h"

#include <bson/bson.h>

struct pk_keyring;
struct pk_peppers;

struct scene {
    char folder[512];
    struct pk_clock_fake clock;
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_books books;
    struct pk_by by;
    struct pk_error err;
};

#define NOW_MS INT64_C(1795250000000)

/* Opens store and peppers; the folder stays what it was when 'folder' is given. */
void scene_open(struct scene *scene, const char *folder);
void scene_close(struct scene *scene);

/* JSON with ' for " to a document in its stored form; the caller destroys it. */
bson_t json(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Creates an actor; fails the case when it cannot. 'capabilities' is JSON with '. */
struct pk_doc *make_actor(struct scene *scene, const char *name, const char *capabilities);
/* Gives it a key that never expires (or at 'expires_at_ms'). */
struct pk_key make_key(struct scene *scene, const char *actor_id, int64_t expires_at_ms);

/* Documents of a collection, and those whose text at 'path' is 'text'. */
size_t count_docs(struct scene *scene, const char *collection);
size_t count_where(struct scene *scene, const char *collection, const char *path, const char *text);

void run_threads(size_t count, void (*work)(void *context, size_t number), void *context);

/* The next pk_store_find on this index is followed by 'act' before its caller goes on: what a race
 * may bring at the worst instant, every time. */
void interrupt_once(const char *index, void (*act)(void *context), void *context);
bool was_interrupted(void);

/* Fails the case unless 'err' has this code, a hint, and 'part' in its message. */
void expect_error(const struct pk_error *err, enum pk_code code, const char *part);
/* Fails the case when the text shows up in what 'err' says. */
void expect_silence(const struct pk_error *err, const char *secret);

char *read_text(const char *folder, const char *name); /* NULL: no such file. pk_free it. */
void write_text(const char *folder, const char *name, const char *text, unsigned mode);
unsigned mode_of(const char *folder, const char *name);

#endif
