/* domain_mongoc.c - What tests/bench/domain sets beside the servers: libmongoc alone.
 *
 *     domain_mongoc insert|read URL FILE SECONDS CLIENTS
 *
 * Each client is a thread with a connection, and does one thing after the
 * other: it inserts a document (w:majority, j:true), or reads one by its id
 * (majority). FILE has a JSON document a line, the body that the servers are
 * sent; ids are new ones. No index but that of '_id', no check, no feed: the
 * least that a durable insert costs there. Prints one line of JSON. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "base/alloc.h"
#include "base/id.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCS_MAX = 2000, CLIENTS_MAX = 256 };

struct client {
    const char *url;
    bson_t *const *doc;
    size_t doc_count, number;
    int64_t end_ns;
    bool is_reading;
    struct bench_samples samples;
    pthread_t thread;
};

static void die(const char *what, const bson_error_t *error)
{
    (void)fprintf(stderr, "domain_mongoc: %s: %s\n", what, error->message);
    exit(1);
}

static void insert_one(mongoc_collection_t *collection, const bson_t *body)
{
    char id[PK_UUID_TEXT];
    bson_error_t error;
    bson_t doc = BSON_INITIALIZER;

    pk_uuid_new(id);
    BSON_APPEND_UTF8(&doc, "_id", id);
    (void)bson_concat(&doc, body);
    if (!mongoc_collection_insert_one(collection, &doc, NULL, NULL, &error)) {
        die("insert", &error);
    }
    bson_destroy(&doc);
}

static void read_one(mongoc_collection_t *collection, const bson_t *of)
{
    bson_error_t error = { 0 };
    bson_iter_t iter;
    const bson_t *found = NULL;
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;

    if (bson_iter_init_find(&iter, of, "_id")) {
        (void)bson_append_iter(&filter, "_id", 3, &iter);
    }
    BSON_APPEND_INT64(&opts, "limit", 1);
    BSON_APPEND_BOOL(&opts, "singleBatch", true);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &filter, &opts, NULL);
    if (!mongoc_cursor_next(cursor, &found)) {
        (void)mongoc_cursor_error(cursor, &error);
        die("read", &error);
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(&opts);
}

/* With the durability that the store asks for. */
static mongoc_client_t *connect_to(const char *url)
{
    mongoc_client_t *client = mongoc_client_new(url);
    mongoc_write_concern_t *write_concern = mongoc_write_concern_new();
    mongoc_read_concern_t *read_concern = mongoc_read_concern_new();

    mongoc_write_concern_set_wmajority(write_concern, 0);
    mongoc_write_concern_set_journal(write_concern, true);
    (void)mongoc_read_concern_set_level(read_concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_client_set_write_concern(client, write_concern);
    mongoc_client_set_read_concern(client, read_concern);
    mongoc_write_concern_destroy(write_concern);
    mongoc_read_concern_destroy(read_concern);
    return client;
}

static void *run_client(void *context)
{
    struct client *self = context;
    mongoc_client_t *client = connect_to(self->url);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, "raw", "observations");

    for (size_t i = self->number;; i++) {
        const int64_t start_ns = bench_now_ns();
        if (start_ns >= self->end_ns) {
            break;
        }
        const bson_t *doc = self->doc[i % self->doc_count];
        if (self->is_reading) {
            read_one(collection, doc);
        } else {
            insert_one(collection, doc);
        }
        bench_sample(&self->samples, bench_now_ns() - start_ns);
    }
    mongoc_collection_destroy(collection);
    mongoc_client_destroy(client);
    return NULL;
}

/* The bodies to insert. */
static size_t read_bodies(const char *path, bson_t **out)
{
    static char line[1 << 16];
    bson_error_t error = { 0 };
    size_t count = 0;
    FILE *file = fopen(path, "r");

    while (file && count < DOCS_MAX && fgets(line, sizeof(line), file)) {
        out[count] = bson_new_from_json((const uint8_t *)line, -1, &error);
        if (!out[count++]) {
            die(path, &error);
        }
    }
    if (file) {
        (void)fclose(file);
    }
    return count;
}

/* Documents that are there, to be read. */
static size_t read_stored(const char *url, bson_t **out)
{
    mongoc_client_t *client = connect_to(url);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, "raw", "observations");
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("limit", BCON_INT64(DOCS_MAX));
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &filter, opts, NULL);
    const bson_t *found = NULL;
    size_t count = 0;

    while (count < DOCS_MAX && mongoc_cursor_next(cursor, &found)) {
        out[count++] = bson_copy(found);
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(collection);
    mongoc_client_destroy(client);
    bson_destroy(opts);
    return count;
}

/* Runs the clients to their end; gives all their samples. */
static struct bench_samples run_all(const struct client *shared, size_t count)
{
    struct client *client = pk_calloc(count, sizeof(*client));
    struct bench_samples all = { 0 };

    for (size_t i = 0; i < count; i++) {
        client[i] = *shared;
        client[i].number = i;
        (void)pthread_create(&client[i].thread, NULL, run_client, &client[i]);
    }
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(client[i].thread, NULL);
        bench_merge(&all, &client[i].samples);
    }
    pk_free(client);
    return all;
}

int main(int argc, char **argv)
{
    bson_t *doc[DOCS_MAX] = { NULL };
    const unsigned long clients = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
    if (clients == 0 || clients > CLIENTS_MAX) {
        (void)fprintf(stderr, "usage: domain_mongoc insert|read URL FILE SECONDS CLIENTS\n");
        return 2;
    }
    mongoc_log_set_handler(NULL, NULL);
    mongoc_init();
    struct client shared = { .url = argv[2], .doc = doc };
    shared.is_reading = strcmp(argv[1], "read") == 0;
    shared.doc_count = shared.is_reading ? read_stored(argv[2], doc) : read_bodies(argv[3], doc);
    if (shared.doc_count == 0) {
        (void)fprintf(stderr, "domain_mongoc: there is nothing to %s\n", argv[1]);
        return 1;
    }
    const int64_t start_ns = bench_now_ns();
    const int64_t start_cpu_ns = bench_cpu_ns();
    shared.end_ns = start_ns + (int64_t)(strtod(argv[4], NULL) * 1e9);
    struct bench_samples all = run_all(&shared, clients);
    const double count = all.count ? (double)all.count : 1;
    const double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    (void)printf("{\"count\": %zu, \"per_second\": %.1f, \"cpu_us\": %.2f, \"p50_ms\": %.3f, "
                 "\"p99_ms\": %.3f}\n",
                 all.count, (double)all.count / seconds,
                 (double)(bench_cpu_ns() - start_cpu_ns) / 1000 / count,
                 bench_quantile(&all, 0.5) / 1000, bench_quantile(&all, 0.99) / 1000);
    for (size_t i = 0; i < shared.doc_count; i++) {
        bson_destroy(doc[i]);
    }
    pk_free(all.us);
    mongoc_cleanup();
    return 0;
}
