/* script_bench.c - What a jailed call costs: empty, with 4 KB, with 64 KB, and of the fresh
 * environment.
 *
 *     script_bench WORKER WORK.json [SECONDS [CALLERS [rules]]]
 *
 * "rules": only these, for a profile.
 * Every figure is calls from 'CALLERS' threads through one jail. CPU is of
 * both sides: this process and its workers. */
/* SPDX-License-Identifier: MIT */
#include "script_bench.h"
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "bench.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What is measured; each row is one line of the table. */
static const struct work {
    const char *name;
    const char *source;
    size_t input_bytes; /* About; 0: an empty list. */
} work_table[] = {
    { "empty call", "return function() end", 0 },
    { "small mapper, fresh environment",
      "local function pick(m, k) return m[k] or 'none' end\n"
      "return { core = function(m) return { style = pick(m, 'style'), at = pick(m, 'at') } end }",
      0 },
    { "4 KB in", "return function(m) return #m.list end", 4096 },
    { "4 KB in and out", "return function(m) return m end", 4096 },
    { "64 KB in", "return function(m) return #m.list end", 65536 },
    { "64 KB in and out", "return function(m) return m end", 65536 },
};

struct caller {
    struct pk_jail *jail;
    const struct script_work *work;
    size_t at; /* The next input. */
    int64_t end_ns;
    uint64_t count;
    struct bench_samples samples;
};

static void *call_on(void *context)
{
    struct caller *caller = context;
    const struct script_work *work = caller->work;

    while (bench_now_ns() < caller->end_ns) {
        const bson_t *input = &work->input[caller->at++ % work->inputs];
        const struct pk_jail_call call = {
            .script = work->script,
            .entry = work->entry,
            .input = bson_get_data(input),
            .input_size = input->len,
            .limits = { .soft_ms = 10000,
                        .hard_ms = 10000 }, /* Others may use this machine, too. */
            .wait_ms = 10000,
        };
        struct pk_jail_result result;
        struct pk_error err = { 0 };
        const int64_t start = bench_now_ns();
        if (!pk_jail_call(caller->jail, &call, &result, &err)) {
            (void)fprintf(stderr, "script_bench: %s\n", err.message);
            exit(1);
        }
        bench_sample(&caller->samples, bench_now_ns() - start);
        pk_jail_result_done(&result);
        caller->count++;
    }
    return NULL;
}

/* Rows of an id, a text, a number and a flag, as a mindscape has them. */
static void fill_input(bson_t *input, size_t bytes)
{
    bson_t list;
    char key[16];

    bson_init(input);
    BSON_APPEND_ARRAY_BEGIN(input, "list", &list);
    for (int i = 0; list.len < bytes; i++) {
        bson_t row;
        (void)snprintf(key, sizeof(key), "%d", i);
        BSON_APPEND_DOCUMENT_BEGIN(&list, key, &row);
        BSON_APPEND_UTF8(&row, "id", "work.focus.peak_hours");
        BSON_APPEND_UTF8(&row, "value", "nine to eleven in the morning");
        BSON_APPEND_DOUBLE(&row, "confidence", 0.75 + i * 0.001);
        BSON_APPEND_INT64(&row, "count", i);
        BSON_APPEND_BOOL(&row, "pinned", i % 2 == 0);
        bson_append_document_end(&list, &row);
    }
    bson_append_array_end(input, &list);
}

/* User and system time of this process and of the workers that have ended. */
static int64_t cpu_of_all_ns(void)
{
    struct rusage ended;
    (void)getrusage(RUSAGE_CHILDREN, &ended);
    return bench_cpu_ns() + ((int64_t)ended.ru_utime.tv_sec + ended.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)ended.ru_utime.tv_usec + ended.ru_stime.tv_usec) * 1000;
}

