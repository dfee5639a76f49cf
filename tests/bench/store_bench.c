/* store_bench.c - How fast the store is, beside what its engine can do.
 *
 * Three rounds, ours and the engine's own limit in turn, so that a noisy
 * machine disturbs both alike; the median round is reported. Then point reads
 * and index scans on stores that grow from 10^3 documents to --most. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "store_limit.h"
#include "store_work.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRODUCERS = 64, ROUNDS = 3, FILL_LIST = 200, READERS = 4, SCAN_PAGE = 100 };

struct bench {
    const char *url;    /* Of MongoDB, without a database; or NULL for SQLite. */
    const char *folder; /* Scratch. */
    double seconds;     /* Of one measurement. */
    long most;          /* Largest store of the reading part. */
    unsigned opened;    /* Stores opened so far; names them apart. */
};

static void die(const char *what, const struct pk_error *err)
{
    (void)fprintf(stderr, "%s: %s%s%s\n", what, err->message, err->hint ? "; " : "",
                  err->hint ? err->hint : "");
    exit(1);
}

/* A fresh store; '*out_where' is its folder or database. */
static struct pk_store *open_store(struct bench *bench, char **out_where)
{
    struct pk_error err = { 0 };
    struct pk_store *store = NULL;
    char *url;

    if (bench->url) {
        *out_where = pk_strdupf("bench_%d_%u", (int)getpid(), bench->opened++);
        const char *query = strchr(bench->url, '?');
        size_t base = query ? (size_t)(query - bench->url) : strlen(bench->url);
        const char *host = strstr(bench->url, "://");
        const char *slash = host ? strchr(host + 3, '/') : NULL;
        base = slash ? (size_t)(slash - bench->url) : base;
        url = pk_strdupf("%.*s/%s%s", (int)base, bench->url, *out_where, query ? query : "");
    } else {
        *out_where = pk_strdupf("%s/%u", bench->folder, bench->opened++);
        if (!pk_folder_make(*out_where, 0700, &err)) {
            die("folder", &err);
        }
        url = pk_strdupf("sqlite:%s", *out_where);
    }
    struct pk_store_options options = { .url = url,
                                        .inventory = pk_inventory_builtin(),
                                        .clock = pk_clock_system() };
    if (!pk_store_open(&store, &options, &err)) {
        die(url, &err);
    }
    pk_free(url);
    return store;
}

/* ---- Writing ---- */

struct producer {
    struct pk_store *store;
    unsigned number;
    bool is_four;
    int64_t end_ns, lists;
    struct bench_samples samples;
};

static void *produce(void *context)
{
    struct producer *p = context;
    struct pk_writes list = { 0 };
    struct pk_error err = { 0 };
    char id[PK_UUID_TEXT];

    for (unsigned n = p->number; bench_now_ns() < p->end_ns; n += PRODUCERS) {
        int64_t at = pk_clock_wall_ms(pk_clock_system());
        pk_writes_clear(&list);
        if (p->is_four) {
            work_four(&list, n, at);
        } else {
            struct pk_doc *doc = work_observation(n, at, id);
            pk_writes_insert(&list, "observations", doc);
            pk_doc_unref(doc);
        }
        int64_t start = bench_now_ns();
        if (!pk_store_commit(p->store, &list, 0, NULL, &err)) {
            die("commit", &err);
        }
        bench_sample(&p->samples, bench_now_ns() - start);
        p->lists++;
    }
    pk_writes_done(&list);
    return NULL;
}

static struct limit_result run_ours(struct bench *bench, struct pk_store *store, bool is_four,
                                    unsigned producers, struct bench_samples *samples)
{
    struct producer p[PRODUCERS] = { 0 };
    pthread_t thread[PRODUCERS];
    struct limit_result result = { 0 };
    int64_t start = bench_now_ns();
    int64_t cpu = bench_cpu_ns();

    for (unsigned i = 0; i < producers; i++) {
        p[i] = (struct producer){ .store = store,
                                  .number = i,
                                  .is_four = is_four,
                                  .end_ns = start + (int64_t)(bench->seconds * 1e9) };
        (void)pthread_create(&thread[i], NULL, produce, &p[i]);
    }
    for (unsigned i = 0; i < producers; i++) {
        (void)pthread_join(thread[i], NULL);
        result.lists += p[i].lists;
        bench_merge(samples, &p[i].samples);
    }
    result.ns = bench_now_ns() - start;
    result.cpu_ns = bench_cpu_ns() - cpu;
    return result;
}

