/* house.c - Builds a server as core/cli/server.c does, and speaks to it. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/actor.h"
#include "access/admin.h"
#include "access/idempotency.h"
#include "access/keyring.h"
#include "access/pepper.h"
#include "api/api_internal.h"
#include "api/events.h"
#include "base/alloc.h"
#include "base/file.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/path.h"
#include "feed/watch.h"
#include "net/hot.h"
#include "ops/health.h"
#include "persona/access_log.h"
#include "persona/consent.h"
#include "persona/erase.h"
#include "persona/feedback.h"
#include "persona/merge.h"
#include "persona/mindscape.h"
#include "persona/people.h"
#include "persona/persona.h"
#include "persona/process.h"
#include "persona/registry.h"
#include "persona/replay.h"
#include "persona/train.h"
#include "persona/trait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = PK_TEST_PATIENCE_MS, DAY_MS = 86400000 };

/* ---- Building ---- */

static void open_store(struct house *house)
{
    char *url = pk_strdupf("sqlite:%s", house->folder);
    const struct pk_store_options options = { .url = url,
                                              .inventory = pk_inventory_builtin(),
                                              .clock = pk_clock_system() };
    assert_ok(pk_store_open(&house->store, &options, &house->err), &house->err);
    pk_free(url);
}

static void open_access(struct house *house, const struct house_options *options)
{
    const struct pk_clock *clock = pk_clock_system();
    struct pk_rate_options rates = { .clock = clock };
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/admin.key", house->folder);
    bool is_new = false;

    assert_ok(pk_peppers_open(&house->peppers, house->folder, house->store, false, &house->err),
              &house->err);
    house->books = (struct pk_books){ .store = house->store,
                                      .clock = clock,
                                      .peppers = house->peppers,
                                      .node = "node-1",
                                      .event_keep_ms = INT64_C(7) * 86400000 };
    house->by = (struct pk_by){ .actor_id = "tester" };
    assert_ok(pk_admin_ensure(&house->books, house->folder, &is_new, &house->err), &house->err);
    assert_ok(pk_file_read(&text, path, 4096, &house->err), &house->err);
    (void)snprintf(house->admin, sizeof(house->admin), "%.*s", PK_KEY_SIZE, text.data);
    if (options) {
        memcpy(rates.rule, options->rate, sizeof(rates.rule));
    }
    house->keyring = pk_keyring_new(&(struct pk_keyring_options){
        .store = house->store, .clock = clock, .peppers = house->peppers });
    house->rate = pk_rate_new(&rates);
    house->idempotency = pk_idempotency_new(&house->books, 0);
}

static void hear_keys(void *context, const struct pk_feed_item *item)
{
    pk_keyring_hear(context, item);
}

static void hear_scripts(void *context, const struct pk_feed_item *item)
{
    pk_registry_hear(context, item);
}

/* Workers start with the first script. */
static void open_scripts(struct house *house)
{
    const struct pk_clock *clock = pk_clock_system();
    house->jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = PK_WORKER, .workers_max = 4 });
    house->loader = pk_loader_new(&(struct pk_loader_options){ .jail = house->jail });
    house->scripts =
        pk_scripts_new(&(struct pk_scripts_options){ .clock = clock, .jail = house->jail });
    house->registry = pk_registry_new(&(struct pk_registry_options){
        .books = &house->books, .loader = house->loader, .scripts = house->scripts });
    assert_ok(pk_registry_start(house->registry, &house->err), &house->err);
}

static void hear_people(void *context, const struct pk_feed_item *item)
{
    pk_people_hear(context, item);
}

static void hear_outbox(void *context, const struct pk_feed_item *item)
{
    pk_outbox_hear(context, item);
}

/* What the counters of people hear. */
static void hear_hot(void *context, const struct pk_feed_item *item)
{
    struct pk_hot *hot = context;
    if (item->kind == PK_FEED_GAP) {
        pk_hot_gap(hot);
    } else if (item->kind == PK_FEED_EVENT && pk_doc_text(item->doc, "userId")) {
        pk_hot_changed(hot, pk_doc_text(item->doc, "userId"));
    }
}

/* As a server has it: what is remembered of a person is old when his task has ended. */
static void forget_hot(void *context, const char *person)
{
    pk_hot_changed(context, person);
}

