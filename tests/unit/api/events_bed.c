/* events_bed.c - See events_bed.h. */
/* SPDX-License-Identifier: MIT */
#include "events_bed.h"

#include "access/actor.h"
#include "access/keyring.h"
#include "access/pepper.h"
#include "access/principal.h"
#include "api/event_view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "database.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "feed/watch.h"
#include "net/sse.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = PK_TEST_PATIENCE_MS };

/* ---- The route ---- */

static void follow_events(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct events_bed *bed = context;
    PK_CLEANUP(pk_event_filter_done) struct pk_event_filter filter = { 0 };
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *who = NULL;
    struct pk_events_place place;
    struct pk_error err = { 0 };
    const char *key = pk_request_header(request, "x-key");

    if (!pk_keyring_fetch(bed->keyring, key, strlen(key), true, 0, &who, &err) ||
        !pk_event_filter_init(&filter, pk_request_header(request, "x-type"),
                              pk_request_header(request, "x-person"), &err) ||
        !pk_event_filter_look(&filter, &bed->domain, who, 0, &err) ||
        !pk_events_find(bed->events, pk_request_header(request, "last-event-id"), &place, &err)) {
        pk_answer_error(request, answer, &err);
        return;
    }
    pk_events_add(bed->events, &place, &filter, who, pk_answer_events(request, answer));
}

static const struct pk_route route[] = {
    { .method = PK_METHOD_GET,
      .path = "/events",
      .action = 1,
      .lane = PK_LANE_STORE,
      .handler = follow_events,
      .help = "Follows." },
};

/* ---- The server ---- */

static void keyring_hear(void *ring, const struct pk_feed_item *item)
{
    pk_keyring_hear(ring, item);
}

static void open_store(struct events_bed *bed, bool is_mongo)
{
    char uuid[PK_UUID_TEXT];
    pk_uuid_new(uuid);
    bed->is_mongo = is_mongo;
    bed->folder = pk_strdupf("%s/%.8s", pk_test_folder(), uuid);
    assert_int_equal(mkdir(bed->folder, 0700), 0);
    bed->url = is_mongo ? pk_test_database_lend(pk_inventory_builtin())
                        : pk_strdupf("sqlite:%s", bed->folder);
    if (!bed->url) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
    const struct pk_store_options options = { .url = bed->url,
                                              .inventory = pk_inventory_builtin(),
                                              .clock = pk_clock_system() };
    assert_ok(pk_store_open(&bed->store, &options, &bed->err), &bed->err);
    assert_ok(pk_peppers_open(&bed->peppers, bed->folder, bed->store, false, &bed->err), &bed->err);
}

void events_bed_open(struct events_bed *bed, const struct events_bed_options *options)
{
    static const struct pk_net_listener listener[] = { { .address = "127.0.0.1:0" } };
    *bed = (struct events_bed){ .by = { .actor_id = "tester" } };
    open_store(bed, options->is_mongo);
    bed->books = (struct pk_books){ .store = bed->store,
                                    .clock = pk_clock_system(),
                                    .peppers = bed->peppers,
                                    .node = "node-1",
                                    .event_keep_ms = 86400000 };
    bed->domain = (struct pk_domain){ .books = &bed->books };
    bed->keyring = pk_keyring_new(&(struct pk_keyring_options){
        .store = bed->store, .clock = pk_clock_system(), .peppers = bed->peppers });
    bed->watch =
        pk_watch_new(&(struct pk_watch_options){ .store = bed->store, .clock = pk_clock_system() });
    bed->events = pk_events_new(&(struct pk_events_options){ .store = bed->store,
                                                             .keyring = bed->keyring,
                                                             .watch = bed->watch,
                                                             .domain = &bed->domain,
                                                             .clock = pk_clock_system(),
                                                             .held = options->held });
    pk_watch_tell(bed->watch, keyring_hear, bed->keyring);
    pk_watch_tell(bed->watch, pk_events_hear, bed->events);
    assert_ok(pk_watch_start(bed->watch, &bed->err), &bed->err);
    assert_ok(pk_events_start(bed->events, &bed->err), &bed->err);
    /* Before the feed has answered once, every key is refused. */
    for (int i = 0; pk_keyring_silence_ms(bed->keyring) == INT64_MAX; i++) {
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    const struct pk_net_options net = { .listener = listener,
                                        .listener_count = 1,
                                        .route = route,
                                        .route_count = PK_COUNT(route),
                                        .context = bed,
                                        .loops = 2,
                                        .limits = { .stream_bytes = options->stream_bytes } };
    assert_ok(pk_net_open(&bed->net, &net, &bed->err), &bed->err);
}

void events_bed_done(struct events_bed *bed)
{
    if (bed->watch) {
        pk_watch_stop(bed->watch);
    }
    if (bed->events) {
        pk_events_stop(bed->events);
    }
    (void)pk_net_close(bed->net);
    pk_events_free(bed->events);
    pk_watch_free(bed->watch);
    pk_keyring_free(bed->keyring);
    pk_peppers_free(bed->peppers);
    if (bed->is_mongo) {
        pk_test_database_return(bed->url, bed->store);
    } else {
        pk_store_close(bed->store);
        pk_free(bed->url);
    }
    pk_free(bed->folder);
}

/* ---- Who asks, and what happens ---- */

static void read_wanted(bson_t *out, const char *capabilities)
{
    struct pk_error err = { 0 };
    char *text =
        pk_strdupf("{'actorType':'ai_agent','name':'someone','capabilities':%s}", capabilities);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    assert_ok(pk_json_read(out, text, strlen(text), NULL, &err), &err);
    pk_free(text);
}

void caller_make(struct events_bed *bed, struct caller *out, const char *capabilities,
                 int64_t key_expires_at_ms)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    bson_t wanted;
    read_wanted(&wanted, capabilities);
    assert_ok(pk_actor_create(&bed->books, &bed->by, &wanted, &actor, &bed->err), &bed->err);
    bson_destroy(&wanted);
    (void)snprintf(out->actor_id, sizeof(out->actor_id), "%s", pk_doc_id(actor));
    assert_ok(pk_actor_add_key(&bed->books, &bed->by, out->actor_id, 0, "test", key_expires_at_ms,
                               &out->key, NULL, &bed->err),
              &bed->err);
    pk_key_print(&out->key, out->text);
}

