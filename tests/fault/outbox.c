/* outbox.c - Kills what works, at random instants, and counts effects: each task has one.
 *
 *     fault_outbox [--mongodb] [--cycles N] [--seed N]
 *     fault_outbox --child URL NODE WRITERS      what is killed
 *
 * The child runs an outbox on the store of the cycles before, while its
 * writers ask for more; it says which tasks were acknowledged. A task's effect
 * is a row of its own and one more in its person's sum, which is read before:
 * an effect that came twice, was lost, or was made out of order shows in the
 * numbers. Some attempts fail on purpose. The last child writes nothing and
 * ends when nothing is open any more; then all is counted.
 *
 * The seed is printed; it says when each kill comes. */
/* SPDX-License-Identifier: MIT */
#include "process.h"
#include "set.h"
#include "tap.h"

#include "access/audit.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "feed/outbox.h"
#include "feed/watch.h"
#include "store/store.h"

#include <bson/bson.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CYCLES_SQLITE = 30,
    CYCLES_MONGODB = 15,
    PEOPLE = 40,
    WRITERS = 4,
    LIST = 3,             /* Tasks in one list. */
    LEASE_MS = 3000,      /* On MongoDB the next child waits so long for the one before it. */
    WORKING_MS = 400,     /* A kill comes within this time after the first acknowledgement. */
    PATIENCE_MS = 120000, /* For a start, and for the last child. */
    FAIL_EVERY = 17       /* One attempt in so many fails. */
};

/* ---- The store ---- */

static const struct pk_index effect_index[] = {
    { .name = "by_task", .key = { { .path = "task" } }, .key_count = 1 },
    { .name = "by_person", .key = { { .path = "person" }, { .path = "before" } }, .key_count = 2 },
};

static const struct pk_inventory *inventory(void)
{
    static const char *const name[] = { "outbox", "events", "audit" };
    static struct pk_collection collection[5];
    static struct pk_inventory made = { collection, 5, 1 };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        collection[i] = *pk_inventory_find(pk_inventory_builtin(), name[i]);
    }
    collection[3] = (struct pk_collection){ .name = "effects",
                                            .index = effect_index,
                                            .index_count = PK_COUNT(effect_index) };
    collection[4] = (struct pk_collection){ .name = "sums" };
    return &made;
}

static struct pk_store *open_store(const char *url)
{
    struct pk_store *store = NULL;
    struct pk_error err = { 0 };
    const struct pk_store_options options = { .url = url,
                                              .inventory = inventory(),
                                              .clock = pk_clock_system() };
    if (!pk_store_open(&store, &options, &err)) {
        tap_bail("the store does not open: %s", err.message);
    }
    return store;
}

static void person_id(unsigned number, char out[PK_UUID_TEXT])
{
    (void)snprintf(out, PK_UUID_TEXT, "00000000-0000-4000-8000-%012u", number);
}

/* ---- The child ---- */

struct child {
    struct pk_store *store;
    struct pk_books books;
    struct pk_outbox *outbox;
    _Atomic uint64_t attempts;
};

static bool do_effect(void *context, const struct pk_task *task, struct pk_writes *list,
                      struct pk_error *err)
{
    struct child *child = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *sum = NULL;
    char id[PK_UUID_TEXT];
    if (++child->attempts % FAIL_EVERY == 0) {
        return pk_fail(err, PK_UNAVAILABLE, "try again", "it fails on purpose");
    }
    if (!pk_store_get(child->store, "sums", task->person, 0, &sum, err)) {
        return false;
    }
    const int64_t before = sum ? pk_doc_int(sum, "count", 0) : 0;
    pk_uuid_new(id);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row =
        pk_doc_take(BCON_NEW("_id", BCON_UTF8(id), "task", BCON_UTF8(task->id), "person",
                             BCON_UTF8(task->person), "before", BCON_INT64(before)));
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *next =
        pk_doc_take(BCON_NEW("_id", BCON_UTF8(task->person), "count", BCON_INT64(before + 1)));
    pk_writes_insert(list, "effects", row);
    if (sum) {
        pk_writes_replace(list, "sums", next, pk_doc_version(sum));
    } else {
        pk_writes_insert(list, "sums", next);
    }
    return true;
}

