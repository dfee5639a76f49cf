/* metrics.c - Numbers that many threads raise and one request reads.
 *
 * A series is spread over a few shards, each on cache lines of its own; a
 * thread adds to the shard of the CPU it runs on, so that two CPUs seldom pull
 * at one line. Reading adds the shards up. All adds are relaxed: each number is
 * right by itself, and a scrape is no snapshot. A histogram's count is the sum
 * of its buckets, so at least those two always agree.
 *
 *     metrics --list--> metric (one row) --list--> series (label values) --> shards
 *
 * Lists only grow. The lock guards growing and looking up; a list is read
 * under it, too. */
/* SPDX-License-Identifier: MIT */
#include "base/metrics.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The least duration that is above a bucket, and how it is written. */
static const struct {
    int64_t limit_ns;
    const char *seconds;
} bucket_table[] = {
    { 10000, "0.00001" },  { 25000, "0.000025" }, { 50000, "0.00005" },  { 100000, "0.0001" },
    { 250000, "0.00025" }, { 500000, "0.0005" },  { 1000000, "0.001" },  { 2500000, "0.0025" },
    { 5000000, "0.005" },  { 10000000, "0.01" },  { 25000000, "0.025" }, { 50000000, "0.05" },
    { 100000000, "0.1" },  { 250000000, "0.25" }, { 500000000, "0.5" },  { 1000000000, "1" },
    { 2500000000, "2.5" }, { 5000000000, "5" },   { 10000000000, "10" },
};

enum { SHARDS = 4, BUCKETS = PK_COUNT(bucket_table) + 1 /* The last: beyond all limits. */ };

struct shard {
    _Alignas(64) _Atomic int64_t sum; /* COUNTER: the count. HISTOGRAM: nanoseconds. */
};

struct histogram_shard {
    _Alignas(64) _Atomic int64_t sum_ns;
    _Atomic int64_t bucket[BUCKETS];
};

struct pk_series {
    struct pk_series *next;
    const struct pk_metric *metric;
    char *value[PK_METRIC_LABELS];
    _Atomic int64_t level;           /* GAUGE: one number, because it can be set. */
    struct shard *shard;             /* COUNTER: SHARDS of them. */
    struct histogram_shard *buckets; /* HISTOGRAM: SHARDS of them. */
};

struct pk_metric {
    struct pk_metric *next;
    const struct pk_metric_row *row;
    struct pk_metrics *metrics;
    size_t label_count;
    struct pk_series *first, *last;
    size_t series_count;
};

struct pk_metrics {
    pthread_mutex_t lock;
    struct pk_metric *first, *last;
};

struct pk_metrics *pk_metrics_new(void)
{
    struct pk_metrics *metrics = pk_calloc(1, sizeof(*metrics));
    (void)pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

static void free_series(struct pk_series *series)
{
    for (size_t i = 0; i < PK_METRIC_LABELS; i++) {
        pk_free(series->value[i]);
    }
    free(series->shard);
    free(series->buckets);
    pk_free(series);
}

static void free_metric(struct pk_metric *metric)
{
    for (struct pk_series *series = metric->first; series;) {
        struct pk_series *next = series->next;
        free_series(series);
        series = next;
    }
    pk_free(metric);
}

void pk_metrics_free(struct pk_metrics *metrics)
{
    if (!metrics) {
        return;
    }
    for (struct pk_metric *metric = metrics->first; metric;) {
        struct pk_metric *next = metric->next;
        free_metric(metric);
        metric = next;
    }
    (void)pthread_mutex_destroy(&metrics->lock);
    pk_free(metrics);
}

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return *name && !(*name >= '0' && *name <= '9') && name[strspn(name, letters)] == '\0';
}

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name);
    size_t end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

static void check_row(const struct pk_metric_row *row)
{
    assert(is_name(row->name) && row->help && *row->help);
    assert(row->type != PK_METRIC_COUNTER || ends_with(row->name, "_total"));
    assert(row->type != PK_METRIC_HISTOGRAM || ends_with(row->name, "_seconds"));
    for (size_t i = 0; i < PK_METRIC_LABELS && row->label[i]; i++) {
        assert(is_name(row->label[i]) && strcmp(row->label[i], "le") != 0);
    }
    (void)row;
}

struct pk_metric *pk_metrics_add(struct pk_metrics *metrics, const struct pk_metric_row *row)
{
    if (!metrics) {
        return NULL;
    }
    check_row(row);
    (void)pthread_mutex_lock(&metrics->lock);
    struct pk_metric *metric = metrics->first;
    while (metric && strcmp(metric->row->name, row->name) != 0) {
        metric = metric->next;
    }
    if (!metric) {
        metric = pk_calloc(1, sizeof(*metric));
        metric->row = row;
        metric->metrics = metrics;
        while (metric->label_count < PK_METRIC_LABELS && row->label[metric->label_count]) {
            metric->label_count++;
        }
        *(metrics->last ? &metrics->last->next : &metrics->first) = metric;
        metrics->last = metric;
    }
    assert(metric->row == row);
    (void)pthread_mutex_unlock(&metrics->lock);
    return metric;
}

