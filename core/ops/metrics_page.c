/* metrics_page.c - Tables from the fields of statistics to lines.
 *
 * Every _stats struct has a table here: a row is a metric, and says where its
 * number lies in the struct. A family of structs of one kind (one a loop, one a
 * lane) is printed metric by metric, as the format wants it.
 *
 *     struct pk_lane_stats [4] ──table──▶ # HELP, # TYPE, and a line for each of the 4
 *
 * If you add a field to one of those structs, add its row. */
/* SPDX-License-Identifier: MIT */
#include "ops/metrics_page.h"

#include "access/keyring.h"
#include "access/rate.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "feed/outbox.h"
#include "feed/watch.h"
#include "net/hot.h"
#include "net/net.h"
#include "ops/health.h"
#include "ops/spool.h"
#include "persona/persona.h"
#include "persona/registry.h"
#include "script/scripts.h"
#include "store/store.h"

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Fields are read as eight bytes, whatever they are called. */
_Static_assert(sizeof(size_t) == sizeof(int64_t), "statistics are of 64 bits each");

enum { MILLI = 1000, NANO = 1000000000 };

enum type { COUNTER, GAUGE, SUMMARY /* A sum and a count, and no quantiles. */ };

struct row {
    const char *name;
    const char *help;
    enum type type;
    size_t at;        /* Offset of the number, or of the sum. */
    size_t count_at;  /* SUMMARY: of the count. */
    uint32_t divisor; /* 0: 1. */
};

/* One struct of a family, and the value of the label that tells it from the others. */
struct member {
    const void *stats;
    const char *label_value;
};

static int64_t number_at(const void *stats, size_t at)
{
    int64_t number;
    memcpy(&number, (const char *)stats + at, sizeof(number));
    return number;
}

static void print_head(struct pk_buf *out, const char *name, enum type type, const char *help)
{
    static const char *const type_name[] = {
        [COUNTER] = "counter", [GAUGE] = "gauge", [SUMMARY] = "summary"
    };
    pk_buf_printf(out, "# HELP %s ", name);
    pk_metrics_print_text(out, help, false);
    pk_buf_printf(out, "\n# TYPE %s %s\n", name, type_name[type]);
}

/* 'label' NULL: without. INT64_MAX is how statistics say "never". */
static void print_sample(struct pk_buf *out, const char *name, const char *end, const char *label,
                         const char *value, int64_t number, uint32_t divisor)
{
    pk_buf_printf(out, "%s%s", name, end);
    if (label) {
        pk_buf_printf(out, "{%s=\"", label);
        pk_metrics_print_text(out, value, true);
        pk_buf_add_text(out, "\"}");
    }
    pk_buf_add_char(out, ' ');
    if (number == INT64_MAX) {
        pk_buf_add_text(out, "+Inf");
    } else {
        pk_metrics_print_number(out, number, divisor);
    }
    pk_buf_add_char(out, '\n');
}

static void print_family(struct pk_buf *out, const struct row *row, size_t row_count,
                         const char *label, const struct member *member, size_t member_count)
{
    for (size_t i = 0; i < row_count; i++, row++) {
        const bool is_summary = row->type == SUMMARY;
        print_head(out, row->name, row->type, row->help);
        for (size_t k = 0; k < member_count; k++) {
            print_sample(out, row->name, is_summary ? "_sum" : "", label, member[k].label_value,
                         number_at(member[k].stats, row->at), row->divisor);
            if (is_summary) {
                print_sample(out, row->name, "_count", label, member[k].label_value,
                             number_at(member[k].stats, row->count_at), 1);
            }
        }
    }
}

static void print_one(struct pk_buf *out, const struct row *row, size_t row_count,
                      const void *stats)
{
    print_family(out, row, row_count, NULL, &(struct member){ stats, NULL }, 1);
}

/* ---- The parts ---- */

typedef void part_fn(const struct pk_metrics_sources *sources, struct pk_buf *out);

