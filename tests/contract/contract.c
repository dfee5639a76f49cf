/* contract.c - The bed that every case of the contract is tried on: stores, documents, threads. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include "base/buf.h"
#include "base/id.h"

#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOON_MS = PK_TEST_PATIENCE_MS, THREADS_MAX = 128 };

/* ---- Stores ---- */

bool is_mongodb(void)
{
    const char *store = getenv("PK_TEST_STORE");
    return store && strcmp(store, "mongodb") == 0;
}

static const char *server_url(void)
{
    const char *url = getenv("PK_TEST_MONGODB");
    if (!url || !*url) {
        fail_msg("PK_TEST_MONGODB is not set; tests/run sets it");
    }
    return url;
}

/* "mongodb://HOSTS/?x=y" with the database between '/' and '?'. */
static char *database_url(const char *database)
{
    const char *url = server_url();
    const char *hosts = strstr(url, "://") + 3;
    const size_t head = (size_t)(hosts - url) + strcspn(hosts, "/?");
    const char *options = strchr(url, '?');
    return pk_strdupf("%.*s/%s%s", (int)head, url, database, options ? options : "");
}

void bed_prepare(struct bed *bed, const struct pk_inventory *inventory)
{
    bed->inventory = inventory;
    if (is_mongodb()) {
        char uuid[PK_UUID_TEXT];
        pk_uuid_new(uuid);
        bed->place = pk_strdupf("contract_%.8s", uuid);
        bed->url = database_url(bed->place);
    } else {
        bed->place = pk_strdup(pk_test_folder());
        bed->url = pk_strdupf("sqlite:%s", bed->place);
    }
}

const struct pk_clock *bed_clock(const struct bed *bed)
{
    return bed->is_fake ? &bed->fake.clock : pk_clock_system();
}

int64_t soon(const struct bed *bed)
{
    return pk_deadline_in_ms(bed_clock(bed), SOON_MS);
}

struct pk_store_options bed_options(const struct bed *bed)
{
    return (struct pk_store_options){ .url = bed->url,
                                      .inventory = bed->inventory,
                                      .clock = bed_clock(bed) };
}

static void open_store(struct bed *bed)
{
    struct pk_error err = { 0 };
    struct pk_store_options options = bed_options(bed);
    assert_ok(pk_store_open(&bed->store, &options, &err), &err);
}

void bed_open_inventory(struct bed *bed, const struct pk_inventory *inventory)
{
    bed_prepare(bed, inventory);
    open_store(bed);
}

void bed_open(struct bed *bed)
{
    bed_open_inventory(bed, contract_inventory());
}

void bed_open_fake(struct bed *bed, int64_t wall_ms)
{
    bed->is_fake = true;
    pk_clock_fake_init(&bed->fake, wall_ms);
    bed_open(bed);
}

void bed_close(struct bed *bed)
{
    pk_store_close(bed->store);
    bed->store = NULL;
}

void bed_reopen(struct bed *bed)
{
    bed_close(bed);
    open_store(bed);
}

void bed_done(struct bed *bed)
{
    bed_close(bed);
    if (is_mongodb() && bed->place) {
        bson_destroy(mongo_command(bed->place, "{'dropDatabase':1}"));
    }
    pk_free(bed->url);
    pk_free(bed->place);
    *bed = (struct bed){ 0 };
}

/* ---- Documents ---- */

__attribute__((format(printf, 1, 0))) static char *quoted(const char *format, va_list args)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    char *raw = NULL;
    if (vasprintf(&raw, format, args) < 0) {
        abort();
    }
    pk_buf_add_text(&text, raw);
    free(raw);
    for (char *c = text.data; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return pk_buf_take(&text);
}

static bson_t *parse(const char *json)
{
    bson_error_t error;
    bson_t *bson = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!bson) {
        fail_msg("%s: %s", json, error.message);
    }
    return bson;
}

struct pk_doc *doc(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *json = quoted(format, args);
    va_end(args);
    struct pk_doc *made = pk_doc_take(parse(json));
    pk_free(json);
    return made;
}

struct pk_doc *big_doc(const char *id, size_t size)
{
    char *text = pk_alloc(size);
    memset(text, 'x', size);
    bson_t *bson = BCON_NEW("_id", BCON_UTF8(id));
    bson_append_utf8(bson, "text", -1, text, (int)size - 64);
    pk_free(text);
    return pk_doc_take(bson);
}

void add_insert(struct pk_writes *list, const char *collection, struct pk_doc *taken)
{
    pk_writes_insert(list, collection, taken);
    pk_doc_unref(taken);
}

void add_replace(struct pk_writes *list, const char *collection, struct pk_doc *taken,
                 int64_t version)
{
    pk_writes_replace(list, collection, taken, version);
    pk_doc_unref(taken);
}

void add_announce(struct pk_writes *list, struct pk_doc *taken)
{
    pk_writes_announce(list, taken);
    pk_doc_unref(taken);
}

bool commit(struct bed *bed, struct pk_writes *list, struct pk_commit *out, struct pk_error *err)
{
    return pk_store_commit(bed->store, list, soon(bed), out, err);
}

void must_commit(struct bed *bed, struct pk_writes *list, struct pk_commit *out)
{
    struct pk_error err = { 0 };
    assert_ok(commit(bed, list, out, &err), &err);
}

bool try_insert(struct bed *bed, const char *collection, struct pk_doc *taken,
                struct pk_commit *out, struct pk_error *err)
{
    LIST(list);
    add_insert(&list, collection, taken);
    return commit(bed, &list, out, err);
}

