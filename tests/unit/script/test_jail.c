/* test_jail.c - Limits, granted calls, workers that die, the pool. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "jailed.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

#define HELLO "return function() return 'hello' end"

enum { TRIES_MAX = 50 }; /* Of what a busy machine may do late. */

static int64_t now_ms(void)
{
    return pk_clock_mono_ns(pk_clock_system()) / 1000000;
}

static void expect_alive(struct pk_jail *jail)
{
    expect_output(jail, HELLO, NULL, "{ \"value\" : \"hello\" }");
}

/* ---- Time ---- */

TEST(a_script_is_stopped_at_the_soft_limit_with_its_line)
{
    struct pk_jail *jail = jailed_new(1);
    /* A C function in the loop: what the compiler cannot take, the hook reaches. */
    struct jailed jailed = {
        .source = "return function()\n"
                  "  local t = {}\n"
                  "  while true do pcall(table.sort, { 2, 1 }) end\n"
                  "end",
        .limits = { .soft_ms = 30, .hard_ms = 5000 },
    };
    jailed_run(jail, &jailed);
    assert_int_equal(jailed.result.end, PK_JAIL_STOPPED);
    assert_int_equal(jailed.err.code, PK_TIMEOUT);
    assert_int_equal(jailed.result.line, 3);
    assert_non_null(strstr(jailed.err.message, "test.lua:3: stopped after "));
    jailed_done(&jailed);
    expect_alive(jail);
    struct pk_jail_stats stats;
    pk_jail_stats(jail, &stats);
    assert_int_equal(stats.started, 1); /* No new worker was needed. */
    pk_jail_free(jail);
}

TEST(a_script_is_killed_at_the_hard_limit)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = {
        .source = "return function()\n\n  while true do end\nend",
        .limits = { .soft_ms = 20, .hard_ms = 100 },
    };
    expect_alive(jail);
    int64_t took = INT64_MAX;
    for (int tries = 0; took > (IS_SANITIZED ? 1000 : 150); tries++) { /* It may wait its turn. */
        assert_true(tries < TRIES_MAX);
        const int64_t start = now_ms();
        jailed_run(jail, &jailed);
        took = now_ms() - start;
        assert_int_equal(jailed.result.end, PK_JAIL_KILLED);
        assert_int_equal(jailed.err.code, PK_TIMEOUT);
        assert_non_null(strstr(jailed.err.message, "test.lua: stopped after "));
        assert_true(took >= 100);
        jailed_done(&jailed);
    }
    expect_alive(jail);
    pk_jail_free(jail);
}

/* Loops that the compiler or a C function hides from the hook, and their lines. */
static const struct {
    const char *source;
    uint32_t line;
} endless_table[] = {
    { "return function()\n\n  while true do end\nend", 3 },
    { "return function()\n  local s = ('a'):rep(30000)\n  return s:find(('.-'):rep(12) .. 'b')\nend",
      3 },
    { "while true do end", 1 },
    { "return function()\n  repeat\n    pcall(function()\n      while true do end\n    end)\n"
      "  until false\nend",
      4 },
};

#ifdef __SANITIZE_THREAD__
enum {
    HEARS_AT_ONCE = 0
}; /* Its runtime keeps signals back until the next call into the library. */
#else
enum { HEARS_AT_ONCE = 1 };
#endif

TEST_WHEN(the_repeat_of_a_killed_call_names_the_line, HEARS_AT_ONCE)
{
    struct pk_jail *jail = jailed_new(1);
    for (size_t i = 0; i < PK_COUNT(endless_table); i++) {
        struct jailed jailed = { .source = endless_table[i].source };
        jailed_repeat(jail, &jailed, 200);
        for (int64_t ms = 800; !jailed.result.file[0] && ms < PK_TEST_PATIENCE_MS; ms *= 4) {
            jailed_done(&jailed); /* It had no turn in that time. */
            jailed_repeat(jail, &jailed, ms);
        }
        assert_ok(jailed.is_ok, &jailed.err);
        assert_string_equal(jailed.result.file, "test.lua");
        assert_int_equal(jailed.result.line, endless_table[i].line);
        jailed_done(&jailed);
        expect_alive(jail);
    }
    struct jailed quick = { .source = HELLO };
    jailed_repeat(jail, &quick, 500);
    assert_false(quick.is_ok);
    assert_int_equal(quick.err.code, PK_NOT_FOUND);
    jailed_done(&quick);
    pk_jail_free(jail);
}

