/* test_bundle.c - Scripts as they are handed in: read, checked, hashed; and every refusal. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "script/bundle.h"
#include "test.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Between two looks ---- */

static _Thread_local void (*before_read)(int fd);
static _Thread_local size_t reads;

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);

ssize_t __wrap_read(int fd, void *data, size_t size)
{
    reads++;
    if (before_read) {
        before_read(fd);
    }
    return __real_read(fd, data, size);
}

/* ---- Files ---- */

static char *path_of(const char *name)
{
    static const char *folder; /* One for all cases: each has names of its own. */
    folder = folder ? folder : pk_test_folder();
    return pk_strdupf("%s/%s", folder, name);
}

static void write_file(const char *name, const void *data, size_t size)
{
    PK_CLEANUP(pk_freep) char *path = path_of(name);
    (void)unlink(path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    (void)fchmod(fd, 0600);
    (void)close(fd);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

static void make_folder(const char *name)
{
    PK_CLEANUP(pk_freep) char *path = path_of(name);
    (void)mkdir(path, 0700);
    (void)chmod(path, 0700);
}

static struct pk_bundle *read_good(const char *name)
{
    PK_CLEANUP(pk_freep) char *path = path_of(name);
    struct pk_bundle *bundle = NULL;
    struct pk_error err = { 0 };
    assert_ok(pk_bundle_read(path, &bundle, &err), &err);
    return bundle;
}

static void refuses_path(const char *path, enum pk_code code, const char *words)
{
    struct pk_bundle *bundle = NULL;
    struct pk_error err = { 0 };
    assert_false(pk_bundle_read(path, &bundle, &err));
    assert_null(bundle);
    if (!strstr(err.message, words) || err.code != code) {
        fail_msg("'%s' (%s) does not say '%s' (%s)", err.message, pk_code_name(err.code), words,
                 pk_code_name(code));
    }
    assert_non_null(err.hint);
}

static void refuses(const char *name, enum pk_code code, const char *words)
{
    PK_CLEANUP(pk_freep) char *path = path_of(name);
    refuses_path(path, code, words);
}

/* ---- Reading ---- */

TEST(a_file_is_a_bundle_of_one)
{
    write_text("daily.lua", "return 1\n");
    struct pk_bundle *bundle = read_good("daily.lua");
    assert_int_equal(bundle->format, PK_BUNDLE_LUA);
    assert_int_equal(bundle->count, 1);
    assert_string_equal(bundle->file[0].name, "daily.lua");
    assert_string_equal(bundle->file[0].text, "return 1\n");
    assert_int_equal(bundle->file[0].size, 9);
    assert_int_equal(strlen(bundle->hash_text), 64);
    assert_false(bundle->signature.is_there);
    pk_bundle_unref(bundle);
}

TEST(a_json_file_holds_rules)
{
    write_text("rules.json", "{}\n");
    struct pk_bundle *bundle = read_good("rules.json");
    assert_int_equal(bundle->format, PK_BUNDLE_RULES);
    pk_bundle_unref(bundle);
}

TEST(a_folder_is_its_modules_in_order)
{
    make_folder("many");
    write_text("many/zebra.lua", "return 2\n");
    write_text("many/init.lua", "return 1\n");
    write_text("many/ant_1.lua", "return 3\n");
    write_text("many/README.md", "words");
    write_text("many/zebra_spec.lua", "tests");
    write_text("many/spec.lua", "tests");
    write_text("many/.hidden.lua", "x");
    write_text("many/#init.lua#", "x");
    write_text("many/init.lua~", "x");
    write_text("many/.init.lua.swp", "x");
    write_text("many/notes.txt", "x");
    make_folder("many/data");
    struct pk_bundle *bundle = read_good("many/");
    assert_int_equal(bundle->count, 3);
    assert_string_equal(bundle->file[0].name, "ant_1.lua");
    assert_string_equal(bundle->file[1].name, "init.lua");
    assert_string_equal(bundle->file[2].name, "zebra.lua");
    assert_int_equal(bundle->main, 1);
    pk_bundle_unref(bundle);
}

TEST(a_byte_order_mark_changes_nothing)
{
    struct pk_bundle *with = NULL, *without = NULL;
    struct pk_error err = { 0 };
    assert_true(pk_bundle_of_text("a.lua", "\xef\xbb\xbfreturn 1", 11, &with, &err));
    assert_true(pk_bundle_of_text("a.lua", "return 1", 8, &without, &err));
    assert_string_equal(with->hash_text, without->hash_text);
    pk_bundle_unref(with);
    pk_bundle_unref(without);
}

TEST(a_single_file_is_known_by_its_text_alone)
{
    static const struct {
        const char *name, *text;
        bool is_new; /* Unlike all before it. */
    } row[] = { { "a.lua", "return 1", true },     { "b.lua", "return 1", false },
                { "init.lua", "return 1", false }, { "a.lua", "return 2", true },
                { "a.json", "return 1", true },    { "init.json", "return 1", false },
                { "a.lua", "return 11", true } };
    char seen[PK_COUNT(row)][PK_HASH_TEXT];
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_bundle *bundle = NULL;
        bool is_new = true;
        assert_true(
            pk_bundle_of_text(row[i].name, row[i].text, strlen(row[i].text), &bundle, NULL));
        memcpy(seen[i], bundle->hash_text, PK_HASH_TEXT);
        for (size_t k = 0; k < i; k++) {
            is_new = is_new && strcmp(seen[k], seen[i]) != 0;
        }
        assert_int_equal(is_new, row[i].is_new);
        assert_string_equal(bundle->file[0].name, row[i].name); /* It is called so all the same. */
        pk_bundle_unref(bundle);
    }
}

TEST(the_hash_of_a_folder_tells_names_texts_and_their_borders_apart)
{
    static const struct {
        const char *name, *text;
    } row[] = { { "a.lua", "bc" }, { "ab.lua", "c" }, { "a.lua", "bd" }, { "b.lua", "bc" } };
    char seen[PK_COUNT(row) + 1][PK_HASH_TEXT];
    struct pk_bundle *alone = NULL;
    assert_true(pk_bundle_of_text("init.lua", "x", 1, &alone, NULL));
    memcpy(seen[PK_COUNT(row)], alone->hash_text, PK_HASH_TEXT);
    pk_bundle_unref(alone);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(pk_freep) char *folder = pk_strdupf("hash%zu", i);
        PK_CLEANUP(pk_freep) char *init = pk_strdupf("%s/init.lua", folder);
        PK_CLEANUP(pk_freep) char *other = pk_strdupf("%s/%s", folder, row[i].name);
        make_folder(folder);
        write_text(init, "x");
        write_text(other, row[i].text);
        struct pk_bundle *bundle = read_good(folder);
        memcpy(seen[i], bundle->hash_text, PK_HASH_TEXT);
        assert_string_not_equal(seen[PK_COUNT(row)], seen[i]);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(seen[k], seen[i]);
        }
        pk_bundle_unref(bundle);
    }
}

