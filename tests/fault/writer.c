/* writer.c - The process that is killed: clients that write and say what they were told.
 *
 *     fault_writer --url URL --seed N --run N [--threads N] [--lists N] [--deadline-ms N]
 *                  [--follow POSITION]
 *
 * Opens the store as the server does and has 'threads' clients (default 32)
 * commit lists of the main path. What they try and what they are told goes to
 * standard output, line by line (journal.h); a pipe keeps what was written to
 * it when the writer is killed. With --follow, a follower says what the feed
 * delivers ("-" starts behind everything there is). Where that was is said
 * before the first client starts: killed before anything was delivered, the
 * writer's next run must follow from there, not from behind what was written.
 *
 * It ends when its standard input does, or when each client has done 'lists'
 * lists: the clients come to an end, the follower catches up, the store is
 * closed, and "end" is said.
 *
 * Threads: one per client, one for the follower; main waits for the end of
 * standard input. They share 'struct writer', whose fields are constant or
 * atomic. */
/* SPDX-License-Identifier: MIT */
#include "list.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/doc.h"
#include "store/store.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 512, /* Below PIPE_BUF: a line reaches the pipe whole or not at all. */
    BACK_OFF_MS = 5,      /* A client whose store is away asks again after that time. */
    CATCH_UP_MS = 120000, /* How long the follower may take to see the last commit. */
    REPEAT_MS = 60000,    /* How long "unknown" is repeated before the client gives up. */
    POLL_MS = 20
};

struct writer {
    const char *url;
    uint64_t seed;
    uint32_t run;
    uint32_t threads;
    uint32_t lists;      /* Per client; 0: until told to stop. */
    int64_t deadline_ms; /* Of one commit. */
    const char *follow;  /* Position; "-" for now; NULL: nobody follows. */
    struct pk_store *store;
    atomic_bool is_stopping;
    atomic_uint clients_left;
};

struct client {
    struct writer *writer;
    uint32_t thread;
    pthread_t id;
    uint32_t last_done;            /* Number of the last acknowledged list, and one; 0: none. */
    char cursor[PK_POSITION_TEXT]; /* Of that. */
};

/* ---- What is said ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    size_t size = length < (int)sizeof(line) - 1 ? (size_t)length : sizeof(line) - 2;
    line[size++] = '\n';
    while (write(STDOUT_FILENO, line, size) < 0) {
        if (errno != EINTR) {
            _exit(3); /* Nobody listens: what we did from here on would never be known. */
        }
    }
}

static void say_about(const char *word, struct fault_name name, const char *rest)
{
    say("%s %u %u %u %s", word, name.run, name.thread, name.number, rest);
}

/* ---- A client ---- */

static bool is_stopping(const struct writer *writer)
{
    return atomic_load_explicit(&writer->is_stopping, memory_order_relaxed);
}

/* A client that was refused does not ask again at once. */
static void back_off(void)
{
    struct timespec pause = { .tv_nsec = BACK_OFF_MS * 1000000L };
    (void)nanosleep(&pause, NULL);
}

/* Errors that mean "nothing was written" and that the weather may bring at any time. A conflict
 * and "unknown" are looked at on their own; any other answer to a sound list breaks a promise. */
static bool is_refusal(enum pk_code code)
{
    return code == PK_BUSY || code == PK_UNAVAILABLE || code == PK_TIMEOUT || code == PK_FULL;
}

static void say_refused(struct fault_name name, const struct pk_error *err)
{
    char code[16];
    (void)snprintf(code, sizeof(code), "%d", (int)err->code);
    say_about("refused", name, code);
    if (!err->message[0] || !err->hint) {
        say("wrong list %u.%u.%u was refused (%s) without a clear word: '%s'", name.run,
            name.thread, name.number, pk_code_name(err->code), err->message);
    }
}

/* A list that was repeated met itself: its first attempt has been committed after all if its
 * idempotency row is there. True when that could be found out. */
