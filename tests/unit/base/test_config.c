/* test_config.c - Every way to give a setting wrongly, and every way to attack the file. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/config_internal.h"
#include "base/error.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One load: what went in and what came out. */
struct load {
    struct pk_config *config;
    struct pk_buf faults;
    struct pk_error err;
    char path[600];
};

static void load_done(struct load *load)
{
    pk_config_free(load->config);
    pk_buf_done(&load->faults);
}

static bool load_bytes(struct load *load, const void *lua, size_t size)
{
    struct pk_error err = { 0 };
    (void)snprintf(load->path, sizeof(load->path), "%s/c.lua", pk_test_folder());
    assert_ok(pk_file_write(load->path, lua, size, 0600, &err), &err);
    struct pk_config_source source = { .file = load->path };
    return pk_config_load(&load->config, &source, &load->faults, &load->err);
}

static bool load_lua(struct load *load, const char *lua)
{
    return load_bytes(load, lua, strlen(lua));
}

/* The fault that 'lua' must cause contains 'expected'. */
static void expect_fault(const char *lua, const char *expected)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    assert_false(load_lua(&load, lua));
    assert_int_equal(load.err.code, PK_INVALID);
    if (!strstr(pk_buf_text(&load.faults), expected)) {
        fail_msg("of:\n%s\nexpected '%s', got:\n%s", lua, expected, pk_buf_text(&load.faults));
    }
}

static bool load_environ(struct load *load, const char *const *list)
{
    struct pk_config_source source = { .environ = list };
    return pk_config_load(&load->config, &source, &load->faults, &load->err);
}

static void expect_variable_fault(const char *variable, const char *expected)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    assert_false(load_environ(&load, (const char *const[]){ variable, NULL }));
    if (!strstr(pk_buf_text(&load.faults), expected)) {
        fail_msg("of: %s\nexpected '%s', got:\n%s", variable, expected, pk_buf_text(&load.faults));
    }
}

TEST(without_sources_all_is_default)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    assert_ok(load_environ(&load, NULL), &load.err);
    size_t count = 0;
    assert_string_equal(pk_config_list(load.config, "listen", &count)[0], "127.0.0.1:8077");
    assert_int_equal(count, 1);
    assert_string_equal(pk_config_text(load.config, "store.url"), "");
    assert_int_equal(pk_config_int(load.config, "store.group_lists"), 64);
    assert_int_equal(pk_config_ms(load.config, "store.retention.events"), 7 * 86400000);
    assert_int_equal(pk_config_ms(load.config, "drain.limit_ms"), 25000);
    assert_string_equal(pk_config_origin(load.config, "listen"), "default");
}

TEST(later_sources_win_and_each_value_keeps_its_origin)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    struct pk_error err = { 0 };
    static const char lua[] = "return {\n  data = 'a',\n  log = { level = 'warn' },\n"
                              "  store = {\n    group_lists = 3 * 4,\n  },\n}\n";
    (void)snprintf(load.path, sizeof(load.path), "%s/c.lua", pk_test_folder());
    assert_ok(pk_file_write(load.path, lua, strlen(lua), 0600, &err), &err);
    const char *const list[] = { "PERSONAKIT_LOG_LEVEL=error", "PERSONAKIT_DATA=b",
                                 "PERSONAKIT_STORE=mongodb://h/", "OTHER=x", NULL };
    struct pk_config_option option[] = {
        { .option = "--data", .option_size = 6, .value = "c" },
        { .option = "--set", .option_size = 5, .value = "drain.lead_ms=2s" },
    };
    struct pk_config_source source = {
        .file = load.path, .environ = list, .option = option, .option_count = 2
    };
    assert_ok(pk_config_load(&load.config, &source, &load.faults, &load.err), &load.err);
    assert_string_equal(pk_config_text(load.config, "data"), "c");
    assert_string_equal(pk_config_origin(load.config, "data"), "--data");
    assert_string_equal(pk_config_text(load.config, "log.level"), "error");
    assert_string_equal(pk_config_origin(load.config, "log.level"), "PERSONAKIT_LOG_LEVEL");
    assert_int_equal(pk_config_int(load.config, "store.group_lists"), 12);
    assert_string_equal(pk_config_origin(load.config, "store.url"), "PERSONAKIT_STORE");
    assert_int_equal(pk_config_ms(load.config, "drain.lead_ms"), 2000);
    assert_string_equal(pk_config_origin(load.config, "drain.lead_ms"), "--set drain.lead_ms");
    PK_CLEANUP(pk_freep) char *origin = pk_strdupf("%s:5", load.path);
    assert_string_equal(pk_config_origin(load.config, "store.group_lists"), origin);
}