/* ---- Memory ---- */

TEST(memory_is_capped_and_the_error_cannot_be_swallowed)
{
    struct pk_jail *jail = jailed_new(1);
    expect_end(jail, "return function() return #('x'):rep(1e9) end", NULL, PK_JAIL_MEMORY,
               "more than 16384 KiB");
    expect_end(jail, "return function() local t = {} for i = 1, 1e8 do t[i] = {} end end", NULL,
               PK_JAIL_MEMORY, "memory");
    expect_end(jail, "return function() pcall(string.rep, 'x', 1e9) return 'swallowed' end", NULL,
               PK_JAIL_MEMORY, "memory");
    expect_alive(jail);
    pk_jail_free(jail);
}

TEST(garbage_is_collected_before_the_cap_is_hit)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = {
        .source =
            "return function() local n = 0\n"
            "for i = 1, 200000 do local t = { i, tostring(i) .. ('x'):rep(100) } n = n + #t end\n"
            "return n end",
        .limits = { .memory_bytes = 4 << 20, .soft_ms = 20000, .hard_ms = 20000 },
    };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_in_range(jailed.result.peak_bytes, 1 << 20, 4 << 20);
    jailed_done(&jailed);
    pk_jail_free(jail);
}

/* ---- Granted calls ---- */

struct asked {
    int count;
    char name[64];
};

static bool answer(void *context, const char *name, const bson_t *question, bson_t *out,
                   struct pk_error *err)
{
    struct asked *asked = context;
    bson_iter_t iter;

    asked->count++;
    (void)snprintf(asked->name, sizeof(asked->name), "%s", name);
    if (strcmp(name, "fail") == 0) {
        return pk_fail(err, PK_FORBIDDEN, "grant it", "no '%s' for you", name);
    }
    if (bson_iter_init_find(&iter, question, "value") && BSON_ITER_HOLDS_INT64(&iter)) {
        BSON_APPEND_INT64(out, "value", bson_iter_int64(&iter) * 2);
    }
    return true;
}

#define ASKING "return { ask = (...).ask }"

TEST(a_granted_question_is_answered)
{
    struct pk_jail *jail = jailed_new(1);
    struct asked asked = { 0 };
    struct jailed jailed = {
        .preamble = ASKING,
        .source = "local ask = require('personakit').ask\n"
                  "return function() local a = ask('double', 21)\n"
                  "local b, e = ask('fail', { x = 1 })\n"
                  "local c = coroutine.wrap(function() return ask('double', 1) end)()\n"
                  "return { a, b == nil, e.code, e.message, e.hint, c } end",
        .ask = answer,
        .context = &asked,
        .limits = { .asks = 3 },
    };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(jailed.output, "{ \"value\" : [ 42, true, \"forbidden\","
                                       " \"no 'fail' for you\", \"grant it\", 2 ] }");
    assert_int_equal(asked.count, 3);
    assert_int_equal(jailed.result.asked, 3);
    jailed_done(&jailed);
    pk_jail_free(jail);
}

TEST(questions_are_counted_and_checked)
{
    struct pk_jail *jail = jailed_new(1);
    struct asked asked = { 0 };
    struct jailed many = {
        .preamble = ASKING,
        .source = "local ask = require('personakit').ask\n"
                  "return function() for i = 1, 1e6 do ask('double', i) end end",
        .ask = answer,
        .context = &asked,
        .limits = { .asks = 10 },
    };
    jailed_run(jail, &many);
    assert_int_equal(many.result.end, PK_JAIL_ERROR);
    assert_non_null(strstr(many.err.message, "test.lua:2: asked for more than 10 times"));
    assert_int_equal(asked.count, 10);
    jailed_done(&many);

    struct jailed not_granted = { .preamble = ASKING, .source = many.source };
    jailed_run(jail, &not_granted);
    assert_int_equal(not_granted.result.end, PK_JAIL_ERROR);
    jailed_done(&not_granted);

    struct jailed wrong = many;
    wrong.source = "local ask = require('personakit').ask\n"
                   "return function() ask('x', { f = function() end }) end";
    jailed_run(jail, &wrong);
    assert_int_equal(wrong.result.end, PK_JAIL_OUTPUT);
    assert_non_null(strstr(wrong.err.message, "f: a function cannot be given out"));
    jailed_done(&wrong);
    expect_alive(jail);
    pk_jail_free(jail);
}

