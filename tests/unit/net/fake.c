/* fake.c - See fake.h; blocking sockets, a thread for each connection. */
/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BEAT_MS = 20 }; /* How often a wait looks whether it is over. */

struct child {
    struct fake *fake;
    int fd;
};

/* Readable, before fake_stop. */
static bool wait_readable(struct fake *fake, int fd)
{
    struct pollfd waiting = { .fd = fd, .events = POLLIN };
    while (!fake->is_over) {
        if (poll(&waiting, 1, BEAT_MS) > 0) {
            return true;
        }
    }
    return false;
}

static size_t body_size(const char *head)
{
    const char *found = strcasestr(head, "\r\ncontent-length:");
    return found ? strtoul(found + 17, NULL, 10) : 0;
}

bool fake_hear(struct fake *fake, int fd)
{
    static _Thread_local char text[FAKE_HEARD];
    size_t size = 0;
    size_t whole = 0;
    while (whole == 0 || size < whole) {
        if (size + 1 >= sizeof(text) || !wait_readable(fake, fd)) {
            return false;
        }
        const ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
        text[size] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        whole = end ? (size_t)(end + 4 - text) + body_size(text) : 0;
    }
    (void)pthread_mutex_lock(&fake->lock);
    memcpy(fake->last, text, size + 1);
    (void)pthread_mutex_unlock(&fake->lock);
    fake->heard++;
    return true;
}

bool fake_say(int fd, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        const ssize_t sent = send(fd, from, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        from += sent;
        size -= (size_t)sent;
    }
    return true;
}

void fake_wait(struct fake *fake, int fd)
{
    char rest[4096];
    while (wait_readable(fake, fd) && recv(fd, rest, sizeof(rest), 0) > 0) {
    }
}

void fake_once(struct fake *fake, int fd)
{
    if (fake_hear(fake, fd)) {
        (void)fake_say(fd, fake->says, strlen(fake->says));
    }
}

void fake_again(struct fake *fake, int fd)
{
    while (fake_hear(fake, fd) && fake_say(fd, fake->says, strlen(fake->says))) {
    }
}

static void *play(void *context)
{
    struct child *child = context;
    struct timeval patience = { .tv_sec = 10 };
    (void)setsockopt(child->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    child->fake->play(child->fake, child->fd);
    (void)close(child->fd);
    free(child);
    return NULL;
}

static void *accept_all(void *context)
{
    struct fake *fake = context;
    while (wait_readable(fake, fake->fd)) {
        const int fd = accept4(fake->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            break;
        }
        struct child *child = malloc(sizeof(*child));
        *child = (struct child){ .fake = fake, .fd = fd };
        const int at = fake->accepted++; /* Before it can answer: who was answered may count. */
        (void)pthread_create(&fake->child[at], NULL, play, child);
        if (at + 1 == FAKE_CONNECTIONS) {
            break;
        }
    }
    return NULL;
}

static void listen_unix(struct fake *fake, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    fake->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fake->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void listen_port(struct fake *fake)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof(address);
    fake->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fake->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fake->fd, (struct sockaddr *)&address, &size), 0);
    fake->port = ntohs(address.sin_port);
    (void)snprintf(fake->host, sizeof(fake->host), "127.0.0.1:%d", fake->port);
    (void)snprintf(fake->url, sizeof(fake->url), "http://%s", fake->host);
}

void fake_start(struct fake *fake, fake_play_fn *what, const char *says, const char *path)
{
    memset(fake, 0, sizeof(*fake));
    fake->play = what;
    fake->says = says;
    (void)pthread_mutex_init(&fake->lock, NULL);
    if (path) {
        listen_unix(fake, path);
    } else {
        listen_port(fake);
    }
    assert_int_equal(listen(fake->fd, 64), 0);
    assert_int_equal(pthread_create(&fake->thread, NULL, accept_all, fake), 0);
}

void fake_stop(struct fake *fake)
{
    fake->is_over = true;
    (void)pthread_join(fake->thread, NULL);
    for (int i = 0; i < fake->accepted; i++) {
        (void)pthread_join(fake->child[i], NULL);
    }
    (void)close(fake->fd);
    (void)pthread_mutex_destroy(&fake->lock);
}