TEST(a_wrong_value_says_line_name_given_and_allowed)
{
    static const struct {
        const char *lua, *expected;
    } row[] = {
        { "return {\n\n listen = 'x' }", ":3: listen: given 'x', allowed: an address and a port" },
        { "return { listen = 8077 }", ":1: listen: given 8077, allowed: an address" },
        { "return { listen = '1.2.3.4:65536' }", "given '1.2.3.4:65536'" },
        { "return { listen = '1.2.3.4:08' }", "given '1.2.3.4:08'" },
        { "return { listen = '1.2.3.256:80' }", "given '1.2.3.256:80'" },
        { "return { listen = '[::1:80' }", "given '[::1:80'" },
        { "return { listen = '::1:80' }", "given '::1:80'" },
        { "return { listen = ']:80' }", "given ']:80'" },
        { "return { listen = '[]:80' }", "given '[]:80'" },
        { "return { listen = { 'unix:http.sock' } }", "listen: given a list" },
        { "return { proxy = { trusted = '10.0.0.0/33' } }", "given '10.0.0.0/33'" },
        { "return { proxy = { trusted = '::1/129' } }", "given '::1/129'" },
        { "return { proxy = { trusted = '10.0.0.0/' } }", "given '10.0.0.0/'" },
        { "return { proxy = { trusted = 'example.org' } }", "given 'example.org'" },
        { "return { cors = { origins = 'https://a.example/' } }", "given 'https://a.example/'" },
        { "return { cors = { origins = 'a.example' } }", "given 'a.example'" },
        { "return { operations = { listen = 'unix:relative' } }", "given 'unix:relative'" },
        { "return { listen = function() end }", "listen: given a function" },
        { "return { listen = '127.0.0.1:1\\0' }", "given a text with a NUL byte" },
        { "return { data = '' }", "data: given '', allowed: a text of 1 to 4000 bytes" },
        { "return { store = { group_lists = 0 } }",
          "store.group_lists: given 0, allowed: a whole number from 1 to 1000" },
        { "return { store = { group_lists = 1001 } }", "given 1001" },
        { "return { store = { group_lists = 1.5 } }", "given 1.5" },
        { "return { store = { group_lists = 1e300 } }", "given 1" },
        { "return { store = { group_lists = 0/0 } }", "given " },
        { "return { store = { group_lists = -1/0 } }", "given -inf" },
        { "return { store = { group_lists = '64' } }", "given '64'" },
        { "return { store = { retention = { events = 7 } } }",
          "store.retention.events: given 7, allowed: a duration from 1h to 3650d, like" },
        { "return { store = { retention = { events = '7' } } }", "given '7'" },
        { "return { store = { retention = { events = '7 d' } } }", "given '7 d'" },
        { "return { store = { retention = { events = '-7d' } } }", "given '-7d'" },
        { "return { store = { retention = { events = '1.5d' } } }", "given '1.5d'" },
        { "return { store = { retention = { events = '59m' } } }", "given '59m'" },
        { "return { store = { retention = { events = '99999999999999999999d' } } }", "given '999" },
        { "return { store = { retention = { events = '9223372036854775807d' } } }", "given '922" },
        { "return { log = { level = 'INFO' } }", "allowed: one of debug, info, warn, error" },
        { "return { log = { level = true } }", "given true" },
        { "return { drain = { limit_ms = -1 } }", "drain.limit_ms: given -1" },
        { "return { drain = { limit_ms = '2h' } }",
          "allowed: a duration from 0ms to 1h, in milli" },
        { "return { stor = { url = '' } }",
          "unknown setting 'stor.url'; did you mean 'store.url'?" },
        { "return { lisetn = '' }", "unknown setting 'lisetn'; did you mean 'listen'?" },
        { "return { wholly_other = 1 }", "unknown setting 'wholly_other'; 'personakit config'" },
        { "return { store = 'mongodb://h' }", "'store' is a table of settings, not a setting" },
        { "return { 'x' }", "" },
        { "return { [1.5] = 'x' }", "unknown setting '[number]'" },
        { "return { [true] = { a = 1 } }", "unknown setting '[boolean].a'" },
        { "return { listen = '127.0.0.1:1',\nlisten = '127.0.0.1:2' }",
          ":2: listen: given twice, first on line 1" },
        { "return { log = { level = 'warn' },\n\nlog = { format = 'text' } }",
          ":3: log: given twice, first on line 1" },
        { "return { ['log.level'] = 'x' }", ":1: log.level: given 'x'" },
        { "return 1", "it returns a number, not a table" },
        { "", "it returns a nil, not a table" },
        { "return {", ":1: " },
        { "x = = 1", ":1: unexpected symbol" },
        { "return { data = 'a\\nb\\27[31m' .. 1, listen = 'a\\nforged: line' }",
          "given 'a\\nforged: line'" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        expect_fault(row[i].lua, row[i].expected);
    }
}

TEST(a_value_that_was_assigned_has_its_line_too)
{
    static const struct {
        const char *lua, *expected;
    } row[] = {
        { "local t = {}\nt.listen = 'x'\nreturn t", ":2: listen: given 'x'" },
        { "local t = { store = {} }\n\nt.store.group_lists = 0\nreturn t",
          ":3: store.group_lists: given 0" },
        { "local t = { store = {} }\nt['store'][\"group_lists\"] = 0 return t",
          ":2: store.group_lists: given 0" },
        { "local log = {\nlevel = 'x' }\nreturn { log = log }", ":2: log.level: given 'x'" },
        { "local limit_ms = 5\nlocal d = {}\nd.limit_ms = -limit_ms\nreturn { drain = d }",
          ".lua: drain.limit_ms: given -5" }, /* Two places end like it: nobody knows. */
        { "local t = { drain = {}, other = {} }\nt.other.limit_ms = 1\n"
          "if t.drain.limit_ms == 2 then end\nt.drain.limit_ms = -1\nt.other = nil\nreturn t",
          ":4: drain.limit_ms: given -1" },
        { "local t = {}\nt['li' .. 'sten'] = 'x'\nreturn t", ".lua: listen: given 'x'" },
        { "local t = { }\nlocal xlisten = 1\nt[1] = nil t['li' .. 'sten'] = 'x'\nreturn t",
          ".lua: listen: given 'x'" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        expect_fault(row[i].lua, row[i].expected);
    }
}

TEST(lines_are_looked_for_within_the_text)
{
    static const char *const text[] = {
        "[",    "x[",        "x['a'",           "x.", "x =", "x['a']=", "--[[", "'\\", "=",
        "[==[", "return {[", "return {['a'] =", ""
    };
    for (size_t i = 0; i < PK_COUNT(text); i++) {
        size_t size = strlen(text[i]);
        int again = 0;
        /* An exact copy on the heap: a byte read behind the end is seen by the sanitizer. */
        PK_CLEANUP(pk_freep) char *copy = pk_alloc(size);
        memcpy(copy, text[i], size);
        assert_int_equal(config_line_of(copy, size, "b.c", &again), 0);
    }
}

TEST(all_faults_are_reported_at_once)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    assert_false(
        load_lua(&load, "return { listen = 1, data = 2,\n log = { level = 3 },\n x = 4 }"));
    size_t lines = 0;
    for (const char *at = pk_buf_text(&load.faults); *at; at++) {
        lines += *at == '\n';
    }
    assert_int_equal(lines, 4);
    assert_non_null(strstr(load.err.message, "4 settings are wrong, the first: "));
    assert_null(load.config);
}

TEST(a_hostile_file_is_stopped)
{
    static const struct {
        const char *lua, *expected;
    } row[] = {
        { "while true do end", "longer than the 100 ms" },
        { "repeat until false", "longer than the 100 ms" },
        { "::a:: goto a", "longer than the 100 ms" },
        { "local function f() return f() end return f()", "longer than the 100 ms" },
        { "for i = 1, 1/0 do end", "longer than the 100 ms" },
        { "local function f() return 1 + f() end return f()", "stack overflow" },
        { "local s = 'x' while true do s = s .. s end", "of memory allowed" },
        { "local t, n = {}, 0 while true do n = n + 1 t[n] = {} end", "allowed" },
        { "local s = 'x' for i = 1, 22 do s = s .. s end while true do local t = s .. 'y' end",
          "allowed" },
        { "return { data = ('x'):rep(1e9) }", "attempt to index a string value" },
        { "return os.exit(1)", "attempt to index global 'os'" },
        { "local x = _G.x", "attempt to index global '_G'" },
        { "require 'ffi'", "attempt to call global 'require'" },
        { "print(1)", "attempt to call global 'print'" },
        { "pcall(function() end)", "attempt to call global 'pcall'" },
        { "setmetatable({}, {})", "attempt to call global 'setmetatable'" },
        { "load 'x'", "attempt to call global 'load'" },
        { "string.dump(1)", "attempt to index global 'string'" },
        { "local t = {} t.a = t return t", "the tables lie too deep" },
        { "local t = {} for i = 1, 20 do t = { a = t } end return t", "lie too deep" },
        { "local t = {} for i = 1, 2000 do t['k' .. i] = i end return t", "more than 1000 values" },
        { "return { [{}] = 1 }", "unknown setting '[table]'" },
        { "\x1bLJ\x02", "it is compiled Lua; only text is read" },
        { "\x1bLua", "it is compiled Lua; only text is read" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        int64_t start = pk_clock_mono_ns(pk_clock_system());
        expect_fault(row[i].lua, row[i].expected);
        int64_t took_ms = (pk_clock_mono_ns(pk_clock_system()) - start) / 1000000;
        if (took_ms > 5000) { /* 100 ms of CPU, and slack for sanitizers on a busy machine. */
            fail_msg("took %d ms: %s", (int)took_ms, row[i].lua);
        }
    }
}

TEST(deep_nesting_in_the_text_is_refused)
{
    static const struct {
        const char *open;
        int count;
    } row[] = { { "{", 100000 }, { "(", 100000 }, { "{a=", 50000 }, { "return {{}}--[", 1 } };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf lua = { 0 };
        PK_CLEANUP(load_done) struct load load = { 0 };
        pk_buf_add_text(&lua, "return ");
        for (int n = 0; n < row[i].count; n++) {
            pk_buf_add_text(&lua, row[i].open);
        }
        assert_false(load_bytes(&load, lua.data, lua.size));
    }
}

TEST(a_file_above_one_mebibyte_is_refused)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf lua = { 0 };
    PK_CLEANUP(load_done) struct load load = { 0 };
    pk_buf_add_text(&lua, "return {} --");
    memset(pk_buf_reserve(&lua, 2 << 20), 'x', 2 << 20);
    lua.size += 2 << 20;
    assert_false(load_bytes(&load, lua.data, lua.size));
    assert_non_null(strstr(pk_buf_text(&load.faults), "above 1048576"));
}

