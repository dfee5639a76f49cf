/* bed.h - A store, a jail and nodes on them, for tests of the registry.
 *
 *     BED(bed, false);                        an empty store; true: on MongoDB
 *     struct node *node = bed_node(&bed);     jail, loader, scripts and registry of one server
 *
 * Scripts are mappers that say how they are called by one number. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_BED_H
#define PK_TEST_PERSONA_BED_H

#include "access/audit.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/registry.h"
#include "store/store.h"
#include "test.h"

struct node {
    struct pk_books books; /* Of this node: its name. */
    struct pk_loader *loader;
    struct pk_scripts *scripts;
    struct pk_registry *registry;
};
struct bed {
    const struct pk_clock *clock; /* Set before bed_open; NULL: the machine's. */
    char folder[512];
    char *url;
    bool is_mongo;
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_by by;
    struct pk_jail *jail;
    struct node node[2];
    size_t node_count;
    struct pk_error err;
};
void bed_open(struct bed *bed, bool is_mongo);
void bed_done(struct bed *bed);
#define BED(name, is_mongo)                       \
    PK_CLEANUP(bed_done) struct bed name = { 0 }; \
    bed_open(&name, is_mongo)

struct node *bed_node(struct bed *bed);

/* "return pk.mapper { id, version, core gives { number } }". */
struct pk_bundle *mapper_text(const char *id, const char *version, int number);
struct pk_bundle *lua_text(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drafts and activates; the version that it got. Ends 'bundle'. */
const char *put_active(struct bed *bed, struct node *node, struct pk_bundle *bundle);
bool draft(struct bed *bed, struct node *node, struct pk_bundle *bundle, enum pk_draft_rule rule,
           struct pk_doc **out);
bool activate(struct bed *bed, struct node *node, const char *id, const char *version);
/* The version of a mapper that serves on a node; "" when none does. */
const char *serving(struct node *node, const char *id);
/* Documents of a collection whose text at 'path' is 'text'; 'path' NULL: all. */
size_t count_where(struct bed *bed, const char *collection, const char *path, const char *text);
/* Fails the case unless 'err' has this code and these words. */
void expect_error(const struct pk_error *err, enum pk_code code, const char *part);
/* Waits until 'is_so' holds. */
#define UNTIL(is_so)                                   \
    do {                                               \
        for (int waited = 0; !(is_so); waited++) {     \
            assert_true(waited < PK_TEST_PATIENCE_MS); \
            bed_pause();                               \
        }                                              \
    } while (0)
void bed_pause(void); /* A millisecond. */

#endif
