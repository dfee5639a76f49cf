/* net.c - The parts of net/, made in order and taken down in reverse.
 *
 *     sockets ─▶ loops ─▶ lanes ─▶ threads of the loops
 *
 * Taking down: the loops' threads first, so that nothing new begins; then the
 * lanes, which wait for what runs and put it into the loops' boxes; then the
 * loops, which open their last mail and free what is left. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct pk_net_limits default_limits = {
    .head_ms = 10 * 1000,
    .body_ms = 10 * 1000,
    .rate_min = 1024,
    .idle_ms = 60 * 1000,
    .write_ms = 30 * 1000,
    .linger_ms = 2 * 1000,
    .beat_ms = 15 * 1000,
    .connections_max = 16 * 1024,
    .connections_address_max = 16 * 1024,
    .stream_bytes = 256 * 1024,
    .bodies_bytes = 512 * 1024 * 1024,
    .lane = {
        [PK_LANE_STORE] = { .threads = 64, .queue_max = 1024 },
        [PK_LANE_SCRIPT] = { .threads = 16, .queue_max = 256, .hung_ms = 10 * 1000 },
        [PK_LANE_SLOW] = { .threads = 8, .queue_max = 64 },
    },
};

/* 'given' where it is set, the default elsewhere. */
static struct pk_net_limits fill_limits(const struct pk_net_limits *given)
{
    struct pk_net_limits limits = *given;
#define FILL(field) limits.field = given->field ? given->field : default_limits.field
    FILL(head_ms);
    FILL(body_ms);
    FILL(rate_min);
    FILL(idle_ms);
    FILL(write_ms);
    FILL(linger_ms);
    FILL(beat_ms);
    FILL(connections_max);
    FILL(connections_address_max);
    FILL(stream_bytes);
    FILL(bodies_bytes);
    for (size_t i = 0; i < PK_LANE_COUNT; i++) {
        FILL(lane[i].threads);
        FILL(lane[i].queue_max);
        FILL(lane[i].hung_ms);
    }
#undef FILL
    return limits;
}

static size_t count_loops(size_t wanted)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = wanted ? wanted : (size_t)(cores > 0 ? cores : 1);
    return count < PK_NET_LOOPS_MAX ? count : PK_NET_LOOPS_MAX;
}

/* One socket for each loop; a loop takes its own over, also when it fails. */
static bool listen_on(struct pk_net *net, const struct pk_net_listener *row, struct pk_error *err)
{
    int fd[PK_NET_LOOPS_MAX];
    struct pk_listener *listener = &net->listener[net->listener_count];
    if (!pk_listen(row->address, net->loop_count, fd, &listener->file, err)) {
        return false;
    }
    net->listener_count++;
    listener->row = *row;
    pk_listen_text(fd[0], row->is_secure, listener->text);
    bool is_done = true;
    for (size_t i = 0; i < net->loop_count; i++) {
        is_done = pk_loop_listen(&net->loop[i], listener, fd[i], err) && is_done;
    }
    return is_done;
}