TEST(bytes_of_all_kinds_are_no_crash)
{
    for (unsigned seed = 1; seed < 200; seed++) {
        PK_CLEANUP(load_done) struct load load = { 0 };
        char bytes[300];
        unsigned random = seed;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random = random * 1103515245u + 12345u;
            bytes[i] = (char)(random >> 16);
        }
        (void)load_bytes(&load, bytes, 1 + seed);
    }
}

TEST(a_missing_file_is_a_fault_unless_it_may_miss)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    struct pk_config_source source = { .file = "/nowhere/c.lua" };
    assert_false(pk_config_load(&load.config, &source, &load.faults, &load.err));
    assert_non_null(strstr(load.err.message, "/nowhere/c.lua"));
    source.file_may_miss = true;
    assert_ok(pk_config_load(&load.config, &source, &load.faults, &load.err), &load.err);
}

TEST(variables_are_checked_like_the_file)
{
    expect_variable_fault("PERSONAKIT_LISTEN=x", "PERSONAKIT_LISTEN: listen: given 'x'");
    expect_variable_fault("PERSONAKIT_DATA=", "given ''");
    expect_variable_fault("PERSONAKIT_STORE=redis://x",
                          "PERSONAKIT_STORE: store.url: given 'redis:");
    expect_variable_fault("PERSONAKIT_LISTN=x", "did you mean PERSONAKIT_LISTEN?");
    expect_variable_fault("PERSONAKIT_=x", "unknown variable");
    expect_variable_fault("PERSONAKIT_A\nB=x", "PERSONAKIT_A\\nB: unknown variable");
    PK_CLEANUP(load_done) struct load load = { 0 };
    const char *const list[] = { "PERSONAKIT_STORE=mongodb://a", "PERSONAKIT_STORE_URL=mongodb://b",
                                 NULL };
    assert_false(load_environ(&load, list));
    assert_non_null(strstr(load.err.message, "given twice, with different values"));
}

