/* test_scripts.c - Calls of scripts that serve: limits, grants, quarantine, what is counted and
 * told. In real workers. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "handmade.h"
#include "script/quarantine.h"
#include "script/scripts.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DEADLINE_MS = PK_TEST_PATIENCE_MS, DAY_MS = 24 * 3600 * 1000 };

#define WALL_MS INT64_C(1700000000000)

/* Does as it is told: { spin }, { fail }, { ask, url }; else gives back its version. */
static const char worker_text[] = "local host = ...\n"
                                  "return {\n"
                                  "  map = function(input)\n"
                                  "    if input.spin then\n"
                                  "      while true do end\n"
                                  "    end\n"
                                  "    if input.fail then error('cannot go on') end\n"
                                  "    return '%s'\n"
                                  "  end,\n"
                                  "  explain = function(input)\n"
                                  "    if input.spin then while true do end end\n"
                                  "    if input.fail then error('cannot explain') end\n"
                                  "    return 'because of %s'\n"
                                  "  end,\n"
                                  "}\n";

struct house {
    struct pk_clock_fake clock;
    struct pk_log *log;
    int log_fd;
    struct pk_jail *jail;
    struct pk_scripts *scripts;
    struct handmade *one, *two;
    bool calls_canary; /* Rather than the version that serves. */
    unsigned doubts;
    char reason[256], doubted[PK_SCRIPT_VERSION];
};

static void note_doubt(void *context, const struct pk_script *script, const char *reason)
{
    struct house *house = context;
    house->doubts++;
    (void)snprintf(house->reason, sizeof(house->reason), "%s", reason);
    (void)snprintf(house->doubted, sizeof(house->doubted), "%s", script->version);
}

static struct handmade *worker(const char *version)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), worker_text, version, version);
    struct handmade *made = handmade_new(PK_SCRIPT_MAPPER, "daily", version, text);
    made->script.limits.soft_ms = 10000;
    made->script.limits.hard_ms = 20000;
    return made;
}

static void open_house(struct house *house)
{
    *house = (struct house){ .log_fd = memfd_create("log", MFD_CLOEXEC) };
    pk_clock_fake_init(&house->clock, WALL_MS);
    house->log = pk_log_new(&(struct pk_log_options){
        .fd = house->log_fd, .level = PK_LOG_INFO, .format = PK_LOG_JSON });
    house->jail = jailed_new(4);
    house->scripts = pk_scripts_new(&(struct pk_scripts_options){ .clock = &house->clock.clock,
                                                                  .log = house->log,
                                                                  .jail = house->jail,
                                                                  .doubt = note_doubt,
                                                                  .context = house });
    house->one = worker("1.0.0");
    house->two = worker("2.0.0");
}

/* Its scripts are killed soon, and what does not spin is not, unless the machine stands still. */
static void open_strict_house(struct house *house)
{
    open_house(house);
    house->one->script.limits.soft_ms = house->two->script.limits.soft_ms = 100;
    house->one->script.limits.hard_ms = house->two->script.limits.hard_ms = 300;
}

static void close_house(struct house *house)
{
    pk_scripts_free(house->scripts);
    pk_jail_free(house->jail);
    pk_log_free(house->log);
    (void)close(house->log_fd);
    handmade_free(house->one);
    handmade_free(house->two);
}

static void publish(struct house *house, struct handmade *script, struct handmade *before)
{
    const struct pk_scripts_entry entry = { .script = &script->script,
                                            .before = before ? &before->script : NULL };
    (void)pk_scripts_publish(house->scripts, &entry, 1);
}

/* One call of "daily" and how it went; ended with told_done. */
struct told {
    uint64_t person;
    const char *entry;
    pk_jail_ask ask;
    void *context;

    bool is_ok;
    struct pk_scripts_result result;
    struct pk_error err;
    char *output;                /* JSON. */
    char ran[PK_SCRIPT_VERSION]; /* The version. */
};