static double rate(const struct limit_result *r)
{
    return (double)r->lists * 1e9 / (double)r->ns;
}

static int by_rate(const void *a, const void *b)
{
    double x = rate(a);
    double y = rate(b);
    return (x > y) - (x < y);
}

static double report_median(const struct bench *bench, const char *subject, const char *work,
                            struct limit_result *round, struct bench_samples *samples)
{
    qsort(round, ROUNDS, sizeof(*round), by_rate);
    struct limit_result *median = &round[ROUNDS / 2];
    bench_report(&(struct bench_figure){
        .bench = "store",
        .subject = subject,
        .engine = bench->url ? "mongodb" : "sqlite",
        .work = work,
        .per_second = rate(median),
        .cpu_us = (double)median->cpu_ns / 1e3 / (double)(median->lists ? median->lists : 1),
        .p50_us = samples ? bench_quantile(samples, 0.5) : 0,
        .p99_us = samples ? bench_quantile(samples, 0.99) : 0,
    });
    return rate(median);
}

static void close_store(struct pk_store *store, char *where)
{
    pk_store_close(store);
    pk_free(where);
}

/* The limits of MongoDB. Our callers are PRODUCERS, so that many lists are under way at most: one
 * writer's group of them, or two writers with half each. Two writers with a full group each have
 * twice as many under way; that row says what the server could take from more callers. */
static const struct {
    const char *subject;
    struct limit_shape shape;
    bool is_for_one; /* Several tables are a transaction already. */
} mongo_limit[] = {
    { "libmongoc, 1 x 64", { PRODUCERS, 1, false }, false },
    { "libmongoc, 2 x 32", { PRODUCERS / 2, 2, false }, false },
    { "libmongoc, 2 x 64", { PRODUCERS, 2, false }, false },
    { "the same, transactions", { PRODUCERS / 2, 2, true }, true },
};
enum { LIMITS_MAX = PK_COUNT(mongo_limit) };

static bool limit_applies(const struct bench *bench, size_t limit, bool is_four)
{
    return bench->url ? !is_four || !mongo_limit[limit].is_for_one : limit == 0;
}

static const char *const one_table[] = { "observations", NULL };
static const char *const four_tables[] = { "observations", "outbox", "events", "idempotency",
                                           NULL };

/* The engine itself, on the rows that lie in 'where'. */
static struct limit_result run_limit(struct bench *bench, const char *where, size_t limit,
                                     bool is_four)
{
    const char *const *tables = is_four ? four_tables : one_table;
    char *to = NULL;
    struct limit_result result;

    if (bench->url) {
        struct pk_store *other = open_store(bench, &to);
        result =
            limit_mongo(bench->url, where, to, tables, &mongo_limit[limit].shape, bench->seconds);
        close_store(other, to);
        return result;
    }
    to = pk_strdupf("%s/limit%u", bench->folder, bench->opened++);
    struct pk_error err = { 0 };
    if (!pk_folder_make(to, 0700, &err)) {
        die(to, &err);
    }
    result = limit_sqlite(where, to, tables, PRODUCERS, bench->seconds);
    pk_free(to);
    return result;
}

