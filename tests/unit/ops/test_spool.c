/* test_spool.c - A slow file costs lines, never time. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "ops/spool.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct pk_spool *open_spool(int fd, size_t bytes)
{
    struct pk_error err = { 0 };
    struct pk_spool *spool = NULL;
    const struct pk_spool_options options = { .fd = fd, .bytes = bytes };
    assert_ok(pk_spool_open(&spool, &options, &err), &err);
    return spool;
}

static size_t add_line(struct pk_spool *spool, size_t serial)
{
    char line[200];
    const int size =
        snprintf(line, sizeof(line), "line %zu %0*d\n", serial, (int)(20 + serial % 100), 7);
    return pk_spool_add(spool, line, (size_t)size) ? 1 : 0;
}

/* Reads until nothing has come for a while after 'is_enough' lines were seen, or the end. */
static size_t read_lines(int fd, size_t enough, struct pk_buf *out)
{
    size_t lines = 0;
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    while (lines < enough && !pk_deadline_passed(pk_clock_system(), deadline_ns)) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        if (poll(&waiting, 1, 100) == 1) {
            char *room = pk_buf_reserve(out, 65536);
            const ssize_t n = read(fd, room, 65536);
            if (n <= 0) {
                break;
            }
            for (ssize_t i = 0; i < n; i++) {
                lines += room[i] == '\n' ? 1 : 0;
            }
            out->size += (size_t)n;
        }
    }
    return lines;
}

static void assert_in_order(const struct pk_buf *text, size_t count)
{
    const char *at = text->data;
    for (size_t i = 0; i < count; i++) {
        char expected[200];
        const int size =
            snprintf(expected, sizeof(expected), "line %zu %0*d\n", i, (int)(20 + i % 100), 7);
        assert_memory_equal(at, expected, (size_t)size);
        at += size;
    }
    assert_ptr_equal(at, text->data + text->size);
}

TEST(spool_writes_every_line_in_order)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    enum { LINES = 3000 };
    int ends[2];
    struct pk_spool_stats stats;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct pk_spool *spool = open_spool(ends[1], 0);
    for (size_t i = 0; i < LINES; i++) {
        assert_int_equal(add_line(spool, i), 1);
    }
    assert_int_equal(read_lines(ends[0], LINES, &text), LINES);
    assert_in_order(&text, LINES);
    /* It sleeps by now, or will: a line that comes later still goes out. */
    for (size_t i = 0; i < 20; i++) {
        pk_buf_clear(&text);
        assert_int_equal(add_line(spool, 0), 1);
        assert_int_equal(read_lines(ends[0], 1, &text), 1);
    }
    pk_spool_close(spool);
    pk_spool_stats(NULL, &stats);
    assert_int_equal(stats.written + stats.dropped, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TEST(spool_writes_what_it_holds_before_it_closes)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/log", pk_test_folder());
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    struct pk_spool *spool = open_spool(fd, 0);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(add_line(spool, i), 1);
    }
    pk_spool_close(spool);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(read_lines(fd, 500, &text), 500);
    assert_in_order(&text, 500);
    (void)close(fd);
}

/* Nobody reads: adding stays fast, lines are dropped and counted, and the end is not held up. */
static void check_unread(const int ends[2])
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    enum { LINES = 50000 };
    struct pk_spool_stats stats;
    size_t taken = 0;
    struct pk_spool *spool = open_spool(ends[1], 64 * 1024);
    for (size_t i = 0; i < LINES; i++) {
        taken += add_line(spool, i); /* One that waited for a reader would hang here. */
    }
    pk_spool_stats(spool, &stats);
    assert_in_range(taken, 100, LINES - 1);
    assert_int_equal(stats.dropped, LINES - taken);
    pk_spool_close(spool); /* The same. */
    (void)close(ends[1]);
    (void)read_lines(ends[0], SIZE_MAX, &text);
    assert_true(text.size > 0 && strncmp(text.data, "line 0 ", 7) == 0);
    (void)close(ends[0]);
}

TEST(pipe_that_nobody_reads_does_not_stop_who_adds)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    check_unread(ends);
}

TEST(socket_that_nobody_reads_does_not_stop_who_adds)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    check_unread(ends);
}

TEST(pipe_that_was_closed_costs_lines_and_no_signal)
{
    int ends[2];
    struct pk_spool_stats stats;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    (void)close(ends[0]);
    struct pk_spool *spool = open_spool(ends[1], 0);
    assert_int_equal(add_line(spool, 1), 1);
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    do {
        pk_spool_stats(spool, &stats);
    } while (stats.dropped == 0 && !pk_deadline_passed(pk_clock_system(), deadline_ns));
    assert_int_equal(stats.dropped, 1);
    assert_int_equal(stats.written, 0);
    pk_spool_close(spool);
    (void)close(ends[1]);
}