/* Zeroed memory on cache lines of its own. */
static void *new_shards(size_t size)
{
    void *memory = aligned_alloc(64, size);
    if (!memory) {
        abort();
    }
    return memset(memory, 0, size);
}

/* The values as they are kept: cut to PK_METRIC_VALUE_MAX, and without the bytes for which a
 * scraper would refuse the whole page. */
struct values {
    struct pk_buf text[PK_METRIC_LABELS];
};

static void values_done(struct values *values)
{
    for (size_t i = 0; i < PK_METRIC_LABELS; i++) {
        pk_buf_done(&values->text[i]);
    }
}

static void set_value(struct pk_buf *out, const char *value)
{
    size_t size = strnlen(value, PK_METRIC_VALUE_MAX + 1);
    if (size > PK_METRIC_VALUE_MAX) {
        size = PK_METRIC_VALUE_MAX;
        while (size > 0 && ((unsigned char)value[size] & 0xc0) == 0x80) {
            size--; /* Not inside a character. */
        }
    }
    pk_buf_clear(out);
    pk_text_clean(out, value, size);
}

static struct pk_series *find_series(const struct pk_metric *metric, const struct values *values)
{
    for (struct pk_series *series = metric->first; series; series = series->next) {
        size_t i = 0;
        while (i < metric->label_count &&
               strcmp(series->value[i], pk_buf_text(&values->text[i])) == 0) {
            i++;
        }
        if (i == metric->label_count) {
            return series;
        }
    }
    return NULL;
}

static struct pk_series *new_series(struct pk_metric *metric, const struct values *values)
{
    struct pk_series *series = pk_calloc(1, sizeof(*series));

    series->metric = metric;
    for (size_t i = 0; i < metric->label_count; i++) {
        series->value[i] = pk_strdup(pk_buf_text(&values->text[i]));
    }
    if (metric->row->type == PK_METRIC_COUNTER) {
        series->shard = new_shards(SHARDS * sizeof(struct shard));
    } else if (metric->row->type == PK_METRIC_HISTOGRAM) {
        series->buckets = new_shards(SHARDS * sizeof(struct histogram_shard));
    }
    *(metric->last ? &metric->last->next : &metric->first) = series;
    metric->last = series;
    metric->series_count++;
    return series;
}

struct pk_series *pk_metric_series(struct pk_metric *metric, const char *const *value, size_t count)
{
    PK_CLEANUP(values_done) struct values values = { 0 };

    if (!metric) {
        return NULL;
    }
    assert(count == metric->label_count);
    const size_t series_max =
        metric->row->series_max ? metric->row->series_max : PK_METRIC_SERIES_MAX;
    for (size_t i = 0; i < count; i++) {
        set_value(&values.text[i], value[i]);
    }
    (void)pthread_mutex_lock(&metric->metrics->lock);
    struct pk_series *series = find_series(metric, &values);
    if (!series && metric->series_count >= series_max) {
        /* Values that come from outside must not fill the memory. */
        for (size_t i = 0; i < count; i++) {
            set_value(&values.text[i], "other");
        }
        series = find_series(metric, &values);
    }
    if (!series) {
        series = new_series(metric, &values);
    }
    (void)pthread_mutex_unlock(&metric->metrics->lock);
    return series;
}

static size_t this_shard(void)
{
    int cpu = sched_getcpu(); /* No system call; below 0 where it is not known. */
    return (size_t)(cpu < 0 ? 0 : cpu) % SHARDS;
}

static void add(_Atomic int64_t *number, int64_t n)
{
    (void)atomic_fetch_add_explicit(number, n, memory_order_relaxed);
}

