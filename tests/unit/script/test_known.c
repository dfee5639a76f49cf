/* test_known.c - What was found good is not tried again by the same program, and nothing else is
 * believed. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/file.h"
#include "jailed.h"
#include "script/loader.h"
#include "script/sign.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] = "local pk = require \"personakit\"\n"
                           "return pk.mapper {\n"
                           "  id = \"daily\", version = \"1.2.0\", requires = { \"a.b\" },\n"
                           "  limits = { soft_ms = 1000, hard_ms = 4000 },\n"
                           "  rules = { pk.rule { id = \"lark\", suggest = \"Start early\",\n"
                           "    when = pk.trait(\"a.b\"):is(\"morning\") } },\n"
                           "  core = function(m) return { style = m[\"a.b\"] } end,\n"
                           "  examples = { { given = { [\"a.b\"] = \"morning\" },\n"
                           "    expect = { fired = { \"lark\" } } } },\n"
                           "}\n";

/* A server's loader, from start to stop. */
struct house {
    struct pk_jail *jail;
    struct pk_loader *loader;
    struct pk_bundle *bundle;
    struct pk_script *script;
    struct pk_report report;
    struct pk_error err;
    uint64_t calls; /* That the jail ran for it. */
    bool is_ok;
};

static uint64_t calls_of(struct pk_jail *jail)
{
    struct pk_jail_stats stats;
    pk_jail_stats(jail, &stats);
    return stats.calls;
}

static void take_with(struct house *house, const struct pk_loader_options *options,
                      const char *text)
{
    struct pk_loader_options own = *options;
    *house = (struct house){ .jail = jailed_new(1) };
    own.jail = house->jail;
    house->loader = pk_loader_new(&own);
    assert_ok(pk_bundle_of_text("daily.lua", text, strlen(text), &house->bundle, &house->err),
              &house->err);
    house->is_ok = pk_loader_take_again(house->loader, house->bundle, PK_SCRIPT_ANY, &house->script,
                                        &house->report, &house->err);
    house->calls = calls_of(house->jail);
}

static void take(struct house *house, const char *folder, const char *text)
{
    take_with(house, &(struct pk_loader_options){ .known_folder = folder }, text);
}

static void house_done(struct house *house)
{
    pk_script_unref(house->script);
    pk_report_done(&house->report);
    pk_bundle_unref(house->bundle);
    pk_loader_free(house->loader);
    pk_jail_free(house->jail);
}

/* What a start costs in calls of the jail. */
static uint64_t cost(const char *folder, const char *text)
{
    struct house house;
    take(&house, folder, text);
    assert_ok(house.is_ok, &house.err);
    const uint64_t calls = house.calls;
    house_done(&house);
    return calls;
}

static char *new_folder(const char *name)
{
    return pk_strdupf("%s/%s", pk_test_folder(), name);
}

/* The one entry of a folder. */
static char *only_one(const char *path)
{
    char *found = NULL;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            assert_null(found);
            found = pk_strdupf("%s/%s", path, entry->d_name);
        }
    }
    (void)closedir(folder);
    return found;
}

static void expect_map(struct house *house)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    bson_t *input = BCON_NEW("mindscape", "{", "traits", "[", "{", "id", BCON_UTF8("a.b"), "value",
                             BCON_UTF8("morning"), "confidence", BCON_DOUBLE(0.9), "}", "]", "}",
                             "now", BCON_DATE_TIME(1768478400000), "detail", BCON_UTF8("instant"));
    const struct pk_jail_call call = { .script = &house->script->serve,
                                       .entry = house->script->entry,
                                       .input = bson_get_data(input),
                                       .input_size = input->len };
    bson_t view;
    assert_ok(pk_jail_call(house->jail, &call, &result, &house->err), &house->err);
    pk_jail_result_view(&result, &view);
    char *json = bson_as_relaxed_extended_json(&view, NULL);
    assert_non_null(strstr(json, "Start early"));
    bson_free(json);
    bson_destroy(input);
}