static void call_in(struct house *house, struct pk_generation *pinned, const char *json,
                    struct told *told)
{
    bson_error_t wrong;
    bson_t *input = bson_new_from_json((const uint8_t *)json, -1, &wrong);
    const struct pk_scripts_call call = { .entry = told->entry,
                                          .person = told->person,
                                          .input = bson_get_data(input),
                                          .input_size = input->len,
                                          .ask = told->ask,
                                          .context = told->context };
    const struct pk_script *script =
        house->calls_canary ? pk_generation_canary(pinned, PK_SCRIPT_MAPPER, "daily", NULL)
                            : pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");

    told->err = (struct pk_error){ 0 };
    told->is_ok = pk_scripts_call(house->scripts, pinned, script, &call, &told->result, &told->err);
    told->output = NULL;
    if (told->is_ok) {
        bson_t view;
        pk_jail_result_view(&told->result.jail, &view);
        told->output = bson_as_relaxed_extended_json(&view, NULL);
    }
    (void)snprintf(told->ran, sizeof(told->ran), "%s",
                   told->result.ran ? told->result.ran->version : "none");
    bson_destroy(input);
}

static void call(struct house *house, const char *json, struct told *told)
{
    struct pk_generation *pinned = pk_scripts_pin(house->scripts);
    call_in(house, pinned, json, told);
    pk_generation_unpin(pinned);
}

static void told_done(struct told *told)
{
    bson_free(told->output);
    pk_scripts_result_done(&told->result);
}

/* How a call ends: its end's name, or "unavailable". */
static const char *end_of(struct house *house, const char *json)
{
    struct told told = { 0 };
    call(house, json, &told);
    const char *end = told.err.code == PK_UNAVAILABLE && !told.result.ran
                          ? "unavailable"
                          : pk_jail_end_name(told.result.jail.end);
    told_done(&told);
    return end;
}

static void repeat(struct house *house, const char *json, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        (void)end_of(house, json);
    }
}

static size_t count_in_log(const struct house *house, const char *words)
{
    char text[65536];
    const ssize_t size = pread(house->log_fd, text, sizeof(text) - 1, 0);
    size_t count = 0;
    text[size > 0 ? size : 0] = '\0';
    for (const char *at = text; (at = strstr(at, words)); at++) {
        count++;
    }
    return count;
}

static void await_in_log(const struct house *house, const char *words, size_t count)
{
    const int64_t deadline = handmade_now_ms() + DEADLINE_MS;
    while (count_in_log(house, words) < count) {
        if (handmade_now_ms() > deadline) {
            fail_msg("'%s' is not in the log", words);
        }
        (void)sched_yield();
    }
}

/* ---- Calls ---- */

TEST(a_call_runs_the_version_that_was_pinned)
{
    struct house house;
    struct told told = { 0 };
    open_house(&house);
    publish(&house, house.one, NULL);
    struct pk_generation *pinned = pk_scripts_pin(house.scripts);
    publish(&house, house.two, house.one);

    call_in(&house, pinned, "{}", &told);
    assert_ok(told.is_ok, &told.err);
    assert_string_equal(told.output, "{ \"value\" : \"1.0.0\" }");
    assert_false(told.result.is_fallback);
    told_done(&told);
    pk_generation_unpin(pinned);
    call(&house, "{}", &told);
    assert_string_equal(told.output, "{ \"value\" : \"2.0.0\" }");
    assert_string_equal(told.ran, "2.0.0");
    told_done(&told);
    close_house(&house);
}

TEST(an_error_says_file_line_and_message)
{
    struct house house;
    struct told told = { 0 };
    open_house(&house);
    publish(&house, house.one, NULL);
    call(&house, "{\"fail\": true}", &told);
    assert_false(told.is_ok);
    assert_int_equal(told.err.code, PK_INVALID);
    assert_non_null(strstr(told.err.message, "test.lua:7: "));
    assert_non_null(strstr(told.err.message, "cannot go on"));
    assert_int_equal(told.result.jail.line, 7);
    told_done(&told);
    close_house(&house);
}

TEST(another_entry_runs_behind_the_full_library)
{
    struct house house;
    struct told told = { .entry = "explain" };
    struct handmade *full = handmade_new(PK_SCRIPT_MAPPER, "other", "1",
                                         "return { explain = function() return 'full' end }");
    open_house(&house);
    house.one->script.check = full->script.serve;
    publish(&house, house.one, NULL);
    call(&house, "{}", &told);
    assert_ok(told.is_ok, &told.err);
    assert_string_equal(told.output, "{ \"value\" : \"full\" }");
    told_done(&told);
    close_house(&house);
    handmade_free(full);
}