static void append_paths(bson_t *payload, const char *paths, int version)
{
    bson_t changes;
    bson_t array;
    char key[16];
    const char *name;
    uint32_t count = 0;
    BSON_APPEND_DOCUMENT_BEGIN(payload, "changes", &changes);
    BSON_APPEND_ARRAY_BEGIN(&changes, "paths", &array);
    for (const char *one = paths; *one;) {
        const size_t size = strcspn(one, ",");
        const size_t key_size = bson_uint32_to_string(count++, &name, key, sizeof(key));
        bson_append_utf8(&array, name, (int)key_size, one, (int)size);
        one += size + (one[size] == ',');
    }
    bson_append_array_end(&changes, &array);
    BSON_APPEND_INT64(&changes, "version", version);
    bson_append_document_end(payload, &changes);
}

static struct pk_doc *make_event(const char *type, const char *entity_type, const char *entity_id,
                                 const char *person, const char *paths, int number)
{
    const int64_t now_ms = pk_clock_wall_ms(pk_clock_system());
    bson_t *bson = bson_new();
    bson_t child;
    bson_t facts;
    char id[PK_UUID_TEXT];

    pk_uuid_new(id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_UTF8(bson, "eventType", type);
    BSON_APPEND_DATE_TIME(bson, "timestamp", now_ms);
    if (person) {
        BSON_APPEND_UTF8(bson, "userId", person);
    }
    BSON_APPEND_DOCUMENT_BEGIN(bson, "payload", &child);
    BSON_APPEND_UTF8(&child, "entityId", entity_id);
    BSON_APPEND_UTF8(&child, "entityType", entity_type);
    if (paths) {
        append_paths(&child, paths, number);
    }
    BSON_APPEND_DOCUMENT_BEGIN(&child, "metadata", &facts);
    BSON_APPEND_INT64(&facts, "number", number);
    bson_append_document_end(&child, &facts);
    bson_append_document_end(bson, &child);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "source", &child);
    BSON_APPEND_UTF8(&child, "service", "test");
    BSON_APPEND_UTF8(&child, "version", "1");
    BSON_APPEND_UTF8(&child, "instance", "node-1");
    bson_append_document_end(bson, &child);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + 86400000);
    return pk_doc_take(bson);
}

static void commit(struct events_bed *bed, struct pk_writes *list)
{
    struct pk_error err = { 0 };
    assert_ok(pk_store_commit(bed->store, list, pk_deadline_in_ms(pk_clock_system(), PATIENCE_MS),
                              NULL, &err),
              &err);
}

void announce(struct events_bed *bed, const char *type, const char *entity_type,
              const char *entity_id, const char *person, const char *paths, int number)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = make_event(type, entity_type, entity_id, person, paths, number);
    pk_writes_announce(&list, doc);
    commit(bed, &list);
}