TEST(what_was_found_good_serves_without_being_run_again)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("again");
    struct house first, second;
    struct stat info;
    take(&first, folder, good);
    assert_ok(first.is_ok, &first.err);
    assert_true(first.calls >= 2);
    assert_int_equal(first.report.example_count, 1);
    take(&second, folder, good);
    assert_ok(second.is_ok, &second.err);
    assert_int_equal(second.calls, 0);
    assert_string_equal(second.script->id, "daily");
    assert_string_equal(second.script->version, "1.2.0");
    assert_int_equal(second.script->kind, PK_SCRIPT_MAPPER);
    assert_int_equal(second.script->examples, 1);
    assert_true(bson_equal(&first.script->manifest, &second.script->manifest));
    assert_true(bson_equal(&first.script->rules, &second.script->rules));
    assert_memory_equal(first.script->serve.preamble_hash, second.script->serve.preamble_hash,
                        PK_JAIL_HASH);
    expect_map(&second);
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    house_done(&first);
    house_done(&second);
}

TEST(a_script_that_was_refused_is_refused_again)
{
    static const char bad[] = "return require(\"personakit\").mapper { id = \"daily\",\n"
                              "  core = function() return { a = 1 } end,\n"
                              "  examples = { { given = {}, expect = { core = { a = 2 } } } } }\n";
    PK_CLEANUP(pk_freep) char *folder = new_folder("bad");
    for (int i = 0; i < 2; i++) {
        struct house house;
        take(&house, folder, bad);
        assert_false(house.is_ok);
        assert_true(house.calls >= 2);
        house_done(&house);
    }
}

TEST(an_upload_is_tried_whatever_is_known_of_it)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("upload");
    struct pk_report report = { 0 };
    struct pk_script *script = NULL;
    struct house house;
    (void)cost(folder, good);
    take(&house, folder, good);
    assert_int_equal(house.calls, 0);
    assert_ok(
        pk_loader_take(house.loader, house.bundle, PK_SCRIPT_ANY, &script, &report, &house.err),
        &house.err);
    assert_true(calls_of(house.jail) >= 2);
    assert_int_equal(report.example_count, 1);
    pk_script_unref(script);
    pk_report_done(&report);
    house_done(&house);
}

/* Every way in which a file can be wrong costs a trial and no more, and heals. */
TEST(what_is_damaged_is_tried_again)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("damaged");
    const uint64_t whole = cost(folder, good);
    PK_CLEANUP(pk_freep) char *program = only_one(folder);
    PK_CLEANUP(pk_freep) char *file = only_one(program);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_file_read(&text, file, 1 << 20, &err), &err);
    for (size_t at = 0; at < text.size; at += 1 + text.size / 29) {
        text.data[at] = (char)(text.data[at] ^ 4);
        assert_ok(pk_file_write(file, text.data, text.size, 0600, &err), &err);
        text.data[at] = (char)(text.data[at] ^ 4);
        assert_int_equal(cost(folder, good), whole);
        assert_int_equal(cost(folder, good), 0);
    }
    for (size_t size = 0; size < text.size; size += 1 + text.size / 13) {
        assert_ok(pk_file_write(file, text.data, size, 0600, &err), &err);
        assert_int_equal(cost(folder, good), whole);
    }
    assert_int_equal(cost(folder, good), 0);
}

TEST(what_is_known_of_one_content_says_nothing_of_another)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("other");
    PK_CLEANUP(pk_freep) char *text = pk_strdupf("%s-- more\n", good);
    const uint64_t whole = cost(folder, good);
    PK_CLEANUP(pk_freep) char *program = only_one(folder);
    PK_CLEANUP(pk_freep) char *file = only_one(program);
    struct house house;
    take(&house, folder, text);
    assert_int_equal(house.calls, whole);
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", program, house.bundle->hash_text);
    house_done(&house);
    assert_int_equal(rename(file, path), 0); /* As if it were the other's. */
    assert_int_equal(cost(folder, text), whole);
}

TEST(another_program_or_other_limits_try_anew_and_leave_nothing_of_the_old_ones)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("limits");
    const uint64_t whole = cost(folder, good);
    PK_CLEANUP(pk_freep) char *before = only_one(folder);
    struct house house;
    take_with(&house,
              &(struct pk_loader_options){ .known_folder = folder, .limits_max.soft_ms = 1500 },
              good);
    assert_ok(house.is_ok, &house.err);
    assert_int_equal(house.calls, whole);
    house_done(&house);
    PK_CLEANUP(pk_freep) char *after = only_one(folder);
    assert_string_not_equal(before, after);
}