static bool init(struct pk_net *net, struct pk_error *err)
{
    net->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!pk_link_init(net, err)) {
        return false;
    }
    net->addresses = pk_addresses_new(net->options.limits.connections_address_max, net->trust);
    net->listener = pk_calloc(net->options.listener_count, sizeof(*net->listener));
    for (size_t i = 0; i < net->loop_count; i++) {
        if (!pk_loop_init(&net->loop[i], net, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < net->options.listener_count; i++) {
        if (!listen_on(net, &net->options.listener[i], err)) {
            return false;
        }
    }
    return true;
}

static bool start(struct pk_net *net, struct pk_error *err)
{
    for (size_t i = PK_LANE_HOT + 1; i < PK_LANE_COUNT; i++) {
        net->lane[i] = pk_lane_new(&net->options.limits.lane[i], net->options.context);
    }
    for (size_t i = 0; i < net->loop_count; i++) {
        if (!pk_loop_start(&net->loop[i], err)) {
            return false;
        }
    }
    return true;
}

bool pk_net_open(struct pk_net **out, const struct pk_net_options *options, struct pk_error *err)
{
    struct pk_net *net = pk_calloc(1, sizeof(*net));
    net->options = *options;
    net->options.limits = fill_limits(&options->limits);
    net->loop_count = count_loops(options->loops);
    net->loop = pk_calloc(net->loop_count, sizeof(*net->loop));
    net->undrained = net->loop_count;
    net->refs = 1;
    (void)signal(SIGPIPE, SIG_IGN);
    if (!init(net, err) || !start(net, err)) {
        (void)pk_net_close(net);
        return false;
    }
    *out = net;
    return true;
}

const char *pk_net_address(const struct pk_net *net, size_t listener)
{
    return net->listener[listener].text;
}

void pk_net_drain(struct pk_net *net)
{
    for (size_t i = 0; i < net->loop_count; i++) {
        net->loop[i].is_drain_wanted = true;
        pk_loop_wake(&net->loop[i]);
    }
}

int pk_net_done_fd(const struct pk_net *net)
{
    return net->done_fd;
}

void pk_net_unref(struct pk_net *net)
{
    if (atomic_fetch_sub(&net->refs, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < net->loop_count; i++) {
        pk_loop_bury(&net->loop[i]);
    }
    pk_free(net->loop);
    pk_free(net->listener);
    pk_free(net);
}

struct pk_net_rest pk_net_close(struct pk_net *net)
{
    struct pk_net_rest rest = { 0 };
    if (!net) {
        return rest;
    }
    for (size_t i = 0; i < net->loop_count; i++) {
        pk_loop_stop(&net->loop[i]);
    }
    for (size_t i = 0; i < net->loop_count; i++) {
        pk_loop_cut(&net->loop[i]); /* Handlers that wait for a client wait no more. */
    }
    for (size_t i = 0; i < PK_LANE_COUNT; i++) {
        rest.hung += pk_lane_free(net->lane[i], net); /* Its threads post to the loops. */
    }
    for (size_t i = 0; i < net->loop_count; i++) {
        pk_loop_done(&net->loop[i]);
    }
    rest.cut = net->cut;
    pk_addresses_free(net->addresses);
    pk_link_done(net);
    (void)close(net->done_fd);
    for (size_t i = 0; i < net->listener_count; i++) {
        pk_listen_remove(&net->listener[i].file);
    }
    pk_net_unref(net);
    return rest;
}

/* ---- Figures ---- */

size_t pk_net_loops(const struct pk_net *net)
{
    return net->loop_count;
}

/* A loop that is stuck gets later and later. */
static int64_t lag_of(const struct pk_loop *loop)
{
    int64_t due_ns = loop->tick_due_ns;
    int64_t late_ns = due_ns ? pk_clock_mono_ns(pk_clock_system()) - due_ns : 0;
    int64_t last_ns = loop->lag_ns;
    return late_ns > last_ns ? late_ns : last_ns;
}

void pk_net_loop_stats(const struct pk_net *net, size_t loop, struct pk_net_stats *out)
{
    const struct pk_loop *one = &net->loop[loop];
    *out = (struct pk_net_stats){ .connections = one->connections,
                                  .accepted = one->accepted,
                                  .refused = one->refused,
                                  .requests = one->requests,
                                  .malformed = one->malformed,
                                  .wakes = one->wakes,
                                  .lag_ns = lag_of(one) };
}

void pk_net_stats(const struct pk_net *net, struct pk_net_stats *out)
{
    *out = (struct pk_net_stats){ 0 };
    for (size_t i = 0; i < net->loop_count; i++) {
        struct pk_net_stats one;
        pk_net_loop_stats(net, i, &one);
        out->connections += one.connections;
        out->accepted += one.accepted;
        out->refused += one.refused;
        out->requests += one.requests;
        out->malformed += one.malformed;
        out->wakes += one.wakes;
        out->lag_ns = one.lag_ns > out->lag_ns ? one.lag_ns : out->lag_ns;
    }
}

void pk_net_lane_stats(const struct pk_net *net, enum pk_lane_name lane, struct pk_lane_stats *out)
{
    *out = (struct pk_lane_stats){ 0 };
    if (net->lane[lane]) {
        pk_lane_stats(net->lane[lane], out);
    }
}