static bool find_key(struct writer *writer, struct fault_name name, bool *out_found,
                     struct pk_error *err)
{
    char id[PK_UUID_TEXT];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *key = NULL;
    fault_id(id, writer->seed, name, FAULT_KEY);
    int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), writer->deadline_ms);
    if (!pk_store_get(writer->store, fault_collection(FAULT_KEY), id, deadline_ns, &key, err)) {
        return false;
    }
    *out_found = key != NULL;
    return true;
}

/* What the client says of a conflict. True when the list has its outcome. */
static bool take_conflict(struct client *client, struct fault_name name, enum fault_kind kind,
                          bool is_repeat, const struct pk_error *conflict)
{
    struct pk_error err = { 0 };
    bool is_found = false;
    if (!is_repeat && kind == FAULT_PLAIN) {
        say("wrong list %u.%u.%u met a conflict and has none: %s", name.run, name.thread,
            name.number, conflict->message);
    }
    if (is_repeat && !find_key(client->writer, name, &is_found, &err)) {
        return false;
    }
    if (is_found) {
        say_about("ok", name, "0");
        client->last_done = name.number + 1;
    } else {
        say_refused(name, conflict);
    }
    return true;
}

/* One attempt at a list. True when the client knows how it ended. */
static bool attempt(struct client *client, struct fault_name name, enum fault_kind kind,
                    bool is_repeat)
{
    struct writer *writer = client->writer;
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_commit commit = { 0 };
    struct pk_error err = { 0 };
    char word[32] = { (char)kind };
    int64_t value = 0;
    int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), writer->deadline_ms);
    if (!fault_list_fill(&list, writer->store, writer->seed, name, kind, deadline_ns, &value,
                         &err)) {
        back_off();
        return !is_repeat; /* A first attempt that could not read was never made. */
    }
    say_about("try", name, word);
    if (pk_store_commit(writer->store, &list, deadline_ns, &commit, &err)) {
        (void)snprintf(word, sizeof(word), "%" PRId64, value);
        say_about("ok", name, word);
        client->last_done = name.number + 1;
        memcpy(client->cursor, commit.cursor, sizeof(client->cursor));
        return true;
    }
    if (err.code == PK_CONFLICT) {
        return take_conflict(client, name, kind, is_repeat, &err);
    }
    if (err.code == PK_UNKNOWN) {
        say_about("unknown", name, "");
        back_off();
        return false;
    }
    if (!is_refusal(err.code)) {
        say("wrong list %u.%u.%u was answered '%s': %s", name.run, name.thread, name.number,
            pk_code_name(err.code), err.message);
    }
    say_refused(name, &err);
    back_off();
    return !is_repeat;
}

/* Told "unknown", one client in two repeats the list until it knows; the others live with it. */
static void do_list(struct client *client, uint32_t number)
{
    const struct pk_clock *clock = pk_clock_system();
    struct fault_name name = { client->writer->run, client->thread, number };
    enum fault_kind kind = fault_kind_of(number);
    int64_t end_ns = pk_deadline_in_ms(clock, REPEAT_MS);
    if (kind == FAULT_TWICE && client->last_done != number) {
        kind = FAULT_PLAIN; /* The list before was not acknowledged: its observation may be free. */
    }
    bool is_known = attempt(client, name, kind, false);
    while (!is_known && client->thread % 2 == 1 && !pk_deadline_passed(clock, end_ns)) {
        is_known = attempt(client, name, kind, true);
    }
}

static void *run_client(void *argument)
{
    struct client *client = argument;
    struct writer *writer = client->writer;
    for (uint32_t i = 0; (writer->lists == 0 || i < writer->lists) && !is_stopping(writer); i++) {
        do_list(client, i);
    }
    (void)atomic_fetch_sub(&writer->clients_left, 1);
    return NULL;
}

/* ---- The follower ---- */