TEST(variables_of_kubernetes_and_of_the_client_are_left_alone)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    const char *const list[] = { "PERSONAKIT_SERVICE_HOST=10.0.0.1",
                                 "PERSONAKIT_SERVICE_PORT_HTTP=80",
                                 "PERSONAKIT_PORT=tcp://10.0.0.1:80",
                                 "PERSONAKIT_PORT_80_TCP_ADDR=10.0.0.1",
                                 "PERSONAKIT_KEY=pk_a_b",
                                 "PERSONAKIT",
                                 "=",
                                 "",
                                 NULL };
    assert_ok(load_environ(&load, list), &load.err);
}

TEST(options_are_found_in_arguments)
{
    char *argv[] = { "personakit", "serve", "--listen",  "1.2.3.4:5", "--listen=x",
                     "--set",      "a=b=c", "--verbose", "--settle",  "--data" };
    struct pk_config_option option;
    assert_int_equal(pk_config_option_read(10, argv, 1, &option), 0);
    assert_int_equal(pk_config_option_read(10, argv, 2, &option), 2);
    assert_string_equal(option.value, "1.2.3.4:5");
    assert_int_equal(pk_config_option_read(10, argv, 4, &option), 1);
    assert_string_equal(option.value, "x");
    assert_int_equal(pk_config_option_read(10, argv, 5, &option), 2);
    assert_string_equal(option.value, "a=b=c");
    assert_int_equal(pk_config_option_read(10, argv, 7, &option), 0);
    assert_int_equal(pk_config_option_read(10, argv, 8, &option), 0);
    assert_int_equal(pk_config_option_read(10, argv, 9, &option), 1);
    assert_null(option.value);
}