static void print_counted(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    pk_metrics_print(sources->metrics, out);
}

#define NET(field) offsetof(struct pk_net_stats, field)
static const struct row loop_row[] = {
    { "personakit_net_connections", "Connections that are open, by loop.", GAUGE, NET(connections),
      0, 1 },
    { "personakit_net_accepted_connections_total", "Connections accepted.", COUNTER, NET(accepted),
      0, 1 },
    { "personakit_net_refused_connections_total", "Connections refused: over a cap.", COUNTER,
      NET(refused), 0, 1 },
    { "personakit_net_answers_total", "Requests answered by a handler.", COUNTER, NET(requests), 0,
      1 },
    { "personakit_net_malformed_requests_total", "Requests refused by the parser.", COUNTER,
      NET(malformed), 0, 1 },
    { "personakit_net_wakes_total", "Times that other threads woke a loop.", COUNTER, NET(wakes), 0,
      1 },
    { "personakit_net_loop_lag_seconds", "How late the loop's last tick was.", GAUGE, NET(lag_ns),
      0, NANO },
};

static void print_loops(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_net_stats stats[PK_NET_LOOPS_MAX];
    char number[PK_NET_LOOPS_MAX][8];
    struct member member[PK_NET_LOOPS_MAX];
    size_t count = sources->net ? pk_net_loops(sources->net) : 0;
    count = count < PK_NET_LOOPS_MAX ? count : PK_NET_LOOPS_MAX;
    for (size_t i = 0; i < count; i++) {
        pk_net_loop_stats(sources->net, i, &stats[i]);
        (void)snprintf(number[i], sizeof(number[i]), "%zu", i);
        member[i] = (struct member){ &stats[i], number[i] };
    }
    if (count > 0) {
        print_family(out, loop_row, PK_COUNT(loop_row), "loop", member, count);
    }
}

#define LANE(field) offsetof(struct pk_lane_stats, field)
static const struct row lane_row[] = {
    { "personakit_net_lane_threads", "Executors started, by lane.", GAUGE, LANE(threads), 0, 1 },
    { "personakit_net_lane_running_requests", "Requests that have an executor.", GAUGE,
      LANE(running), 0, 1 },
    { "personakit_net_lane_waiting_requests", "Requests that wait for an executor.", GAUGE,
      LANE(waiting), 0, 1 },
    { "personakit_net_lane_busy_total", "Requests refused because the queue was full.", COUNTER,
      LANE(busy), 0, 1 },
    { "personakit_net_lane_hung_calls_total", "Calls given up; their executors were replaced.",
      COUNTER, LANE(hung), 0, 1 },
    { "personakit_net_lane_lost_threads", "Executors given up whose call has not come back yet.",
      GAUGE, LANE(lost), 0, 1 },
};

static void print_lanes(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_lane_stats stats[PK_LANE_COUNT];
    struct member member[PK_LANE_COUNT];
    size_t count = 0;
    for (int lane = PK_LANE_HOT + 1; sources->net && lane < PK_LANE_COUNT; lane++, count++) {
        pk_net_lane_stats(sources->net, (enum pk_lane_name)lane, &stats[count]);
        member[count] = (struct member){ &stats[count], pk_lane_text((enum pk_lane_name)lane) };
    }
    if (count > 0) {
        print_family(out, lane_row, PK_COUNT(lane_row), "lane", member, count);
    }
}

#define STORE(field) offsetof(struct pk_store_stats, field)
static const struct row store_row[] = {
    { "personakit_store_commits_total", "Write lists committed.", COUNTER, STORE(commits), 0, 1 },
    { "personakit_store_group_lists", "Write lists in each durable commit.", SUMMARY,
      STORE(commits), STORE(groups), 1 },
    { "personakit_store_commit_seconds", "Time of durable commits.", SUMMARY, STORE(commit_ns),
      STORE(groups), NANO },
    { "personakit_store_conflicts_total", "Write lists refused by a version or index.", COUNTER,
      STORE(conflicts), 0, 1 },
    { "personakit_store_unknowns_total", "Write lists without an outcome.", COUNTER,
      STORE(unknowns), 0, 1 },
    { "personakit_store_read_seconds", "Time of reads.", SUMMARY, STORE(reads_ns), STORE(reads),
      NANO },
    { "personakit_store_waiting_lists", "Write lists waiting for a group.", GAUGE, STORE(waiting),
      0, 1 },
    { "personakit_store_clock_drift_seconds", "The store's clock minus ours.", GAUGE,
      STORE(clock_drift_ms), 0, MILLI },
};