struct follower {
    struct writer *writer;
    struct client *client; /* Whose cursors must be passed at the end. */
    struct pk_feed *feed;
    pthread_t id;
    atomic_bool is_last; /* All is written: catch up, then stop. */
};

static bool has_passed_all(struct follower *follower)
{
    for (uint32_t i = 0; i < follower->writer->threads; i++) {
        const char *cursor = follower->client[i].cursor;
        struct pk_error err = { 0 };
        bool passed = true;
        if (cursor[0] && !pk_feed_has_passed(follower->feed, cursor, &passed, &err)) {
            say("wrong a cursor that a commit gave is refused by the feed: %s", err.message);
        }
        if (!passed) {
            return false;
        }
    }
    return true;
}

static void take_item(struct follower *follower, const struct pk_feed_item *item)
{
    struct fault_name name;
    enum fault_part part;
    const char *id = item->doc ? pk_doc_id(item->doc) : NULL;
    if (item->kind == PK_FEED_GAP) {
        say("gap %s", item->position);
    } else if (item->kind == PK_FEED_EVENT && id &&
               fault_id_read(id, follower->writer->seed, &name, &part) && part == FAULT_EVENT) {
        say_about("seen", name, item->position);
    } else if (item->kind == PK_FEED_EVENT) {
        say("wrong the feed delivered '%s', which is no event of ours", id ? id : "(none)");
    }
}

static void *run_follower(void *argument)
{
    struct follower *follower = argument;
    int64_t end_ns = 0;
    bool has_passed = false;
    bool is_quiet = false;
    while (!(has_passed && is_quiet)) {
        struct pk_feed_item item = { 0 };
        struct pk_error err = { 0 };
        if (pk_feed_next(follower->feed, POLL_MS, &item, &err)) {
            take_item(follower, &item);
            is_quiet = has_passed && item.kind == PK_FEED_QUIET;
            pk_doc_unref(item.doc);
        } else {
            back_off();
        }
        if (atomic_load(&follower->is_last)) {
            end_ns = end_ns ? end_ns : pk_deadline_in_ms(pk_clock_system(), CATCH_UP_MS);
            has_passed = has_passed || has_passed_all(follower);
            if (pk_deadline_passed(pk_clock_system(), end_ns)) {
                say("wrong the feed has not passed the last commits after %d ms", CATCH_UP_MS);
                return NULL;
            }
        }
    }
    return NULL;
}

/* The last commits are behind the clients; the feed must come to pass them. */
static void finish_follower(struct follower *follower)
{
    struct pk_error err = { 0 };
    int64_t end_ns = pk_deadline_in_ms(pk_clock_system(), CATCH_UP_MS);
    while (!pk_store_barrier(follower->writer->store, &err) &&
           !pk_deadline_passed(pk_clock_system(), end_ns)) {
        back_off();
    }
    atomic_store(&follower->is_last, true);
    (void)pthread_join(follower->id, NULL);
    pk_feed_close(follower->feed);
}

/* ---- The run ---- */

/* Until standard input ends, or no client is left. */
static void wait_for_end(struct writer *writer)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    char ignored[64];
    while (atomic_load(&writer->clients_left) > 0) {
        if (poll(&input, 1, POLL_MS) > 0 && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0) {
            break;
        }
    }
    atomic_store(&writer->is_stopping, true);
}

static void start_thread(pthread_t *out, void *(*run)(void *), void *argument)
{
    if (pthread_create(out, NULL, run, argument) != 0) {
        say("wrong no thread could be started");
        _exit(3);
    }
}

static bool start_follower(struct follower *follower, struct pk_error *err)
{
    const char *position = follower->writer->follow;
    struct pk_feed_mark mark;
    if (!pk_feed_open(&follower->feed, follower->writer->store,
                      strcmp(position, "-") == 0 ? NULL : position, err)) {
        return pk_wrap(err, "follow the feed");
    }
    pk_feed_mark(follower->feed, &mark);
    if (mark.position[0]) {
        say("from %s", mark.position);
    } else if (strcmp(position, "-") == 0) {
        say("wrong a feed that starts now does not say where it starts");
    }
    start_thread(&follower->id, run_follower, follower);
    return true;
}