TEST(where_signatures_are_required_nothing_is_kept)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("signed");
    struct pk_sign_pair pair = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf pair_text = { 0 };
    struct stat info;
    struct house house;
    (void)cost(folder, good); /* Even what was kept before is not believed. */
    pk_sign_pair_new(&pair, &pair_text);
    take_with(&house,
              &(struct pk_loader_options){ .known_folder = folder,
                                           .require_signature = true,
                                           .trusted = (const uint8_t(*)[32]) & pair.key,
                                           .trusted_count = 1 },
              good);
    assert_false(house.is_ok);
    pk_sign_bundle(house.bundle, &pair);
    struct pk_report report = { 0 };
    assert_ok(pk_loader_take_again(house.loader, house.bundle, PK_SCRIPT_ANY, &house.script,
                                   &report, &house.err),
              &house.err);
    assert_true(calls_of(house.jail) >= 2);
    pk_report_done(&report);
    house_done(&house);
    PK_CLEANUP(pk_freep) char *other = new_folder("signed-fresh");
    take_with(&house,
              &(struct pk_loader_options){ .known_folder = other, .require_signature = true },
              good);
    assert_int_not_equal(stat(other, &info), 0);
    house_done(&house);
    pk_sign_pair_done(&pair);
}

TEST(a_folder_that_cannot_be_written_is_no_failure)
{
    PK_CLEANUP(pk_freep) char *path = new_folder("a-file");
    struct pk_error err = { 0 };
    assert_ok(pk_file_write(path, "x", 1, 0600, &err), &err);
    const uint64_t whole = cost(path, good);
    assert_true(whole >= 2);
    assert_int_equal(cost(path, good), whole);
}

TEST(only_what_is_ours_is_removed)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("links");
    PK_CLEANUP(pk_freep) char *elsewhere = new_folder("elsewhere");
    PK_CLEANUP(pk_freep) char *file = pk_strdupf("%s/precious", elsewhere);
    PK_CLEANUP(pk_freep) char *inside = pk_strdupf("%s/old", folder);
    struct pk_error err = { 0 };
    assert_ok(pk_folder_make(elsewhere, 0700, &err) && pk_folder_make(folder, 0700, &err), &err);
    assert_ok(pk_file_write(file, "x", 1, 0600, &err), &err);
    assert_int_equal(symlink(elsewhere, inside), 0);
    (void)cost(folder, good);
    assert_int_equal(access(file, F_OK), 0);
}

static size_t entries(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

TEST(the_oldest_go_and_so_does_what_is_half_written)
{
    PK_CLEANUP(pk_freep) char *folder = new_folder("many");
    (void)cost(folder, good);
    PK_CLEANUP(pk_freep) char *program = only_one(folder);
    PK_CLEANUP(pk_freep) char *file = only_one(program);
    PK_CLEANUP(pk_freep) char *half = pk_strdupf("%s-7", file);
    assert_int_equal(link(file, half), 0);
    for (int i = 0; i < 600; i++) {
        const struct timespec old[2] = { { .tv_sec = 1000000 + i }, { .tv_sec = 1000000 + i } };
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%064x", program, i);
        FILE *empty = fopen(path, "we");
        assert_non_null(empty);
        assert_int_equal(futimens(fileno(empty), old), 0);
        assert_int_equal(fclose(empty), 0);
    }
    assert_int_equal(cost(folder, good), 0);
    assert_int_equal(entries(program), 512);
    assert_int_not_equal(access(half, F_OK), 0);
    PK_CLEANUP(pk_freep) char *oldest = pk_strdupf("%s/%064x", program, 88);
    PK_CLEANUP(pk_freep) char *kept = pk_strdupf("%s/%064x", program, 89);
    assert_int_not_equal(access(oldest, F_OK), 0);
    assert_int_equal(access(kept, F_OK), 0);
}
