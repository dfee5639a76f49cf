/* store_limit_mongo.c - The same documents by libmongoc bulks of the same group size.
 *
 * One table: insert_many as an ordered bulk with w:majority, j:true. Several:
 * one transaction with one bulk per table. Each writer has a client and walks
 * its own share of the documents, which get fresh ids on the way.
 *
 * And reads by '_id', one after the other on each of some threads. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "store_limit.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/id.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOCS_MAX = 20000, TABLES_MAX = 8, THREADS_MAX = 8 };

struct writer {
    const char *url, *to;
    const char *const *tables;
    bson_t **doc[TABLES_MAX];
    size_t doc_count, table_count;
    unsigned group, number, writers;
    bool is_transaction;
    int64_t end_ns, lists;
};

static void die(const char *what, const bson_error_t *error)
{
    (void)fprintf(stderr, "%s: %s\n", what, error->message);
    exit(1);
}

/* The documents as the store wrote them, without their ids. */
static size_t load(mongoc_client_t *client, const char *from, const char *table, bson_t **out)
{
    size_t count = 0;
    const bson_t *found = NULL;
    bson_error_t error;
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("limit", BCON_INT64(DOCS_MAX));
    mongoc_collection_t *c = mongoc_client_get_collection(client, from, table);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, &filter, opts, NULL);
    while (count < DOCS_MAX && mongoc_cursor_next(cursor, &found)) {
        out[count] = bson_new();
        bson_copy_to_excluding_noinit(found, out[count++], "_id", NULL);
    }
    if (mongoc_cursor_error(cursor, &error)) {
        die(table, &error);
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(c);
    bson_destroy(opts);
    return count;
}

static void insert_group(struct writer *w, mongoc_database_t *db, mongoc_client_session_t *session,
                         size_t table, size_t first)
{
    bson_error_t error;
    bson_t reply;
    bson_t opts = BSON_INITIALIZER;
    mongoc_collection_t *c = mongoc_database_get_collection(db, w->tables[table]);
    if (session && !mongoc_client_session_append(session, &opts, &error)) {
        die("session", &error);
    }
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
    for (unsigned i = 0; i < w->group; i++) {
        char id[PK_UUID_TEXT];
        bson_t doc = BSON_INITIALIZER;
        pk_uuid_new(id);
        BSON_APPEND_UTF8(&doc, "_id", id);
        (void)bson_concat(&doc, w->doc[table][(first + i) % w->doc_count]);
        if (!mongoc_bulk_operation_insert_with_opts(bulk, &doc, NULL, &error)) {
            die("insert", &error);
        }
        bson_destroy(&doc);
    }
    if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) {
        die("bulk", &error);
    }
    bson_destroy(&reply);
    bson_destroy(&opts);
    mongoc_bulk_operation_destroy(bulk);
    mongoc_collection_destroy(c);
}

static mongoc_write_concern_t *majority(void)
{
    mongoc_write_concern_t *concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(concern, 0);
    mongoc_write_concern_set_journal(concern, true);
    return concern;
}

static void *write_share(void *context)
{
    struct writer *w = context;
    bson_error_t error;
    bson_t reply;
    mongoc_write_concern_t *concern = majority();
    mongoc_client_t *client = mongoc_client_new(w->url);
    mongoc_client_set_write_concern(client, concern);
    mongoc_database_t *db = mongoc_client_get_database(client, w->to);
    mongoc_transaction_opt_t *topts = mongoc_transaction_opts_new();
    mongoc_transaction_opts_set_write_concern(topts, concern);
    mongoc_client_session_t *session =
        w->is_transaction ? mongoc_client_start_session(client, NULL, &error) : NULL;

    for (size_t at = w->number * w->group; bench_now_ns() < w->end_ns;
         at += (size_t)w->writers * w->group) {
        if (session && !mongoc_client_session_start_transaction(session, topts, &error)) {
            die("transaction", &error);
        }
        for (size_t t = 0; t < w->table_count; t++) {
            insert_group(w, db, session, t, at);
        }
        if (session) {
            if (!mongoc_client_session_commit_transaction(session, &reply, &error)) {
                die("commit", &error);
            }
            bson_destroy(&reply);
        }
        w->lists += w->group;
    }
    if (session) {
        mongoc_client_session_destroy(session);
    }
    mongoc_transaction_opts_destroy(topts);
    mongoc_database_destroy(db);
    mongoc_client_destroy(client);
    mongoc_write_concern_destroy(concern);
    return NULL;
}