static void open_domain(struct house *house, const struct house_options *options)
{
    static const char *const nobody[] = { NULL };
    struct pk_domain *domain = &house->domain;
    house->hot = pk_hot_new(&(struct pk_hot_options){ .clock = pk_clock_system() });
    *domain = (struct pk_domain){
        .books = &house->books,
        .scripts = house->scripts,
        .registry = house->registry,
        .hot = house->hot,
        .people = pk_people_new(pk_clock_system()),
        .minds = pk_minds_new(house->hot, 0),
        .policies = pk_policies_new(NULL, &house->err),
        .approve_sources = options && options->approve ? options->approve : nobody,
        .data = house->folder,
        .persona_max_bytes = INT64_C(256) << 10,
        .persona_ttl_ms = DAY_MS,
        .persona_log_keep_ms = INT64_C(90) * DAY_MS,
        .tombstone_keep_ms = INT64_C(30) * DAY_MS,
    };
    house->task[0] = (struct pk_task_type){
        .name = "process_observation",
        .run = pk_process_run,
        .started = pk_process_started,
        .failed = pk_process_failed,
        .context = domain,
        .attempts_max = 2,
        .help = "Turns an observation into changes of the mindscape.",
    };
    house->task[1] = (struct pk_task_type){
        .name = "replay_person",
        .run = pk_replay_run,
        .context = domain,
        .attempts_max = 2,
        .help = "Makes a mindscape anew.",
    };
    house->task[2] = (struct pk_task_type){
        .name = "forget_observation",
        .run = pk_forget_run,
        .context = domain,
        .attempts_max = 2,
        .help = "Makes a mindscape anew without an observation.",
    };
    house->task[3] = (struct pk_task_type){
        .name = "replay_all",
        .run = pk_replay_all_run,
        .context = domain,
        .attempts_max = 2,
        .help = "Makes the mindscapes of all people anew.",
    };
    house->task[4] = (struct pk_task_type){
        .name = PK_FEEDBACK_TASK,
        .run = pk_feedback_run,
        .context = domain,
        .attempts_max = 2,
        .help = "Runs the processors that accept feedback.",
    };
    house->task[5] = (struct pk_task_type){
        .name = PK_ERASE_TASK,
        .run = pk_erase_run,
        .context = domain,
        .help = "Erases a person.",
    };
    house->task[6] = (struct pk_task_type){
        .name = PK_RESUME_TASK,
        .run = pk_consent_resume_run,
        .context = domain,
        .help = "Tries again what has waited for a person's consent.",
    };
    house->task[7] = (struct pk_task_type){
        .name = PK_TRAIN_TASK,
        .run = pk_train_run,
        .failed = pk_train_failed,
        .context = domain,
        .attempts_max = 2,
        .help = "Makes a draft of a mapper from its feedback.",
    };
    static const struct {
        const char *name;
        pk_task_fn *run;
    } merging[] = { { PK_MERGE_TASK, pk_merge_run },
                    { PK_UNDO_TASK, pk_merge_undo_run },
                    { PK_PART_TASK, pk_merge_part_run } };
    for (size_t i = 0; i < PK_COUNT(merging); i++) {
        house->task[8 + i] = (struct pk_task_type){ .name = merging[i].name,
                                                    .run = merging[i].run,
                                                    .context = domain,
                                                    .attempts_max = 100,
                                                    .help = "Makes two people one, or two again." };
    }
    domain->outbox = pk_outbox_new(&(struct pk_outbox_options){ .books = &house->books,
                                                                .type = house->task,
                                                                .ended = forget_hot,
                                                                .context = domain->hot,
                                                                .threads = 4,
                                                                .keep_ms = DAY_MS,
                                                                .backoff_ms = 1,
                                                                .backoff_max_ms = 10,
                                                                .sweep_ms = 200 });
    domain->personas = pk_personas_new(domain);
    domain->access_log = pk_access_log_new(domain);
}

static void close_domain(struct house *house)
{
    struct pk_domain *domain = &house->domain;
    pk_outbox_free(domain->outbox);
    pk_access_log_free(domain->access_log);
    pk_personas_free(domain->personas);
    pk_minds_free(domain->minds);
    pk_people_free(domain->people);
    pk_policies_free((struct pk_policies *)(uintptr_t)domain->policies);
}

