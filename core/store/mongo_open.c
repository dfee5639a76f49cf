/* mongo_open.c - Connecting: what is refused, what stands there, what is made.
 *
 * Opening is a table of steps, each of which says in one sentence what is
 * wrong and what to do. It runs on one client of its own that may be silent
 * for long (building an index takes its time); the pool is made last.
 *
 * The document 'store' in the collection 'meta' says the schema version, the
 * epoch and the program that last wrote them. Whoever inserts it first has
 * made the store; a second node that starts at the same time reads it.
 *
 * Thread: the opener's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "store/mongo_internal.h"

#include <stdio.h>
#include <string.h>

#define META_ID    "store"
#define DATABASE   "personakit" /* When the URL names none. */
#define SERVER_MIN 5            /* Snapshot reads, 'hello', tokens on empty batches. */

/* What opening works on; ended by opening_done. */
struct opening {
    const struct pk_store_options *options;
    struct pk_store *store; /* NULL when inspecting. */
    struct mongo *mongo;
    mongoc_client_t *client; /* Without a short socket time-out. */
    const struct mongo_upgrade *upgrades;
    struct pk_store_state state;
    bool has_replica_set; /* The URL says how to find the set... */
    bool has_patience;    /* ...and how long to look for its primary. */
};

static void opening_done(struct opening *opening)
{
    if (opening->client) {
        mongoc_client_destroy(opening->client);
    }
    mongo_free(opening->mongo);
}

/* ---- The URL ---- */

static void set_unless_given(mongoc_uri_t *uri, const char *option, int32_t value)
{
    if (!mongoc_uri_has_option(uri, option)) {
        (void)mongoc_uri_set_option_as_int32(uri, option, value);
    }
}

/* The driver quotes what it does not understand, a password too. So its words are only used about
 * the URL without user and password. */
static bool fail_url(const char *url, struct pk_error *err)
{
    const char *at = strrchr(url, '@');
    PK_CLEANUP(pk_freep) char *bare = at ? pk_strdupf("mongodb://%s", at + 1) : pk_strdup(url);
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(bare, &error);

    if (uri) {
        mongoc_uri_destroy(uri);
        return pk_fail(err, PK_INVALID,
                       "write characters like @ : / ? # % in them as %40 %3A %2F %3F %23 %25",
                       "the user or the password in the store's URL is not understood");
    }
    return pk_fail(err, PK_INVALID, "use mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS",
                   "the store's URL is not understood: %s", error.message);
}

static bool read_url(struct opening *opening, struct pk_error *err)
{
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(opening->options->url, &error);
    if (!uri) {
        return fail_url(opening->options->url, err);
    }
    struct mongo *mongo = pk_calloc(1, sizeof(*mongo));
    mongo->uri = uri;
    mongo->clock = opening->options->clock;
    mongo->inventory = opening->options->inventory;
    (void)pthread_mutex_init(&mongo->time.lock, NULL);
    (void)pthread_mutex_init(&mongo->open.lock, NULL);
    (void)pthread_mutex_init(&mongo->dangling.lock, NULL);
    (void)pthread_cond_init(&mongo->open.ended, NULL);
    mongo_gets_init(&mongo->gets);
    const char *database = mongoc_uri_get_database(uri);
    mongo->database = pk_strdup(database && *database ? database : DATABASE);
    opening->mongo = mongo;
    opening->has_replica_set = mongoc_uri_has_option(uri, MONGOC_URI_REPLICASET) ||
                               mongoc_uri_has_option(uri, MONGOC_URI_DIRECTCONNECTION) ||
                               mongoc_uri_has_option(uri, MONGOC_URI_LOADBALANCED);
    opening->has_patience = mongoc_uri_has_option(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS);

    set_unless_given(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, MONGO_OPEN_MS);
    set_unless_given(uri, MONGOC_URI_CONNECTTIMEOUTMS, MONGO_CONNECT_MS);
    set_unless_given(uri, MONGOC_URI_HEARTBEATFREQUENCYMS, MONGO_HEARTBEAT_MS);
    set_unless_given(uri, MONGOC_URI_SOCKETTIMEOUTMS, MONGO_SOCKET_MS);
    set_unless_given(uri, MONGOC_URI_MAXPOOLSIZE, MONGO_CLIENTS_MAX);
    set_unless_given(uri, MONGOC_URI_WAITQUEUETIMEOUTMS, MONGO_SOCKET_MS);
    (void)mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
    (void)mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYREADS, false);
    (void)mongoc_uri_set_appname(uri, MONGO_APP);

    mongoc_write_concern_t *write_concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(write_concern, 0);
    mongoc_write_concern_set_journal(write_concern, true);
    mongoc_uri_set_write_concern(uri, write_concern);
    mongoc_write_concern_destroy(write_concern);
    mongoc_read_concern_t *read_concern = mongoc_read_concern_new();
    (void)mongoc_read_concern_set_level(read_concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_uri_set_read_concern(uri, read_concern);
    mongoc_read_concern_destroy(read_concern);
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_uri_set_read_prefs_t(uri, primary);
    mongoc_read_prefs_destroy(primary);
    return true;
}

