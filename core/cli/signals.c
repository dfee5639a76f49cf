/* signals.c - A signalfd over the two signals that ask a program to stop. */
/* SPDX-License-Identifier: MIT */
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void stop_set(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
}

void pk_signals_init(struct pk_signals *signals)
{
    sigset_t set;
    stop_set(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int pk_signals_take(struct pk_signals *signals)
{
    struct signalfd_siginfo info;
    ssize_t size = read(signals->fd, &info, sizeof(info));
    return size == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

void pk_signals_release(struct pk_signals *signals)
{
    sigset_t set;
    stop_set(&set);
    (void)close(signals->fd);
    signals->fd = -1;
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}
