/* database.c - See database.h. */
/* SPDX-License-Identifier: MIT */
#include "database.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/id.h"
#include "store/store.h"
#include "test.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What this program has made. */
static struct lent {
    char *url;
    const struct pk_inventory *made_for;
    bool is_lent;
} * lent;
static size_t lent_count;
static pthread_t closer; /* Closes the store of the case before. */
static bool is_closing;

static mongoc_database_t *connect_to(const char *url, mongoc_client_t **client)
{
    mongoc_uri_t *uri = mongoc_uri_new(url);
    *client = mongoc_client_new_from_uri(uri);
    mongoc_database_t *database = mongoc_client_get_database(*client, mongoc_uri_get_database(uri));
    mongoc_uri_destroy(uri);
    return database;
}

static void part(mongoc_database_t *database, mongoc_client_t *client)
{
    mongoc_database_destroy(database);
    mongoc_client_destroy(client);
}

static void *close_store(void *store)
{
    pk_store_close(store);
    return NULL;
}

static void await_closer(void)
{
    if (is_closing) {
        (void)pthread_join(closer, NULL);
        is_closing = false;
    }
}

static void drop_all(void)
{
    await_closer();
    for (size_t i = 0; i < lent_count; i++) {
        mongoc_client_t *client;
        mongoc_database_t *database = connect_to(lent[i].url, &client);
        (void)mongoc_database_drop(database, NULL);
        part(database, client);
        pk_free(lent[i].url);
    }
    pk_free(lent);
}

static bool empty_collection(mongoc_database_t *database, const char *name, const bson_t *options,
                             bson_error_t *error)
{
    const bson_t everything = BSON_INITIALIZER;
    mongoc_collection_t *collection = mongoc_database_get_collection(database, name);
    const bool ok = mongoc_collection_delete_many(collection, &everything, options, NULL, error);
    mongoc_collection_destroy(collection);
    return ok;
}

/* Of each collection the majority has agreed before a case begins: stores read what it agreed on.
 */
static void empty(const char *url)
{
    mongoc_client_t *client;
    mongoc_database_t *database = connect_to(url, &client);
    bson_error_t error = { 0 };
    bson_t *options = BCON_NEW("writeConcern", "{", "w", "majority", "j", BCON_BOOL(true), "}");
    char **name = mongoc_database_get_collection_names_with_opts(database, NULL, &error);
    bool ok = name != NULL;
    for (char **at = name; ok && *at; at++) {
        ok = empty_collection(database, *at, options, &error);
    }
    bson_strfreev(name);
    bson_destroy(options);
    part(database, client);
    if (!ok) {
        fail_msg("the database '%s' could not be emptied: %s", url, error.message);
    }
}

static char *new_url(const char *set)
{
    const char *hosts = set + strlen("mongodb://");
    const size_t size = strlen("mongodb://") + strcspn(hosts, "/?");
    const char *options = strchr(set, '?');
    char uuid[PK_UUID_TEXT];
    pk_uuid_new(uuid);
    return pk_strdupf("%.*s/unit_%.8s%s", (int)size, set, uuid, options ? options : "");
}

char *pk_test_database_lend(const struct pk_inventory *inventory)
{
    const char *set = getenv("PK_TEST_MONGODB");
    if (!set) {
        return NULL;
    }
    for (size_t i = 0; i < lent_count; i++) {
        if (lent[i].made_for == inventory && !lent[i].is_lent) {
            empty(lent[i].url);
            lent[i].is_lent = true;
            return pk_strdup(lent[i].url);
        }
    }
    lent = pk_realloc(lent, (lent_count + 1) * sizeof(*lent));
    lent[lent_count] = (struct lent){ .url = new_url(set), .made_for = inventory, .is_lent = true };
    return pk_strdup(lent[lent_count++].url);
}

static struct lent *find_lent(const char *url)
{
    for (size_t i = 0; url && i < lent_count; i++) {
        if (strcmp(lent[i].url, url) == 0) {
            return &lent[i];
        }
    }
    return NULL;
}

void pk_test_database_return(char *url, struct pk_store *store)
{
    static bool is_drop_due;
    struct lent *own = find_lent(url);
    await_closer();
    if (own && !is_drop_due) { /* Behind the first opening: so this ends before the driver does. */
        is_drop_due = atexit(drop_all) == 0;
    }
    if (own) {
        own->is_lent = false;
        is_closing = store && pthread_create(&closer, NULL, close_store, store) == 0;
    }
    if (!is_closing) {
        pk_store_close(store);
    }
    pk_free(url);
}