/* Ours and each limit in turn. */
static void bench_writes(struct bench *bench, bool is_four)
{
    const char *work = is_four ? "four documents" : "insert";
    struct limit_result ours[ROUNDS], limit[LIMITS_MAX][ROUNDS];
    struct bench_samples samples = { 0 };

    for (int round = 0; round < ROUNDS; round++) {
        char *where = NULL;
        struct pk_store *store = open_store(bench, &where);
        ours[round] = run_ours(bench, store, is_four, PRODUCERS, &samples);
        for (size_t i = 0; i < LIMITS_MAX; i++) {
            if (limit_applies(bench, i, is_four)) {
                limit[i][round] = run_limit(bench, where, i, is_four);
            }
        }
        close_store(store, where);
    }
    const double us = report_median(bench, "personakit, 64 callers", work, ours, &samples);
    for (size_t i = 0; i < LIMITS_MAX; i++) {
        if (limit_applies(bench, i, is_four)) {
            const char *subject = bench->url ? mongo_limit[i].subject : "C loop";
            const double it = report_median(bench, subject, work, limit[i], NULL);
            (void)fprintf(stderr, "%s, %s: %.2f of %s\n", bench->url ? "mongodb" : "sqlite", work,
                          us / it, subject);
        }
    }
    pk_free(samples.us);
}

/* One caller alone: each commit is its own group. */
static void bench_alone(struct bench *bench)
{
    struct limit_result ours[ROUNDS];
    struct bench_samples samples = { 0 };
    char *where = NULL;
    struct pk_store *store = open_store(bench, &where);
    for (int round = 0; round < ROUNDS; round++) {
        ours[round] = run_ours(bench, store, false, 1, &samples);
    }
    (void)report_median(bench, "personakit, 1 caller", "insert", ours, &samples);
    pk_free(samples.us);
    close_store(store, where);
}

/* ---- Reading ---- */

struct reader {
    struct bench *bench;
    struct pk_store *store;
    char (*id)[PK_UUID_TEXT];
    long ids;
    bool is_scan;
    int64_t end_ns, reads;
    struct bench_samples samples;
};

static void get_one(struct reader *r)
{
    struct pk_error err = { 0 };
    struct pk_doc *doc = NULL;
    const char *id = r->id[pk_random_u64() % (uint64_t)r->ids];
    if (!pk_store_get(r->store, "observations", id, 0, &doc, &err) || !doc) {
        die("get", &err);
    }
    pk_doc_unref(doc);
}

static void scan_one(struct reader *r)
{
    struct pk_error err = { 0 };
    struct pk_page page = { 0 };
    char person[PK_UUID_TEXT];
    work_person((unsigned)(pk_random_u64() % WORK_PEOPLE), person);
    struct pk_query query = { .collection = "observations",
                              .index = "by_user_created",
                              .equal = { PK_TEXT(person) },
                              .equal_count = 1,
                              .limit = SCAN_PAGE };
    if (!pk_store_find(r->store, &query, 0, &page, &err)) {
        die("find", &err);
    }
    pk_page_done(&page);
}

static void *read_share(void *context)
{
    struct reader *r = context;
    while (bench_now_ns() < r->end_ns) {
        int64_t start = bench_now_ns();
        if (r->is_scan) {
            scan_one(r);
        } else {
            get_one(r);
        }
        bench_sample(&r->samples, bench_now_ns() - start);
        r->reads++;
    }
    return NULL;
}

static double bench_read(struct bench *bench, struct pk_store *store, char (*id)[PK_UUID_TEXT],
                         long ids, bool is_scan)
{
    struct reader r[READERS];
    pthread_t thread[READERS];
    struct bench_samples samples = { 0 };
    int64_t reads = 0;
    int64_t start = bench_now_ns();
    int64_t cpu = bench_cpu_ns();

    for (int i = 0; i < READERS; i++) {
        r[i] = (struct reader){ .bench = bench,
                                .store = store,
                                .id = id,
                                .ids = ids,
                                .is_scan = is_scan,
                                .end_ns = start + (int64_t)(bench->seconds * 1e9) };
        (void)pthread_create(&thread[i], NULL, read_share, &r[i]);
    }
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(thread[i], NULL);
        reads += r[i].reads;
        bench_merge(&samples, &r[i].samples);
    }
    const double per_second = (double)reads * 1e9 / (double)(bench_now_ns() - start);
    bench_report(&(struct bench_figure){
        .bench = "store",
        .subject = "personakit, 4 callers",
        .engine = bench->url ? "mongodb" : "sqlite",
        .work = is_scan ? "page of a person" : "get",
        .size = ids,
        .per_second = per_second,
        .cpu_us = (double)(bench_cpu_ns() - cpu) / 1e3 / (double)(reads ? reads : 1),
        .p50_us = bench_quantile(&samples, 0.5),
        .p99_us = bench_quantile(&samples, 0.99),
    });
    pk_free(samples.us);
    return per_second;
}