static void say(const char *word, const char *id)
{
    char line[64];
    const int size = snprintf(line, sizeof(line), "%s %s\n", word, id);
    if (write(STDOUT_FILENO, line, (size_t)size) != size) {
        _exit(3); /* Nobody listens: what we did from here on would never be known. */
    }
}

static void *write_on(void *context)
{
    struct child *child = context;
    for (;;) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        char id[LIST][PK_UUID_TEXT];
        char person[PK_UUID_TEXT];
        const bool is_born = pk_random_u64() % 2; /* Else somebody claims them. */
        person_id((unsigned)(pk_random_u64() % PEOPLE), person);
        for (int i = 0; i < LIST; i++) {
            bson_t payload = BSON_INITIALIZER;
            if (i > 0) {
                BSON_APPEND_UTF8(&payload, "after", id[i - 1]);
            }
            pk_task_add(&list, &child->books,
                        &(struct pk_task_new){ .type = "count",
                                               .person = person,
                                               .payload = &payload,
                                               .outbox = is_born ? child->outbox : NULL },
                        id[i]);
            bson_destroy(&payload);
            pk_news_add(&list, &child->books,
                        &(struct pk_news){
                            .type = "test.asked",
                            .entity_type = "test",
                            .entity_id = id[i],
                            .person = person,
                            .fact = (const struct pk_fact[]){ { "taskId", id[i] }, { 0 } } });
        }
        if (!pk_store_commit(child->store, &list, 0, NULL, NULL)) {
            continue;
        }
        for (int i = 0; i < LIST; i++) {
            say("ok", id[i]);
        }
    }
    return NULL;
}

static void hear(void *outbox, const struct pk_feed_item *item)
{
    pk_outbox_hear(outbox, item);
}

static bool is_drained(struct pk_store *store)
{
    static const char *const open[] = { "pending", "in_progress" };
    size_t count = 0;
    for (size_t i = 0; i < PK_COUNT(open); i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        struct pk_error err = { 0 };
        if (!pk_store_find(store,
                           &(struct pk_query){ .collection = "outbox",
                                               .index = "by_status",
                                               .equal = { PK_TEXT(open[i]) },
                                               .equal_count = 1,
                                               .limit = 1 },
                           0, &page, &err)) {
            tap_bail("look for open tasks: %s", err.message);
        }
        count += page.count;
    }
    return count == 0;
}

static int be_child(const char *url, const char *node, int writers)
{
    struct child child = { .store = open_store(url) };
    const struct pk_task_type type[] = {
        { .name = "count",
          .run = do_effect,
          .context = &child,
          .attempts_max = 1000000, /* Kills count, too. */
          .lease_ms = LEASE_MS },
        { .name = NULL },
    };
    pthread_t thread;
    struct pk_error err = { 0 };
    child.books = (struct pk_books){
        .store = child.store, .clock = pk_clock_system(), .node = node, .event_keep_ms = 3600000
    };
    child.outbox = pk_outbox_new(&(struct pk_outbox_options){ .books = &child.books,
                                                              .type = type,
                                                              .threads = 8,
                                                              .keep_ms = 3600000,
                                                              .backoff_ms = 5,
                                                              .backoff_max_ms = 50,
                                                              .sweep_ms = 1000 });
    struct pk_watch *watch = pk_watch_new(
        &(struct pk_watch_options){ .store = child.store, .clock = pk_clock_system() });
    pk_watch_tell(watch, hear, child.outbox);
    if (!pk_watch_start(watch, &err) || !pk_outbox_start(child.outbox, &err)) {
        tap_bail("start: %s", err.message);
    }
    for (int i = 0; i < writers; i++) {
        (void)pthread_create(&thread, NULL, write_on, &child);
    }
    while (writers > 0 || !is_drained(child.store)) {
        (void)poll(NULL, 0, 20);
    }
    pk_watch_stop(watch);
    pk_outbox_free(child.outbox);
    pk_watch_free(watch);
    pk_store_close(child.store);
    return 0;
}

