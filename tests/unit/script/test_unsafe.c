/* test_unsafe.c - Where the kernel refuses the lockdown: no start, unless it is asked for.
 *
 * A child of ours forbids itself seccomp by seccomp; its workers inherit that. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* seccomp(2), and prctl(PR_SET_SECCOMP), say EPERM from here on. */
static bool forbid_seccomp(void)
{
    struct sock_filter row[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { .len = PK_COUNT(row), .filter = row };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* What the child finds, as a number for its parent; 0: all is as it should be. */
static int look(void)
{
    struct pk_error err = { 0 };
    struct jailed jailed = { .source = "return function() return 1 end" };

    if (!forbid_seccomp()) {
        return 77;
    }
    struct pk_jail *jail = jailed_new(1);
    if (pk_jail_probe(jail, &err) || !strstr(err.message, "cannot lock a script worker down") ||
        !strstr(err.hint, "scripts.jail = \"unsafe\"")) {
        return 1;
    }
    jailed_run(jail, &jailed);
    if (jailed.is_ok || jailed.result.end != PK_JAIL_NOT_RUN || pk_jail_is_open(jail)) {
        return 2;
    }
    jailed_done(&jailed);
    pk_jail_free(jail);
    jail = pk_jail_new(
        &(struct pk_jail_options){ .worker_path = PK_WORKER, .workers_max = 1, .is_unsafe = true });
    if (!pk_jail_probe(jail, &err) || !pk_jail_is_open(jail)) {
        return 3;
    }
    jailed_run(jail, &jailed);
    if (!jailed.is_ok || strcmp(jailed.output, "{ \"value\" : 1 }") != 0) {
        return 4;
    }
    jailed_done(&jailed);
    pk_jail_free(jail);
    return 0;
}

TEST(where_the_kernel_refuses_seccomp_only_an_unsafe_jail_starts_and_says_so)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        _exit(look());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        SKIP("no seccomp here");
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

TEST(an_unsafe_jail_is_locked_down_where_it_can_be)
{
    struct pk_error err = { 0 };
    struct pk_jail *jail = pk_jail_new(
        &(struct pk_jail_options){ .worker_path = PK_WORKER, .workers_max = 1, .is_unsafe = true });

    assert_ok(pk_jail_probe(jail, &err), &err);
    assert_false(pk_jail_is_open(jail));
    pk_jail_free(jail);
}