/* ---- The server ---- */

static bool make_client(struct opening *opening, struct pk_error *err)
{
    bson_error_t error;
    mongoc_uri_t *patient = mongoc_uri_copy(opening->mongo->uri);
    (void)mongoc_uri_set_option_as_int32(patient, MONGOC_URI_SOCKETTIMEOUTMS, 3600 * 1000);
    if (opening->client) {
        mongoc_client_destroy(opening->client);
    }
    opening->client = mongoc_client_new_from_uri_with_error(patient, &error);
    mongoc_uri_destroy(patient);
    if (!opening->client) {
        return pk_fail(err, PK_INVALID, "check the options in the store's URL",
                       "the store's URL cannot be used: %s", error.message);
    }
    (void)mongoc_client_set_error_api(opening->client, MONGOC_ERROR_API_VERSION_2);
    return true;
}

static bool is_login_error(const bson_error_t *error)
{
    return error->code == 18 ||
           (error->domain == MONGOC_ERROR_CLIENT &&
            error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
           strstr(error->message, "uthentication failed") != NULL;
}

static bool fail_to_connect(const struct mongo *mongo, const bson_error_t *error,
                            struct pk_error *err)
{
    const mongoc_host_list_t *host = mongoc_uri_get_hosts(mongo->uri);
    const char *user = mongoc_uri_get_username(mongo->uri);
    const char *source = mongoc_uri_get_auth_source(mongo->uri);
    const char *where = host ? host->host_and_port : "that host";

    if (is_login_error(error)) {
        return pk_fail(err, PK_UNAUTHORIZED,
                       "check user, password and authSource in the store's URL",
                       "MongoDB at '%s' does not accept user '%s' with authSource '%s'", where,
                       user ? user : "", source ? source : "");
    }
    if (error->domain != MONGOC_ERROR_SERVER_SELECTION && error->domain != MONGOC_ERROR_STREAM) {
        return mongo_fail(err, error, "talk to MongoDB");
    }
    return pk_fail(err, PK_UNAVAILABLE,
                   "check that mongod runs, that this machine can reach it, and that its replica "
                   "set has a primary",
                   "MongoDB at '%s' cannot be reached: %s", where, error->message);
}

/* Runs a command on the primary (or the one server there is) and gives its reply. */
static bool ask(struct opening *opening, const char *name, bson_t *reply, struct pk_error *err)
{
    bson_t command = BSON_INITIALIZER;
    bson_error_t error;

    BSON_APPEND_INT32(&command, name, 1);
    const bool ok =
        mongoc_client_command_simple(opening->client, "admin", &command, NULL, reply, &error);
    bson_destroy(&command);
    if (!ok) {
        (void)fail_to_connect(opening->mongo, &error, err);
        bson_destroy(reply);
    }
    return ok;
}

static bool check_version(struct opening *opening, struct pk_error *err)
{
    bson_t reply;
    bson_iter_t iter;
    if (!ask(opening, "buildInfo", &reply, err)) {
        return false;
    }
    bool ok = true;
    if (bson_iter_init_find(&iter, &reply, "version") && BSON_ITER_HOLDS_UTF8(&iter)) {
        const char *version = bson_iter_utf8(&iter, NULL);
        int major = 0;
        if (sscanf(version, "%d", &major) == 1 && major < SERVER_MIN) {
            ok = pk_fail(err, PK_UNSUPPORTED, "upgrade the server to MongoDB 5.0 or later",
                         "the server is MongoDB %s, and 5.0 is the oldest that will do", version);
        }
    }
    bson_destroy(&reply);
    return ok;
}

/* A standalone mongod has no transactions, a sharded cluster several logs. A URL that names one
 * host of a set, and not the set, is completed, so that the driver follows the primary wherever it
 * goes. */
static bool check_set(struct opening *opening, struct pk_error *err)
{
    bson_t reply;
    bson_iter_t iter;
    if (!ask(opening, "hello", &reply, err)) {
        return false;
    }
    PK_CLEANUP(pk_freep) char *set = NULL;
    if (bson_iter_init_find(&iter, &reply, "setName") && BSON_ITER_HOLDS_UTF8(&iter)) {
        set = pk_strdup(bson_iter_utf8(&iter, NULL));
    }
    const bool is_router = bson_iter_init_find(&iter, &reply, "msg") &&
                           BSON_ITER_HOLDS_UTF8(&iter) &&
                           strcmp(bson_iter_utf8(&iter, NULL), "isdbgrid") == 0;
    const bool is_waiting =
        bson_iter_init_find(&iter, &reply, "isreplicaset") && bson_iter_as_bool(&iter);
    bson_destroy(&reply);
    const char *where = mongoc_uri_get_hosts(opening->mongo->uri)
                            ? mongoc_uri_get_hosts(opening->mongo->uri)->host_and_port
                            : "that host";
    if (is_waiting) {
        return pk_fail(err, PK_UNSUPPORTED, "run rs.initiate() in mongosh, once",
                       "MongoDB at '%s' waits for its replica set to be initiated", where);
    }
    if (is_router) { /* Its positions and commit outcomes are not those of one set. */
        return pk_fail(err, PK_UNSUPPORTED, "name the hosts of one replica set, not of a mongos",
                       "MongoDB at '%s' is the router of a sharded cluster", where);
    }
    if (!set) {
        return pk_fail(err, PK_UNSUPPORTED,
                       "start mongod with --replSet rs0 and run rs.initiate() in mongosh, once; a "
                       "set of one member will do",
                       "MongoDB at '%s' is a standalone server, which has no transactions", where);
    }
    if (opening->has_replica_set) {
        return true;
    }
    (void)mongoc_uri_set_option_as_utf8(opening->mongo->uri, MONGOC_URI_REPLICASET, set);
    if (!make_client(opening, err)) {
        return false;
    }
    if (!ask(opening, "ping", &reply, err)) {
        return pk_wrap(err, "follow replica set '%s'", set);
    }
    bson_destroy(&reply);
    return true;
}

static bool connect_server(struct opening *opening, struct pk_error *err)
{
    mongo_init_once();
    return read_url(opening, err) && make_client(opening, err) && check_set(opening, err) &&
           check_version(opening, err) && mongo_time_ask(opening->mongo, opening->client, err);
}

/* ---- What stands there ---- */

static void copy_text(const bson_t *doc, const char *key, char *out, size_t size)
{
    bson_iter_t iter;
    const bool is_text = bson_iter_init_find(&iter, doc, key) && BSON_ITER_HOLDS_UTF8(&iter);
    (void)snprintf(out, size, "%s", is_text ? bson_iter_utf8(&iter, NULL) : "");
}

static bool read_meta(struct opening *opening, struct pk_error *err)
{
    mongoc_collection_t *meta =
        mongoc_client_get_collection(opening->client, opening->mongo->database, MONGO_META);
    bson_t filter = BSON_INITIALIZER;
    bson_error_t error;
    const bson_t *doc = NULL;
    bson_iter_t iter;

    BSON_APPEND_UTF8(&filter, "_id", META_ID);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(meta, &filter, NULL, NULL);
    opening->state = (struct pk_store_state){ .is_empty = true };
    if (mongoc_cursor_next(cursor, &doc)) {
        opening->state.is_empty = false;
        opening->state.schema_version =
            bson_iter_init_find(&iter, doc, "schemaVersion") ? bson_iter_as_int64(&iter) : 0;
        copy_text(doc, "epoch", opening->state.epoch, sizeof(opening->state.epoch));
        copy_text(doc, "program", opening->state.program, sizeof(opening->state.program));
    }
    bool ok = !mongoc_cursor_error(cursor, &error);
    if (!ok) {
        (void)fail_to_connect(opening->mongo, &error, err);
    } else if (!opening->state.is_empty &&
               (!opening->state.epoch[0] || opening->state.schema_version <= 0)) {
        ok = pk_fail(err, PK_INTERNAL, "restore the database from a backup",
                     "the document '%s' of '%s.%s' is damaged", META_ID, opening->mongo->database,
                     MONGO_META);
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(meta);
    bson_destroy(&filter);
    return ok;
}

static bool insert_meta(struct opening *opening, struct pk_error *err)
{
    mongoc_collection_t *meta =
        mongoc_client_get_collection(opening->client, opening->mongo->database, MONGO_META);
    char epoch[PK_UUID_TEXT];
    bson_t doc = BSON_INITIALIZER;
    bson_error_t error;

    pk_uuid_new(epoch);
    BSON_APPEND_UTF8(&doc, "_id", META_ID);
    BSON_APPEND_INT64(&doc, "schemaVersion", opening->options->inventory->schema_version);
    BSON_APPEND_UTF8(&doc, "epoch", epoch);
    BSON_APPEND_UTF8(&doc, "program", PK_VERSION);
    BSON_APPEND_DATE_TIME(&doc, "createdAt", mongo_now_ms(opening->mongo));
    bool ok = mongoc_collection_insert_one(meta, &doc, NULL, NULL, &error);
    if (!ok && error.code == MONGO_CODE_DUPLICATE) {
        ok = true; /* Another node was first; its document is read next. */
    } else if (!ok) {
        (void)mongo_fail(err, &error, "write the store's description");
    }
    bson_destroy(&doc);
    mongoc_collection_destroy(meta);
    return ok && read_meta(opening, err);
}

/* ---- Upgrades ---- */

/* What must be done to documents to reach a schema version. A version without a row needs nothing:
 * its new collections and indexes are made on opening anyway. If you raise the inventory's
 * schema_version and stored documents change shape, add a row. */
static const struct mongo_upgrade upgrade_table[] = { { 0, NULL } };

static bool write_version(struct opening *opening, int64_t from, int64_t to, struct pk_error *err)
{
    mongoc_collection_t *meta =
        mongoc_client_get_collection(opening->client, opening->mongo->database, MONGO_META);
    bson_t filter = BSON_INITIALIZER;
    bson_t update = BSON_INITIALIZER;
    bson_t set;
    bson_error_t error;

    BSON_APPEND_UTF8(&filter, "_id", META_ID);
    BSON_APPEND_INT64(&filter, "schemaVersion", from);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_INT64(&set, "schemaVersion", to);
    BSON_APPEND_UTF8(&set, "program", PK_VERSION);
    (void)bson_append_document_end(&update, &set);
    bool ok = mongoc_collection_update_one(meta, &filter, &update, NULL, NULL, &error);
    if (!ok) {
        (void)mongo_fail(err, &error, "raise the store's schema version");
    }
    bson_destroy(&filter);
    bson_destroy(&update);
    mongoc_collection_destroy(meta);
    return ok;
}

static bool upgrade(struct opening *opening, struct pk_error *err)
{
    const int64_t to = opening->options->inventory->schema_version;
    int64_t from = opening->state.schema_version;

    /* Each step is noted when it is done: what is killed goes on with the step it was in. */
    for (const struct mongo_upgrade *step = opening->upgrades; step->to; step++) {
        if (step->to <= from || step->to > to) {
            continue;
        }
        if (!step->run(opening->client, opening->mongo->database, err) ||
            !write_version(opening, from, step->to, err)) {
            return pk_wrap(err, "upgrade to schema version %lld", (long long)step->to);
        }
        from = step->to;
    }
    return (from == to || write_version(opening, from, to, err)) && read_meta(opening, err);
}

static bool check_schema(struct opening *opening, struct pk_error *err)
{
    const struct pk_store_state *state = &opening->state;
    const int64_t ours = opening->options->inventory->schema_version;

    if (state->is_empty) {
        return opening->options->is_read_only
                   ? pk_fail(err, PK_NOT_FOUND, "start the server on it once",
                             "there is no store in database '%s'", opening->mongo->database)
                   : insert_meta(opening, err);
    }
    if (state->schema_version > ours) {
        return pk_fail(err, PK_UNSUPPORTED,
                       "start the newer program, or restore the backup that was made before the "
                       "upgrade into another database",
                       "the store has schema version %lld, written by personakit %s, and this is "
                       "personakit %s, which knows %lld",
                       (long long)state->schema_version, state->program, PK_VERSION,
                       (long long)ours);
    }
    if (state->schema_version == ours || opening->options->is_read_only) {
        return true;
    }
    if (!opening->options->is_upgrade_allowed) {
        return pk_fail(err, PK_PRECONDITION,
                       "make a backup, run 'personakit upgrade --check', then 'personakit upgrade'",
                       "the store has schema version %lld, written by personakit %s; this program "
                       "needs %lld",
                       (long long)state->schema_version, state->program, (long long)ours);
    }
    return upgrade(opening, err);
}

/* ---- What is made ---- */

static bool make_collection(struct opening *opening, const char *name, struct pk_error *err)
{
    bson_t command = BSON_INITIALIZER;
    bson_error_t error;

    BSON_APPEND_UTF8(&command, "create", name);
    bool ok = mongoc_client_write_command_with_opts(opening->client, opening->mongo->database,
                                                    &command, NULL, NULL, &error);
    if (!ok && error.code == MONGO_CODE_NAMESPACE_EXISTS) {
        ok = true;
    } else if (!ok) {
        (void)mongo_fail(err, &error, "create a collection");
        (void)pk_wrap(err, "'%s'", name);
    }
    bson_destroy(&command);
    return ok;
}

static bool make_collections(struct opening *opening, struct pk_error *err)
{
    const struct pk_inventory *inventory = opening->options->inventory;
    if (opening->options->is_read_only) {
        return true;
    }
    for (size_t i = 0; i < inventory->count; i++) {
        if (!make_collection(opening, inventory->collection[i].name, err)) {
            return false;
        }
    }
    return make_collection(opening, MONGO_GUARDS, err);
}

static bool probe(struct opening *opening, struct pk_error *err)
{
    return opening->options->is_read_only ||
           mongo_probe(opening->client, opening->mongo->database, err);
}

static bool check_indexes(struct opening *opening, struct pk_error *err)
{
    return opening->options->is_read_only ||
           mongo_index_check(opening->mongo, opening->client, err);
}

static bool make_pool(struct opening *opening, struct pk_error *err)
{
    struct mongo *mongo = opening->mongo;
    bson_error_t error;

    if (!opening->has_patience) {
        (void)mongoc_uri_set_option_as_int32(mongo->uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
                                             MONGO_SELECT_MS);
    }
    mongo->pool = mongoc_client_pool_new_with_error(mongo->uri, &error);
    if (!mongo->pool) {
        return pk_fail(err, PK_INVALID, "check the options in the store's URL",
                       "the store's URL cannot be used: %s", error.message);
    }
    (void)mongoc_client_pool_set_error_api(mongo->pool, MONGOC_ERROR_API_VERSION_2);
    mongo->committer = pk_committer_new(&(struct pk_committer_options){
        .groups_max = MONGO_GROUPS_MAX,
        .beside_min = MONGO_BESIDE_MIN,
        .slow_ms = MONGO_GROUPS_SLOW_MS,
        .lists_max = MONGO_LISTS_MAX,
        .bytes_max = MONGO_GROUP_BYTES,
        .crowd_max_ms = MONGO_CROWD_MAX_MS,
        .is_exclusive = true,
        .apply = mongo_apply,
        .engine = opening->store,
        .clock = mongo->clock,
    });
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct opening *opening, struct pk_error *err);
} open_step[] = {
    { "connect", connect_server }, /* A set, new enough, that lets us in. */
    { "read the store's description", read_meta },
    { "probe the server", probe },        /* Before anything is made. */
    { "check the schema", check_schema }, /* Makes, refuses or upgrades. */
    { "make collections", make_collections },
    { "check indexes", check_indexes }, /* Makes what is missing, refuses what differs. */
    { "connect the pool", make_pool },
};

bool mongo_open(struct pk_store *store, const struct pk_store_options *options,
                struct pk_error *err)
{
    return mongo_open_with(store, options, upgrade_table, err);
}

bool mongo_open_with(struct pk_store *store, const struct pk_store_options *options,
                     const struct mongo_upgrade *upgrades, struct pk_error *err)
{
    PK_CLEANUP(opening_done)
    struct opening opening = { .options = options, .store = store, .upgrades = upgrades };

    for (size_t i = 0; i < PK_COUNT(open_step); i++) {
        if (!open_step[i].run(&opening, err)) {
            return false;
        }
    }
    (void)snprintf(store->epoch, sizeof(store->epoch), "%s", opening.state.epoch);
    store->impl = opening.mongo;
    opening.mongo = NULL;
    return true;
}

bool mongo_inspect(const struct pk_store_options *options, struct pk_store_state *out,
                   struct pk_error *err)
{
    PK_CLEANUP(opening_done) struct opening opening = { .options = options };

    if (!connect_server(&opening, err) || !read_meta(&opening, err)) {
        return false;
    }
    *out = opening.state;
    return true;
}