enum { ANSWER_MS = 1100 };

static bool answer_slowly(void *context, const char *name, const bson_t *question, bson_t *out,
                          struct pk_error *err)
{
    const int64_t until = now_ms() + ANSWER_MS;
    while (now_ms() < until) {
        (void)poll(NULL, 0, 10);
    }
    return answer(context, name, question, out, err);
}

TEST(waiting_for_the_host_is_not_the_scripts_time)
{
    struct pk_jail *jail = jailed_new(1);
    struct asked asked = { 0 };
    struct jailed jailed = {
        .preamble = ASKING,
        .source = "local ask = require('personakit').ask\n"
                  "return function() return ask('double', 1) + ask('double', 2) end",
        .ask = answer_slowly,
        .context = &asked,
        .limits = { .asks = 2, .soft_ms = 1000, .hard_ms = 2 * ANSWER_MS - 100 },
    };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_true(jailed.result.took_ns < (2 * ANSWER_MS - 100) * INT64_C(1000000));
    jailed_done(&jailed);
    pk_jail_free(jail);
}

/* ---- Workers that die ---- */

/* The pids of this process's children that are no zombies, and how many there are of any kind. */
static size_t children(pid_t out[], size_t max, size_t *out_all)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    *out_all = 0;
    for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
        char path[300], line[512] = "";
        (void)snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = atoi(entry->d_name) > 0 ? fopen(path, "r") : NULL;
        if (!file) {
            continue;
        }
        char *read = fgets(line, sizeof(line), file);
        (void)fclose(file);
        const char *behind = read ? strrchr(line, ')') : NULL;
        char state = 0;
        int parent = 0;
        if (behind && sscanf(behind + 1, " %c %d", &state, &parent) == 2 && parent == getpid()) {
            ++*out_all;
            if (state != 'Z' && count < max) {
                out[count++] = atoi(entry->d_name);
            }
        }
    }
    (void)closedir(proc);
    return count;
}

/* The worker stands still from the answer on, for longer than the soft limit. */
struct stopped {
    struct asked asked;
    pid_t pid;
    pthread_t waker;
};

static void *go_on(void *context)
{
    const struct stopped *stopped = context;
    (void)poll(NULL, 0, 1000);
    (void)kill(stopped->pid, SIGCONT);
    return NULL;
}

static bool answer_and_stop(void *context, const char *name, const bson_t *question, bson_t *out,
                            struct pk_error *err)
{
    struct stopped *stopped = context;
    size_t all = 0;
    if (children(&stopped->pid, 1, &all) != 1 || kill(stopped->pid, SIGSTOP) != 0 ||
        pthread_create(&stopped->waker, NULL, go_on, stopped) != 0) {
        return pk_fail(err, PK_INTERNAL, NULL, "the worker cannot be stopped");
    }
    return answer(&stopped->asked, name, question, out, err);
}

TEST(time_without_a_processor_is_not_the_scripts_time)
{
    struct pk_jail *jail = jailed_new(1);
    struct stopped stopped = { .pid = 0 };
    struct jailed jailed = {
        .preamble = ASKING,
        .source = "local ask = require('personakit').ask\n"
                  "return function() return ask('double', 1) end",
        .ask = answer_and_stop,
        .context = &stopped,
        .limits = { .asks = 1, .soft_ms = 60, .hard_ms = 5000 },
    };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_true(jailed.result.took_ns > 150 * INT64_C(1000000));
    (void)pthread_join(stopped.waker, NULL);
    jailed_done(&jailed);
    pk_jail_free(jail);
}