/* ---- Grants ---- */

static bool answer_all(void *context, const char *name, const bson_t *question, bson_t *answer,
                       struct pk_error *err)
{
    (void)question;
    (void)err;
    (*(unsigned *)context)++;
    return bson_append_utf8(answer, "value", -1, name, -1);
}

static char *ask(struct house *house, const char *question, unsigned *asked)
{
    struct told told = { .ask = answer_all, .context = asked };
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"name\": %s}", question);
    call(house, json, &told);
    char *said = pk_strdup(told.is_ok ? told.output : told.err.message);
    told_done(&told);
    return said;
}

static const char asking[] = "local pk = require 'personakit'\n"
                             "return { map = function(input)\n"
                             "  local answer, err = pk.ask(input.name[1], input.name[2])\n"
                             "  return answer or err.message\n"
                             "end }\n";

TEST(a_script_asks_only_what_it_was_granted)
{
    static char *grant[] = { "search", "http:api.example.com", NULL };
    static const struct {
        const char *question, *words;
        bool is_asked;
    } row[] = {
        { "[\"search\", {}]", "\"search\"", true },
        { "[\"store\", {}]", "'store' was not granted to mapper 'daily'", false },
        { "[\"http\", {\"url\": \"https://api.example.com/v1?q=1\"}]", "\"http\"", true },
        { "[\"http\", {\"url\": \"HTTP://API.Example.Com:8080\"}]", "\"http\"", true },
        { "[\"http\", {\"url\": \"https://example.com/\"}]", "'http:example.com' was not granted",
          false },
        { "[\"http\", {\"url\": \"https://api.example.com.evil.org/\"}]", "was not granted",
          false },
        { "[\"http\", {\"url\": \"https://api.example.com@evil.org/\"}]", "plain host name",
          false },
        { "[\"http\", {\"url\": \"https://api.example.com\\\\.evil.org/\"}]", "plain host", false },
        { "[\"http\", {\"url\": \"https://[::1]/\"}]", "plain host name", false },
        { "[\"http\", {\"url\": \"file:///etc/passwd\"}]", "plain host name", false },
        { "[\"http\", {\"url\": \"https://\"}]", "plain host name", false },
        { "[\"http\", {}]", "plain host name", false },
        { "[\"http:example.com\", {}]", "was not granted", false },
    };
    struct house house;
    open_house(&house);
    struct handmade *made = handmade_new(PK_SCRIPT_MAPPER, "daily", "3.0.0", asking);
    /* The least library that hands on host.ask. */
    static const char library[] = "local host = ... return { ask = host.ask }";
    made->script.serve.preamble = library;
    made->script.serve.preamble_size = strlen(library);
    pk_hash(made->script.serve.preamble_hash, library, strlen(library), NULL, 0);
    made->script.grant = grant;
    publish(&house, made, NULL);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        unsigned asked = 0;
        char *said = ask(&house, row[i].question, &asked);
        if (!strstr(said, row[i].words) || asked != row[i].is_asked) {
            fail_msg("%s: '%s', asked %u times", row[i].question, said, asked);
        }
        pk_free(said);
    }
    close_house(&house);
    handmade_free(made);
}

/* ---- Quarantine ---- */

TEST(a_script_that_keeps_being_killed_gives_way_to_the_version_before_it)
{
    struct house house;
    struct told told = { 0 };
    struct pk_script_stats stats;
    open_strict_house(&house);
    publish(&house, house.one, NULL);
    publish(&house, house.two, house.one);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(end_of(&house, "{\"spin\": true}"), "killed");
    }
    assert_int_equal(count_in_log(&house, "script quarantined"), 1);
    call(&house, "{}", &told);
    assert_ok(told.is_ok, &told.err);
    assert_string_equal(told.output, "{ \"value\" : \"1.0.0\" }");
    assert_true(told.result.is_fallback);
    told_done(&told);
    assert_true(pk_scripts_stats(house.scripts, &house.two->script, &stats));
    assert_true(stats.is_quarantined);
    assert_int_equal(stats.calls, 3);
    assert_int_equal(stats.end[PK_JAIL_KILLED], 3);
    assert_true(pk_scripts_stats(house.scripts, &house.one->script, &stats));
    assert_false(stats.is_quarantined);
    assert_int_equal(stats.calls, 1);

    /* When the bar is over one call is let through, and decides. */
    pk_clock_fake_advance(&house.clock, 31000);
    call(&house, "{}", &told);
    assert_string_equal(told.ran, "2.0.0");
    assert_false(told.result.is_fallback);
    told_done(&told);
    assert_int_equal(count_in_log(&house, "well again"), 1);
    assert_string_equal(end_of(&house, "{}"), "done");
    close_house(&house);
}