TEST(a_folder_read_in_any_order_has_one_hash)
{
    make_folder("one");
    make_folder("two");
    write_text("one/init.lua", "return 1");
    write_text("one/b.lua", "return 2");
    write_text("two/b.lua", "return 2");
    write_text("two/init.lua", "return 1");
    struct pk_bundle *one = read_good("one"), *two = read_good("two");
    assert_string_equal(one->hash_text, two->hash_text);
    pk_bundle_unref(one);
    pk_bundle_unref(two);
}

/* ---- Refusals ---- */

TEST(what_is_not_there_is_refused)
{
    refuses("none.lua", PK_NOT_FOUND, "is not there");
    refuses("none/none.lua", PK_NOT_FOUND, "is not there");
    write_text("file.lua", "return 1");
    refuses("file.lua/x.lua", PK_NOT_FOUND, "is no folder");
}

TEST(an_empty_file_is_refused)
{
    write_text("empty.lua", "");
    refuses("empty.lua", PK_INVALID, "is empty");
    write_text("blank.lua", " \n\t\r\n");
    refuses("blank.lua", PK_INVALID, "is empty");
    make_folder("half");
    write_text("half/init.lua", "return 1");
    write_text("half/other.lua", "");
    refuses("half", PK_INVALID, "other.lua' is empty");
}

TEST(a_symbolic_link_is_refused_wherever_it_points)
{
    PK_CLEANUP(pk_freep) char *link = path_of("link.lua");
    PK_CLEANUP(pk_freep) char *folder_link = path_of("folder_link");
    PK_CLEANUP(pk_freep) char *slash = path_of("folder_link/");
    PK_CLEANUP(pk_freep) char *inner = path_of("linked/other.lua");
    PK_CLEANUP(pk_freep) char *target = path_of("target.lua");
    PK_CLEANUP(pk_freep) char *linked = path_of("linked");
    write_text("target.lua", "return 1");
    make_folder("linked");
    write_text("linked/init.lua", "return 1");
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(symlink(linked, folder_link), 0);
    assert_int_equal(symlink("/etc/passwd", inner), 0);
    refuses("link.lua", PK_INVALID, "is a symbolic link");
    refuses("folder_link", PK_INVALID, "is a symbolic link");
    refuses_path(slash, PK_INVALID, "is a symbolic link");
    refuses("linked", PK_INVALID, "other.lua' is a symbolic link");
}

