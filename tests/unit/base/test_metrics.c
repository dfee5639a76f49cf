/* test_metrics.c - What a scraper reads, and that no count is lost between threads. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct pk_metric_row requests = { .name = "personakit_requests_total",
                                               .type = PK_METRIC_COUNTER,
                                               .label = { "method", "status" },
                                               .help = "Requests,\nby \\ outcome \"x\"." };
static const struct pk_metric_row depth = { .name = "personakit_depth",
                                            .type = PK_METRIC_GAUGE,
                                            .help = "Depth." };
static const struct pk_metric_row busy = { .name = "personakit_busy_seconds_total",
                                           .type = PK_METRIC_COUNTER,
                                           .divisor = 1000000000,
                                           .help = "Busy." };
static const struct pk_metric_row took = { .name = "personakit_took_seconds",
                                           .type = PK_METRIC_HISTOGRAM,
                                           .label = { "lane" },
                                           .help = "Took." };

struct fixture {
    struct pk_metrics *metrics;
    struct pk_buf text;
};

static void done(struct fixture *f)
{
    pk_metrics_free(f->metrics);
    pk_buf_done(&f->text);
}

static const char *print(struct fixture *f)
{
    pk_buf_clear(&f->text);
    pk_metrics_print(f->metrics, &f->text);
    return pk_buf_text(&f->text);
}

TEST(counters_and_gauges_are_printed_with_help_and_type)
{
    PK_CLEANUP(done) struct fixture f = { .metrics = pk_metrics_new() };
    struct pk_metric *metric = pk_metrics_add(f.metrics, &requests);
    struct pk_series *gauge = PK_SERIES(pk_metrics_add(f.metrics, &depth));
    struct pk_series *time = PK_SERIES(pk_metrics_add(f.metrics, &busy));
    pk_series_add(PK_SERIES(metric, "GET", "200"), 2);
    pk_series_add(PK_SERIES(metric, "PUT", "500"), 1);
    pk_series_add(PK_SERIES(metric, "GET", "200"), 3);
    pk_series_set(gauge, 7);
    pk_series_add(gauge, -9);
    pk_series_add(time, 1500000001);
    assert_string_equal(print(&f),
                        "# HELP personakit_requests_total Requests,\\nby \\\\ outcome \"x\".\n"
                        "# TYPE personakit_requests_total counter\n"
                        "personakit_requests_total{method=\"GET\",status=\"200\"} 5\n"
                        "personakit_requests_total{method=\"PUT\",status=\"500\"} 1\n"
                        "# HELP personakit_depth Depth.\n"
                        "# TYPE personakit_depth gauge\n"
                        "personakit_depth -2\n"
                        "# HELP personakit_busy_seconds_total Busy.\n"
                        "# TYPE personakit_busy_seconds_total counter\n"
                        "personakit_busy_seconds_total 1.500000001\n");
}

TEST(a_histogram_counts_up_to_each_limit_inclusive)
{
    PK_CLEANUP(done) struct fixture f = { .metrics = pk_metrics_new() };
    struct pk_series *series = PK_SERIES(pk_metrics_add(f.metrics, &took), "store");
    pk_series_observe_ns(series, -5);
    pk_series_observe_ns(series, 10000);
    pk_series_observe_ns(series, 10001);
    pk_series_observe_ns(series, 10000000000);
    pk_series_observe_ns(series, 10000000001);
    const char *text = print(&f);
    static const char *const line[] = {
        "personakit_took_seconds_bucket{lane=\"store\",le=\"0.00001\"} 2\n",
        "personakit_took_seconds_bucket{lane=\"store\",le=\"0.000025\"} 3\n",
        "personakit_took_seconds_bucket{lane=\"store\",le=\"5\"} 3\n",
        "personakit_took_seconds_bucket{lane=\"store\",le=\"10\"} 4\n",
        "personakit_took_seconds_bucket{lane=\"store\",le=\"+Inf\"} 5\n",
        "personakit_took_seconds_sum{lane=\"store\"} 20.000020002\n",
        "personakit_took_seconds_count{lane=\"store\"} 5\n",
    };
    for (size_t i = 0; i < PK_COUNT(line); i++) {
        if (!strstr(text, line[i])) {
            fail_msg("missing %sin %s", line[i], text);
        }
    }
}

TEST(label_values_cannot_forge_lines_or_break_the_page)
{
    PK_CLEANUP(done) struct fixture f = { .metrics = pk_metrics_new() };
    struct pk_metric *metric = pk_metrics_add(f.metrics, &took);
    static const char evil[] = "a\"} 1\nforged 2\\\x01\xff";
    struct pk_series *series = PK_SERIES(metric, evil);
    assert_ptr_equal(series, PK_SERIES(metric, evil));
    assert_non_null(
        strstr(print(&f), "_count{lane=\"a\\\"} 1\\nforged 2\\\\\xef\xbf\xbd\xef\xbf\xbd\"} 0\n"));
}

TEST(a_flood_of_label_values_ends_under_other)
{
    PK_CLEANUP(done) struct fixture f = { .metrics = pk_metrics_new() };
    struct pk_metric *metric = pk_metrics_add(f.metrics, &requests);
    char value[400];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(value, sizeof(value), "%0300d", i); /* All alike once they are cut. */
        pk_series_add(PK_SERIES(metric, value, "x"), 1);
    }
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(value, sizeof(value), "%d", i);
        pk_series_add(PK_SERIES(metric, value, "x"), 1);
    }
    assert_non_null(strstr(print(&f), "{method=\"other\",status=\"other\"} 745\n"));
}