static void open_feed(struct house *house)
{
    const struct pk_clock *clock = pk_clock_system();
    house->watch =
        pk_watch_new(&(struct pk_watch_options){ .store = house->store, .clock = clock });
    pk_watch_tell(house->watch, hear_hot, house->hot);
    pk_watch_tell(house->watch, hear_people, house->domain.people);
    pk_watch_tell(house->watch, hear_outbox, house->domain.outbox);
    pk_watch_tell(house->watch, hear_keys, house->keyring);
    pk_watch_tell(house->watch, hear_scripts, house->registry);
    house->events = pk_events_new(&(struct pk_events_options){ .store = house->store,
                                                               .keyring = house->keyring,
                                                               .watch = house->watch,
                                                               .domain = &house->domain,
                                                               .clock = clock });
    pk_watch_tell(house->watch, pk_events_hear, house->events);
    assert_ok(pk_events_start(house->events, &house->err), &house->err);
    assert_ok(pk_watch_start(house->watch, &house->err), &house->err);
    assert_ok(pk_outbox_start(house->domain.outbox, &house->err), &house->err);
    for (int i = 0; pk_keyring_silence_ms(house->keyring) == INT64_MAX; i++) {
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
}

static void open_net(struct house *house, const struct house_options *options)
{
    static const struct pk_net_listener listener[] = {
        { .address = "127.0.0.1:0", .tag = PK_DOOR_MAIN },
        { .address = "127.0.0.1:0", .tag = PK_DOOR_OPERATIONS },
    };
    const struct pk_api_parts parts = { .clock = pk_clock_system(),
                                        .books = &house->books,
                                        .keyring = house->keyring,
                                        .rate = house->rate,
                                        .idempotency = house->idempotency,
                                        .watch = house->watch,
                                        .events = house->events,
                                        .hot = house->hot,
                                        .health = house->health,
                                        .registry = house->registry,
                                        .scripts = house->scripts,
                                        .domain = &house->domain,
                                        .sources = &house->sources };
    house->api = options && options->table
                     ? pk_api_new_of(&parts, options->table, options->table_count)
                     : pk_api_new(&parts);
    struct pk_net_options net = { .listener = listener,
                                  .listener_count = PK_COUNT(listener),
                                  .gate = pk_api_gate(),
                                  .context = house->api,
                                  .loops = 1 };
    net.limits.lane[PK_LANE_STORE].threads = 16;
    net.route = pk_api_routes(house->api, &net.route_count);
    assert_ok(pk_net_open(&house->net, &net, &house->err), &house->err);
}

void house_open(struct house *house, const struct house_options *options)
{
    *house = (struct house){ .admin = "" };
    (void)snprintf(house->folder, sizeof(house->folder), "%s", pk_test_folder());
    open_store(house);
    open_access(house, options);
    open_scripts(house);
    open_domain(house, options);
    open_feed(house);
    assert_ok(pk_health_start(&house->health,
                              &(struct pk_health_options){ .store = house->store,
                                                           .clock = pk_clock_system(),
                                                           .keyring = house->keyring },
                              &house->err),
              &house->err);
    open_net(house, options);
}

void house_close(struct house *house)
{
    pk_watch_stop(house->watch);
    pk_events_stop(house->events);
    pk_net_close(house->net);
    pk_api_free(house->api);
    pk_health_stop(house->health);
    pk_events_free(house->events);
    close_domain(house);
    pk_watch_free(house->watch);
    pk_registry_free(house->registry);
    pk_scripts_free(house->scripts);
    pk_loader_free(house->loader);
    pk_jail_free(house->jail);
    pk_hot_free(house->hot);
    pk_idempotency_free(house->idempotency);
    pk_rate_free(house->rate);
    pk_keyring_free(house->keyring);
    pk_store_close(house->store);
    pk_peppers_free(house->peppers);
    *house = (struct house){ .admin = "" };
}

/* ---- Actors ---- */

static void unquote(char *text)
{
    for (; *text; text++) {
        *text = *text == '\'' ? '"' : *text;
    }
}

struct pk_key house_key(struct house *house, const char *actor_id, int64_t expires_at_ms,
                        char out_key[PK_KEY_TEXT])
{
    struct pk_key key;
    assert_ok(pk_actor_add_key(&house->books, &house->by, actor_id, 0, "test", expires_at_ms, &key,
                               NULL, &house->err),
              &house->err);
    pk_key_print(&key, out_key);
    return key;
}

/* Keys are made for a time to come alone: where making one takes longer, it is given more. */
void house_expired_key(struct house *house, const char *actor_id, char out_key[PK_KEY_TEXT])
{
    struct pk_key key;
    int64_t end_ms = 0;
    bool is_made = false;
    for (int64_t ms = 50; !is_made; ms *= 4) {
        assert_true(ms < PATIENCE_MS);
        end_ms = pk_clock_wall_ms(pk_clock_system()) + ms;
        is_made = pk_actor_add_key(&house->books, &house->by, actor_id, 0, "test", end_ms, &key,
                                   NULL, &house->err);
    }
    pk_key_print(&key, out_key);
    while (pk_clock_wall_ms(pk_clock_system()) <= end_ms) {
        (void)poll(NULL, 0, 1);
    }
}

struct pk_doc *house_actor(struct house *house, const char *name, const char *capabilities,
                           char out_key[PK_KEY_TEXT])
{
    struct pk_doc *actor = NULL;
    bson_t wanted;
    char *text =
        pk_strdupf("{'actorType':'human','name':'%s','capabilities':%s}", name, capabilities);
    unquote(text);
    assert_ok(pk_json_read(&wanted, text, strlen(text), NULL, &house->err), &house->err);
    pk_free(text);
    assert_ok(pk_actor_create(&house->books, &house->by, &wanted, &actor, &house->err),
              &house->err);
    bson_destroy(&wanted);
    (void)house_key(house, pk_doc_id(actor), 0, out_key);
    return actor;
}

void house_settle(struct house *house)
{
    char cursor[PK_POSITION_TEXT] = "";
    struct pk_writes list = { 0 };
    struct pk_commit commit;
    const struct pk_news news = { .type = "test.settled", .entity_type = "test", .entity_id = "t" };
    bool has_passed = false;
    pk_news_add(&list, &house->books, &news);
    assert_ok(pk_store_commit(house->store, &list, 0, &commit, &house->err), &house->err);
    pk_writes_done(&list);
    (void)snprintf(cursor, sizeof(cursor), "%s", commit.cursor);
    for (int i = 0; !has_passed; i++) {
        assert_true(i < PATIENCE_MS);
        assert_ok(pk_watch_has_passed(house->watch, cursor, &has_passed, &house->err), &house->err);
        (void)poll(NULL, 0, has_passed ? 0 : 1);
    }
}

size_t house_count(struct house *house, const char *collection)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = collection,
                                    .index = "_id",
                                    .limit = PK_PAGE_MAX };
    assert_ok(pk_store_find(house->store, &query, 0, &page, &house->err), &house->err);
    return page.count;
}

