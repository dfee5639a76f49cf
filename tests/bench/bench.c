/* bench.c - Time, percentiles, table. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* A bench is one program with one result list. */
static struct bench_figure *figures;
static size_t figure_count;

void bench_report(const struct bench_figure *f)
{
    figures = pk_realloc(figures, (figure_count + 1) * sizeof(*figures));
    figures[figure_count++] = *f;
    printf("{\"bench\":\"%s\",\"subject\":\"%s\",\"engine\":\"%s\",\"work\":\"%s\",\"size\":%ld,"
           "\"per_second\":%.0f,\"cpu_us\":%.2f,\"p50_us\":%.0f,\"p99_us\":%.0f}\n",
           f->bench, f->subject, f->engine, f->work, f->size, f->per_second, f->cpu_us, f->p50_us,
           f->p99_us);
    (void)fflush(stdout);
}

void bench_table(void)
{
    (void)fprintf(stderr, "\n%-8s %-22s %-28s %9s %11s %9s %9s %9s\n", "engine", "who", "work",
                  "size", "per second", "cpu us", "p50 us", "p99 us");
    for (size_t i = 0; i < figure_count; i++) {
        const struct bench_figure *f = &figures[i];
        (void)fprintf(stderr, "%-8s %-22s %-28s %9ld %11.0f %9.2f %9.0f %9.0f\n", f->engine,
                      f->subject, f->work, f->size, f->per_second, f->cpu_us, f->p50_us, f->p99_us);
    }
}

int64_t bench_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t bench_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void bench_sample(struct bench_samples *s, int64_t ns)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->us = pk_realloc(s->us, s->capacity * sizeof(*s->us));
    }
    s->us[s->count++] = (uint32_t)(ns / 1000);
}

void bench_merge(struct bench_samples *a, struct bench_samples *b)
{
    for (size_t i = 0; i < b->count; i++) {
        bench_sample(a, (int64_t)b->us[i] * 1000);
    }
    pk_free(b->us);
    *b = (struct bench_samples){ 0 };
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

double bench_quantile(struct bench_samples *s, double q)
{
    if (s->count == 0) {
        return 0;
    }
    qsort(s->us, s->count, sizeof(*s->us), compare);
    size_t at = (size_t)(q * (double)(s->count - 1));
    return s->us[at];
}