static size_t count_fds(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder)) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

TEST(a_worker_killed_while_idle_is_replaced)
{
    struct pk_jail *jail = jailed_new(1);
    pid_t pid[8];
    size_t all;

    expect_alive(jail);
    assert_int_equal(children(pid, 8, &all), 1);
    assert_int_equal(kill(pid[0], SIGKILL), 0);
    /* Its end is heard before it is used again, or costs that call: never more. */
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid[0], &info, WEXITED | WNOWAIT), 0);
    expect_alive(jail);
    struct pk_jail_stats stats;
    pk_jail_stats(jail, &stats);
    assert_int_equal(stats.started, 2);
    pk_jail_free(jail);
    assert_int_equal(children(pid, 8, &all), 0);
    assert_int_equal(all, 0);
}

static bool kill_asker(void *context, const char *name, const bson_t *question, bson_t *out,
                       struct pk_error *err)
{
    pid_t pid[8];
    size_t all;
    (void)context;
    (void)name;
    (void)question;
    (void)out;
    (void)err;
    assert_int_equal(children(pid, 8, &all), 1);
    assert_int_equal(kill(pid[0], SIGSEGV), 0);
    return true;
}

TEST(a_worker_that_dies_costs_only_its_call)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = {
        .preamble = ASKING,
        .source = "local ask = require('personakit').ask return function() return ask('x') end",
        .ask = kill_asker,
        .limits = { .asks = 1 },
    };
    jailed_run(jail, &jailed);
    assert_int_equal(jailed.result.end, PK_JAIL_CRASHED);
    assert_int_equal(jailed.err.code, PK_UNAVAILABLE);
    jailed_done(&jailed);
    expect_alive(jail);
    pk_jail_free(jail);
}

TEST(a_thousand_calls_leave_no_descriptor_and_no_zombie)
{
    pid_t pid[32];
    size_t all;
    struct pk_jail *jail = jailed_new(2);
    expect_alive(jail);
    const size_t fds = count_fds();
    for (int i = 0; i < 1000; i++) {
        struct jailed jailed = {
            .source = i % 100 == 50 ? "while true do end"
                      : i % 10 == 5 ? "return function() error('x') end"
                                    : HELLO,
            .limits = { .soft_ms = 10, .hard_ms = i % 100 == 50 ? 20 : 5000 },
        };
        jailed_run(jail, &jailed);
        assert_int_not_equal(jailed.result.end, PK_JAIL_NOT_RUN);
        jailed_done(&jailed);
    }
    expect_alive(jail);
    assert_int_equal(count_fds(), fds);
    assert_true(children(pid, 32, &all) <= 2);
    assert_true(all <= 2);
    pk_jail_free(jail);
    (void)children(pid, 32, &all);
    assert_int_equal(all, 0);
}

/* ---- The worker's process ---- */

TEST(a_worker_is_locked_down)
{
    struct pk_jail *jail = jailed_new(1);
    struct pk_error err = { 0 };
    pid_t pid[8];
    size_t all;
    char path[64], line[256];
    int seccomp = -1, privileges = -1;

    assert_ok(pk_jail_probe(jail, &err), &err);
    assert_false(pk_jail_is_open(jail));
    expect_alive(jail);
    assert_int_equal(children(pid, 8, &all), 1);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid[0]);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        (void)sscanf(line, "Seccomp: %d", &seccomp);
        (void)sscanf(line, "NoNewPrivs: %d", &privileges);
    }
    (void)fclose(file);
    assert_int_equal(seccomp, 2);
    assert_int_equal(privileges, 1);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid[0]);
    DIR *folder = opendir(path);
    if (folder) { /* Root may look; for others it is shut. */
        size_t count = 0;
        for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
            count += entry->d_name[0] != '.';
        }
        (void)closedir(folder);
        assert_int_equal(count, IS_SANITIZED ? 2 : 1);
    }
    pk_jail_free(jail);
}

