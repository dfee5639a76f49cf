/* test_log.c - What a line looks like, and that nothing from outside can change that. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A log into a file, at a fixed time. */
struct fixture {
    struct pk_clock_fake clock;
    struct pk_log *log;
    char path[600];
    int fd;
    struct pk_buf text;
};

static void open_log(struct fixture *f, enum pk_log_format format)
{
    pk_clock_fake_init(&f->clock, 1795246320123);
    (void)snprintf(f->path, sizeof(f->path), "%s/log", pk_test_folder());
    f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND, 0600);
    assert_true(f->fd >= 0);
    f->log = pk_log_new(&(struct pk_log_options){
        .clock = &f->clock.clock, .fd = f->fd, .level = PK_LOG_INFO, .format = format });
}

static const char *text_of(struct fixture *f)
{
    struct pk_error err = { 0 };
    pk_buf_clear(&f->text);
    assert_ok(pk_file_read(&f->text, f->path, 64 << 20, &err), &err);
    return pk_buf_text(&f->text);
}

static void close_log(struct fixture *f)
{
    pk_log_free(f->log);
    (void)close(f->fd);
    pk_buf_done(&f->text);
}

TEST(a_text_line_has_time_level_event_and_fields)
{
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    open_log(&f, PK_LOG_TEXT);
    pk_log_info(f.log, "store opened", PK_STR("engine", "sqlite"), PK_NUM("ms", 12),
                PK_STR("why", "two words"), PK_FLAG("ok", true), PK_REAL("r", 0.1),
                PK_STR("none", NULL), PK_STR("empty", ""), PK_SECRET("key"));
    pk_log_warn(f.log, "bare");
    assert_string_equal(text_of(&f),
                        "2026-11-21T07:32:00.123Z INFO  store opened  engine=sqlite ms=12 "
                        "why=\"two words\" ok=true r=0.1 none=null empty=\"\" key=***\n"
                        "2026-11-21T07:32:00.123Z WARN  bare\n");
}

TEST(a_json_line_is_one_object)
{
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    struct pk_error err = { 0 };
    open_log(&f, PK_LOG_AUTO); /* A file is no terminal. */
    (void)pk_fail_field(&err, PK_BUSY, "a.b", "wait", "no room for '%s'", "x");
    pk_log_error(f.log, "write failed", PK_REQUEST("r-1"), PK_ERR(&err), PK_NUM("n", INT64_MIN),
                 PK_REAL("nan", NAN), PK_REAL("inf", -INFINITY), PK_REAL("e", 1e300),
                 PK_STRN("cut", "abcdef", 3), PK_TIME("at", 0), PK_FLAG("no", false));
    assert_string_equal(
        text_of(&f),
        "{\"time\":\"2026-11-21T07:32:00.123Z\",\"level\":\"error\",\"msg\":\"write failed\","
        "\"request\":\"r-1\",\"code\":\"busy\",\"error\":\"no room for 'x'\",\"field\":\"a.b\","
        "\"hint\":\"wait\",\"n\":-9223372036854775808,\"nan\":\"nan\",\"inf\":\"-inf\","
        "\"e\":1e+300,\"cut\":\"abc\",\"at\":\"1970-01-01T00:00:00.000Z\",\"no\":false}\n");
}

