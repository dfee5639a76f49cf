/* traffic.c - The observer of all requests.
 *
 * Series are looked up once and kept in a table of atomic pointers:
 *
 *     cell[route or none][method] --> duration, bytes, requests[status]
 *
 * Two loops that miss the same pointer at the same time look up the same
 * series, so whoever stores last stores the same. Of the statuses those in
 * 'status_table' have a place; what none of our code answers goes the long way
 * each time, and is counted all the same.
 *
 * A request that no route took has an empty route, so that paths made up by
 * strangers are no labels; one that the parser refused has no method either.
 *
 * Thread: any loop. */
/* SPDX-License-Identifier: MIT */
#include "ops/traffic.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "ops/line.h"
#include "ops/spool.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    METHODS = PK_METHOD_COUNT + 1, /* The last: not known. */
    STATUS_BASE = 100,
    STATUS_END = 600,
    REFUSALS_MAX = 32,
    ROUTE_SERIES_MAX = 8192, /* Routes times methods times statuses: all are ours. */
    NS_PER_US = 1000,
    NS_PER_MS = 1000000
};

/* Bytes of values in a line, as they are written. Added up they leave room for all the rest. */
enum { PATH_MAX_BYTES = 1024, AGENT_MAX_BYTES = 384, NAME_MAX_BYTES = 192 };

static const uint16_t status_table[] = {
    100, 101, 200, 201, 202, 204, 206, 302, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409,
    410, 411, 412, 413, 414, 415, 416, 417, 422, 428, 429, 431, 499, 500, 501, 502, 503, 504, 507,
};
enum { STATUSES = PK_COUNT(status_table) };

static const struct pk_metric_row requests_row = {
    .name = "personakit_http_requests_total",
    .type = PK_METRIC_COUNTER,
    .label = { "route", "method", "status" },
    .help = "Requests by route, method and status; 499: the client had gone.",
    .series_max = ROUTE_SERIES_MAX,
};
static const struct pk_metric_row duration_row = {
    .name = "personakit_http_request_duration_seconds",
    .type = PK_METRIC_HISTOGRAM,
    .label = { "route", "method" },
    .help = "From a request's first byte to its answer's hand-over to the connection.",
    .series_max = ROUTE_SERIES_MAX,
};
static const struct pk_metric_row bytes_row = {
    .name = "personakit_http_answer_bytes_total",
    .type = PK_METRIC_COUNTER,
    .label = { "route", "method" },
    .help = "Bytes of the bodies of answers.",
    .series_max = ROUTE_SERIES_MAX,
};
static const struct pk_metric_row malformed_row = {
    .name = "personakit_http_malformed_total",
    .type = PK_METRIC_COUNTER,
    .label = { "code" },
    .help = "Requests that the parser refused, by the code of the refusal.",
};

typedef _Atomic(struct pk_series *) series_slot;

struct cell {
    series_slot duration, bytes;
    series_slot requests[STATUSES];
};

struct refusal {
    _Atomic(const char *) code; /* The parser's own text: compared by address. */
    series_slot series;
};

struct pk_traffic {
    struct pk_traffic_options options;
    struct pk_metric *requests, *duration, *bytes, *malformed;
    uint8_t status_place[STATUS_END - STATUS_BASE]; /* Into 'requests'; STATUSES: none. */
    atomic_bool is_logged;
    _Atomic int64_t slow_ms;
    struct refusal refusal[REFUSALS_MAX];
    struct cell *cell; /* METHODS for each route, then METHODS for none. */
};

struct pk_traffic *pk_traffic_new(const struct pk_traffic_options *options)
{
    struct pk_traffic *traffic = pk_calloc(1, sizeof(*traffic));
    traffic->options = *options;
    traffic->requests = pk_metrics_add(options->metrics, &requests_row);
    traffic->duration = pk_metrics_add(options->metrics, &duration_row);
    traffic->bytes = pk_metrics_add(options->metrics, &bytes_row);
    traffic->malformed = pk_metrics_add(options->metrics, &malformed_row);
    memset(traffic->status_place, STATUSES, sizeof(traffic->status_place));
    for (size_t i = 0; i < STATUSES; i++) {
        traffic->status_place[status_table[i] - STATUS_BASE] = (uint8_t)i;
    }
    traffic->cell = pk_calloc((options->route_count + 1) * METHODS, sizeof(*traffic->cell));
    pk_traffic_set(traffic, options->is_logged, options->slow_ms);
    return traffic;
}

void pk_traffic_free(struct pk_traffic *traffic)
{
    if (traffic) {
        pk_free(traffic->cell);
        pk_free(traffic);
    }
}

