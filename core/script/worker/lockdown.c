/* lockdown.c - From here on the process can compute, read and write its pipe, and take memory.
 *
 * Order: limits and descriptors first, because the filter allows no call that
 * changes them. The filter is a list of what LuaJIT needs with its compiler
 * on; everything else kills the process. mmap cannot make code, mprotect can:
 * the compiler writes code and then makes it executable.
 * What is on the list and why:
 *
 *     read write                  the pipe, the only descriptor
 *     mmap munmap mremap brk      memory of LuaJIT and malloc
 *     mprotect madvise            code of the compiler, memory given back
 *     futex                       locks of the C library, never contended
 *     rt_sigreturn                the way back from the stop signal
 *     exit_group                  the end
 *     getrandom                   answered 'there is no such call' (chance.c)
 *
 * A sanitizer's runtime wants more, and reads files of its own process: the
 * filter is wider there, and limits on memory are off. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const int allowed[] = {
    SCMP_SYS(read),         SCMP_SYS(write),
    SCMP_SYS(futex),        SCMP_SYS(munmap),
    SCMP_SYS(mremap),       SCMP_SYS(mprotect),
    SCMP_SYS(madvise),      SCMP_SYS(brk),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(exit_group),
#ifdef WORKER_IS_SANITIZED
    SCMP_SYS(mmap),         SCMP_SYS(openat),
    SCMP_SYS(open),         SCMP_SYS(close),
    SCMP_SYS(fstat),        SCMP_SYS(newfstatat),
    SCMP_SYS(stat),         SCMP_SYS(lseek),
    SCMP_SYS(readlink),     SCMP_SYS(getpid),
    SCMP_SYS(gettid),       SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(uname),        SCMP_SYS(rt_sigaction),
    SCMP_SYS(sigaltstack),  SCMP_SYS(ioctl),
    SCMP_SYS(sched_yield),  SCMP_SYS(clock_gettime),
    SCMP_SYS(getcwd),       SCMP_SYS(prctl),
    SCMP_SYS(getrlimit),    SCMP_SYS(tgkill),
    SCMP_SYS(prlimit64),    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getuid),       SCMP_SYS(sysinfo),
    SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep),
#endif
};

static const struct {
    int which;
    rlim_t most;
} limit_table[] = {
    { RLIMIT_CORE, 0 },    { RLIMIT_NPROC, 0 },      { RLIMIT_FSIZE, 0 },
    { RLIMIT_MEMLOCK, 0 }, { RLIMIT_MSGQUEUE, 0 },   { RLIMIT_STACK, 8 << 20 },
#ifndef WORKER_IS_SANITIZED
    { RLIMIT_NOFILE, 0 },  { RLIMIT_AS, 1UL << 30 }, /* A second wall: each call's own cap is
                                                        counted in vm.c. */
#endif
};

static bool limit_all(char *why, size_t why_size)
{
    for (size_t i = 0; i < sizeof(limit_table) / sizeof(limit_table[0]); i++) {
        const __rlimit_resource_t which = (__rlimit_resource_t)limit_table[i].which;
        struct rlimit limit = { 0 };
        (void)getrlimit(which, &limit);
        if (limit.rlim_max > limit_table[i].most) {
            limit.rlim_max = limit_table[i].most;
        }
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(which, &limit) != 0) {
            (void)snprintf(why, why_size, "limit %d: %s", limit_table[i].which, strerror(errno));
            return false;
        }
    }
    return true;
}

static void close_all_but_the_pipe(void)
{
    (void)close(0);
    (void)close(1);
#ifndef WORKER_IS_SANITIZED
    (void)close(2);
#endif
    closefrom(PK_WIRE_FD + 1);
}

static int load_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int failed = filter ? 0 : -ENOMEM;

    for (size_t i = 0; !failed && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
        if (failed == -EDOM) { /* This machine has no such call. */
            failed = 0;
        }
    }
#ifndef WORKER_IS_SANITIZED
    if (!failed) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
#endif
    if (!failed) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(getrandom), 0);
    }
    if (!failed) {
        failed = seccomp_load(filter);
    }
    seccomp_release(filter);
    return failed;
}

bool lockdown(char *why, size_t why_size)
{
    close_all_but_the_pipe();
    if (!limit_all(why, why_size)) {
        return false;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        (void)snprintf(why, why_size, "no new privileges: %s", strerror(errno));
        return false;
    }
    int failed = load_filter();
    if (failed) {
        (void)snprintf(why, why_size, "seccomp: %s", strerror(-failed));
    }
    return !failed;
}