TEST(no_value_can_forge_a_line_a_field_or_a_terminal_sequence)
{
    static const char evil[] = "a\nb\r\tc\x1b[2J\x7f\"\\ x=1 \xff\xc3\x28 \xe2\x80\xae"
                               "\xe2\x80\xa8 \xc2\x9b ok\xc3\xa4";
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    PK_CLEANUP(close_log) struct fixture g = { 0 };
    open_log(&f, PK_LOG_TEXT);
    open_log(&g, PK_LOG_JSON);
    pk_log_info(f.log, "x", PK_STR("v", evil));
    pk_log_info(g.log, "x", PK_STRN("v", evil, sizeof(evil))); /* With the NUL. */
    assert_string_equal(text_of(&f), "2026-11-21T07:32:00.123Z INFO  x  v=\"a\\nb\\r\\tc\\x1b[2J"
                                     "\\x7f\\\"\\\\ x=1 \\xff\\xc3( \\u202e\\u2028 \\u009b "
                                     "ok\xc3\xa4\"\n");
    const char *json = text_of(&g);
    assert_non_null(strstr(json, "\"v\":\"a\\nb\\r\\tc\\u001b[2J\\u007f\\\"\\\\ x=1 "
                                 "\xef\xbf\xbd\xef\xbf\xbd( \\u202e\\u2028 \\u009b ok\xc3\xa4"
                                 "\\u0000\"}\n"));
    for (size_t i = 0; i + 1 < g.text.size; i++) {
        assert_true((unsigned char)json[i] >= ' ');
    }
}

TEST(secrets_are_masked_in_every_value)
{
    static const char *const leak[] = {
        "pk_abc234_hushhushhush",        "Bearer pk_a_hushhushhush.",
        "x=pk_ab_hushhushhush&y",        "pk_pk_hushhushhush",
        "pk_ABC_HUSHhushhush",           "pk_x_pk_a_hushhushhush",
        "mongodb://me:hush@h/db",        "cannot reach 'mongodb://me:a@hush/hush@h': no",
        "https://u:hush@a,b://c:hush@d", "\x1bpk_a1_hushhushhush\n",
    };
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    PK_CLEANUP(close_log) struct fixture g = { 0 };
    struct pk_error err = { 0 };
    open_log(&f, PK_LOG_TEXT);
    open_log(&g, PK_LOG_JSON);
    for (size_t i = 0; i < PK_COUNT(leak); i++) {
        (void)pk_fail(&err, PK_INVALID, NULL, "%s", leak[i]);
        pk_log_info(f.log, "x", PK_STR("v", leak[i]), PK_ERR(&err));
        pk_log_info(g.log, "x", PK_STR("v", leak[i]), PK_ERR(&err));
        if (strstr(text_of(&f), "hush") || strstr(text_of(&g), "hush")) {
            fail_msg("leaked: %s", leak[i]);
        }
    }
    assert_non_null(strstr(text_of(&f), "pk_abc234_***"));
    assert_non_null(strstr(text_of(&f), "mongodb://me:***@h/db"));
}

TEST(what_is_no_secret_stays)
{
    static const char *const plain[] = { "pk_",    "pk__",
                                         "pk_a",   "pk_a_",
                                         "pk_a_b", "ppk_-_abcdefgh",
                                         "://",    "http://127.0.0.1:8077/v1/people",
                                         "a@b.c",  "x:y@z" };
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    open_log(&f, PK_LOG_JSON);
    for (size_t i = 0; i < PK_COUNT(plain); i++) {
        pk_log_info(f.log, "x", PK_STR("v", plain[i]));
    }
    assert_null(strstr(text_of(&f), "***"));
}

TEST(a_long_value_is_cut_and_a_cut_secret_is_masked)
{
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf value = { 0 };
    open_log(&f, PK_LOG_JSON);
    memset(pk_buf_reserve(&value, 4080), 'x', 4080);
    value.size = 4080;
    pk_buf_add_text(&value, " pk_abc_hushhushhushhushhushhush");
    pk_log_info(f.log, "x", PK_STRN("v", value.data, value.size));
    assert_null(strstr(text_of(&f), "hush"));
    assert_true(f.text.size < 4300);
    assert_non_null(strstr(text_of(&f), "..."));
}

TEST(a_password_that_the_cut_divides_is_not_shown)
{
    for (size_t before = 4060; before < 4100; before++) {
        PK_CLEANUP(close_log) struct fixture f = { 0 };
        PK_CLEANUP(pk_buf_done) struct pk_buf value = { 0 };
        open_log(&f, PK_LOG_JSON);
        for (size_t i = 0; i < before; i++) {
            pk_buf_add_char(&value, i % 64 == 63 ? ' ' : 'x');
        }
        pk_buf_add_text(&value, " mongodb://me:hushhushhushhush@host/db and more");
        assert_int_equal(ftruncate(f.fd, 0), 0);
        pk_log_info(f.log, "x", PK_STR("v", pk_buf_text(&value)));
        assert_null(strstr(text_of(&f), "hush"));
        assert_non_null(strstr(text_of(&f), "xxx"));
    }
}