static int64_t read_number(const _Atomic int64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

void pk_series_add(struct pk_series *series, int64_t n)
{
    if (!series) {
        return;
    }
    if (series->shard) {
        assert(n >= 0);
        add(&series->shard[this_shard()].sum, n);
        return;
    }
    assert(series->metric->row->type == PK_METRIC_GAUGE);
    add(&series->level, n);
}

void pk_series_set(struct pk_series *series, int64_t value)
{
    if (series) {
        assert(series->metric->row->type == PK_METRIC_GAUGE);
        atomic_store_explicit(&series->level, value, memory_order_relaxed);
    }
}

void pk_series_observe_ns(struct pk_series *series, int64_t ns)
{
    size_t bucket = 0;

    if (!series) {
        return;
    }
    assert(series->buckets);
    ns = ns < 0 ? 0 : ns;
    while (bucket < PK_COUNT(bucket_table) && ns > bucket_table[bucket].limit_ns) {
        bucket++;
    }
    struct histogram_shard *shard = &series->buckets[this_shard()];
    add(&shard->bucket[bucket], 1);
    add(&shard->sum_ns, ns);
}

void pk_metrics_print_text(struct pk_buf *buf, const char *text, bool quotes)
{
    for (; *text; text++) {
        if (*text == '\n') {
            pk_buf_add_text(buf, "\\n");
            continue;
        }
        if (*text == '\\' || (quotes && *text == '"')) {
            pk_buf_add_char(buf, '\\');
        }
        pk_buf_add_char(buf, *text);
    }
}

/* name{label="value",...,le="0.1"} and a space; 'end' goes behind the name. */
static void print_name(struct pk_buf *buf, const struct pk_series *series, const char *end,
                       const char *le)
{
    const struct pk_metric *metric = series->metric;
    char before = '{';

    pk_buf_add_text(buf, metric->row->name);
    pk_buf_add_text(buf, end);
    for (size_t i = 0; i < metric->label_count; i++, before = ',') {
        pk_buf_printf(buf, "%c%s=\"", before, metric->row->label[i]);
        pk_metrics_print_text(buf, series->value[i], true);
        pk_buf_add_char(buf, '"');
    }
    if (le) {
        pk_buf_printf(buf, "%cle=\"%s\"", before, le);
        before = ',';
    }
    pk_buf_add_text(buf, before == '{' ? " " : "} ");
}

/* No digit of a large sum is lost to a double. */
void pk_metrics_print_number(struct pk_buf *buf, int64_t number, uint32_t divisor)
{
    if (divisor <= 1) {
        pk_buf_printf(buf, "%lld", (long long)number);
        return;
    }
    bool is_negative = number < 0;
    uint64_t size = is_negative ? 0 - (uint64_t)number : (uint64_t)number;
    uint64_t rest = size % divisor;
    pk_buf_printf(buf, "%s%llu", is_negative ? "-" : "", (unsigned long long)(size / divisor));
    for (int digits = 0; rest > 0 && digits < 12; digits++) {
        rest *= 10;
        pk_buf_printf(buf, "%s%u", digits ? "" : ".", (unsigned)(rest / divisor));
        rest %= divisor;
    }
}

static void print_number(struct pk_buf *buf, const struct pk_series *series)
{
    int64_t number = read_number(&series->level);

    for (size_t i = 0; series->shard && i < SHARDS; i++) {
        number += read_number(&series->shard[i].sum);
    }
    print_name(buf, series, "", NULL);
    pk_metrics_print_number(buf, number, series->metric->row->divisor);
    pk_buf_add_char(buf, '\n');
}

static void print_histogram(struct pk_buf *buf, const struct pk_series *series)
{
    int64_t count = 0;
    int64_t sum_ns = 0;

    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        for (size_t i = 0; i < SHARDS; i++) {
            count += read_number(&series->buckets[i].bucket[bucket]);
        }
        print_name(buf, series, "_bucket",
                   bucket < PK_COUNT(bucket_table) ? bucket_table[bucket].seconds : "+Inf");
        pk_buf_printf(buf, "%lld\n", (long long)count);
    }
    for (size_t i = 0; i < SHARDS; i++) {
        sum_ns += read_number(&series->buckets[i].sum_ns);
    }
    print_name(buf, series, "_sum", NULL);
    pk_metrics_print_number(buf, sum_ns, 1000000000);
    pk_buf_add_char(buf, '\n');
    print_name(buf, series, "_count", NULL);
    pk_buf_printf(buf, "%lld\n", (long long)count);
}

static void print_metric(struct pk_buf *buf, const struct pk_metric *metric)
{
    static const struct {
        const char *name;
        void (*print)(struct pk_buf *buf, const struct pk_series *series);
    } type[] = {
        [PK_METRIC_COUNTER] = { "counter", print_number },
        [PK_METRIC_GAUGE] = { "gauge", print_number },
        [PK_METRIC_HISTOGRAM] = { "histogram", print_histogram },
    };
    const struct pk_metric_row *row = metric->row;

    pk_buf_printf(buf, "# HELP %s ", row->name);
    pk_metrics_print_text(buf, row->help, false);
    pk_buf_printf(buf, "\n# TYPE %s %s\n", row->name, type[row->type].name);
    for (const struct pk_series *series = metric->first; series; series = series->next) {
        type[row->type].print(buf, series);
    }
}

void pk_metrics_print(struct pk_metrics *metrics, struct pk_buf *buf)
{
    if (!metrics) {
        return;
    }
    (void)pthread_mutex_lock(&metrics->lock);
    for (const struct pk_metric *metric = metrics->first; metric; metric = metric->next) {
        print_metric(buf, metric);
    }
    (void)pthread_mutex_unlock(&metrics->lock);
}
