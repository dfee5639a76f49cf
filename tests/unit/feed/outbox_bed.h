/* outbox_bed.h - A store with an outbox, a watcher, and handlers that do what a case wants.
 *
 * A case's task type is "work": its handler runs 'bed.run', which fills the
 * list; effect() is what most of them write: a row of the task and how many
 * of its person's were before it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_FEED_OUTBOX_BED_H
#define PK_TEST_FEED_OUTBOX_BED_H

#include "access/audit.h"
#include "base/error.h"
#include "bed.h"
#include "doc/doc.h"
#include "feed/outbox.h"
#include "feed/watch.h"

#include <pthread.h>

#define PERSON_A "11111111-1111-4111-8111-111111111111"
#define PERSON_B "22222222-2222-4222-8222-222222222222"
#define ACTOR    "33333333-3333-4333-8333-333333333333"

struct outbox_bed {
    struct pk_store *store;
    char *url;
    bool is_mongo;
    char folder[512];
    struct pk_peppers *peppers;
    struct pk_books books;
    struct pk_by by;
    struct pk_task_type type[8];
    struct pk_outbox_options options; /* Change them before bed_work. */
    struct pk_watch *watch;
    struct pk_outbox *outbox;
    struct pk_error err;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    pk_task_fn *run;     /* What "work" does; NULL: effect. */
    char seen[4096][40]; /* Payload's 'name' of what was begun, in order. */
    size_t begun, woken, held, failed;
    bool is_gate_shut; /* Handlers that call pass_gate wait. */
    bool is_born;      /* Tasks are asked for as born claimed. */
    int failures;      /* So many attempts fail first. */
    enum pk_code code; /* With this code. */
};
/* Skips the case when there is no MongoDB. */
void outbox_bed_open(struct outbox_bed *bed, enum engine engine);
void outbox_bed_done(struct outbox_bed *bed);
#define BED(name, engine)                                       \
    PK_CLEANUP(outbox_bed_done) struct outbox_bed name = { 0 }; \
    outbox_bed_open(&name, engine)

/* A case for both engines. */
#define BOTH(name)                        \
    static void name(enum engine engine); \
    TEST(name)                            \
    {                                     \
        name(ENGINE_SQLITE);              \
    }                                     \
    TEST(mongo_##name)                    \
    {                                     \
        name(ENGINE_MONGO);               \
    }                                     \
    static void name(enum engine engine)

/* Starts watcher and outbox; ends them again. */
void bed_work(struct outbox_bed *bed);
void bed_rest(struct outbox_bed *bed);

/* Adds a task to a list, with the row that tells of it; 'name' is its payload. */
void add_task(struct outbox_bed *bed, struct pk_writes *list, const char *person, const char *name,
              int64_t run_after_ms, char out_id[PK_UUID_TEXT]);
/* The same in a commit of its own. */
void ask(struct outbox_bed *bed, const char *person, const char *name, char out_id[PK_UUID_TEXT]);
void commit_list(struct outbox_bed *bed, struct pk_writes *list, struct pk_commit *out);

/* Handlers. */
bool effect(void *bed, const struct pk_task *task, struct pk_writes *list, struct pk_error *err);
bool effect_behind_gate(void *bed, const struct pk_task *task, struct pk_writes *list,
                        struct pk_error *err);
const char *task_name(const struct pk_task *task);
void open_gate(struct outbox_bed *bed);

/* Documents. */
struct pk_doc *get_task(struct outbox_bed *bed, const char *id);
size_t count_status(struct outbox_bed *bed, const char *status);
size_t count_effects(struct outbox_bed *bed, const char *task_id); /* NULL: all. */
/* The number that the person's effects have come to. */
int64_t counted(struct outbox_bed *bed, const char *person);
void await_status(struct outbox_bed *bed, const char *id, const char *status);
void await_nothing_open(struct outbox_bed *bed);
/* Until a field of the bed is at least so much; fails the case after 20 s. */
void await_field(struct outbox_bed *bed, const size_t *field, size_t least);
void wake_bed(void *bed);
size_t read_field(struct outbox_bed *bed, const size_t *field);

#endif