void script_bench_run(const struct script_bench *bench, const struct script_work *work)
{
    const size_t callers = bench->callers;
    struct caller *caller = pk_calloc(callers, sizeof(*caller));
    pthread_t *thread = pk_calloc(callers, sizeof(*thread));
    struct pk_jail *jail = pk_jail_new(
        &(struct pk_jail_options){ .worker_path = bench->worker, .workers_max = callers });
    const int64_t start = bench_now_ns(), cpu = cpu_of_all_ns();
    uint64_t count = 0;

    for (size_t i = 0; i < callers; i++) {
        caller[i] = (struct caller){ .jail = jail,
                                     .work = work,
                                     .at = i * 61,
                                     .end_ns = start + (int64_t)(bench->seconds * 1e9) };
        (void)pthread_create(&thread[i], NULL, call_on, &caller[i]);
    }
    for (size_t i = 0; i < callers; i++) {
        (void)pthread_join(thread[i], NULL);
        count += caller[i].count;
        if (i > 0) {
            bench_merge(&caller[0].samples, &caller[i].samples);
        }
    }
    const double wall = (double)(bench_now_ns() - start) / 1e9;
    pk_jail_free(jail); /* Its workers' time counts once they have ended. */
    bench_report(&(struct bench_figure){
        .bench = "script",
        .subject = "personakit",
        .engine = "jail",
        .work = work->name,
        .size = (long)work->input->len,
        .per_second = (double)count / wall,
        .cpu_us = (double)(cpu_of_all_ns() - cpu) / 1e3 / (double)count,
        .p50_us = bench_quantile(&caller[0].samples, 0.5),
        .p99_us = bench_quantile(&caller[0].samples, 0.99),
    });
    pk_free(caller[0].samples.us);
    pk_free(caller);
    pk_free(thread);
}

static void run_work(const struct script_bench *bench, const struct work *work)
{
    struct pk_jail_script script = { .name = work->name,
                                     .source = work->source,
                                     .source_size = strlen(work->source) };
    bson_t input;

    fill_input(&input, work->input_bytes);
    pk_hash(script.hash, work->source, script.source_size, NULL, 0);
    script_bench_run(bench,
                     &(struct script_work){ .name = work->name,
                                            .script = &script,
                                            .entry = strstr(work->source, "core") ? "core" : "",
                                            .input = &input,
                                            .inputs = 1 });
    bson_destroy(&input);
}

/* The prelude's fresh() by itself, in this process: what purity costs a call. */
static const char fresh_source[] =
    "local prelude, now, report = ...\n"
    "local host = { date_meta = {}, binary_meta = {}, int64_meta = {}, list_meta = {}, raw = {} }\n"
    "local fresh = prelude(_G, host, {})\n"
    "for round = 1, 2 do\n"
    "  local count, start = round == 1 and 20000 or 500000, now()\n"
    "  for i = 1, count do fresh(i, {}) end\n"
    "  if round == 2 then report(count, now() - start) end\n"
    "end\n";

static int lua_now(lua_State *lua)
{
    lua_pushnumber(lua, (double)bench_cpu_ns());
    return 1;
}

static int lua_report(lua_State *lua)
{
    const double count = lua_tonumber(lua, 1), ns = lua_tonumber(lua, 2);
    bench_report(&(struct bench_figure){
        .bench = "script",
        .subject = "personakit",
        .engine = "prelude",
        .work = "fresh environment",
        .per_second = count / (ns / 1e9),
        .cpu_us = ns / 1e3 / count,
    });
    return 0;
}

static void run_fresh(void)
{
    lua_State *lua = luaL_newstate();

    luaL_openlibs(lua);
    if (luaL_loadstring(lua, fresh_source) != 0 ||
        luaL_loadfile(lua, PK_SOURCE_DIR "/core/script/worker/prelude.lua") != 0) {
        (void)fprintf(stderr, "script_bench: %s\n", lua_tostring(lua, -1));
        exit(1);
    }
    lua_pushcfunction(lua, lua_now);
    lua_pushcfunction(lua, lua_report);
    if (lua_pcall(lua, 3, 0, 0) != 0) {
        (void)fprintf(stderr, "script_bench: %s\n", lua_tostring(lua, -1));
        exit(1);
    }
    lua_close(lua);
}

int main(int argc, char **argv)
{
    struct pk_error err = { 0 };
    const struct script_bench bench = {
        .worker = argc > 1 ? argv[1] : NULL,
        .seconds = argc > 3 ? strtod(argv[3], NULL) : 2.0,
        .callers = argc > 4 ? strtoul(argv[4], NULL, 10) : 16,
    };

    if (argc < 3 || bench.callers == 0 || !pk_crypto_init(&err)) {
        (void)fprintf(stderr, "script_bench WORKER WORK.json [SECONDS [CALLERS]]\n");
        return 2;
    }
    script_bench_rules(&bench, argv[2]);
    const bool is_all = argc < 6 || strcmp(argv[5], "rules") != 0;
    for (size_t i = 0; is_all && i < PK_COUNT(work_table); i++) {
        run_work(&bench, &work_table[i]);
    }
    if (is_all) {
        run_fresh();
    }
    bench_table();
    return 0;
}