static void print_gauge(struct pk_buf *out, const char *name, const char *help, int64_t number,
                        uint32_t divisor)
{
    print_head(out, name, GAUGE, help);
    print_sample(out, name, "", NULL, NULL, number, divisor);
}

static void print_store(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_store_stats stats;
    if (sources->health) {
        pk_health_store_stats(sources->health, &stats);
        print_one(out, store_row, PK_COUNT(store_row), &stats);
        print_gauge(out, "personakit_store_stopped",
                    "1: a write could not be made durable, and no more are accepted.",
                    stats.is_stopped, 1);
    }
}

#define HOT(field) offsetof(struct pk_hot_stats, field)
static const struct row hot_row[] = {
    { "personakit_net_hot_entries", "Ready answers in memory.", GAUGE, HOT(entries), 0, 1 },
    { "personakit_net_hot_bytes", "Their bytes.", GAUGE, HOT(bytes), 0, 1 },
    { "personakit_net_hot_hits_total", "Looked for and good.", COUNTER, HOT(hits), 0, 1 },
    { "personakit_net_hot_misses_total", "Looked for in vain.", COUNTER, HOT(misses), 0, 1 },
    { "personakit_net_hot_evictions_total", "Given up for room.", COUNTER, HOT(evicted), 0, 1 },
};

static void print_hot(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_hot_stats stats;
    if (sources->hot) {
        pk_hot_stats(sources->hot, &stats);
        print_one(out, hot_row, PK_COUNT(hot_row), &stats);
    }
}

#define RING(field) offsetof(struct pk_keyring_stats, field)
static const struct row keyring_row[] = {
    { "personakit_access_key_hits_total", "Keys found in memory.", COUNTER, RING(hits), 0, 1 },
    { "personakit_access_key_fetches_total", "Keys read from the store.", COUNTER, RING(fetches), 0,
      1 },
    { "personakit_access_key_refusals_total", "Keys refused.", COUNTER, RING(refusals), 0, 1 },
    { "personakit_access_key_voids_total", "Events that made something known of keys void.",
      COUNTER, RING(voided), 0, 1 },
};

static void print_keyring(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_keyring_stats stats;
    if (sources->keyring) {
        pk_keyring_stats(sources->keyring, &stats);
        print_one(out, keyring_row, PK_COUNT(keyring_row), &stats);
        print_gauge(out, "personakit_access_feed_silence_seconds",
                    "Since the keyring last heard the feed; above its limit no key is accepted.",
                    pk_keyring_silence_ms(sources->keyring), MILLI);
    }
}

static void print_rate(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static const struct row row[] = {
        { "personakit_access_rate_refusals_total", "Requests over a rate limit, by its kind.",
          COUNTER, 0, 0, 1 },
    };
    struct pk_rate_stats stats;
    struct member member[PK_RATE_KINDS];
    if (sources->rate) {
        pk_rate_stats(sources->rate, &stats);
        for (size_t i = 0; i < PK_RATE_KINDS; i++) {
            member[i] =
                (struct member){ &stats.refused[i], pk_rate_kind_name((enum pk_rate_kind)i) };
        }
        print_family(out, row, PK_COUNT(row), "kind", member, PK_RATE_KINDS);
    }
}

