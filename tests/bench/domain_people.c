/* domain_people.c - Fills a store with people, for benches: copies of one who is there.
 *
 *     domain_people URL PERSON COUNT SAMPLE
 *
 * PERSON was made by a server, so each copy is what the server would have made:
 * the same documents, with ids of its own. They go in by the store's own API,
 * many to a list; no server may use an embedded store meanwhile. Prints SAMPLE
 * of the new people's ids, each with the id of an observation. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCS_MAX = 200, IDS_MAX = 200, LIST = 800, THREADS = 4, UUID = PK_UUID_TEXT - 1 };

/* What a person is made of; all else comes of use. */
static const char *const copied[] = { "people", "mindscapes", "observations", "processing",
                                      "trait_history" };

/* The person who is copied. */
struct pattern {
    const char *person;
    const char *collection[DOCS_MAX];
    struct pk_doc *doc[DOCS_MAX];
    size_t count;
    char id[IDS_MAX][PK_UUID_TEXT]; /* That each copy has of its own; the person's first. */
    size_t id_count, observation;   /* Which of them is an observation's. */
};

struct work {
    struct pk_store *store;
    const struct pattern *pattern;
    _Atomic long next;
    long count, sample_each;
    pthread_mutex_t lock; /* Of standard output and 'err'. */
    struct pk_error err;
    bool is_failed;
};

static bool has_text(const struct pk_doc *doc, const char *text)
{
    return memmem(pk_doc_data(doc), pk_doc_size(doc), text, strlen(text)) != NULL;
}

static void take(struct pattern *pattern, const char *collection, struct pk_doc *doc)
{
    const char *id = pk_doc_id(doc);
    if (pattern->count == DOCS_MAX || pattern->id_count == IDS_MAX) {
        (void)fprintf(stderr, "the person has too many documents\n");
        exit(1);
    }
    pattern->collection[pattern->count] = collection;
    pattern->doc[pattern->count++] = pk_doc_ref(doc);
    if (strlen(id) == UUID && strcmp(id, pattern->person) != 0) {
        if (strcmp(collection, "observations") == 0) {
            pattern->observation = pattern->id_count;
        }
        memcpy(pattern->id[pattern->id_count++], id, PK_UUID_TEXT);
    }
}

static bool read_pattern(struct pk_store *store, struct pattern *pattern, struct pk_error *err)
{
    memcpy(pattern->id[pattern->id_count++], pattern->person, PK_UUID_TEXT);
    for (size_t i = 0; i < PK_COUNT(copied); i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = copied[i],
                                        .index = "_id",
                                        .limit = PK_PAGE_MAX };
        if (!pk_store_find(store, &query, 0, &page, err)) {
            return pk_wrap(err, "read '%s'", copied[i]);
        }
        for (size_t k = 0; k < page.count; k++) {
            if (has_text(page.doc[k], pattern->person)) {
                take(pattern, copied[i], page.doc[k]);
            }
        }
    }
    return pattern->observation != 0 ||
           pk_fail(err, PK_NOT_FOUND, "have a server make the person first",
                   "nothing was observed of '%s'", pattern->person);
}

/* The document with other ids: each is a text of the same length, wherever it stands. */
static struct pk_doc *copy(const struct pattern *pattern, size_t at, char (*id)[PK_UUID_TEXT])
{
    bson_t *made = bson_new_from_data(pk_doc_data(pattern->doc[at]), pk_doc_size(pattern->doc[at]));
    char *data = (char *)(uintptr_t)bson_get_data(made);
    char *end = data + made->len;
    for (size_t i = 0; i < pattern->id_count; i++) {
        for (char *found = data;
             (found = memmem(found, (size_t)(end - found), pattern->id[i], UUID)) != NULL;) {
            memcpy(found, id[i], UUID);
            found += UUID;
        }
    }
    return pk_doc_take(made);
}

static void add_one(struct work *work, long number, struct pk_writes *list)
{
    const struct pattern *pattern = work->pattern;
    char id[IDS_MAX][PK_UUID_TEXT];
    for (size_t i = 0; i < pattern->id_count; i++) {
        pk_uuid_new(id[i]);
    }
    for (size_t i = 0; i < pattern->count; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = copy(pattern, i, id);
        pk_writes_insert(list, pattern->collection[i], doc);
    }
    if (number % work->sample_each == 0) {
        (void)pthread_mutex_lock(&work->lock);
        (void)printf("%s %s\n", id[0], id[pattern->observation]);
        (void)pthread_mutex_unlock(&work->lock);
    }
}

static void *fill(void *context)
{
    struct work *work = context;
    struct pk_error err = { 0 };
    bool is_ok = true;
    for (bool is_over = false; is_ok && !is_over;) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        while (!is_over && list.count + work->pattern->count < LIST) {
            const long number = atomic_fetch_add(&work->next, 1);
            is_over = number >= work->count;
            if (!is_over) {
                add_one(work, number, &list);
            }
        }
        is_ok = list.count == 0 || pk_store_commit(work->store, &list, 0, NULL, &err);
    }
    if (!is_ok) {
        (void)pthread_mutex_lock(&work->lock);
        work->err = err;
        work->is_failed = true;
        (void)pthread_mutex_unlock(&work->lock);
    }
    return NULL;
}

static bool fill_all(struct work *work, struct pk_error *err)
{
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&thread[i], NULL, fill, work) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    *err = work->err;
    return !work->is_failed;
}

static bool run(struct pk_store *store, char **argv, struct pk_error *err)
{
    static struct pattern pattern;
    static struct work work;
    const long sample = strtol(argv[4], NULL, 10);
    pattern.person = argv[2];
    if (strlen(pattern.person) != UUID) {
        return pk_fail(err, PK_INVALID, NULL, "'%s' is no person's id", pattern.person);
    }
    if (!read_pattern(store, &pattern, err)) {
        return false;
    }
    work = (struct work){ .store = store,
                          .pattern = &pattern,
                          .count = strtol(argv[3], NULL, 10),
                          .lock = PTHREAD_MUTEX_INITIALIZER };
    work.sample_each = sample > 0 && work.count > sample ? work.count / sample : 1;
    const bool is_ok = fill_all(&work, err);
    for (size_t i = 0; i < pattern.count; i++) {
        pk_doc_unref(pattern.doc[i]);
    }
    return is_ok;
}

int main(int argc, char **argv)
{
    struct pk_error err = { 0 };
    struct pk_store *store = NULL;
    if (argc != 5) {
        (void)fprintf(stderr, "usage: domain_people URL PERSON COUNT SAMPLE\n");
        return 2;
    }
    const struct pk_store_options options = { .url = argv[1],
                                              .inventory = pk_inventory_builtin(),
                                              .clock = pk_clock_system() };
    const bool is_ok =
        pk_crypto_init(&err) && pk_store_open(&store, &options, &err) && run(store, argv, &err);
    if (!is_ok) {
        (void)fprintf(stderr, "domain_people: %s\n", err.message);
    }
    pk_store_close(store);
    return is_ok ? 0 : 1;
}
