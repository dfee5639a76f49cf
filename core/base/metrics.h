/* metrics.h - Counters, gauges and histograms, for /metrics.
 *
 * A module declares its metrics as a table, adds them once at start, and keeps
 * the series that it counts in:
 *
 *     enum { COMMITS, COMMIT_TIME };
 *     static const struct pk_metric_row row[] = {
 *         [COMMITS] = { .name = "personakit_store_commits_total",
 *                       .type = PK_METRIC_COUNTER,
 *                       .label = { "outcome" },
 *                       .help = "Write lists by their outcome." },
 *         ...
 *     };
 *     struct pk_metric *metric = pk_metrics_add(metrics, &row[COMMITS]);
 *     struct pk_series *done = PK_SERIES(metric, "done");
 *     pk_series_add(done, 1);
 *
 * pk_series_add, _set and _observe are lock-free and for any thread; PK_SERIES
 * takes a lock, so keep what it returns. All functions accept NULL in place of
 * metrics, metric and series and then do nothing. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_METRICS_H
#define PK_BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_buf;
struct pk_metrics; /* Opaque. */
struct pk_metric;  /* One name and its series; owned by 'metrics'. */
struct pk_series;  /* One combination of label values; owned by 'metrics'. */

enum {
    PK_METRIC_LABELS = 3,       /* Per metric. */
    PK_METRIC_SERIES_MAX = 256, /* Per metric, unless its row says otherwise; what comes later is
                                 * counted under "other". */
    PK_METRIC_VALUE_MAX = 128   /* Bytes of a label's value; the rest is cut off. */
};

enum pk_metric_type {
    PK_METRIC_COUNTER,  /* Only rises; the name ends in _total. */
    PK_METRIC_GAUGE,    /* Goes up and down. */
    PK_METRIC_HISTOGRAM /* Durations from 10 us to 10 s; the name ends in _seconds. */
};

/* Lives as long as the metrics: make it static const. */
struct pk_metric_row {
    const char *name;                    /* personakit_<room>_<what>_<unit> */
    const char *help;                    /* A sentence. */
    const char *label[PK_METRIC_LABELS]; /* Names; NULL after the last. */
    enum pk_metric_type type;
    size_t series_max; /* 0: PK_METRIC_SERIES_MAX. More only where no value comes from outside. */
    uint32_t divisor;  /* COUNTER, GAUGE: shown divided by this, as for seconds counted in
                        * nanoseconds; 0: as it is. */
};

struct pk_metrics *pk_metrics_new(void);
void pk_metrics_free(struct pk_metrics *metrics);

/* The same row again gives the same metric; another row of the same name is a bug (assert). */
struct pk_metric *pk_metrics_add(struct pk_metrics *metrics, const struct pk_metric_row *row);

/* The series with these label values, one per declared label (assert); made when it is new. */
struct pk_series *pk_metric_series(struct pk_metric *metric, const char *const *value,
                                   size_t count);
#define PK_SERIES(metric, ...)                                                          \
    pk_metric_series(metric, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL },  \
                     sizeof((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL }) / \
                             sizeof(const char *) -                                     \
                         1)

/* COUNTER: n >= 0 (assert). GAUGE: any. */
void pk_series_add(struct pk_series *series, int64_t n);
void pk_series_set(struct pk_series *series, int64_t value);     /* GAUGE. */
void pk_series_observe_ns(struct pk_series *series, int64_t ns); /* HISTOGRAM; below 0 is 0. */

/* Appends 'number' divided by 'divisor' (0: 1) in decimal, exactly. */
void pk_metrics_print_number(struct pk_buf *buf, int64_t number, uint32_t divisor);
/* A label's value or a help text, escaped; 'quotes' for the first. */
void pk_metrics_print_text(struct pk_buf *buf, const char *text, bool quotes);

/* Appends all of it in Prometheus' text format, version 0.0.4, in the order of adding. */
void pk_metrics_print(struct pk_metrics *metrics, struct pk_buf *buf);

#endif