#define FEED(field) offsetof(struct pk_watch_stats, field)
static const struct row feed_row[] = {
    { "personakit_feed_events_total", "Rows of the feed heard.", COUNTER, FEED(events), 0, 1 },
    { "personakit_feed_gaps_total", "Times that rows may have been missed.", COUNTER, FEED(gaps), 0,
      1 },
    { "personakit_feed_failures_total", "Times that the store did not answer.", COUNTER,
      FEED(failures), 0, 1 },
    { "personakit_feed_silence_seconds", "Since the feed last answered.", GAUGE, FEED(silence_ms),
      0, MILLI },
    { "personakit_feed_waiters", "Requests that wait for the feed to pass a cursor.", GAUGE,
      FEED(waiters), 0, 1 },
};

#define OUTBOX(field) offsetof(struct pk_outbox_stats, field)
static const struct row outbox_row[] = {
    { "personakit_outbox_done_total", "Tasks done here.", COUNTER, OUTBOX(done), 0, 1 },
    { "personakit_outbox_failed_total", "Tasks that have failed for good: see /v1/admin/outbox.",
      COUNTER, OUTBOX(failed), 0, 1 },
    { "personakit_outbox_retried_total", "Attempts that failed and are made again.", COUNTER,
      OUTBOX(retried), 0, 1 },
    { "personakit_outbox_lost_total", "Leases taken over from nodes that ended or were late.",
      COUNTER, OUTBOX(lost), 0, 1 },
    { "personakit_outbox_waiting", "Tasks that wait, those for a later time included.", GAUGE,
      OUTBOX(waiting), 0, 1 },
    { "personakit_outbox_running", "Tasks under way.", GAUGE, OUTBOX(running), 0, 1 },
    { "personakit_outbox_oldest_seconds", "How long the oldest task that is due has waited.", GAUGE,
      OUTBOX(oldest_ms), 0, MILLI },
};

#define JAIL(field) offsetof(struct pk_jail_stats, field)
static const struct row jail_row[] = {
    { "personakit_script_workers", "Processes that run scripts.", GAUGE, JAIL(workers), 0, 1 },
    { "personakit_script_busy_workers", "Of these, in a call.", GAUGE, JAIL(busy), 0, 1 },
    { "personakit_script_memory_bytes", "What scripts hold there.", GAUGE, JAIL(held_bytes), 0, 1 },
    { "personakit_script_started_workers_total", "Workers started.", COUNTER, JAIL(started), 0, 1 },
};

static void print_jail(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static const struct row row[] = {
        { "personakit_script_calls_total", "Calls of scripts, by how they ended.", COUNTER, 0, 0,
          1 },
    };
    struct pk_jail_stats stats;
    struct member member[PK_JAIL_ENDS];
    if (sources->jail) {
        pk_jail_stats(sources->jail, &stats);
        print_one(out, jail_row, PK_COUNT(jail_row), &stats);
        for (size_t i = 0; i < PK_JAIL_ENDS; i++) {
            member[i] = (struct member){ &stats.end[i], pk_jail_end_name((enum pk_jail_end)i) };
        }
        print_family(out, row, PK_COUNT(row), "end", member, PK_JAIL_ENDS);
        print_gauge(out, "personakit_script_jail_unsafe",
                    "1 when workers run without their lockdown (scripts.jail).",
                    pk_jail_is_open(sources->jail), 1);
    }
}

#define SCRIPT(field) offsetof(struct pk_script_stats, field)
static const struct row script_row[] = {
    { "personakit_script_version_calls_total", "Calls of the version that serves, by script.",
      COUNTER, SCRIPT(calls), 0, 1 },
    { "personakit_script_version_failures_total", "Those that failed: errors, kills, caps.",
      COUNTER, SCRIPT(failures), 0, 1 },
    { "personakit_script_version_mean_seconds", "How long its calls take.", GAUGE, SCRIPT(mean_ns),
      0, NANO },
    { "personakit_script_version_p99_seconds", "What 99 of 100 calls stay under.", GAUGE,
      SCRIPT(p99_ns), 0, NANO },
};