TEST(what_others_may_write_is_refused)
{
    PK_CLEANUP(pk_freep) char *path = path_of("open.lua");
    PK_CLEANUP(pk_freep) char *folder = path_of("open");
    write_text("open.lua", "return 1");
    assert_int_equal(chmod(path, 0602), 0);
    refuses("open.lua", PK_FORBIDDEN, "may be written by everybody");
    make_folder("open");
    write_text("open/init.lua", "return 1");
    assert_int_equal(chmod(folder, 0703), 0);
    refuses("open", PK_FORBIDDEN, "may be written by everybody");
    (void)chmod(folder, 0700);
    if (geteuid() == 0) {
        const struct group *group = getgrnam("daemon");
        assert_non_null(group);
        assert_int_equal(chown(path, 0, group->gr_gid), 0);
        assert_int_equal(chmod(path, 0660), 0);
        refuses("open.lua", PK_FORBIDDEN, "may be written by its group");
    }
}

TEST(what_the_owners_own_group_may_write_is_taken)
{
    PK_CLEANUP(pk_freep) char *path = path_of("own.lua");
    if (geteuid() != 0) {
        SKIP("only root has a group of this shape everywhere");
    }
    write_text("own.lua", "return 1");
    assert_int_equal(chmod(path, 0664), 0);
    pk_bundle_unref(read_good("own.lua"));
}

TEST(a_folder_in_place_of_a_file_is_refused)
{
    make_folder("dir.lua");
    refuses("dir.lua", PK_INVALID, "is a folder, not a file");
    make_folder("inner");
    write_text("inner/init.lua", "return 1");
    make_folder("inner/sub.lua");
    refuses("inner", PK_INVALID, "sub.lua' is a folder");
    make_folder("bare");
    refuses("bare", PK_INVALID, "has no 'init.lua'");
    write_text("bare/other.lua", "return 1");
    refuses("bare", PK_INVALID, "has no 'init.lua'");
}

TEST(pipes_and_devices_are_refused_without_waiting)
{
    PK_CLEANUP(pk_freep) char *path = path_of("pipe.lua");
    assert_int_equal(mkfifo(path, 0600), 0);
    refuses("pipe.lua", PK_INVALID, "is no plain file");
    refuses_path("/dev/zero", PK_INVALID, "is no plain file");
}

TEST(a_script_of_100_mib_is_refused_unread)
{
    PK_CLEANUP(pk_freep) char *path = path_of("huge.lua");
    write_text("huge.lua", "return 1");
    assert_int_equal(truncate(path, 100 << 20), 0);
    reads = 0;
    refuses("huge.lua", PK_TOO_LARGE, "above 1048576");
    assert_int_equal(reads, 0);
}

TEST(too_much_or_too_many_is_refused)
{
    PK_CLEANUP(pk_freep) char *big = pk_alloc(1 << 20);
    memset(big, 'x', 1 << 20);
    make_folder("big");
    write_text("big/init.lua", "return 1");
    for (int i = 0; i < 4; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "big/part%d.lua", i);
        write_file(name, big, 1 << 20);
    }
    refuses("big", PK_TOO_LARGE, "together");
    make_folder("lots");
    for (int i = 0; i < 65; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "lots/part%d.lua", i);
        write_text(name, "return 1");
    }
    refuses("lots", PK_TOO_LARGE, "more than 64 files");
}

TEST(what_is_no_text_is_refused)
{
    write_file("nul.lua", "return 1\n\0", 10);
    refuses("nul.lua", PK_INVALID, "NUL byte in line 2");
    write_text("latin.lua", "return 1\n-- \xe4\n");
    refuses("latin.lua", PK_INVALID, "not UTF-8 in line 2");
    write_file("code.lua", "\x1bLJ\2\0\0", 6);
    refuses("code.lua", PK_INVALID, "compiled code");
    write_file("code51.lua", "\x1bLuaQ\0", 7);
    refuses("code51.lua", PK_INVALID, "compiled code");
}