/* ---- The parent ---- */

struct campaign {
    bool is_mongodb;
    unsigned cycles;
    uint64_t seed;
    char url[1024];
    struct fault_set set;
    char (*acknowledged)[PK_UUID_TEXT]; /* Ids of tasks. */
    size_t count, room;
    unsigned bad_runs;
    struct {
        uint64_t tasks, undone, lost, twice, disordered, unmatched;
    } found;
};

static void note_line(struct campaign *campaign, const char *line)
{
    if (strncmp(line, "ok ", 3) != 0) {
        return;
    }
    if (campaign->count == campaign->room) {
        campaign->room = campaign->room ? campaign->room * 2 : 1024;
        campaign->acknowledged =
            pk_realloc(campaign->acknowledged, campaign->room * sizeof(*campaign->acknowledged));
    }
    (void)snprintf(campaign->acknowledged[campaign->count++], PK_UUID_TEXT, "%.36s", line + 3);
}

/* Reads what is there; false at the end. Lines are shorter than PIPE_BUF: they come whole. */
static bool hear_child(struct campaign *campaign, int fd, struct pk_buf *rest, int64_t ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    char bytes[4096];
    if (poll(&poll_fd, 1, (int)ms) <= 0) {
        return true;
    }
    const ssize_t got = read(fd, bytes, sizeof(bytes));
    if (got <= 0) {
        return false;
    }
    pk_buf_add(rest, bytes, (size_t)got);
    size_t used = 0;
    for (const char *end; (end = memchr(rest->data + used, '\n', rest->size - used)) != NULL;) {
        char line[128] = "";
        const size_t size = (size_t)(end - rest->data) - used;
        memcpy(line, rest->data + used, size < sizeof(line) - 1 ? size : sizeof(line) - 1);
        note_line(campaign, line);
        used += size + 1;
    }
    memmove(rest->data, rest->data + used, rest->size - used);
    rest->size -= used;
    return true;
}

static pid_t start_child(struct campaign *campaign, unsigned run, int writers, int *out_fd)
{
    int end[2];
    char node[32];
    char many[8];
    (void)snprintf(node, sizeof(node), "node-%u", run);
    (void)snprintf(many, sizeof(many), "%d", writers);
    if (pipe(end) != 0) {
        tap_bail("a pipe");
    }
    const char *program = fault_beside("fault_outbox");
    const pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(end[1], STDOUT_FILENO);
        (void)close(end[0]);
        (void)close(end[1]);
        (void)execl(program, program, "--child", campaign->url, node, many, (char *)NULL);
        _exit(127);
    }
    (void)close(end[1]);
    *out_fd = end[0];
    return pid;
}

/* A child that works until it is killed, or, without writers, until all is done. */
static void run_child(struct campaign *campaign, unsigned run, bool is_last)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf rest = { 0 };
    int fd = -1;
    int status = 0;
    const pid_t pid = start_child(campaign, run, is_last ? 0 : WRITERS, &fd);
    const size_t before = campaign->count;
    const int64_t begun_ms = fault_now_ms();
    int64_t kill_ms = INT64_MAX;
    bool is_there = true;
    while (is_there && fault_now_ms() < kill_ms && fault_now_ms() - begun_ms < PATIENCE_MS) {
        is_there = hear_child(campaign, fd, &rest, 10);
        if (!is_last && kill_ms == INT64_MAX && campaign->count > before) {
            kill_ms =
                fault_now_ms() +
                (int64_t)((campaign->seed * (run + 1) * UINT64_C(2654435761) >> 16) % WORKING_MS);
        }
    }
    if (is_there) {
        (void)kill(pid, SIGKILL);
        while (hear_child(campaign, fd, &rest, 1000)) {
        }
    }
    (void)waitpid(pid, &status, 0);
    (void)close(fd);
    const bool is_well = is_last ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                 : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!is_well || (!is_last && campaign->count == before)) {
        tap_note("run %u did not go as it should: status %#x", run, (unsigned)status);
        campaign->bad_runs++;
    }
}