void pk_traffic_set(struct pk_traffic *traffic, bool is_logged, int64_t slow_ms)
{
    traffic->is_logged = is_logged;
    traffic->slow_ms = slow_ms;
}

/* ---- Counting ---- */

/* What a request is counted under. */
struct kind {
    const char *route, *method;
    struct cell *cell;
};

static struct kind find_kind(struct pk_traffic *traffic, const struct pk_done *done)
{
    const struct pk_route *route = done->request->route;
    const enum pk_method method = done->request->method;
    const bool has_method = !done->refusal && (unsigned)method < PK_METHOD_COUNT;
    const size_t row =
        route ? (size_t)(route - traffic->options.route) : traffic->options.route_count;
    const size_t column = has_method ? (size_t)method : METHODS - 1;
    return (struct kind){ .route = route ? route->path : "",
                          .method = has_method ? pk_method_name(method) : "",
                          .cell = &traffic->cell[row * METHODS + column] };
}

static struct pk_series *slot_get(series_slot *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

static struct pk_series *slot_set(series_slot *slot, struct pk_series *series)
{
    atomic_store_explicit(slot, series, memory_order_release);
    return series;
}

static struct pk_series *look_up_requests(const struct pk_traffic *traffic, const struct kind *kind,
                                          int status)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", status);
    return PK_SERIES(traffic->requests, kind->route, kind->method, text);
}

static struct pk_series *requests_of(const struct pk_traffic *traffic, const struct kind *kind,
                                     int status)
{
    const bool is_usual = status >= STATUS_BASE && status < STATUS_END;
    const size_t place = is_usual ? traffic->status_place[status - STATUS_BASE] : STATUSES;
    if (place == STATUSES) {
        return look_up_requests(traffic, kind, status);
    }
    series_slot *slot = &kind->cell->requests[place];
    struct pk_series *series = slot_get(slot);
    return series ? series : slot_set(slot, look_up_requests(traffic, kind, status));
}

static struct pk_series *of_kind(struct pk_metric *metric, series_slot *slot,
                                 const struct kind *kind)
{
    struct pk_series *series = slot_get(slot);
    return series ? series : slot_set(slot, PK_SERIES(metric, kind->route, kind->method));
}

static struct pk_series *malformed_of(struct pk_traffic *traffic, const char *code)
{
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        struct refusal *refusal = &traffic->refusal[i];
        const char *owner = NULL;
        if (atomic_compare_exchange_strong(&refusal->code, &owner, code) || owner == code) {
            struct pk_series *series = slot_get(&refusal->series);
            return series ? series
                          : slot_set(&refusal->series, PK_SERIES(traffic->malformed, code));
        }
    }
    return PK_SERIES(traffic->malformed, code);
}

static void count(struct pk_traffic *traffic, const struct pk_done *done, int64_t duration_ns)
{
    const struct kind kind = find_kind(traffic, done);
    pk_series_add(requests_of(traffic, &kind, done->status), 1);
    pk_series_observe_ns(of_kind(traffic->duration, &kind.cell->duration, &kind), duration_ns);
    if (done->answer_bytes > 0) {
        pk_series_add(of_kind(traffic->bytes, &kind.cell->bytes, &kind),
                      (int64_t)done->answer_bytes);
    }
    if (done->refusal) {
        pk_series_add(malformed_of(traffic, done->refusal), 1);
    }
}

/* ---- Lines ---- */

static const char *address_text(const uint8_t address[16], char out[INET6_ADDRSTRLEN])
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    static const uint8_t none[16] = { 0 };
    if (memcmp(address, none, sizeof(none)) == 0) {
        return "unix";
    }
    const bool is_mapped = memcmp(address, mapped, sizeof(mapped)) == 0;
    return is_mapped ? inet_ntop(AF_INET, address + sizeof(mapped), out, INET6_ADDRSTRLEN)
                     : inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN);
}

/* Two of them are none: nobody can say which one is meant. */
const char *pk_trace_of(const struct pk_request *request, char out[PK_TRACE_TEXT])
{
    struct pk_trace trace;
    const char *value = NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->header[i].name, "traceparent") == 0) {
            if (value) {
                return NULL;
            }
            value = request->header[i].value;
        }
    }
    if (!value || !pk_trace_parse(&trace, value, strlen(value))) {
        return NULL;
    }
    memcpy(out, trace.trace_id, PK_TRACE_TEXT);
    return out;
}