TEST(names_that_are_none_are_refused)
{
    static const char *const name[] = { "",         "a",       ".lua",        "A.lua",  "a b.lua",
                                        "../a.lua", "a/b.lua", "a.lua.lua",   "-a.lua", "a.txt",
                                        "_a.lua",   "a.luac",  "\xc3\xa4.lua" };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        struct pk_bundle *bundle = NULL;
        struct pk_error err = { 0 };
        assert_false(pk_bundle_of_text(name[i], "return 1", 8, &bundle, &err));
        assert_non_null(strstr(err.message, "is no name of a script's file"));
    }
    write_text("Shout.lua", "return 1");
    refuses("Shout.lua", PK_INVALID, "is no name");
}

static void write_same_size(int fd)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const int again = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(again, "return 2", 8, 0), 8);
    (void)close(again);
}

static void write_more(int fd)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const int again = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(again, " + 2", 4), 4);
    (void)close(again);
}

static void write_less(int fd)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_int_equal(truncate(path, 3), 0);
}

static void add_module(int fd)
{
    (void)fd;
    before_read = NULL;
    write_text("growing/late.lua", "return 3");
}

TEST(a_file_that_is_being_written_is_busy)
{
    static void (*const writer[])(int fd) = { write_same_size, write_more, write_less };
    for (size_t i = 0; i < PK_COUNT(writer); i++) {
        write_text("busy.lua", "return 1");
        before_read = writer[i];
        refuses("busy.lua", PK_BUSY, "is being written");
        before_read = NULL;
    }
    pk_bundle_unref(read_good("busy.lua"));
}

TEST(a_folder_that_gains_a_file_is_busy)
{
    make_folder("growing");
    write_text("growing/init.lua", "return 1");
    before_read = add_module;
    refuses("growing", PK_BUSY, "is being written");
    before_read = NULL;
    pk_bundle_unref(read_good("growing"));
}

/* ---- As a document ---- */

TEST(a_bundle_comes_back_from_its_document)
{
    PK_CLEANUP(bson_destroy) bson_t doc = BSON_INITIALIZER;
    struct pk_bundle *again = NULL;
    struct pk_error err = { 0 };
    bson_iter_t iter, child;
    make_folder("stored");
    write_text("stored/init.lua", "return 1");
    write_text("stored/b.lua", "return 2");
    struct pk_bundle *bundle = read_good("stored");
    bundle->signature.is_there = true;
    memset(bundle->signature.key, 7, sizeof(bundle->signature.key));
    memset(bundle->signature.sig, 9, sizeof(bundle->signature.sig));
    pk_bundle_put(bundle, &doc);
    assert_true(bson_iter_init_find(&iter, &doc, "files"));
    assert_true(bson_iter_recurse(&iter, &child));
    assert_true(bson_iter_find(&child, "init%2Elua"));
    assert_ok(pk_bundle_of_doc(&doc, &again, &err), &err);
    assert_string_equal(again->hash_text, bundle->hash_text);
    assert_true(again->signature.is_there);
    assert_memory_equal(again->signature.key, bundle->signature.key, 32);
    assert_memory_equal(again->signature.sig, bundle->signature.sig, 64);
    pk_bundle_unref(again);
    pk_bundle_unref(bundle);
}