TEST(wrong_options_are_faults)
{
    static const struct {
        const char *option, *value, *expected;
    } row[] = {
        { "--data", NULL, "--data: the value is missing" },
        { "--listen", "x", "--listen: listen: given 'x'" },
        { "--set", "data", "--set: write it as NAME=VALUE" },
        { "--set", "dato=x", "--set: unknown setting 'dato'; did you mean 'data'?" },
        { "--set", "log.level=x", "--set log.level: log.level: given 'x'" },
        { "--nonsense", "x", "there is no such option" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(load_done) struct load load = { 0 };
        struct pk_config_option option = { row[i].option, strlen(row[i].option), row[i].value };
        struct pk_config_source source = { .option = &option, .option_count = 1 };
        assert_false(pk_config_load(&load.config, &source, &load.faults, &load.err));
        if (!strstr(load.err.message, row[i].expected)) {
            fail_msg("expected '%s', got '%s'", row[i].expected, load.err.message);
        }
    }
}

static bool is_host(const char *text)
{
    return strchr(text, ' ') == NULL;
}

/* Types that the real table does not use yet. */
static const struct pk_setting own_table[] = {
    { .name = "a.on", .type = PK_SETTING_BOOL, .fallback = "off", .help = "x" },
    { .name = "a.size",
      .type = PK_SETTING_SIZE,
      .fallback = "16MiB",
      .min = 1,
      .max = INT64_C(1) << 40,
      .help = "x" },
    { .name = "a.hosts",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .max = 3,
      .check = is_host,
      .expects = "a host",
      .help = "x" },
    { .name = "a.key", .type = PK_SETTING_TEXT, .fallback = "", .max = 99, .is_secret = true },
};

static bool load_own(struct load *load, const char *lua, const char *variable)
{
    struct pk_error err = { 0 };
    (void)snprintf(load->path, sizeof(load->path), "%s/c.lua", pk_test_folder());
    assert_ok(pk_file_write(load->path, lua, strlen(lua), 0600, &err), &err);
    struct pk_config_source source = { .file = load->path,
                                       .environ = (const char *const[]){ variable, NULL },
                                       .table = own_table,
                                       .table_count = PK_COUNT(own_table) };
    return pk_config_load(&load->config, &source, &load->faults, &load->err);
}

TEST(booleans_sizes_and_lists_are_read)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    size_t count = 0;
    assert_ok(load_own(&load, "return { a = { on = true, size = '3GiB', hosts = {'x', 'y'} } }",
                       "PERSONAKIT_A_KEY=hush"),
              &load.err);
    assert_true(pk_config_bool(load.config, "a.on"));
    assert_int_equal(pk_config_bytes(load.config, "a.size"), INT64_C(3) << 30);
    const char *const *host = pk_config_list(load.config, "a.hosts", &count);
    assert_int_equal(count, 2);
    assert_string_equal(host[1], "y");
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    pk_config_print(load.config, &text, PK_CONFIG_TABLE);
    pk_config_print(load.config, &text, PK_CONFIG_JSON);
    assert_null(strstr(pk_buf_text(&text), "hush"));
    assert_non_null(strstr(pk_buf_text(&text), "\"a.hosts\": {\"value\": [\"x\",\"y\"], "));
    assert_non_null(strstr(pk_buf_text(&text), "\"a.on\": {\"value\": true, "));
}

