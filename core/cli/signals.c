/* signals.c - A signalfd over the signals that ask a program for something. */
/* SPDX-License-Identifier: MIT */
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void fill(sigset_t *set, bool has_hangup)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
    if (has_hangup) {
        (void)sigaddset(set, SIGHUP);
    }
}

void pk_signals_init(struct pk_signals *signals, bool has_hangup)
{
    sigset_t set;
    signals->has_hangup = has_hangup;
    fill(&set, has_hangup);
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
    fill(&set, signals->has_hangup);
    (void)close(signals->fd);
    signals->fd = -1;
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}
