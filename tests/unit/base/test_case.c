/* test_case.c - A case that fails is cleaned up before the next one begins (tests/support/test.c).
 */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 20 };

static void note(int **order)
{
    **order = **order * 10 + 1;
}

/* The outermost end: the rest of the program is not the child's to run. */
static void end_child(int *order)
{
    _exit(*order == 1 ? 0 : 1);
}

static void fail_inside(int *order)
{
    PK_CLEANUP(note) int *noted = order;
    assert_int_equal(*noted, 7);
}

static void skip_inside(int *order)
{
    PK_CLEANUP(note) int *noted = order;
    *noted = 0;
    skip();
}

static int run_in_child(void (*inside)(int *order))
{
    int status = -1;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        PK_CLEANUP(end_child) int order = 0;
        const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(nowhere, STDOUT_FILENO); /* What it says is not this program's. */
        (void)dup2(nowhere, STDERR_FILENO);
        (void)alarm(PATIENCE_S);
        inside(&order);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

TEST(a_case_that_fails_is_cleaned_up)
{
    assert_int_equal(run_in_child(fail_inside), 0);
}

TEST(a_case_that_is_skipped_is_cleaned_up)
{
    assert_int_equal(run_in_child(skip_inside), 0);
}