struct limit_result limit_mongo(const char *url, const char *from, const char *to,
                                const char *const *tables, const struct limit_shape *shape,
                                double seconds)
{
    struct writer shared = { .url = url,
                             .to = to,
                             .tables = tables,
                             .group = shape->group,
                             .writers = shape->writers,
                             .is_transaction = shape->is_transaction || tables[1] };
    mongoc_client_t *client = mongoc_client_new(url);
    shared.doc_count = DOCS_MAX;
    for (; tables[shared.table_count]; shared.table_count++) {
        size_t t = shared.table_count;
        shared.doc[t] = pk_calloc(DOCS_MAX, sizeof(bson_t *));
        size_t n = load(client, from, tables[t], shared.doc[t]);
        shared.doc_count = n < shared.doc_count ? n : shared.doc_count;
    }
    mongoc_client_destroy(client);

    struct writer w[THREADS_MAX];
    pthread_t thread[THREADS_MAX];
    struct limit_result result = { 0 };
    int64_t start = bench_now_ns();
    int64_t cpu = bench_cpu_ns();
    shared.end_ns = start + (int64_t)(seconds * 1e9);
    for (unsigned i = 0; i < shape->writers; i++) {
        w[i] = shared;
        w[i].number = i;
        (void)pthread_create(&thread[i], NULL, write_share, &w[i]);
    }
    for (unsigned i = 0; i < shape->writers; i++) {
        (void)pthread_join(thread[i], NULL);
        result.lists += w[i].lists;
    }
    result.ns = bench_now_ns() - start;
    result.cpu_ns = bench_cpu_ns() - cpu;
    for (size_t t = 0; t < shared.table_count; t++) {
        for (size_t i = 0; i < DOCS_MAX && shared.doc[t][i]; i++) {
            bson_destroy(shared.doc[t][i]);
        }
        pk_free(shared.doc[t]);
    }
    return result;
}

/* ---- Reads ---- */

struct reader {
    const char *url, *from, *table;
    char (*id)[PK_UUID_TEXT];
    size_t ids;
    int64_t end_ns, reads;
};

static void read_one(struct reader *r, mongoc_collection_t *c)
{
    const bson_t *found = NULL;
    bson_error_t error = { 0 };
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&filter, "_id", r->id[pk_random_u64() % r->ids]);
    BSON_APPEND_INT64(&opts, "limit", 1);
    BSON_APPEND_BOOL(&opts, "singleBatch", true);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, &filter, &opts, NULL);
    if (!mongoc_cursor_next(cursor, &found)) {
        (void)mongoc_cursor_error(cursor, &error);
        die("get", &error);
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(&opts);
}

static void *read_share(void *context)
{
    struct reader *r = context;
    mongoc_client_t *client = mongoc_client_new(r->url);
    mongoc_read_concern_t *concern = mongoc_read_concern_new();
    (void)mongoc_read_concern_set_level(concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_client_set_read_concern(client, concern);
    mongoc_collection_t *c = mongoc_client_get_collection(client, r->from, r->table);

    for (; bench_now_ns() < r->end_ns; r->reads++) {
        read_one(r, c);
    }
    mongoc_collection_destroy(c);
    mongoc_read_concern_destroy(concern);
    mongoc_client_destroy(client);
    return NULL;
}

struct limit_result limit_mongo_gets(const char *url, const char *from, const char *table,
                                     char (*id)[PK_UUID_TEXT], size_t ids, unsigned readers,
                                     double seconds)
{
    struct reader r[THREADS_MAX];
    pthread_t thread[THREADS_MAX];
    struct limit_result result = { 0 };
    const int64_t start = bench_now_ns();
    const int64_t cpu = bench_cpu_ns();

    for (unsigned i = 0; i < readers; i++) {
        r[i] = (struct reader){ .url = url,
                                .from = from,
                                .table = table,
                                .id = id,
                                .ids = ids,
                                .end_ns = start + (int64_t)(seconds * 1e9) };
        (void)pthread_create(&thread[i], NULL, read_share, &r[i]);
    }
    for (unsigned i = 0; i < readers; i++) {
        (void)pthread_join(thread[i], NULL);
        result.lists += r[i].reads;
    }
    result.ns = bench_now_ns() - start;
    result.cpu_ns = bench_cpu_ns() - cpu;
    return result;
}