static bool run_clients(struct writer *writer, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    struct client *client = pk_calloc(writer->threads, sizeof(*client));
    struct follower follower = { .writer = writer, .client = client };
    if (writer->follow && !start_follower(&follower, err)) {
        return false;
    }
    atomic_store(&writer->clients_left, writer->threads);
    for (uint32_t i = 0; i < writer->threads; i++) {
        client[i].writer = writer;
        client[i].thread = i;
        start_thread(&client[i].id, run_client, &client[i]);
    }
    wait_for_end(writer);
    for (uint32_t i = 0; i < writer->threads; i++) {
        (void)pthread_join(client[i].id, NULL);
    }
    if (writer->follow) {
        finish_follower(&follower);
    }
    return true;
}

/* As the server does: the folder of an embedded store is made and locked by its owner. */
static bool own_folder(const char *url, struct pk_error *err)
{
    static const char scheme[] = "sqlite:";
    int lock; /* Held until the process ends. */
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0) {
        return true;
    }
    const char *folder = url + sizeof(scheme) - 1;
    return pk_folder_make(folder, 0700, err) && pk_folder_lock(folder, &lock, err);
}

static bool run(struct writer *writer, struct pk_error *err)
{
    const struct pk_clock *clock = pk_clock_system();
    struct pk_store_options options = { .url = writer->url,
                                        .inventory = fault_inventory(),
                                        .clock = clock };
    int64_t start_ns = pk_clock_mono_ns(clock);
    if (!pk_crypto_init(err) || !own_folder(writer->url, err) ||
        !pk_store_open(&writer->store, &options, err)) {
        return pk_wrap(err, "open");
    }
    say("seed %" PRIu64, writer->seed);
    say("ready %u %" PRId64, writer->run, (pk_clock_mono_ns(clock) - start_ns) / 1000000);
    bool ok = run_clients(writer, err);
    pk_store_close(writer->store);
    if (ok) {
        say("end %u", writer->run);
    }
    return ok;
}

static bool read_options(struct writer *writer, int argc, char **argv)
{
    static const struct option option[] = {
        { "url", required_argument, NULL, 'u' },    { "seed", required_argument, NULL, 's' },
        { "run", required_argument, NULL, 'r' },    { "threads", required_argument, NULL, 't' },
        { "lists", required_argument, NULL, 'l' },  { "deadline-ms", required_argument, NULL, 'd' },
        { "follow", required_argument, NULL, 'f' }, { NULL, 0, NULL, 0 },
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", option, NULL)) != -1) {
        switch (letter) {
        case 'u':
            writer->url = optarg;
            break;
        case 's':
            writer->seed = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            writer->run = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            writer->threads = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'l':
            writer->lists = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'd':
            writer->deadline_ms = strtoll(optarg, NULL, 10);
            break;
        case 'f':
            writer->follow = optarg;
            break;
        default:
            return false;
        }
    }
    return writer->url && writer->run < FAULT_RUNS_MAX && writer->threads > 0 &&
           writer->threads <= FAULT_THREADS_MAX && optind == argc;
}

int main(int argc, char **argv)
{
    struct writer writer = { .threads = 32, .deadline_ms = 2000 };
    struct pk_error err = { 0 };
    if (!read_options(&writer, argc, argv)) {
        (void)fprintf(stderr, "usage: fault_writer --url URL --seed N --run N [--threads N] "
                              "[--lists N] [--deadline-ms N] [--follow POSITION]\n");
        return 2;
    }
    if (!run(&writer, &err)) {
        (void)fprintf(stderr, "fault_writer: %s (%s)%s%s\n", err.message, pk_code_name(err.code),
                      err.hint ? "; " : "", err.hint ? err.hint : "");
        return 1;
    }
    return 0;
}