/* What both lines have: what was asked, by whom, and what came of it. */
static void add_request(struct pk_line *line, const struct pk_traffic *traffic,
                        const struct pk_done *done, int64_t duration_ns)
{
    const struct pk_request *request = done->request;
    const bool is_parsed = !done->refusal;
    const char *actor = NULL;
    const char *key = NULL;
    char address[INET6_ADDRSTRLEN];
    char trace[PK_TRACE_TEXT];

    if (traffic->options.who && request->caller) {
        traffic->options.who(request, &actor, &key);
    }
    pk_line_text(line, "method", is_parsed ? pk_method_name(request->method) : NULL, 16);
    pk_line_text(line, "path", request->path, PATH_MAX_BYTES);
    pk_line_text(line, "route", request->route ? request->route->path : NULL, NAME_MAX_BYTES);
    pk_line_int(line, "status", done->status);
    pk_line_text(line, "refusal", done->refusal, NAME_MAX_BYTES);
    pk_line_int(line, "bytes", (int64_t)done->answer_bytes);
    pk_line_int(line, "duration_us", duration_ns / NS_PER_US);
    pk_line_text(line, "address", address_text(request->address, address), INET6_ADDRSTRLEN);
    pk_line_text(line, "request", request->id, NAME_MAX_BYTES);
    pk_line_text(line, "trace", pk_trace_of(request, trace), PK_TRACE_TEXT);
    pk_line_text(line, "actor", actor, NAME_MAX_BYTES);
    pk_line_text(line, "key", key, NAME_MAX_BYTES);
    pk_line_text(line, "lane", request->route ? pk_lane_text(request->lane) : NULL, 16);
    pk_line_text(line, "agent", pk_request_header(request, "user-agent"), AGENT_MAX_BYTES);
    pk_line_bool(line, "secure", request->is_secure);
}

static void send_line(const struct pk_traffic *traffic, struct pk_line *line)
{
    pk_line_end(line);
    (void)pk_spool_add(traffic->options.spool, line->text,
                       line->size); /* It counts what it drops. */
}

static void log_access(const struct pk_traffic *traffic, const struct pk_done *done,
                       int64_t duration_ns)
{
    struct pk_line line;
    pk_line_begin(&line, pk_clock_wall_ms(traffic->options.clock), "info", "request");
    add_request(&line, traffic, done, duration_ns);
    send_line(traffic, &line);
}

/* From 'since' to 'until'; 0 when one of them did not happen. */
static int64_t span(int64_t since_ns, int64_t until_ns)
{
    return since_ns > 0 && until_ns > since_ns ? until_ns - since_ns : 0;
}

/* Where the time went. What is left over was spent on the way: waiting for the loop, and on the
 * answer itself. A streamed body comes while its handler runs, so parts may overlap. */
static void log_slow(const struct pk_traffic *traffic, const struct pk_done *done,
                     int64_t duration_ns)
{
    const struct pk_times *times = &done->request->times;
    const struct {
        const char *key;
        int64_t ns;
        bool is_within; /* Of another part. */
    } part[] = {
        { "head_us", span(times->first_ns, times->head_ns), false },
        { "body_us", span(times->head_ns, times->whole_ns), false },
        { "queue_us", times->queue_ns, false },
        { "run_us", times->run_ns, false },
        { "store_us", times->store_ns, true },
        { "park_us", times->park_ns, false },
    };
    struct pk_line line;
    int64_t rest_ns = duration_ns;

    pk_line_begin(&line, pk_clock_wall_ms(traffic->options.clock), "warn", "slow request");
    add_request(&line, traffic, done, duration_ns);
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        pk_line_int(&line, part[i].key, part[i].ns / NS_PER_US);
        rest_ns -= part[i].is_within ? 0 : part[i].ns;
    }
    pk_line_int(&line, "send_us", (rest_ns > 0 ? rest_ns : 0) / NS_PER_US);
    send_line(traffic, &line);
}

/* ---- The observer ---- */

void pk_traffic_done(void *context, const struct pk_done *done)
{
    struct pk_traffic *traffic = context;
    const struct pk_times *times = &done->request->times;
    const int64_t end_ns =
        times->sent_ns > 0 ? times->sent_ns : pk_clock_mono_ns(traffic->options.clock);
    const int64_t duration_ns = span(times->first_ns, end_ns);
    const int64_t slow_ms = atomic_load_explicit(&traffic->slow_ms, memory_order_relaxed);

    count(traffic, done, duration_ns);
    if (!traffic->options.spool) {
        return;
    }
    if (atomic_load_explicit(&traffic->is_logged, memory_order_relaxed)) {
        log_access(traffic, done, duration_ns);
    }
    if (slow_ms > 0 && duration_ns - times->park_ns > slow_ms * NS_PER_MS) {
        log_slow(traffic, done, duration_ns);
    }
}
