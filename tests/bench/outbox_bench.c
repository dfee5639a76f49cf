/* outbox_bench.c - What the outbox itself costs: tasks whose handlers do nothing, or write little.
 *
 *     outbox_bench URL [TASKS [PER_SECOND [THREADS]]]
 *
 *     drain     TASKS tasks of as many people wait; how many a second end
 *     write     the same, each with a document and an event of its own
 *     flow      PER_SECOND are written one by one, by 16 threads; the time is from the commit that
 *               acknowledges a task to the moment when whoever waits for it is woken
 *
 * CPU is of this process: reading, claiming, running and ending a task, and on
 * SQLite the database itself. */
/* SPDX-License-Identifier: MIT */
#include "access/audit.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "bench.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "feed/outbox.h"
#include "feed/watch.h"
#include "store/store.h"

#include <bson/bson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIST = 200, WRITERS = 16, FLOW_S = 5 };

struct bench {
    struct pk_store *store;
    struct pk_books books;
    struct pk_task_type type[3];
    struct pk_watch *watch;
    struct pk_outbox *outbox;
    unsigned threads;
    long tasks;
    double per_second;
    _Atomic long done;
};
struct writer {
    struct bench *bench;
    struct bench_samples *samples;
    pthread_mutex_t *lock;
    int64_t end_ns;
};
struct flight {
    struct writer *writer;
    int64_t begun_ns;
};

static void die(const struct pk_error *err)
{
    (void)fprintf(stderr, "outbox_bench: %s\n", err->message);
    exit(1);
}

/* ---- Handlers ---- */

static bool nothing(void *context, const struct pk_task *task, struct pk_writes *list,
                    struct pk_error *err)
{
    struct bench *bench = context;
    (void)task;
    (void)list;
    (void)err;
    bench->done++;
    return true;
}

static bool write_little(void *context, const struct pk_task *task, struct pk_writes *list,
                         struct pk_error *err)
{
    struct bench *bench = context;
    (void)err;
    pk_news_add(list, &bench->books,
                &(struct pk_news){ .type = "bench.done",
                                   .entity_type = "task",
                                   .entity_id = task->id,
                                   .person = task->person });
    pk_audit_add(list, &bench->books, &(struct pk_by){ .actor_id = "personakit" },
                 &(struct pk_audit){ .action = "bench.done", .target_id = task->id });
    bench->done++;
    return true;
}

/* ---- Asking ---- */

static void ask(struct bench *bench, struct pk_writes *list, const char *type,
                char id[PK_UUID_TEXT])
{
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    pk_task_add(list, &bench->books, &(struct pk_task_new){ .type = type, .person = person }, id);
    pk_news_add(list, &bench->books,
                &(struct pk_news){ .type = "bench.asked",
                                   .entity_type = "task",
                                   .entity_id = id,
                                   .person = person,
                                   .fact = (const struct pk_fact[]){ { "taskId", id }, { 0 } } });
}

static void fill(struct bench *bench, const char *type)
{
    char id[PK_UUID_TEXT];
    struct pk_error err = { 0 };
    for (long i = 0; i < bench->tasks;) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        for (int j = 0; j < LIST && i < bench->tasks; j++, i++) {
            ask(bench, &list, type, id);
        }
        if (!pk_store_commit(bench->store, &list, 0, NULL, &err)) {
            die(&err);
        }
    }
}

/* ---- Runs ---- */

static void hear(void *outbox, const struct pk_feed_item *item)
{
    pk_outbox_hear(outbox, item);
}

static void start(struct bench *bench)
{
    struct pk_error err = { 0 };
    bench->done = 0;
    bench->outbox = pk_outbox_new(&(struct pk_outbox_options){ .books = &bench->books,
                                                               .type = bench->type,
                                                               .threads = bench->threads,
                                                               .keep_ms = 3600000 });
    bench->watch = pk_watch_new(
        &(struct pk_watch_options){ .store = bench->store, .clock = pk_clock_system() });
    pk_watch_tell(bench->watch, hear, bench->outbox);
    if (!pk_watch_start(bench->watch, &err) || !pk_outbox_start(bench->outbox, &err)) {
        die(&err);
    }
}

static void stop(struct bench *bench)
{
    pk_watch_stop(bench->watch);
    pk_outbox_free(bench->outbox);
    pk_watch_free(bench->watch);
}

static void nap_us(long us)
{
    const struct timespec step = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
    (void)nanosleep(&step, NULL);
}