TEST(lists_come_from_variables_and_may_be_empty)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    PK_CLEANUP(load_done) struct load other = { 0 };
    size_t count = 9;
    assert_ok(load_own(&load, "return { a = { hosts = {} } }", NULL), &load.err);
    (void)pk_config_list(load.config, "a.hosts", &count);
    assert_int_equal(count, 0);
    assert_ok(load_own(&other, "return { a = {} }", "PERSONAKIT_A_HOSTS=p,q,r"), &other.err);
    (void)pk_config_list(other.config, "a.hosts", &count);
    assert_int_equal(count, 3);
}

TEST(a_list_of_one_may_stand_alone)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    size_t count = 0;
    assert_ok(load_own(&load, "return { a = { hosts = 'x' } }", NULL), &load.err);
    assert_string_equal(pk_config_list(load.config, "a.hosts", &count)[0], "x");
    assert_int_equal(count, 1);
}

TEST(what_differs_between_two_configurations_is_known)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    PK_CLEANUP(load_done) struct load other = { 0 };
    assert_ok(load_own(&load, "return { a = { hosts = 'x', size = '1MiB' } }", NULL), &load.err);
    assert_ok(load_own(&other, "return { a = { hosts = { 'x' }, size = '2MiB' } }", NULL),
              &other.err);
    assert_true(pk_config_is_same(load.config, other.config, "a.hosts"));
    assert_false(pk_config_is_same(load.config, other.config, "a.size"));
}

TEST(wrong_lists_and_sizes_are_refused)
{
    static const char *const lua[] = {
        "return { a = { hosts = { 'a', 1 } } }",
        "return { a = { hosts = { 'a b' } } }",
        "return { a = { hosts = { 'a,b' } } }",
        "return { a = { hosts = { '' } } }",
        "return { a = { hosts = { '1','2','3','4' } } }",
        "return { a = { hosts = 'x y' } }",
        "return { a = { hosts = { x = 'y' } } }",
        "return { a = { size = '16MB' } }",
        "return { a = { size = 16 } }",
        "return { a = { size = '9999999GiB' } }",
        "return { a = { size = 'MiB' } }",
        "return { a = { on = 'true' } }",
        "return { a = { on = 1 } }",
    };
    for (size_t i = 0; i < PK_COUNT(lua); i++) {
        PK_CLEANUP(load_done) struct load load = { 0 };
        if (load_own(&load, lua[i], NULL)) {
            fail_msg("taken: %s", lua[i]);
        }
    }
}