void announce_many(struct events_bed *bed, int first, int count)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    for (int i = 0; i < count; i++) {
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *doc = make_event("thing.made", "thing", "t", NULL, NULL, first + i);
        pk_writes_announce(&list, doc);
        if (list.count == 500 || i + 1 == count) {
            commit(bed, &list);
            pk_writes_clear(&list);
        }
    }
}

void settle(struct events_bed *bed)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = make_event("test.settled", "test", "t", NULL, NULL, 0);
    struct pk_commit out;
    bool has_passed = false;
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PATIENCE_MS);

    pk_writes_announce(&list, doc);
    assert_ok(pk_store_commit(bed->store, &list, until_ns, &out, &bed->err), &bed->err);
    while (!has_passed) {
        assert_false(pk_deadline_passed(pk_clock_system(), until_ns));
        assert_ok(pk_watch_has_passed(bed->watch, out.cursor, &has_passed, &bed->err), &bed->err);
    }
}

/* ---- A client ---- */

void follow_open(struct follow *follow, struct events_bed *bed, const char *key,
                 const char *headers, int buffer_bytes)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *colon = strrchr(pk_net_address(bed->net, 0), ':');
    PK_CLEANUP(pk_freep)
    char *request =
        pk_strdupf("GET /events HTTP/1.1\r\nHost: a\r\nX-Key: %s\r\n%s\r\n", key, headers);

    *follow =
        (struct follow){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .capacity = 65536 };
    follow->text = pk_alloc(follow->capacity);
    if (buffer_bytes > 0) {
        (void)setsockopt(follow->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
    }
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(follow->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(send(follow->fd, request, strlen(request), MSG_NOSIGNAL) > 0);
}

void follow_done(struct follow *follow)
{
    if (follow->text) {
        (void)close(follow->fd);
        pk_free(follow->text);
        follow->text = NULL;
    }
}

/* False when the connection has ended. */
static bool read_more(struct follow *follow)
{
    struct pollfd waiting = { .fd = follow->fd, .events = POLLIN };
    assert_true(follow->size < follow->capacity);
    if (poll(&waiting, 1, PATIENCE_MS) != 1) {
        fail_msg("no event came in time; the last was %s %s", follow->type, follow->data);
    }
    const ssize_t got =
        recv(follow->fd, follow->text + follow->size, follow->capacity - follow->size, 0);
    follow->size += got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* Everything up to the next empty line, without it; the caller frees it. NULL: it has ended. */
static char *next_block(struct follow *follow, const char *end)
{
    for (;;) {
        char *found = memmem(follow->text, follow->size, end, strlen(end));
        if (found) {
            const size_t size = (size_t)(found - follow->text);
            char *block = pk_strndup(follow->text, size);
            follow->size -= size + strlen(end);
            memmove(follow->text, found + strlen(end), follow->size);
            return block;
        }
        if (!read_more(follow)) {
            return NULL;
        }
    }
}

static void take_field(const char *block, const char *name, char *out, size_t size)
{
    const char *at = strstr(block, name);
    out[0] = '\0';
    if (at && (at == block || at[-1] == '\n')) {
        const char *value = at + strlen(name);
        (void)snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
    }
}

bool follow_next(struct follow *follow)
{
    char id[PK_POSITION_TEXT];
    if (!follow->is_answered) {
        PK_CLEANUP(pk_freep) char *head = next_block(follow, "\r\n\r\n");
        assert_non_null(head);
        follow->is_answered = true;
        follow->status = (int)strtol(head + strlen("HTTP/1.1 "), NULL, 10);
        if (follow->status != 200) {
            return false;
        }
    }
    for (;;) {
        PK_CLEANUP(pk_freep) char *block = next_block(follow, "\n\n");
        if (!block) {
            return false;
        }
        if (block[0] != ':') {
            take_field(block, "event: ", follow->type, sizeof(follow->type));
            take_field(block, "id: ", id, sizeof(id));
            if (id[0]) { /* As an EventSource does: the last one stays. */
                (void)snprintf(follow->id, sizeof(follow->id), "%s", id);
            }
            take_field(block, "data: ", follow->data, sizeof(follow->data));
            return true;
        }
    }
}

void follow_expect(struct follow *follow, const char *type, const char *part)
{
    if (!follow_next(follow)) {
        fail_msg("the stream has ended; '%s' was expected", type);
    }
    if (strcmp(follow->type, type) != 0 || !strstr(follow->data, part)) {
        fail_msg("'%s' with '%s' was expected: '%s' %s", type, part, follow->type, follow->data);
    }
}