TEST(a_quarantined_script_without_another_is_unavailable_for_a_while)
{
    struct house house;
    struct told told = { 0 };
    open_strict_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"spin\": true}", 3);
    call(&house, "{}", &told);
    assert_false(told.is_ok);
    assert_int_equal(told.err.code, PK_UNAVAILABLE);
    assert_non_null(strstr(told.err.message, "mapper 'daily' had to be killed too often"));
    assert_in_range(told.result.retry_ms, 29000, 30000);
    assert_null(told.result.ran);
    told_done(&told);

    /* Killed on trial: twice as long. */
    pk_clock_fake_advance(&house.clock, 30001);
    assert_string_equal(end_of(&house, "{\"spin\": true}"), "killed");
    call(&house, "{}", &told);
    assert_in_range(told.result.retry_ms, 59000, 60000);
    told_done(&told);

    assert_true(pk_scripts_lift(house.scripts, house.one->bundle->hash));
    assert_string_equal(end_of(&house, "{}"), "done");
    assert_false(pk_scripts_lift(house.scripts, house.one->bundle->hash));
    close_house(&house);
}

TEST(both_versions_may_be_quarantined)
{
    struct house house;
    open_strict_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"spin\": true}", 3);
    publish(&house, house.two, house.one);
    assert_string_equal(end_of(&house, "{}"), "done");
    repeat(&house, "{\"spin\": true}", 3);
    assert_string_equal(end_of(&house, "{}"), "unavailable");
    close_house(&house);
}

TEST(a_changed_script_starts_clean)
{
    struct house house;
    open_strict_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"spin\": true}", 3);
    assert_string_equal(end_of(&house, "{}"), "unavailable");
    publish(&house, house.two, NULL);
    assert_string_equal(end_of(&house, "{}"), "done");
    close_house(&house);
}

TEST(errors_do_not_quarantine)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"fail\": true}", 10);
    assert_string_equal(end_of(&house, "{}"), "done");
    close_house(&house);
}

TEST(a_killed_call_is_repeated_once_to_learn_its_line)
{
    struct house house;
    struct pk_script_stats stats;
    open_strict_house(&house);
    publish(&house, house.one, NULL);
    assert_string_equal(end_of(&house, "{\"spin\": true}"), "killed");
    await_in_log(&house, "was repeated: it was here", 1);
    assert_int_equal(count_in_log(&house, "\"line\":5"), 1);
    assert_true(pk_scripts_stats(house.scripts, &house.one->script, &stats));
    assert_non_null(strstr(stats.failure, "test.lua:5: "));

    /* Another kill of the same content says nothing new; of another content, it does. */
    assert_string_equal(end_of(&house, "{\"spin\": true}"), "killed");
    publish(&house, house.two, house.one);
    assert_string_equal(end_of(&house, "{\"spin\": true}"), "killed");
    /* One after the other: when this one is told, all before it are. */
    await_in_log(&house, "it was here\",\"kind\":\"mapper\",\"id\":\"daily\",\"version\":\"2.0.0\"",
                 1);
    assert_int_equal(count_in_log(&house, "was repeated: it was here"), 2);
    close_house(&house);
}