TEST(a_row_may_say_that_more_series_are_ours)
{
    static const struct pk_metric_row many = { .name = "personakit_many_total",
                                               .type = PK_METRIC_COUNTER,
                                               .label = { "n" },
                                               .help = "Many.",
                                               .series_max = PK_METRIC_SERIES_MAX + 10 };
    struct fixture f = { .metrics = pk_metrics_new() };
    struct pk_metric *metric = pk_metrics_add(f.metrics, &many);
    for (int i = 0; i < PK_METRIC_SERIES_MAX + 12; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "%d", i);
        pk_series_add(PK_SERIES(metric, value), 1);
    }
    assert_non_null(strstr(print(&f), "personakit_many_total{n=\"265\"} 1\n"));
    assert_null(strstr(print(&f), "{n=\"266\"}"));
    assert_non_null(strstr(print(&f), "personakit_many_total{n=\"other\"} 2\n"));
    done(&f);
}

TEST(null_in_place_of_anything_is_fine)
{
    struct pk_metric *metric = pk_metrics_add(NULL, &requests);
    assert_null(metric);
    struct pk_series *series = PK_SERIES(metric, "a", "b");
    pk_series_add(series, 1);
    pk_series_set(series, 1);
    pk_series_observe_ns(series, 1);
    pk_metrics_free(NULL);
}

enum { THREADS = 4, ADDS = 20000 };

static void *count_many(void *context)
{
    struct pk_metrics *metrics = context;
    struct pk_series *counter = PK_SERIES(pk_metrics_add(metrics, &requests), "GET", "200");
    struct pk_series *histogram = PK_SERIES(pk_metrics_add(metrics, &took), "x");
    struct pk_series *gauge = PK_SERIES(pk_metrics_add(metrics, &depth));
    for (int i = 0; i < ADDS; i++) {
        pk_series_add(counter, 1);
        pk_series_observe_ns(histogram, i);
        pk_series_add(gauge, i % 2 ? -1 : 1);
        if (i % 5000 == 0) {
            PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
            pk_metrics_print(metrics, &text);
        }
    }
    return NULL;
}

TEST(no_count_is_lost_between_threads)
{
    PK_CLEANUP(done) struct fixture f = { .metrics = pk_metrics_new() };
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, count_many, f.metrics), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    const char *text = print(&f);
    assert_non_null(strstr(text, "_total{method=\"GET\",status=\"200\"} 80000\n"));
    assert_non_null(strstr(text, "_count{lane=\"x\"} 80000\n"));
    assert_non_null(strstr(text, "personakit_depth 0\n"));
}
