/* fake.h - A server for tests that says what it is told to: lies, halves, and nothing at all.
 *
 * Each connection has a thread that plays 'play' and then closes. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_FAKE_H
#define PK_TEST_FAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { FAKE_CONNECTIONS = 256, FAKE_HEARD = 16384 };

struct fake;
typedef void fake_play_fn(struct fake *fake, int fd);

struct fake {
    fake_play_fn *play;
    const char *says; /* For 'play'. */
    int fd;
    int port;             /* 0: a Unix socket. */
    char url[128];        /* "http://127.0.0.1:12345" */
    char host[64];        /* "127.0.0.1:12345" */
    _Atomic int accepted; /* Connections. */
    _Atomic int heard;    /* Whole requests. */
    _Atomic bool is_over; /* fake_stop was called: plays that wait give up. */
    pthread_t thread;
    pthread_t child[FAKE_CONNECTIONS];
    pthread_mutex_t lock;
    char last[FAKE_HEARD]; /* The last request, head and body. Under 'lock' while plays run. */
};

/* On a free port of 127.0.0.1, or on the socket 'path' when there is one. */
void fake_start(struct fake *fake, fake_play_fn *play, const char *says, const char *path);
void fake_stop(struct fake *fake);

/* For plays. Reads one request with its body (Content-Length) into 'last'; false: no more comes. */
bool fake_hear(struct fake *fake, int fd);
bool fake_say(int fd, const void *data, size_t size); /* False: nobody listens. */
/* Waits until the other side closes, or fake_stop. */
void fake_wait(struct fake *fake, int fd);

/* One request, 'says' as it is, close. */
void fake_once(struct fake *fake, int fd);
/* 'says' after every request, until the other side closes. */
void fake_again(struct fake *fake, int fd);

#endif