TEST(a_missing_worker_is_a_clear_error)
{
    struct pk_jail *jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = "/nonexistent/worker" });
    struct pk_error err = { 0 };
    assert_false(pk_jail_probe(jail, &err));
    assert_int_equal(err.code, PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "cannot start a script worker '/nonexistent/worker'"));
    struct jailed jailed = { .source = HELLO };
    jailed_run(jail, &jailed);
    assert_false(jailed.is_ok);
    assert_int_equal(jailed.result.end, PK_JAIL_NOT_RUN);
    jailed_done(&jailed);
    pk_jail_free(jail);
}

/* ---- The pool ---- */

struct racer {
    struct pk_jail *jail;
    int bad;
};

static void *race(void *context)
{
    struct racer *racer = context;
    for (int i = 0; i < 60; i++) {
        char input[64], output[64];
        (void)snprintf(input, sizeof(input), "{ \"v\": %d }", i);
        (void)snprintf(output, sizeof(output), "{ \"value\" : %d }", 2 * i);
        struct jailed jailed = { .source = "return function(m) return 2 * m.v end",
                                 .input = input,
                                 .limits = { .hard_ms = 20000, .soft_ms = 20000 } };
        jailed_run(racer->jail, &jailed);
        racer->bad += !jailed.is_ok || strcmp(jailed.output, output) != 0;
        jailed_done(&jailed);
    }
    return NULL;
}

TEST(many_callers_share_few_workers)
{
    struct pk_jail *jail = jailed_new(3);
    struct racer racer[8];
    pthread_t thread[8];
    for (int i = 0; i < 8; i++) {
        racer[i] = (struct racer){ jail, 0 };
        assert_int_equal(pthread_create(&thread[i], NULL, race, &racer[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(racer[i].bad, 0);
    }
    struct pk_jail_stats stats;
    pk_jail_stats(jail, &stats);
    assert_true(stats.workers <= 3);
    assert_int_equal(stats.calls, 480);
    assert_int_equal(stats.end[PK_JAIL_DONE], 480);
    pk_jail_free(jail);
}

TEST(idle_workers_are_ended)
{
    struct pk_clock_fake clock;
    pk_clock_fake_init(&clock, 1000000);
    struct pk_jail *jail = pk_jail_new(&(struct pk_jail_options){
        .clock = &clock.clock, .worker_path = PK_WORKER, .idle_ms = 1000 });
    struct pk_jail_stats stats;
    expect_alive(jail);
    pk_jail_trim(jail);
    pk_jail_stats(jail, &stats);
    assert_int_equal(stats.workers, 1);
    assert_true(stats.held_bytes > 0);
    pk_clock_fake_advance(&clock, 1001);
    pk_jail_trim(jail);
    pk_jail_stats(jail, &stats);
    assert_int_equal(stats.workers, 0);
    pk_jail_free(jail);
}

TEST(a_call_that_would_pass_the_total_is_refused_busy)
{
    struct pk_jail *jail = pk_jail_new(
        &(struct pk_jail_options){ .worker_path = PK_WORKER, .memory_total_bytes = 20 << 20 });
    struct jailed small = { .source = HELLO, .limits = { .memory_bytes = 4 << 20 } };
    jailed_run(jail, &small);
    assert_ok(small.is_ok, &small.err);
    jailed_done(&small);
    struct jailed large = { .source = HELLO, .limits = { .memory_bytes = 19 << 20 } };
    jailed_run(jail, &large);
    assert_false(large.is_ok);
    assert_int_equal(large.err.code, PK_BUSY);
    assert_int_equal(large.result.end, PK_JAIL_NOT_RUN);
    jailed_done(&large);
    jailed_run(jail, &small);
    assert_ok(small.is_ok, &small.err);
    jailed_done(&small);
    pk_jail_free(jail);
}

TEST(more_scripts_than_a_worker_keeps_all_run)
{
    struct pk_jail *jail = jailed_new(1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++) {
            char source[64], output[64];
            (void)snprintf(source, sizeof(source), "return function() return %d end", i);
            (void)snprintf(output, sizeof(output), "{ \"value\" : %d }", i);
            expect_output(jail, source, NULL, output);
        }
    }
    struct pk_jail_stats stats;
    pk_jail_stats(jail, &stats);
    assert_true(stats.held_bytes < 16 << 20);
    pk_jail_free(jail);
}
