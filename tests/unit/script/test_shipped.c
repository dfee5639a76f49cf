/* test_shipped.c - The mappers and processors that come with the server, taken in as it takes them
 * in: real jail, default limits, their own examples.
 *
 * What they give is looked at by tests/lua/shipped_spec.lua; here they meet what that host only
 * plays: seccomp, BSON, empty lists, caps. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"
#include "script/loader.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static int is_script(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');
    return end && (strcmp(end, ".lua") == 0 || strcmp(end, ".json") == 0);
}

static void take_in(struct pk_loader *loader, const char *path, enum pk_script_kind kind)
{
    struct pk_bundle *bundle = NULL;
    struct pk_script *script = NULL;
    struct pk_report report = { 0 };
    struct pk_error err = { 0 };
    struct pk_buf text = { 0 };

    assert_ok(pk_bundle_read(path, &bundle, &err), &err);
    const bool is_ok = pk_loader_take(loader, bundle, PK_SCRIPT_ANY, &script, &report, &err);
    pk_report_print(&report, &text);
    if (!is_ok || report.count > 0) {
        fail_msg("%s: %s\n%s", path, err.message, pk_buf_text(&text));
    }
    assert_int_equal(script->kind, kind);
    assert_true(script->examples >= 4);
    pk_buf_done(&text);
    pk_report_done(&report);
    pk_script_unref(script);
    pk_bundle_unref(bundle);
}

static unsigned take_folder(const char *folder, enum pk_script_kind kind)
{
    struct pk_jail *jail = jailed_new(2);
    struct pk_loader *loader = pk_loader_new(&(struct pk_loader_options){ .jail = jail });
    struct dirent **entry = NULL;
    const int count = scandir(folder, &entry, is_script, alphasort);

    for (int i = 0; i < count; i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, entry[i]->d_name);
        take_in(loader, path, kind);
        free(entry[i]);
    }
    free(entry);
    pk_loader_free(loader);
    pk_jail_free(jail);
    return count > 0 ? (unsigned)count : 0;
}

TEST(every_shipped_mapper_passes_its_examples_in_the_jail)
{
    assert_int_equal(take_folder(PK_SOURCE_DIR "/mappers", PK_SCRIPT_MAPPER), 3);
}

TEST(every_shipped_processor_passes_its_examples_in_the_jail)
{
    assert_int_equal(take_folder(PK_SOURCE_DIR "/plugins/processors", PK_SCRIPT_PROCESSOR), 9);
}