/* Each version that serves is a member of the family, "mapper/daily 1.2.0". */
struct serving {
    struct pk_script_stats stats;
    int64_t share; /* Of people, in millionths: of one that is tried; else 0. */
    char *name;
};

static void note_serving(const struct pk_metrics_sources *sources, const struct pk_script *script,
                         double share, struct serving *serving, size_t *count)
{
    enum { MILLION = 1000000 };
    struct serving *it = &serving[*count];
    if (script && pk_scripts_stats(sources->scripts, script, &it->stats)) {
        it->share = (int64_t)(share * MILLION + 0.5);
        it->name =
            pk_strdupf("%s/%s %s", pk_script_kind_name(script->kind), script->id, script->version);
        (*count)++;
    }
}

static const struct row canary_row[] = {
    { "personakit_script_canary_share",
      "The share of people on whom a version is tried; its calls and failures are above.", GAUGE,
      offsetof(struct serving, share), 0, 1000000 },
};

static void print_generation(const struct pk_metrics_sources *sources,
                             struct pk_generation *generation, struct pk_buf *out)
{
    const size_t count = pk_generation_count(generation);
    struct serving *serving = pk_calloc(2 * count + 1, sizeof(*serving));
    struct member *member = pk_calloc(2 * count + 1, sizeof(*member));
    size_t known = 0, tried = 0;
    for (size_t i = 0; i < count; i++) {
        const struct pk_script *script = pk_generation_at(generation, i);
        double share = 0;
        const struct pk_script *canary =
            pk_generation_canary(generation, script->kind, script->id, &share);
        note_serving(sources, script, 0, serving, &known);
        note_serving(sources, canary, share, serving, &known);
    }
    for (size_t i = 0; i < known; i++) {
        member[i] = (struct member){ &serving[i].stats, serving[i].name };
    }
    print_family(out, script_row, PK_COUNT(script_row), "script", member, known);
    for (size_t i = 0; i < known; i++) {
        if (serving[i].share > 0) {
            member[tried++] = (struct member){ &serving[i], serving[i].name };
        }
    }
    print_family(out, canary_row, PK_COUNT(canary_row), "script", member, tried);
    for (size_t i = 0; i < known; i++) {
        pk_free(serving[i].name);
    }
    pk_free(member);
    pk_free(serving);
}

static void print_scripts(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    enum { ALIVE_MAX = 64 };
    struct pk_generation_info alive[ALIVE_MAX];
    if (sources->scripts) {
        struct pk_generation *generation = pk_scripts_pin(sources->scripts);
        print_gauge(out, "personakit_script_generation",
                    "The number of the set of scripts that serves.",
                    (int64_t)pk_generation_number(generation), 1);
        print_generation(sources, generation, out);
        pk_generation_unpin(generation);
        print_gauge(out, "personakit_script_generations",
                    "Sets that are alive: the one that serves, and older ones with calls.",
                    (int64_t)pk_scripts_generations(sources->scripts, alive, ALIVE_MAX), 1);
    }
    if (sources->registry) {
        print_gauge(out, "personakit_script_refused",
                    "Active versions and saved files that this server does not take.",
                    (int64_t)pk_registry_refused_count(sources->registry), 1);
    }
}

#define PERSONAS(field) offsetof(struct pk_personas_stats, field)
static const struct row personas_row[] = {
    { "personakit_personas_fresh_total", "Answers with a persona that was fresh.", COUNTER,
      PERSONAS(fresh), 0, 1 },
    { "personakit_personas_stale_total", "Answers with one that was out of date, as asked for.",
      COUNTER, PERSONAS(stale), 0, 1 },
    { "personakit_personas_regenerated_total", "Answers with one that was made for them.", COUNTER,
      PERSONAS(regenerated), 0, 1 },
    { "personakit_personas_canary_fallbacks_total",
      "Answers of an active version, for the one that is tried on the person had failed.", COUNTER,
      PERSONAS(fallbacks), 0, 1 },
};