/* ---- Talking ---- */

static int dial(struct house *house, size_t listener)
{
    const char *address = pk_net_address(house->net, listener);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* It has been refused meanwhile; the answer says why. */
        }
        data += sent;
        size -= (size_t)sent;
    }
}

static void hear(int fd, struct pk_buf *out)
{
    for (;;) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&waiting, 1, PATIENCE_MS), 1);
        char *to = pk_buf_reserve(out, 65536);
        const ssize_t got = recv(fd, to, 65536, 0);
        if (got <= 0) {
            pk_buf_add(out, "", 0);
            return;
        }
        out->size += (size_t)got;
    }
}

static struct reply read_reply(struct pk_buf text)
{
    struct reply reply = { .text = text };
    char *end = strstr(reply.text.data, "\r\n\r\n");
    if (!end || sscanf(reply.text.data, "HTTP/1.1 %d", &reply.status) != 1) {
        fail_msg("no answer: '%s'", pk_buf_text(&text));
        return reply;
    }
    reply.head = reply.text.data;
    end[2] = '\0';
    reply.body = end + 4;
    reply.body_size = reply.text.size - (size_t)(reply.body - reply.text.data);
    struct pk_error err;
    bson_t json;
    if (reply.body_size > 0 && pk_json_read(&json, reply.body, reply.body_size, NULL, &err)) {
        reply.json = bson_copy(&json); /* A bson_t itself must not be moved. */
        bson_destroy(&json);
    }
    return reply;
}

