/* metrics_page.h - GET /metrics: all numbers of the server in Prometheus' text format.
 *
 * Two kinds of numbers meet here: what is counted in base/metrics, and what the
 * parts of the server know of themselves (their _stats functions), asked when
 * the page is. It reads a few files of /proc and never asks the store, so it
 * answers while the store is away. Names are personakit_<room>_<what>_<unit>. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_METRICS_PAGE_H
#define PK_OPS_METRICS_PAGE_H

#include <stdint.h>

struct pk_buf;
struct pk_health;
struct pk_hot;
struct pk_jail;
struct pk_keyring;
struct pk_log;
struct pk_metrics;
struct pk_net;
struct pk_outbox;
struct pk_personas;
struct pk_rate;
struct pk_registry;
struct pk_scripts;
struct pk_spool;
struct pk_watch;

#define PK_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Borrowed; what is NULL is left out. */
struct pk_metrics_sources {
    struct pk_metrics *metrics;
    const struct pk_net *_Atomic net; /* Comes when requests do, so the page may be asked before. */
    struct pk_health *health;         /* Also for what the store counts. */
    struct pk_hot *hot;
    const struct pk_keyring *keyring;
    const struct pk_rate *rate;
    struct pk_watch *watch;
    struct pk_outbox *outbox;
    struct pk_jail *jail;
    struct pk_scripts *scripts;
    struct pk_registry *registry;
    struct pk_personas *personas;
    const struct pk_spool *spool; /* Of the access log. */
    const struct pk_log *log;
    const char *version, *engine; /* NULL: "". */
    int64_t started_at_ms;        /* Wall. */
};

/* Appends the page. Any thread. */
void pk_metrics_page(const struct pk_metrics_sources *sources, struct pk_buf *out);

#endif
