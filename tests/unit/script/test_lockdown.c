/* test_lockdown.c - What is left to a process behind the filter: each system call, one by one.
 *
 * A child locks itself down as a worker does, makes one call and ends. Those
 * that DESIGN names come back, getrandom is answered 'no such call', and all
 * others are the child's end. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"
#include "script/worker/worker_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef WORKER_IS_SANITIZED
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

#ifdef __SANITIZE_THREAD__
enum {
    HOLDS_SIGNALS = 1
}; /* Its runtime hands them on at the next system call, and a loop has none. */
#else
enum { HOLDS_SIGNALS = 0 };
#endif

enum { CALLS_MAX = 520, X32_BIT = 0x40000000, CAME_BACK = 0, SAID_NO = 1, NOT_LOCKED = 2 };

/* DESIGN section 6. Without arguments they fail or do nothing; rt_sigreturn finds no frame. */
static const struct {
    long number;
    int signal; /* 0: comes back. */
} allowed_table[] = {
    { SYS_read, 0 },
    { SYS_write, 0 },
    { SYS_futex, 0 },
    { SYS_mmap, 0 },
    { SYS_munmap, 0 },
    { SYS_mremap, 0 },
    { SYS_mprotect, 0 },
    { SYS_madvise, 0 },
    { SYS_brk, 0 },
    { SYS_exit_group, 0 },
    { SYS_rt_sigreturn, SIGSEGV },
    { SYS_getrandom, 0 },
};