TEST(a_repeat_hears_the_answers_of_the_call)
{
    static char *grant[] = { "search", NULL };
    static const char library[] = "local host = ... return { ask = host.ask }";
    struct house house;
    unsigned asked = 0;
    struct told told = { .ask = answer_all, .context = &asked };
    open_house(&house);
    struct handmade *made = handmade_new(PK_SCRIPT_MAPPER, "daily", "3.0.0",
                                         "local pk = require 'personakit'\n"
                                         "return { map = function()\n"
                                         "  if pk.ask('search', {}) == 'search' then\n"
                                         "    while true do end\n"
                                         "  end\n"
                                         "  return 1\n"
                                         "end }\n");
    made->script.serve.preamble = library;
    made->script.serve.preamble_size = strlen(library);
    pk_hash(made->script.serve.preamble_hash, library, strlen(library), NULL, 0);
    made->script.grant = grant;
    made->script.limits.soft_ms = 100;
    made->script.limits.hard_ms = 400;
    publish(&house, made, NULL);
    call(&house, "{}", &told);
    assert_int_equal(told.result.jail.end, PK_JAIL_KILLED);
    told_done(&told);
    await_in_log(&house, "was repeated: it was here", 1);
    assert_int_equal(count_in_log(&house, "\"line\":4"), 1);
    assert_int_equal(asked, 1); /* Whoever asked is long gone. */
    close_house(&house);
    handmade_free(made);
}

/* ---- Counting and telling ---- */

TEST(calls_are_counted_by_version_and_end)
{
    struct house house;
    struct pk_script_stats stats;
    struct told told = { .entry = "explain" };
    open_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{}", 7);
    repeat(&house, "{\"fail\": true}", 3);
    call(&house, "{\"fail\": true}", &told); /* An explanation is no call. */
    told_done(&told);
    assert_true(pk_scripts_stats(house.scripts, &house.one->script, &stats));
    assert_int_equal(stats.calls, 10);
    assert_int_equal(stats.failures, 3);
    assert_int_equal(stats.end[PK_JAIL_DONE], 7);
    assert_int_equal(stats.end[PK_JAIL_ERROR], 3);
    assert_in_range(stats.mean_ns, 1000, PK_TEST_PATIENCE_MS * INT64_C(1000000));
    assert_true(stats.p99_ns >= stats.mean_ns * 7 / 8);
    assert_int_equal(stats.since_ms, WALL_MS);
    assert_int_equal(stats.failed_ms, WALL_MS);
    assert_non_null(strstr(stats.failure, "cannot explain"));

    publish(&house, house.one, NULL); /* The same again: its counts stay. */
    assert_true(pk_scripts_stats(house.scripts, &house.one->script, &stats));
    assert_int_equal(stats.calls, 10);
    publish(&house, house.two, house.one);
    assert_true(pk_scripts_stats(house.scripts, &house.one->script, &stats));
    assert_int_equal(stats.calls, 10);
    assert_true(pk_scripts_stats(house.scripts, &house.two->script, &stats));
    assert_int_equal(stats.calls, 0);
    close_house(&house);
}

TEST(failures_are_logged_at_a_measured_pace)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"fail\": true}", 50);
    assert_int_equal(count_in_log(&house, "\"script failed\""), 1);
    assert_int_equal(count_in_log(&house, "\"unsaid\":0"), 1);
    pk_clock_fake_advance(&house.clock, 10001);
    repeat(&house, "{\"fail\": true}", 2);
    assert_int_equal(count_in_log(&house, "\"script failed\""), 2);
    assert_int_equal(count_in_log(&house, "\"unsaid\":49"), 1);
    close_house(&house);
}

TEST(a_young_version_that_fails_more_than_the_one_before_is_doubted_once)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{}", 20);
    publish(&house, house.two, house.one);
    repeat(&house, "{\"fail\": true}", 5);
    repeat(&house, "{}", 14);
    assert_int_equal(house.doubts, 0); /* 19 calls are too few. */
    repeat(&house, "{}", 1);
    assert_int_equal(house.doubts, 1);
    assert_string_equal(house.doubted, "2.0.0");
    assert_non_null(strstr(house.reason, "5 of its first 20 calls failed"));
    assert_non_null(strstr(house.reason, "(0 of 20)"));
    repeat(&house, "{\"fail\": true}", 5);
    publish(&house, house.one, NULL);
    publish(&house, house.two, house.one);
    repeat(&house, "{\"fail\": true}", 20);
    assert_int_equal(house.doubts, 1); /* Once per content, ... */
    assert_true(pk_scripts_lift(house.scripts, house.two->bundle->hash));
    repeat(&house, "{\"fail\": true}", 1);
    assert_int_equal(house.doubts, 2); /* ... until an operator lifts it. */
    close_house(&house);
}

