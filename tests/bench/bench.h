/* bench.h - What the benches share: time, percentiles, a table and JSON lines.
 *
 * A bench runs its peers and us in one run on the same work, prints a table
 * for people and one JSON line per figure for machines. CPU time per operation
 * is the robust figure on a noisy machine; rates stand beside it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BENCH_H
#define PK_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* One measured line. */
struct bench_figure {
    const char *bench;     /* "store" */
    const char *subject;   /* Who: "personakit", "sqlite C loop", "libmongoc". */
    const char *engine;    /* "sqlite", "mongodb". */
    const char *work;      /* What: "insert", "four documents", "get", "scan". */
    long size;             /* Documents that were there, or 0. */
    double per_second;     /* Operations. */
    double cpu_us;         /* CPU of this process per operation, all threads. */
    double p50_us, p99_us; /* Of one operation as its caller sees it; 0: not measured. */
};

/* Prints the JSON line to standard output at once and keeps it for the table. */
void bench_report(const struct bench_figure *figure);
/* Prints all figures reported so far as a table to standard error. */
void bench_table(void);

int64_t bench_now_ns(void); /* Monotonic. */
int64_t bench_cpu_ns(void); /* User and system time of this process. */

/* The latencies that one thread saw; merged at the end. */
struct bench_samples {
    uint32_t *us;
    size_t count, capacity;
};
void bench_sample(struct bench_samples *samples, int64_t ns);
/* Adds b's to a's and frees b's. */
void bench_merge(struct bench_samples *a, struct bench_samples *b);
/* Sorts; q from 0 to 1. 0 when there are none. */
double bench_quantile(struct bench_samples *samples, double q);

#endif