struct reply house_hear(int fd)
{
    struct pk_buf text = { 0 };
    hear(fd, &text);
    (void)close(fd);
    return read_reply(text);
}

int house_hear_status(int fd)
{
    char text[64] = "";
    int status = 0;
    struct pollfd waiting = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&waiting, 1, PATIENCE_MS), 1);
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 12);
    (void)close(fd);
    assert_int_equal(sscanf(text, "HTTP/1.1 %d", &status), 1);
    return status;
}

int house_dial(struct house *house)
{
    return dial(house, 0);
}

void house_send(int fd, const char *bytes)
{
    send_all(fd, bytes, strlen(bytes));
}

static struct reply exchange(struct house *house, size_t listener, const char *bytes, size_t size)
{
    const int fd = dial(house, listener);
    send_all(fd, bytes, size);
    return house_hear(fd);
}

struct reply house_say(struct house *house, const char *bytes)
{
    return exchange(house, 0, bytes, strlen(bytes));
}

struct reply house_ask_with(struct house *house, const char *method, const char *target,
                            const char *key, const char *headers, const char *body)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *json = body ? pk_strdup(body) : NULL;
    pk_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n", method, target);
    if (key) {
        pk_buf_printf(&text, "Authorization: Bearer %s\r\n", key);
    }
    pk_buf_add_text(&text, headers ? headers : "");
    if (json) {
        unquote(json);
        if (!headers || !strcasestr(headers, "content-type:")) {
            pk_buf_add_text(&text, "Content-Type: application/json\r\n");
        }
        pk_buf_printf(&text, "Content-Length: %zu\r\n\r\n%s", strlen(json), json);
    } else {
        pk_buf_add_text(&text, "\r\n");
    }
    return exchange(house, 0, text.data, text.size);
}

struct reply house_ask(struct house *house, const char *method, const char *target, const char *key,
                       const char *body)
{
    return house_ask_with(house, method, target, key, NULL, body);
}

struct reply house_ask_door(struct house *house, const char *target)
{
    PK_CLEANUP(pk_freep)
    char *text = pk_strdupf("GET %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", target);
    return exchange(house, 1, text, strlen(text));
}

/* ---- Replies ---- */

void reply_done(struct reply *reply)
{
    if (reply->json) {
        bson_destroy(reply->json);
    }
    pk_buf_done(&reply->text);
    *reply = (struct reply){ 0 };
}

const char *reply_header(struct reply *reply, const char *name)
{
    const size_t size = strlen(name);
    for (const char *line = reply->head; line && *line; line = strstr(line, "\r\n")) {
        line += strspn(line, "\r\n");
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            static char value[4096];
            const char *from = line + size + 1 + strspn(line + size + 1, " ");
            (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(from, "\r"), from);
            return value;
        }
    }
    return NULL;
}

static bool find(const struct reply *reply, const char *path, bson_iter_t *out)
{
    return reply->json && pk_path_find(reply->json, path, out);
}

const char *reply_text(const struct reply *reply, const char *path)
{
    bson_iter_t iter;
    return find(reply, path, &iter) && BSON_ITER_HOLDS_UTF8(&iter) ? bson_iter_utf8(&iter, NULL)
                                                                   : "";
}

int64_t reply_number(const struct reply *reply, const char *path)
{
    bson_iter_t iter;
    return find(reply, path, &iter) ? bson_iter_as_int64(&iter) : -1;
}

size_t reply_count(const struct reply *reply, const char *path)
{
    bson_iter_t iter;
    bson_iter_t inside;
    size_t count = 0;
    if (find(reply, path, &iter) && bson_iter_recurse(&iter, &inside)) {
        while (bson_iter_next(&inside)) {
            count++;
        }
    }
    return count;
}

void expect(struct reply *reply, int status, const char *code)
{
    if (reply->status != status || (code && strcmp(reply_text(reply, "code"), code) != 0)) {
        fail_msg("not %d %s but:\n%s\n%s", status, code ? code : "", reply->head, reply->body);
    }
    if (status >= 400) {
        assert_true(*reply_text(reply, "detail") != '\0');
        assert_true(*reply_text(reply, "hint") != '\0');
        assert_true(*reply_text(reply, "requestId") != '\0');
        assert_int_equal(reply_number(reply, "status"), status);
        assert_string_equal(reply_header(reply, "Content-Type"), "application/problem+json");
    }
}