static void repeat_for(struct house *house, uint64_t person, const char *json, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct told told = { .person = person };
        call(house, json, &told);
        told_done(&told);
    }
}

TEST(data_of_one_person_alone_is_no_doubt_while_others_are_served)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    publish(&house, house.two, house.one);
    repeat_for(&house, 7, "{\"fail\": true}", 15);
    repeat_for(&house, 8, "{}", 10);
    assert_int_equal(house.doubts, 0);
    repeat_for(&house, 8, "{\"fail\": true}", 1);
    assert_int_equal(house.doubts, 1);
    close_house(&house);
}

TEST(the_only_person_there_is_may_cause_doubt)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    publish(&house, house.two, house.one);
    repeat_for(&house, 7, "{}", 15);
    repeat_for(&house, 7, "{\"fail\": true}", 5);
    assert_int_equal(house.doubts, 1);
    close_house(&house);
}

TEST(four_failures_are_no_doubt)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    publish(&house, house.two, house.one);
    repeat(&house, "{\"fail\": true}", 4);
    repeat(&house, "{}", 16);
    assert_int_equal(house.doubts, 0);
    close_house(&house);
}

TEST(a_version_no_worse_than_twice_the_one_before_is_not_doubted)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"fail\": true}", 5);
    repeat(&house, "{}", 15);
    publish(&house, house.two, house.one);
    repeat(&house, "{}", 10);
    repeat(&house, "{\"fail\": true}", 10);
    assert_int_equal(house.doubts, 0);
    repeat(&house, "{\"fail\": true}", 1);
    assert_int_equal(house.doubts, 1); /* 11 of 21 against 5 of 20. */
    close_house(&house);
}

TEST(without_a_version_before_it_none_is_doubted)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    repeat(&house, "{\"fail\": true}", 25); /* Nothing to go back to. */
    assert_int_equal(house.doubts, 0);
    close_house(&house);
}

TEST(a_version_is_watched_for_a_minute)
{
    struct house house;
    open_house(&house);
    publish(&house, house.one, NULL);
    publish(&house, house.two, house.one);
    pk_clock_fake_advance(&house.clock, 60001);
    repeat(&house, "{\"fail\": true}", 25);
    assert_int_equal(house.doubts, 0);
    close_house(&house);
}

TEST(a_version_that_served_before_the_start_is_not_watched_anew)
{
    struct house house;
    open_house(&house);
    const struct pk_scripts_entry old = { .script = &house.two->script,
                                          .before = &house.one->script,
                                          .since_ms = WALL_MS - DAY_MS };
    (void)pk_scripts_publish(house.scripts, &old, 1);
    repeat(&house, "{\"fail\": true}", 25);
    assert_int_equal(house.doubts, 0);
    close_house(&house);
}

/* ---- Canaries ---- */

/* One serves, two is tried; calls are of the latter. */
static void try_two(struct house *house, double share)
{
    const struct pk_scripts_entry entry = { .script = &house->one->script,
                                            .before = &house->two->script,
                                            .canary = &house->two->script,
                                            .canary_share = share };
    (void)pk_scripts_publish(house->scripts, &entry, 1);
    house->calls_canary = true;
}

static uint64_t calls_of(struct house *house, struct handmade *made)
{
    struct pk_script_stats stats;
    return pk_scripts_stats(house->scripts, &made->script, &stats) ? stats.calls : 99;
}

TEST(a_canary_has_counts_of_its_own_until_it_ends)
{
    struct house house;
    open_house(&house);
    try_two(&house, 0.1);
    repeat(&house, "{}", 3);
    try_two(&house, 0.2);
    repeat(&house, "{}", 2);
    assert_int_equal(calls_of(&house, house.two), 5);
    publish(&house, house.one, NULL);
    try_two(&house, 0.2);
    assert_int_equal(calls_of(&house, house.two), 0);
    close_house(&house);
}