TEST(documents_that_are_no_bundles_are_refused)
{
    static const struct {
        const char *json, *words;
    } row[] = {
        { "{}", "no 'files'" },
        { "{ \"files\": 5 }", "no 'files'" },
        { "{ \"files\": {} }", "has no files" },
        { "{ \"files\": { \"a%2Elua\": 5 } }", "a file is no text" },
        { "{ \"files\": { \"a%2Elua\": \"\" } }", "is empty" },
        { "{ \"files\": { \"a%2Elua\": \"return 1\\u0000\" } }", "NUL" },
        { "{ \"files\": { \"a%2Elua\": \"x\", \"a%2Elua\": \"y\" } }", "there twice" },
        { "{ \"files\": { \"a%2Elua\": \"x\", \"b%2Elua\": \"y\" } }", "none of its files" },
        { "{ \"files\": { \"init%2Elua\": \"x\", \"b%2Ejson\": \"y\" } }", "cannot be a part" },
        { "{ \"files\": { \"%2E%2E/a%2Elua\": \"x\" } }", "is no name" },
        { "{ \"files\": { \"a%2Elua\": \"x\" }, \"signature\": 5 }", "'key' of 32 bytes" },
        { "{ \"files\": { \"a%2Elua\": \"x\" }, \"signature\": { \"key\": \"AAAA\" } }",
          "'key' of 32 bytes" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        bson_error_t wrong;
        bson_t *doc = bson_new_from_json((const uint8_t *)row[i].json, -1, &wrong);
        struct pk_bundle *bundle = NULL;
        struct pk_error err = { 0 };
        if (!doc) {
            fail_msg("%s: %s", row[i].json, wrong.message);
        }
        assert_false(pk_bundle_of_doc(doc, &bundle, &err));
        if (!strstr(err.message, row[i].words)) {
            fail_msg("'%s' does not say '%s'", err.message, row[i].words);
        }
        bson_destroy(doc);
    }
}

TEST(a_line_of_a_file_is_found)
{
    struct pk_bundle *bundle = NULL;
    const char *line = NULL;
    size_t size = 0;
    assert_true(pk_bundle_of_text("a.lua", "one\r\n\nthree", 11, &bundle, NULL));
    assert_true(pk_bundle_line(bundle, "a.lua", 1, &line, &size));
    assert_int_equal(size, 3);
    assert_true(pk_bundle_line(bundle, "a.lua", 2, &line, &size));
    assert_int_equal(size, 0);
    assert_true(pk_bundle_line(bundle, "a.lua", 3, &line, &size));
    assert_memory_equal(line, "three", 5);
    assert_false(pk_bundle_line(bundle, "a.lua", 4, &line, &size));
    assert_false(pk_bundle_line(bundle, "a.lua", 0, &line, &size));
    assert_false(pk_bundle_line(bundle, "b.lua", 1, &line, &size));
    pk_bundle_unref(bundle);
}

/* ---- What training has changed ---- */

static void tune(const struct pk_bundle *bundle, const char *text, struct pk_bundle **out)
{
    struct pk_error err = { 0 };
    assert_ok(pk_bundle_tune(bundle, text, strlen(text), out, &err), &err);
    assert_non_null((*out)->tuning);
    assert_string_equal((*out)->tuning->name, PK_BUNDLE_TUNING);
    assert_string_equal((*out)->tuning->text, text);
}

TEST(a_tuning_lies_beside_any_script_and_counts_in_its_hash)
{
    static const char *const name[] = { "a.lua", "a.json", "init.lua" };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        struct pk_bundle *plain = NULL, *tuned = NULL, *again = NULL, *stored = NULL;
        struct pk_error err = { 0 };
        bson_t doc = BSON_INITIALIZER;
        assert_ok(pk_bundle_of_text(name[i], "{ 1 }", 5, &plain, &err), &err);
        assert_null(plain->tuning);
        tune(plain, "{ \"rules\": {} }", &tuned);
        assert_string_equal(tuned->file[tuned->main].name, name[i]);
        assert_int_equal(tuned->format, plain->format);
        assert_string_not_equal(tuned->hash_text, plain->hash_text);
        tune(tuned, "{}", &again); /* One takes the other's place. */
        assert_int_equal(again->count, 2);
        assert_string_not_equal(again->hash_text, tuned->hash_text);
        pk_bundle_put(tuned, &doc);
        assert_ok(pk_bundle_of_doc(&doc, &stored, &err), &err);
        assert_string_equal(stored->hash_text, tuned->hash_text);
        assert_non_null(stored->tuning);
        bson_destroy(&doc);
        pk_bundle_unref(plain);
        pk_bundle_unref(tuned);
        pk_bundle_unref(again);
        pk_bundle_unref(stored);
    }
}

TEST(a_folder_is_read_with_its_tuning)
{
    make_folder("tuned");
    write_text("tuned/init.lua", "return 1");
    write_text("tuned/other.lua", "return 2");
    write_text("tuned/tuning.json", "{}");
    struct pk_bundle *bundle = read_good("tuned");
    assert_int_equal(bundle->count, 3);
    assert_non_null(bundle->tuning);
    assert_string_equal(bundle->file[bundle->main].name, "init.lua");
    pk_bundle_unref(bundle);
}

TEST(rules_alone_may_be_called_so)
{
    struct pk_bundle *bundle = NULL;
    assert_true(pk_bundle_of_text("tuning.json", "{}", 2, &bundle, NULL));
    assert_null(bundle->tuning);
    assert_int_equal(bundle->format, PK_BUNDLE_RULES);
    pk_bundle_unref(bundle);
}