TEST(what_is_below_the_level_is_not_evaluated)
{
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    int calls = 0;
    open_log(&f, PK_LOG_TEXT);
    pk_log_debug(f.log, "x", PK_NUM("n", ++calls));
    assert_int_equal(calls, 0);
    assert_string_equal(text_of(&f), "");
    pk_log_set_level(f.log, PK_LOG_DEBUG);
    pk_log_debug(f.log, "x", PK_NUM("n", ++calls));
    assert_int_equal(calls, 1);
    pk_log_error(NULL, "no log is fine", PK_NUM("n", ++calls));
    assert_int_equal(calls, 1);
}

TEST(names_of_levels_and_formats_are_read)
{
    enum pk_log_level level = PK_LOG_INFO;
    enum pk_log_format format = PK_LOG_AUTO;
    assert_true(pk_log_level_parse("error", &level));
    assert_int_equal(level, PK_LOG_ERROR);
    assert_false(pk_log_level_parse("ERROR", &level));
    assert_true(pk_log_format_parse("json", &format));
    assert_int_equal(format, PK_LOG_JSON);
    assert_false(pk_log_format_parse("", &format));
}

TEST(a_terminal_gets_colour_and_a_pipe_does_not)
{
    char out[512] = "";
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        SKIP("no pseudo terminal here");
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    (void)unsetenv("NO_COLOR");
    struct pk_log *log = pk_log_new(&(struct pk_log_options){ .fd = slave });
    pk_log_info(log, "hello", PK_NUM("n", 1));
    pk_log_free(log);
    assert_true(read(master, out, sizeof(out) - 1) > 0);
    assert_non_null(strstr(out, "\x1b[32mINFO "));
    assert_non_null(strstr(out, "hello"));
    (void)close(slave);
    (void)close(master);
}

TEST(a_reader_that_stopped_reading_costs_lines_not_the_server)
{
    int fd[2];
    char bytes[65536];
    assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
    while (write(fd[1], "xxxxxxxxxxxxxxxx", 16) > 0) {
    }
    struct pk_log *log = pk_log_new(&(struct pk_log_options){ .fd = fd[1] });
    pk_log_info(log, "lost");
    assert_int_equal(pk_log_dropped(log), 1);
    while (read(fd[0], bytes, sizeof(bytes)) > 0) {
    }
    pk_log_info(log, "kept");
    assert_int_equal(pk_log_dropped(log), 1);
    ssize_t n = read(fd[0], bytes, sizeof(bytes) - 1);
    assert_true(n > 0);
    bytes[n] = '\0';
    assert_non_null(strstr(bytes, "kept"));
    pk_log_free(log);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

enum { THREADS = 4, LINES = 500 };

static void *log_many(void *context)
{
    struct pk_log *log = context;
    char value[600];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < LINES; i++) {
        pk_log_info(log, "line", PK_NUM("i", i), PK_STR("v", value));
        pk_log_set_level(log, i % 2 ? PK_LOG_DEBUG : PK_LOG_INFO);
    }
    return NULL;
}

TEST(lines_of_many_threads_stay_whole)
{
    PK_CLEANUP(close_log) struct fixture f = { 0 };
    pthread_t thread[THREADS];
    size_t lines = 0;
    open_log(&f, PK_LOG_JSON);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, log_many, f.log), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    for (const char *line = text_of(&f); *line; lines++) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_memory_equal(line, "{\"time\":", 8);
        assert_memory_equal(end - 3, "v\"}", 3);
        assert_null(memchr(line + 1, '{', (size_t)(end - line - 1)));
        line = end + 1;
    }
    assert_int_equal(lines, THREADS * LINES);
}