static void drain(struct bench *bench, const char *type, const char *work)
{
    struct pk_outbox_stats stats = { 0 };
    fill(bench, type);
    const int64_t begun_ns = bench_now_ns();
    const int64_t cpu_ns = bench_cpu_ns();
    start(bench);
    while (stats.done < (uint64_t)bench->tasks) {
        nap_us(2000);
        pk_outbox_stats(bench->outbox, &stats);
    }
    const double took_s = (double)(bench_now_ns() - begun_ns) / 1e9;
    bench_report(&(struct bench_figure){ .bench = "outbox",
                                         .subject = "personakit",
                                         .engine = pk_store_engine(bench->store),
                                         .work = work,
                                         .size = bench->tasks,
                                         .per_second = (double)bench->tasks / took_s,
                                         .cpu_us = (double)(bench_cpu_ns() - cpu_ns) / 1e3 /
                                                   (double)bench->tasks });
    stop(bench);
}

static void landed(void *context)
{
    struct flight *flight = context;
    const int64_t took_ns = bench_now_ns() - flight->begun_ns;
    (void)pthread_mutex_lock(flight->writer->lock);
    bench_sample(flight->writer->samples, took_ns);
    (void)pthread_mutex_unlock(flight->writer->lock);
    pk_free(flight);
}

static void *write_on(void *context)
{
    struct writer *writer = context;
    struct bench *bench = writer->bench;
    struct pk_error err = { 0 };
    const int64_t step_ns = (int64_t)(1e9 * WRITERS / bench->per_second);
    for (int64_t next_ns = bench_now_ns(); next_ns < writer->end_ns; next_ns += step_ns) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        struct flight *flight = pk_calloc(1, sizeof(*flight));
        char id[PK_UUID_TEXT];
        const int64_t left_ns = next_ns - bench_now_ns();
        if (left_ns > 0) {
            nap_us((long)(left_ns / 1000));
        }
        ask(bench, &list, "write", id);
        if (!pk_store_commit(bench->store, &list, 0, NULL, &err)) {
            die(&err);
        }
        *flight = (struct flight){ writer, bench_now_ns() };
        if (!pk_outbox_wait(bench->outbox, id, landed, flight, &err)) {
            die(&err);
        }
    }
    return NULL;
}

static void flow(struct bench *bench)
{
    pthread_t thread[WRITERS];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct bench_samples samples = { 0 };
    start(bench);
    const int64_t begun_ns = bench_now_ns();
    const int64_t cpu_ns = bench_cpu_ns();
    struct writer writer = { bench, &samples, &lock, begun_ns + INT64_C(1000000000) * FLOW_S };
    for (int i = 0; i < WRITERS; i++) {
        (void)pthread_create(&thread[i], NULL, write_on, &writer);
    }
    for (int i = 0; i < WRITERS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    stop(bench); /* Whoever still waits is woken. */
    const double took_s = (double)(bench_now_ns() - begun_ns) / 1e9;
    const double count = (double)samples.count;
    bench_report(&(struct bench_figure){ .bench = "outbox",
                                         .subject = "personakit",
                                         .engine = pk_store_engine(bench->store),
                                         .work = "flow",
                                         .per_second = count / took_s,
                                         .cpu_us = (double)(bench_cpu_ns() - cpu_ns) / 1e3 / count,
                                         .p50_us = bench_quantile(&samples, 0.5),
                                         .p99_us = bench_quantile(&samples, 0.99) });
}

int main(int argc, char **argv)
{
    struct bench bench = { .tasks = argc > 2 ? atol(argv[2]) : 20000,
                           .per_second = argc > 3 ? atof(argv[3]) : 500,
                           .threads = argc > 4 ? (unsigned)atoi(argv[4]) : 16 };
    struct pk_error err = { 0 };
    if (argc < 2 || bench.tasks < 1 || bench.per_second < 1) {
        (void)fprintf(stderr, "usage: outbox_bench URL [TASKS [PER_SECOND [THREADS]]]\n");
        return 2;
    }
    if (!pk_store_open(&bench.store,
                       &(struct pk_store_options){ .url = argv[1],
                                                   .inventory = pk_inventory_builtin(),
                                                   .clock = pk_clock_system() },
                       &err)) {
        die(&err);
    }
    bench.books = (struct pk_books){
        .store = bench.store, .clock = pk_clock_system(), .node = "bench", .event_keep_ms = 3600000
    };
    bench.type[0] = (struct pk_task_type){ .name = "nothing", .run = nothing, .context = &bench };
    bench.type[1] =
        (struct pk_task_type){ .name = "write", .run = write_little, .context = &bench };
    drain(&bench, "nothing", "drain");
    drain(&bench, "write", "write");
    flow(&bench);
    bench_table();
    pk_store_close(bench.store);
    return 0;
}
