/* test.c - Collects the TEST(...) cases and runs them with cmocka. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <fnmatch.h>
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

/* ---- Which cases run ---- */

struct wanted {
    const char *only; /* Pattern of names; NULL: all. */
    const char *but;  /* Pattern of those left out; NULL: none. */
    size_t part;      /* From 0. */
    size_t parts;
};

static bool read_options(struct wanted *wanted, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--but") == 0 && i + 1 < argc) {
            wanted->but = argv[++i];
        } else if (strcmp(argv[i], "--part") == 0 && i + 1 < argc) {
            if (sscanf(argv[++i], "%zu/%zu", &wanted->part, &wanted->parts) != 2 ||
                wanted->part == 0 || wanted->part-- > wanted->parts) {
                return false;
            }
        } else if (argv[i][0] != '-' && !wanted->only) {
            wanted->only = argv[i];
        } else {
            return false;
        }
    }
    return true;
}

/* Keeps those that are wanted. Many cases are there twice in a row, for SQLite and for MongoDB: the
 * slow ones are not to be in one part, so parts take turns in pairs. */
static void choose(const struct wanted *wanted)
{
    size_t kept = 0;
    size_t turn = 0;
    for (size_t i = 0; i < case_count; i++) {
        const char *name = cases[i].name;
        if ((wanted->only && fnmatch(wanted->only, name, 0) != 0) ||
            (wanted->but && fnmatch(wanted->but, name, 0) == 0)) {
            continue;
        }
        if (turn++ / 2 % wanted->parts == wanted->part) {
            cases[kept++] = cases[i];
        }
    }
    case_count = kept;
}

int main(int argc, char **argv)
{
    struct wanted wanted = { .parts = 1 };
    struct pk_error err = { 0 };
    if (!read_options(&wanted, argc, argv)) {
        (void)fprintf(stderr, "usage: %s [--part K/N] [--but PATTERN] [PATTERN]\n", argv[0]);
        return 2;
    }
    if (!pk_crypto_init(&err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    choose(&wanted);
    const char *name = strrchr(argv[0], '/');
    return _cmocka_run_group_tests(name ? name + 1 : argv[0], cases, case_count, NULL, NULL);
}