static void print_personas(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_personas_stats stats;
    if (sources->personas) {
        pk_personas_stats(sources->personas, &stats);
        print_one(out, personas_row, PK_COUNT(personas_row), &stats);
    }
}

static void print_feed(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_watch_stats stats;
    if (sources->watch) {
        pk_watch_stats(sources->watch, &stats);
        print_one(out, feed_row, PK_COUNT(feed_row), &stats);
    }
}

static void print_outbox(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    struct pk_outbox_stats stats;
    if (sources->outbox) {
        pk_outbox_stats(sources->outbox, &stats);
        print_one(out, outbox_row, PK_COUNT(outbox_row), &stats);
    }
}

static void print_health(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static const char name[] = "personakit_ops_check_state";
    struct pk_health_report report;
    if (!sources->health) {
        return;
    }
    pk_health_look(sources->health, &report);
    print_gauge(out, "personakit_ops_ready", "1: /readyz says that the server can serve.",
                report.is_ready, 1);
    print_head(out, name, GAUGE, "What each check of /readyz says. 0: good, 1: warns, 2: fails.");
    for (size_t i = 0; i < PK_HEALTH_COUNT; i++) {
        print_sample(out, name, "", "check", report.check[i].name, report.check[i].state, 1);
    }
}

static void print_logs(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static const char name[] = "personakit_ops_dropped_log_lines_total";
    struct pk_spool_stats access;
    pk_spool_stats(sources->spool, &access);
    print_head(out, name, COUNTER, "Lines that their file did not take in time.");
    print_sample(out, name, "", "log", "access", (int64_t)access.dropped, 1);
    print_sample(out, name, "", "log", "server", (int64_t)pk_log_dropped(sources->log), 1);
}

/* ---- The process ---- */

/* 0 where /proc is not what it should be. */
static int64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file) {
        if (fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        (void)fclose(file);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
    int64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) {
        return 0;
    }
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(folder);
    return count - 1; /* Less the folder's own. */
}

static int64_t cpu_ns(void)
{
    struct timespec used = { 0 };
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * NANO + used.tv_nsec;
}

static void print_process(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static const char cpu[] = "personakit_process_cpu_seconds_total";
    struct rlimit files = { 0 };
    (void)getrlimit(RLIMIT_NOFILE, &files);
    print_head(out, cpu, COUNTER, "Processor time used, of user and system together.");
    print_sample(out, cpu, "", NULL, NULL, cpu_ns(), NANO);
    print_gauge(out, "personakit_process_resident_memory_bytes", "Memory that is in RAM.",
                resident_bytes(), 1);
    print_gauge(out, "personakit_process_open_files", "File descriptors in use.", open_files(), 1);
    print_gauge(out, "personakit_process_max_files", "File descriptors that may be in use.",
                files.rlim_cur == RLIM_INFINITY ? INT64_MAX : (int64_t)files.rlim_cur, 1);
    print_gauge(out, "personakit_process_start_time_seconds", "When it started, since 1970.",
                sources->started_at_ms, MILLI);
}

static void print_build(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static const char name[] = "personakit_build_info";
    const struct {
        const char *label, *value;
    } part[] = { { "version", sources->version }, { "engine", sources->engine } };
    print_head(out, name, GAUGE, "What runs here; always 1.");
    pk_buf_add_text(out, name);
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        pk_buf_printf(out, "%c%s=\"", i ? ',' : '{', part[i].label);
        pk_metrics_print_text(out, part[i].value ? part[i].value : "", true);
        pk_buf_add_char(out, '"');
    }
    pk_buf_add_text(out, "} 1\n");
}

void pk_metrics_page(const struct pk_metrics_sources *sources, struct pk_buf *out)
{
    static part_fn *const part[] = {
        print_build, print_process, print_health,   print_counted, print_loops, print_lanes,
        print_store, print_hot,     print_keyring,  print_rate,    print_feed,  print_outbox,
        print_jail,  print_scripts, print_personas, print_logs,
    };
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        part[i](sources, out);
    }
}