/* ---- Counting ---- */

static void effects_of(struct pk_store *store, const char *task, struct pk_page *out)
{
    struct pk_error err = { 0 };
    if (!pk_store_find(store,
                       &(struct pk_query){ .collection = "effects",
                                           .index = "by_task",
                                           .equal = { PK_TEXT(task) },
                                           .equal_count = 1 },
                       0, out, &err)) {
        tap_bail("look for effects: %s", err.message);
    }
}

static size_t count_effects(struct pk_store *store, const char *task)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    effects_of(store, task, &page);
    return page.count;
}

/* Every task that there is, in the store's order of ids. */
static void count_tasks(struct campaign *campaign, struct pk_store *store)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        struct pk_error err = { 0 };
        if (!pk_store_find(store,
                           &(struct pk_query){ .collection = "outbox",
                                               .index = "_id",
                                               .limit = PK_PAGE_MAX,
                                               .cursor = cursor },
                           0, &page, &err)) {
            tap_bail("read the tasks: %s", err.message);
        }
        for (size_t i = 0; i < page.count; i++) {
            const size_t effects = count_effects(store, pk_doc_id(page.doc[i]));
            campaign->found.tasks++;
            campaign->found.undone += strcmp(pk_doc_text(page.doc[i], "status"), "done") != 0;
            campaign->found.lost += effects == 0;
            campaign->found.twice += effects > 1;
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (cursor);
}

static void count_acknowledged(struct campaign *campaign, struct pk_store *store)
{
    for (size_t i = 0; i < campaign->count; i++) {
        campaign->found.unmatched += count_effects(store, campaign->acknowledged[i]) != 1;
    }
}

/* Behind that of the task before it in its list, if there is one. */
static bool is_in_order(struct pk_store *store, const struct pk_doc *effect)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    PK_CLEANUP(pk_page_done) struct pk_page before = { 0 };
    struct pk_error err = { 0 };
    if (!pk_store_get(store, "outbox", pk_doc_text(effect, "task"), 0, &task, &err) || !task) {
        tap_bail("the task of an effect is not there");
    }
    const char *after = pk_doc_text(task, "payload.after");
    if (!after) {
        return true;
    }
    effects_of(store, after, &before);
    return before.count == 1 &&
           pk_doc_int(before.doc[0], "before", 0) < pk_doc_int(effect, "before", 0);
}