TEST(no_secret_is_shown_in_prints_or_faults)
{
    static const char *const url[] = {
        "mongodb://me:hush@h1,h2/db?replicaSet=a",
        "mongodb://me:hu:hush@h/",
        "mongodb://me:p@hush@h/",
        "mongodb://h/?tlsCertificateKeyFilePassword=hush&a=b",
        "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:hush",
        "mongodb:/me:hush@h", /* Wrong from here on. */
        "mongo://me:hush@h",
        "me:hush@h",
        "mongodb://me:x hush@h",
    };
    for (size_t i = 0; i < PK_COUNT(url); i++) {
        PK_CLEANUP(load_done) struct load load = { 0 };
        PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
        PK_CLEANUP(pk_freep) char *variable = pk_strdupf("PERSONAKIT_STORE_URL=%s", url[i]);
        bool is_ok = load_environ(&load, (const char *const[]){ variable, NULL });
        assert_int_equal(is_ok, i < 5);
        if (is_ok) {
            pk_config_print(load.config, &text, PK_CONFIG_TABLE);
            pk_config_print(load.config, &text, PK_CONFIG_JSON);
            assert_string_equal(pk_config_text(load.config, "store.url"), url[i]);
        }
        if (strstr(pk_buf_text(&text), "hush") || strstr(pk_buf_text(&load.faults), "hush") ||
            strstr(load.err.message, "hush")) {
            fail_msg("shown: %s%s", pk_buf_text(&text), pk_buf_text(&load.faults));
        }
    }
}

TEST(no_two_settings_share_a_name_a_variable_or_an_option)
{
    for (size_t i = 0; i < pk_setting_count; i++) {
        assert_non_null(pk_setting_table[i].help);
        for (size_t j = 0; j < i; j++) {
            const struct pk_setting *a = &pk_setting_table[i];
            const struct pk_setting *b = &pk_setting_table[j];
            bool is_same = true;
            for (size_t k = 0; is_same; k++) { /* '.' and '_' are one in a variable. */
                char x = a->name[k] == '.' ? '_' : a->name[k];
                char y = b->name[k] == '.' ? '_' : b->name[k];
                is_same = x == y;
                if (!x || !y) {
                    break;
                }
            }
            assert_false(is_same);
            assert_true(!a->option || !b->option || strcmp(a->option, b->option) != 0);
        }
    }
}

TEST(the_help_names_every_setting)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf help = { 0 };
    pk_config_help(&help);
    for (size_t i = 0; i < pk_setting_count; i++) {
        assert_non_null(strstr(pk_buf_text(&help), pk_setting_table[i].name));
        assert_non_null(strstr(pk_buf_text(&help), pk_setting_table[i].help));
    }
}

TEST(the_shipped_file_lists_every_setting_with_its_default)
{
    PK_CLEANUP(load_done) struct load load = { 0 };
    PK_CLEANUP(load_done) struct load plain = { 0 };
    struct pk_config_source source = { .file = PK_SOURCE_DIR "/etc/personakit.lua" };
    PK_CLEANUP(pk_buf_done) struct pk_buf a = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf b = { 0 };

    assert_ok(pk_config_load(&load.config, &source, &load.faults, &load.err), &load.err);
    assert_ok(load_environ(&plain, NULL), &plain.err);
    for (size_t i = 0; i < pk_setting_count; i++) {
        const char *name = pk_setting_table[i].name;
        const char *origin = pk_config_origin(load.config, name);
        if (strncmp(origin, source.file, strlen(source.file)) != 0 ||
            origin[strlen(source.file)] != ':') {
            fail_msg("'%s' has the origin '%s'", name, origin);
        }
    }
    pk_config_print(load.config, &a, PK_CONFIG_TABLE);
    pk_config_print(plain.config, &b, PK_CONFIG_TABLE);
    /* Line by line the same name and value; origins differ. */
    const char *x = pk_buf_text(&a);
    const char *y = pk_buf_text(&b);
    while (*x && *y) {
        for (int word = 0; word < 2; word++) {
            size_t n = strcspn(x, " \n");
            assert_int_equal(n, strcspn(y, " \n"));
            assert_memory_equal(x, y, n);
            x += n;
            y += n;
            x += strspn(x, " ");
            y += strspn(y, " ");
        }
        x += strcspn(x, "\n") + 1;
        y += strcspn(y, "\n") + 1;
    }
    assert_int_equal(*x, *y);
}