/* The wait status of a child that makes this call. */
static int status_of(long number, long third)
{
    const pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        char why[PK_WIRE_NAME];
        if (!lockdown(why, sizeof(why))) {
            _exit(NOT_LOCKED);
        }
        const long done = syscall(number, 0L, 0L, third, 0L, 0L, 0L);
        (void)syscall(SYS_exit_group, done < 0 && errno == ENOSYS ? SAID_NO : CAME_BACK);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool is_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* Newer kernels lead the probes' own calls past every filter; they do nothing elsewhere. */
static bool is_of_probes(long number)
{
#ifdef __x86_64__
    return number == 335 || number == 336; /* uretprobe, uprobe */
#else
    (void)number;
    return false;
#endif
}

TEST_WHEN(only_what_the_design_names_comes_back, !IS_SANITIZED)
{
    for (long number = 0; number < CALLS_MAX; number++) {
        if (is_of_probes(number)) {
            continue;
        }
        const int status = status_of(number, 0);
        bool is_allowed = false;
        for (size_t i = 0; i < PK_COUNT(allowed_table) && !is_allowed; i++) {
            if (allowed_table[i].number == number) {
                is_allowed = true;
                const int wanted = number == SYS_getrandom ? SAID_NO : CAME_BACK;
                const bool is_right =
                    allowed_table[i].signal
                        ? WIFSIGNALED(status) && WTERMSIG(status) == allowed_table[i].signal
                        : WIFEXITED(status) && WEXITSTATUS(status) == wanted;
                if (!is_right) {
                    fail_msg("call %ld ended with status %x", number, (unsigned)status);
                }
            }
        }
        if (!is_allowed && !is_killed(status)) {
            fail_msg("call %ld is not shut: status %x", number, (unsigned)status);
        }
    }
}

TEST_WHEN(memory_cannot_be_mapped_as_code, !IS_SANITIZED)
{
    assert_true(is_killed(status_of(SYS_mmap, PROT_EXEC)));
    assert_true(is_killed(status_of(SYS_mmap, PROT_READ | PROT_WRITE | PROT_EXEC)));
    assert_false(is_killed(status_of(SYS_mmap, PROT_READ | PROT_WRITE)));
}

#ifdef __x86_64__
TEST_WHEN(other_ways_into_the_kernel_are_shut, !IS_SANITIZED)
{
    assert_true(is_killed(status_of(SYS_read | X32_BIT, 0)));
    assert_true(is_killed(status_of(SYS_getpid | X32_BIT, 0)));

    const pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        char why[PK_WIRE_NAME];
        long done = 20; /* getpid of 32 bits. */
        (void)lockdown(why, sizeof(why));
        __asm__ volatile("int $0x80" : "+a"(done)::"memory");
        (void)syscall(SYS_exit_group, 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}
#endif

/* ---- The real worker ---- */

static size_t read_proc(pid_t pid, const char *what, char *out, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
    FILE *file = fopen(path, "r");
    const size_t got = file ? fread(out, 1, size - 1, file) : 0;
    out[got] = '\0';
    if (file) {
        (void)fclose(file);
    }
    return got;
}

/* Other cases may have children of their own that have not gone yet. */
static pid_t worker_of(pid_t parent)
{
    char path[64], list[512], name[64];
    char *rest = NULL;
    (void)snprintf(path, sizeof(path), "task/%d/children", (int)parent);
    (void)read_proc(parent, path, list, sizeof(list));
    for (char *pid = strtok_r(list, " ", &rest); pid; pid = strtok_r(NULL, " ", &rest)) {
        (void)read_proc(atoi(pid), "comm", name, sizeof(name));
        if (strncmp(name, "personakit-work", 15) == 0) {
            return atoi(pid);
        }
    }
    return 0;
}

TEST_WHEN(a_worker_gets_nothing_of_the_servers, !IS_SANITIZED)
{
    static const char *const limit_table[] = {
        "Max core file size        0                    0",
        "Max processes             0                    0",
        "Max open files            0                    0",
        "Max file size             0                    0",
        "Max address space         1073741824           1073741824",
    };
    char text[8192];

    assert_int_equal(setenv("PK_SECRET", "of the server", 1), 0);
    assert_int_equal(setenv("LD_LIBRARY_PATH", "/nonexistent", 1), 0);
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail, "return function() return 1 end", "{}", "{ \"value\" : 1 }");
    assert_int_equal(unsetenv("LD_LIBRARY_PATH"), 0);
    assert_int_equal(unsetenv("PK_SECRET"), 0);
    const pid_t pid = worker_of(getpid());
    if (pid == 0) {
        SKIP("this kernel does not list children");
    }
    assert_int_equal(read_proc(pid, "environ", text, sizeof(text)), 0);
    if (read_proc(pid, "limits", text, sizeof(text)) == 0) {
        SKIP("limits of a process that cannot be dumped are shown to root only");
    }
    for (size_t i = 0; i < PK_COUNT(limit_table); i++) {
        if (!strstr(text, limit_table[i])) {
            fail_msg("'%s' is not in\n%s", limit_table[i], text);
        }
    }
    pk_jail_free(jail);
}

/* ---- A server that is killed ---- */

static const struct {
    const char *what, *source;
} orphan_table[] = {
    { "idle", "return function() return 1 end" },
    { "compiled loop", "while true do end" },
    { "pattern", "return (('a'):rep(30000)):find((('.-'):rep(12)) .. 'b')" },
    { "catches all", "while true do pcall(function() while true do end end) end" },
    { "interpreted", "local function f() return f() end return pcall(f)" },
};

/* A server of its own: one endless call, or an idle worker. Says when it has started. */
static void serve(const char *source, int said)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed hello = { .source = "return function() return 1 end" };
    struct jailed jailed = { .source = source, .limits = { .soft_ms = 60000, .hard_ms = 60000 } };

    jailed_run(jail, &hello);
    if (write(said, "!", 1) == 1) {
        jailed_run(jail, &jailed);
        (void)pause();
    }
    _exit(1);
}

TEST_WHEN(a_worker_dies_with_a_server_that_is_killed, !HOLDS_SIGNALS)
{
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* Orphans become ours. */
    for (size_t i = 0; i < PK_COUNT(orphan_table); i++) {
        int said[2], status = 0;
        char byte;
        assert_int_equal(pipe(said), 0);
        const pid_t server = fork();
        if (server == 0) {
            (void)close(said[0]);
            serve(orphan_table[i].source, said[1]);
        }
        (void)close(said[1]);
        assert_int_equal(read(said[0], &byte, 1), 1);
        (void)close(said[0]);
        const pid_t worker = worker_of(server);
        if (worker == 0) {
            (void)kill(server, SIGKILL);
            (void)waitpid(server, &status, 0);
            SKIP("this kernel does not list children");
        }
        assert_int_equal(kill(server, SIGKILL), 0);
        assert_int_equal(waitpid(server, &status, 0), server);
        pid_t ended = 0;
        for (int tries = 0; ended == 0 && tries < PK_TEST_PATIENCE_MS / 10; tries++) {
            ended = waitpid(worker, &status, WNOHANG);
            (void)poll(NULL, 0, 10);
        }
        if (ended != worker) {
            (void)kill(worker, SIGKILL);
            fail_msg("%s: its worker lives on", orphan_table[i].what);
        }
    }
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}