/* The same reads by the driver alone: what grows here grows in the server. */
static double bench_limit_read(struct bench *bench, const char *where, char (*id)[PK_UUID_TEXT],
                               long ids)
{
    const struct limit_result result = limit_mongo_gets(bench->url, where, "observations", id,
                                                        (size_t)ids, READERS, bench->seconds);
    bench_report(&(struct bench_figure){
        .bench = "store",
        .subject = "libmongoc, 4 callers",
        .engine = "mongodb",
        .work = "get",
        .size = ids,
        .per_second = rate(&result),
        .cpu_us = (double)result.cpu_ns / 1e3 / (double)(result.lists ? result.lists : 1),
    });
    return rate(&result);
}

static void fill(struct pk_store *store, char (*id)[PK_UUID_TEXT], long from, long to)
{
    struct pk_writes list = { 0 };
    struct pk_error err = { 0 };
    for (long n = from; n < to;) {
        pk_writes_clear(&list);
        for (int i = 0; i < FILL_LIST && n < to; i++, n++) {
            struct pk_doc *doc = work_observation((unsigned)n, 1700000000000 + n, id[n]);
            pk_writes_insert(&list, "observations", doc);
            pk_doc_unref(doc);
        }
        if (!pk_store_commit(store, &list, 0, NULL, &err)) {
            die("fill", &err);
        }
    }
    pk_writes_done(&list);
}

static void bench_growth(struct bench *bench)
{
    char *where = NULL;
    struct pk_store *store = open_store(bench, &where);
    char(*id)[PK_UUID_TEXT] = pk_calloc((size_t)bench->most, sizeof(*id));
    long have = 0;
    double ours = 0; /* Gets per second on the smallest store. */
    double limit = 0;
    for (long size = 1000; size <= bench->most; size *= 10) {
        fill(store, id, have, size);
        have = size;
        const double gets = bench_read(bench, store, id, have, false);
        ours = ours > 0 ? ours : gets;
        (void)fprintf(stderr, "get of %ld: %.2f of the time at 1000", have, ours / gets);
        if (bench->url) {
            const double it = bench_limit_read(bench, where, id, have);
            limit = limit > 0 ? limit : it;
            (void)fprintf(stderr, ", libmongoc alone: %.2f", limit / it);
        }
        (void)fprintf(stderr, "\n");
        (void)bench_read(bench, store, id, have, true);
    }
    pk_free(id);
    close_store(store, where);
}

static void usage(void)
{
    puts("usage: store_bench --folder DIR [--url mongodb://...] [--seconds S] [--most N]\n"
         "\n"
         "Durable inserts, reads and scans of the store beside its engine's own limit.\n"
         "Without --url on SQLite. JSON lines on standard output, a table on standard error.");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "url", required_argument, NULL, 'u' },     { "folder", required_argument, NULL, 'f' },
        { "seconds", required_argument, NULL, 's' }, { "most", required_argument, NULL, 'm' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 }
    };
    struct bench bench = { .seconds = 4, .most = 1000000 };
    struct pk_error err = { 0 };
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'u') {
            bench.url = optarg;
        } else if (option == 'f') {
            bench.folder = optarg;
        } else if (option == 's') {
            bench.seconds = strtod(optarg, NULL);
        } else if (option == 'm') {
            bench.most = strtol(optarg, NULL, 10);
        } else {
            usage();
            return option == 'h' ? 0 : 2;
        }
    }
    if (!bench.folder && !bench.url) {
        usage();
        return 2;
    }
    if (!pk_crypto_init(&err)) {
        die("start", &err);
    }
    bench_alone(&bench);
    bench_writes(&bench, false);
    bench_writes(&bench, true);
    bench_growth(&bench);
    bench_table();
    return 0;
}
