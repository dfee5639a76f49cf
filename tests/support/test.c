/* test.c - Collects the TEST(...) cases and runs them with cmocka.
 *
 * cmocka leaves a case that fails, or is skipped, by a jump, which ends nothing:
 * threads that the case has started would go on with what lay on its stack, and
 * take the program, and the results behind it, with them. So _fail and _skip, by
 * which all of cmocka leaves a case, are ours: they unwind the frames of the
 * case, which carries out their cleanup attributes, the bed's end among them,
 * and then hand over to cmocka's own. A program that hangs in that is ended. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <dlfcn.h>
#include <fnmatch.h>
#include <ftw.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

enum { UNWIND_S = 60 }; /* How long cleaning up may take on a busy machine. */

/* The globals of the test programs: cases register before main() runs... */
static struct CMUnitTest *cases;
static size_t case_count;
/* ...and the one that runs, for whoever leaves it. */
static struct {
    uintptr_t frame; /* Of run_case, the last that is unwound; 0: none runs, or it is left. */
    pthread_t thread;
    const char *by;   /* "_fail" or "_skip", */
    const char *file; /* and where. */
    int line;
} running;
static char *folders; /* The root of all pk_test_folder()s. */
static unsigned folder_count;

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

/* ---- A case, and how it is left ---- */

__attribute__((noinline)) static void run_case(void **state)
{
    void (*function)(void **state) = (void (*)(void **))(uintptr_t)*state;
    running.frame = (uintptr_t)__builtin_frame_address(0);
    running.thread = pthread_self();
    function(state);
    running.frame = 0;
}

__attribute__((noreturn)) static void leave_by_cmocka(const char *by, const char *file, int line)
{
    void (*jump)(const char *, int) = (void (*)(const char *, int))(uintptr_t)dlsym(RTLD_NEXT, by);
    jump(file, line);
    abort();
}

/* Asked before each frame: the one below run_case is cmocka's, and nothing of it is to end. */
static _Unwind_Reason_Code go_on(int version, _Unwind_Action actions, _Unwind_Exception_Class kind,
                                 struct _Unwind_Exception *exception,
                                 struct _Unwind_Context *context, void *frame)
{
    (void)version;
    (void)kind;
    (void)exception;
    if ((actions & _UA_END_OF_STACK) || _Unwind_GetCFA(context) > (uintptr_t)frame) {
        (void)alarm(0);
        leave_by_cmocka(running.by, running.file, running.line);
    }
    return _URC_NO_REASON;
}

/* What fails while it is cleaned up, or in another thread, just fails. */
__attribute__((noreturn)) static void leave_case(const char *by, const char *file, int line)
{
    static struct _Unwind_Exception exception;
    const uintptr_t frame = running.frame;
    if (frame && pthread_equal(running.thread, pthread_self())) {
        running.frame = 0;
        running.by = by;
        running.file = file;
        running.line = line;
        exception = (struct _Unwind_Exception){ 0 };
        (void)alarm(UNWIND_S);
        (void)_Unwind_ForcedUnwind(&exception, go_on, (void *)frame);
    }
    leave_by_cmocka(by, file, line);
}

/* In place of cmocka's. */
__attribute__((visibility("default"))) void _fail(const char *const file, const int line)
{
    leave_case("_fail", file, line);
}

__attribute__((visibility("default"))) void _skip(const char *const file, const int line)
{
    leave_case("_skip", file, line);
}

/* ---- Which cases run ---- */

void pk_test_register(const char *name, void (*function)(void **state))
{
    cases = pk_realloc(cases, (case_count + 1) * sizeof(*cases));
    cases[case_count++] = (struct CMUnitTest){ .name = name,
                                               .test_func = run_case,
                                               .initial_state = (void *)(uintptr_t)function };
}

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