/* A person's effects count from 0 without a hole, and tasks of one list keep their order. */
static void count_person(struct campaign *campaign, struct pk_store *store, unsigned number)
{
    char person[PK_UUID_TEXT];
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    int64_t expected = 0;
    person_id(number, person);
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        struct pk_error err = { 0 };
        if (!pk_store_find(store,
                           &(struct pk_query){ .collection = "effects",
                                               .index = "by_person",
                                               .equal = { PK_TEXT(person) },
                                               .equal_count = 1,
                                               .limit = PK_PAGE_MAX,
                                               .cursor = cursor },
                           0, &page, &err)) {
            tap_bail("read a person's effects: %s", err.message);
        }
        for (size_t i = 0; i < page.count; i++) {
            campaign->found.disordered += pk_doc_int(page.doc[i], "before", -1) != expected++;
            campaign->found.disordered += !is_in_order(store, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (cursor);
}

static void count_all(struct campaign *campaign)
{
    struct pk_store *store = open_store(campaign->url);
    count_tasks(campaign, store);
    count_acknowledged(campaign, store);
    for (unsigned i = 0; i < PEOPLE; i++) {
        count_person(campaign, store, i);
    }
    pk_store_close(store);
}

static void print_results(const struct campaign *campaign)
{
    const char *where = campaign->is_mongodb ? "on MongoDB" : "on SQLite";
    tap_note("%" PRIu64 " tasks, %zu of them acknowledged, %u kills", campaign->found.tasks,
             campaign->count, campaign->cycles);
    tap_is(campaign->bad_runs == 0, "every start works, %u times, %s", campaign->cycles + 1, where);
    tap_is(campaign->count > 10u * campaign->cycles, "enough was asked for, %s", where);
    tap_is(campaign->found.undone == 0, "every task is done in the end, %s", where);
    tap_is(campaign->found.lost == 0, "none without its effect, %s", where);
    tap_is(campaign->found.twice == 0, "none with two, %s", where);
    tap_is(campaign->found.unmatched == 0, "every acknowledged one is among them, %s", where);
    tap_is(campaign->found.disordered == 0, "a person's effects are in order, %s", where);
}

static bool read_options(struct campaign *campaign, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bool has_more = i + 1 < argc;
        if (strcmp(argv[i], "--mongodb") == 0) {
            campaign->is_mongodb = true;
        } else if (strcmp(argv[i], "--cycles") == 0 && has_more) {
            campaign->cycles = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && has_more) {
            campaign->seed = strtoull(argv[++i], NULL, 10);
        } else {
            return false;
        }
    }
    if (campaign->cycles == 0) {
        campaign->cycles = campaign->is_mongodb ? CYCLES_MONGODB : CYCLES_SQLITE;
    }
    return true;
}

/* What a killed child was about to commit stays locked until mongod gives its transaction up: by
 * default a minute. */
static void shorten_transactions(struct campaign *campaign)
{
    if (!fault_set_admin(&campaign->set,
                         "{\"setParameter\":1,\"transactionLifetimeLimitSeconds\":2}", NULL, 0)) {
        tap_note("mongod keeps its limit of transactions");
    }
}

static void open_campaign(struct campaign *campaign)
{
    struct pk_error err = { 0 };
    char path[600];
    if (!campaign->is_mongodb) {
        (void)snprintf(campaign->url, sizeof(campaign->url), "sqlite:%s/data", fault_folder());
    } else if (fault_set_start(&campaign->set, 1)) {
        memcpy(campaign->url, campaign->set.url, sizeof(campaign->url));
        shorten_transactions(campaign);
    } else {
        tap_skip("kill -9 of an outbox on MongoDB", "no mongod could be started");
        exit(tap_end());
    }
    (void)snprintf(path, sizeof(path), "%s/data", fault_folder());
    if (!pk_folder_make(path, 0700, &err)) {
        tap_bail("a folder for the store: %s", err.message);
    }
}

int main(int argc, char **argv)
{
    struct campaign campaign = { .is_mongodb = false };
    struct pk_error err = { 0 };
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    if (argc == 5 && strcmp(argv[1], "--child") == 0) {
        return be_child(argv[2], argv[3], atoi(argv[4]));
    }
    campaign.seed = pk_random_u64() >> 32;
    if (!read_options(&campaign, argc, argv)) {
        (void)fprintf(stderr, "usage: fault_outbox [--mongodb] [--cycles N] [--seed N]\n");
        return 2;
    }
    tap_note("seed %" PRIu64 ", %u cycles", campaign.seed, campaign.cycles);
    open_campaign(&campaign);
    for (unsigned run = 0; run <= campaign.cycles; run++) {
        run_child(&campaign, run, run == campaign.cycles);
    }
    count_all(&campaign);
    print_results(&campaign);
    if (campaign.is_mongodb) {
        fault_set_stop(&campaign.set);
    }
    pk_free(campaign.acknowledged);
    return tap_end();
}