int64_t put(struct bed *bed, const char *collection, struct pk_doc *taken)
{
    LIST(list);
    add_insert(&list, collection, taken);
    must_commit(bed, &list, NULL);
    assert_true(list.write[0].version > 0);
    return list.write[0].version;
}

struct pk_doc *get(struct bed *bed, const char *collection, const char *id)
{
    struct pk_error err = { 0 };
    struct pk_doc *found = NULL;
    assert_ok(pk_store_get(bed->store, collection, id, soon(bed), &found, &err), &err);
    return found;
}

int64_t version_of(struct bed *bed, const char *collection, const char *id)
{
    DOC(found);
    found = get(bed, collection, id);
    return found ? pk_doc_version(found) : 0;
}

/* ---- Finding ---- */

char *find_all(struct bed *bed, const struct pk_query *query, size_t limit)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf ids = { 0 };
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    struct pk_query asked = *query;
    struct pk_error err = { 0 };
    struct pk_page page = { 0 };

    asked.limit = limit;
    do {
        asked.cursor = cursor;
        assert_ok(pk_store_find(bed->store, &asked, soon(bed), &page, &err), &err);
        assert_true(page.count <= limit);
        assert_true(page.count > 0 || !page.next);
        for (size_t i = 0; i < page.count; i++) {
            assert_true(pk_doc_version(page.doc[i]) > 0);
            pk_buf_printf(&ids, "%s%s", ids.size ? " " : "", pk_doc_id(page.doc[i]));
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
        pk_page_done(&page);
    } while (cursor);
    return ids.size ? pk_buf_take(&ids) : pk_strdup("");
}

void expect_find(struct bed *bed, const struct pk_query *query, const char *ids)
{
    static const size_t limit_table[] = { PK_PAGE_MAX, 1, 2, 7 };
    for (size_t i = 0; i < PK_COUNT(limit_table); i++) {
        PK_CLEANUP(pk_freep) char *found = find_all(bed, query, limit_table[i]);
        if (strcmp(found, ids) != 0) {
            fail_msg("%s.%s%s in pages of %zu: found '%.400s' instead of '%.400s'",
                     query->collection, query->index, query->is_reversed ? " reversed" : "",
                     limit_table[i], found, ids);
        }
    }
}

size_t count_docs(struct bed *bed, const char *collection)
{
    struct pk_query query = { .collection = collection, .index = "_id" };
    PK_CLEANUP(pk_freep) char *ids = find_all(bed, &query, PK_PAGE_MAX);
    size_t count = *ids ? 1 : 0;
    for (const char *c = ids; *c; c++) {
        count += *c == ' ';
    }
    return count;
}

/* ---- Many at once ---- */

struct runner {
    void (*work)(void *context, size_t number);
    void *context;
    pthread_barrier_t *start;
    size_t number;
};

static void *run_one(void *opaque)
{
    struct runner *runner = opaque;
    (void)pthread_barrier_wait(runner->start);
    runner->work(runner->context, runner->number);
    return NULL;
}

void run_threads(size_t count, void (*work)(void *context, size_t number), void *context)
{
    pthread_t thread[THREADS_MAX];
    struct runner runner[THREADS_MAX];
    pthread_barrier_t start;

    assert_true(count <= THREADS_MAX);
    (void)pthread_barrier_init(&start, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        runner[i] = (struct runner){ work, context, &start, i };
        if (pthread_create(&thread[i], NULL, run_one, &runner[i]) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    (void)pthread_barrier_destroy(&start);
}

/* ---- The server ---- */

bson_t *mongo_command(const char *database, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *json = quoted(format, args);
    va_end(args);
    mongoc_init();
    mongoc_client_t *client = mongoc_client_new(server_url());
    bson_t *command = parse(json);
    bson_t reply;
    bson_error_t error;
    if (!mongoc_client_command_simple(client, database, command, NULL, &reply, &error)) {
        fail_msg("%s: %s", json, error.message);
    }
    bson_t *answer = bson_copy(&reply);
    bson_destroy(&reply);
    bson_destroy(command);
    mongoc_client_destroy(client);
    pk_free(json);
    return answer;
}

char *mongod_control(const char *format, ...)
{
    va_list args;
    char *words = NULL;
    char line[1024] = "";

    va_start(args, format);
    if (vasprintf(&words, format, args) < 0) {
        abort();
    }
    va_end(args);
    char *command = pk_strdupf("'%s/mongod' %s", PK_TEST_SUPPORT, words);
    FILE *output = popen(command, "r");
    if (!output) {
        fail_msg("%s: cannot be run", command);
    }
    if (!fgets(line, sizeof(line), output)) {
        line[0] = '\0'; /* It said nothing; its exit status says why. */
    }
    while (fgetc(output) != EOF) {
        /* It ends when all is said. */
    }
    if (pclose(output) != 0) {
        fail_msg("%s: failed", command);
    }
    free(words);
    pk_free(command);
    line[strcspn(line, "\n")] = '\0';
    return pk_strdup(line);
}

void own_server_start(struct own_server *own, int members, const char *options)
{
    const char *before = getenv("PK_TEST_MONGODB");
    own->before = pk_strdup(before ? before : "");
    own->folder = pk_strdupf("%s/server", pk_test_folder());
    own->url = mongod_control("start %d '%s' %s", members, own->folder, options);
    (void)setenv("PK_TEST_MONGODB", own->url, 1);
}

void own_server_done(struct own_server *own)
{
    if (own->folder) {
        pk_free(mongod_control("stop '%s'", own->folder));
        (void)setenv("PK_TEST_MONGODB", own->before, 1);
        pk_free(own->folder);
        pk_free(own->url);
        pk_free(own->before);
    }
}
