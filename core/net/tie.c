/* tie.c - What ties another thread to a connection that may go at any moment.
 *
 * The connection's side and each holder count a reference. 'loop' is there as
 * long as the connection is: posting happens under 'lock', and so does the
 * cut, so no mail is ever posted to a loop that has ended. Mail on its way
 * holds a reference of its own. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/cond.h"

static void open_mail(struct pk_mail *mail)
{
    struct pk_tie *tie = (struct pk_tie *)(void *)((char *)mail - offsetof(struct pk_tie, mail));
    (void)pthread_mutex_lock(&tie->lock);
    tie->is_posted = false;
    bool is_there = tie->loop != NULL;
    (void)pthread_mutex_unlock(&tie->lock);
    if (is_there) {
        tie->arrive(tie); /* Only this thread cuts, so it is still there. */
    }
    pk_tie_unref(tie);
}

void pk_tie_init(struct pk_tie *tie, struct pk_loop *loop, void (*arrive)(struct pk_tie *),
                 void (*done)(struct pk_tie *))
{
    (void)pthread_mutex_init(&tie->lock, NULL);
    pk_cond_init(&tie->moved);
    atomic_init(&tie->refs, 1);
    tie->loop = loop;
    tie->is_posted = false;
    tie->mail = (struct pk_mail){ .open = open_mail };
    tie->arrive = arrive;
    tie->done = done;
}

void pk_tie_ref(struct pk_tie *tie)
{
    (void)atomic_fetch_add(&tie->refs, 1);
}

void pk_tie_unref(struct pk_tie *tie)
{
    if (tie && atomic_fetch_sub(&tie->refs, 1) == 1) {
        (void)pthread_cond_destroy(&tie->moved);
        (void)pthread_mutex_destroy(&tie->lock);
        tie->done(tie);
    }
}

bool pk_tie_post_locked(struct pk_tie *tie)
{
    if (!tie->loop) {
        return false;
    }
    if (!tie->is_posted) {
        tie->is_posted = true;
        pk_tie_ref(tie);
        pk_loop_post(tie->loop, &tie->mail);
    }
    return true;
}

void pk_tie_cut(struct pk_tie *tie)
{
    (void)pthread_mutex_lock(&tie->lock);
    tie->loop = NULL;
    (void)pthread_cond_broadcast(&tie->moved);
    (void)pthread_mutex_unlock(&tie->lock);
}
