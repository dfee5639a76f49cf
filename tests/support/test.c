/* test.c - Collects the TEST(...) cases and runs them with cmocka. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one global of the test programs: cases register before main() runs. */
static struct CMUnitTest *cases;
static size_t case_count;
static char *folders; /* The root of all pk_test_folder()s. */
static unsigned folder_count;

void pk_test_register(const char *name, void (*function)(void **state))
{
    cases = pk_realloc(cases, (case_count + 1) * sizeof(*cases));
    cases[case_count++] = (struct CMUnitTest){ .name = name, .test_func = function };
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_folders(void)
{
    if (folders) {
        (void)nftw(folders, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        pk_free(folders);
    }
}

const char *pk_test_folder(void)
{
    static char path[512];
    if (!folders) {
        const char *tmp = getenv("TMPDIR");
        folders = pk_strdupf("%s/personakit-test-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(folders)) {
            perror(folders);
            abort();
        }
        (void)atexit(remove_folders);
    }
    (void)snprintf(path, sizeof(path), "%s/%u", folders, folder_count++);
    char *command = pk_strdupf("mkdir -p '%s'", path);
    if (system(command) != 0) {
        abort();
    }
    pk_free(command);
    return path;
}

int main(int argc, char **argv)
{
    struct pk_error err = { 0 };
    if (!pk_crypto_init(&err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    const char *name = strrchr(argv[0], '/');
    return _cmocka_run_group_tests(name ? name + 1 : argv[0], cases, case_count, NULL, NULL);
}