TEST(a_canary_is_doubted_as_long_as_it_is_one_when_it_fails_more_than_the_version_beside_it)
{
    struct house house;
    open_house(&house);
    try_two(&house, 0.1);
    pk_clock_fake_advance(&house.clock, 24 * 3600 * 1000);
    house.calls_canary = false;
    repeat(&house, "{\"fail\": true}", 5); /* One of four, ... */
    repeat(&house, "{}", 15);
    house.calls_canary = true;
    repeat(&house, "{}", 20);
    repeat(&house, "{\"fail\": true}", 20); /* ... of which one of two is not over twice as many. */
    assert_int_equal(house.doubts, 0);
    repeat(&house, "{\"fail\": true}", 1);
    assert_int_equal(house.doubts, 1);
    assert_string_equal(house.doubted, "2.0.0");
    assert_string_equal(house.reason, "21 of its first 41 calls failed, over twice the rate of the "
                                      "version beside it (5 of 20)");
    close_house(&house);
}

TEST(a_few_failures_among_the_many_calls_of_an_old_canary_are_no_doubt)
{
    struct house house;
    open_house(&house);
    try_two(&house, 0.1);
    pk_clock_fake_advance(&house.clock, 60001);
    repeat(&house, "{}", 180);
    repeat(&house, "{\"fail\": true}", 9);
    assert_int_equal(house.doubts, 0);
    repeat(&house, "{\"fail\": true}", 1); /* One of twenty, more or less. */
    assert_int_equal(house.doubts, 1);
    close_house(&house);
}

TEST(a_canary_in_quarantine_is_stood_in_for_by_nobody)
{
    struct house house;
    open_strict_house(&house);
    try_two(&house, 0.1);
    for (int i = 0; strcmp(end_of(&house, "{\"spin\": true}"), "unavailable") != 0; i++) {
        assert_true(i < 30); /* A call that ends softly counts for nothing. */
    }
    house.calls_canary = false;
    assert_string_equal(end_of(&house, "{}"), "done");
    close_house(&house);
}

/* ---- Under load ---- */

struct caller {
    struct house *house;
    _Atomic bool *is_over;
    _Atomic unsigned calls, failures, torn;
};

static void *call_on(void *context)
{
    struct caller *caller = context;
    while (!*caller->is_over) {
        struct told told = { 0 };
        struct pk_generation *pinned = pk_scripts_pin(caller->house->scripts);
        char expected[PK_SCRIPT_VERSION + 32];
        const struct pk_script *script = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");
        (void)snprintf(expected, sizeof(expected), "{ \"value\" : \"%s\" }", script->version);
        call_in(caller->house, pinned, "{}", &told);
        /* Four workers for eight callers: one may have to wait too long on a busy machine. */
        caller->failures += !told.is_ok && told.err.code != PK_BUSY;
        caller->torn += told.is_ok && strcmp(told.output, expected) != 0;
        caller->calls++;
        told_done(&told);
        pk_generation_unpin(pinned);
    }
    return NULL;
}

TEST(no_call_notices_a_reload)
{
    struct house house;
    _Atomic bool is_over = false;
    pthread_t thread[8];
    open_house(&house);
    house.one->script.limits.hard_ms = house.two->script.limits.hard_ms = 10000;
    house.one->script.limits.soft_ms = house.two->script.limits.soft_ms = 9000;
    struct caller caller = { .house = &house, .is_over = &is_over };
    publish(&house, house.one, NULL);
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, call_on, &caller), 0);
    }
    const int64_t deadline = handmade_now_ms() + DEADLINE_MS;
    for (unsigned i = 0; (i < 200 || caller.calls < 100) && handmade_now_ms() < deadline; i++) {
        publish(&house, i % 2 ? house.one : house.two, i % 2 ? house.two : house.one);
    }
    is_over = true;
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_int_equal(caller.failures, 0);
    assert_int_equal(caller.torn, 0);
    assert_true(caller.calls >= 100);
    struct pk_generation_info info[2];
    assert_int_equal(pk_scripts_generations(house.scripts, info, 2), 1);
    assert_int_equal(info[0].calls, 0);
    close_house(&house);
}
