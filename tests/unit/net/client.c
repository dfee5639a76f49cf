/* client.c - See client.h; blocking sockets, one thread at a time. */
/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const struct pk_net_listener client_listener[1] = { { .address = "127.0.0.1:0" } };

void client_connect(int fd, const struct pk_net *net)
{
    const char *colon = strrchr(pk_net_address(net, 0), ':');
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

int client_dial_from(const struct pk_net *net, uint32_t from)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(from);
    if (from != INADDR_LOOPBACK) {
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    }
    client_connect(fd, net);
    return fd;
}

int client_dial(const struct pk_net *net)
{
    return client_dial_from(net, INADDR_LOOPBACK);
}

void client_say(int fd, const char *data, size_t size)
{
    (void)send(fd, data, size, MSG_NOSIGNAL);
}

const char *client_hear(int fd, const char *until)
{
    static char text[65536];
    size_t size = 0;
    text[0] = '\0';
    while (size + 1 < sizeof(text) && !(until && strstr(text, until))) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        if (poll(&waiting, 1, CLIENT_PATIENCE_MS) != 1) {
            fail_msg("the server says nothing more after '%s'", text);
        }
        ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        text[size] = '\0';
    }
    return text;
}

const char *client_ask(const struct pk_net *net, const char *request)
{
    int fd = client_dial(net);
    client_say(fd, request, strlen(request));
    (void)shutdown(fd, SHUT_WR);
    const char *answer = client_hear(fd, NULL);
    (void)close(fd);
    return answer;
}

void client_pause(void)
{
    struct timespec pause = { .tv_nsec = 1000000 };
    (void)nanosleep(&pause, NULL);
}
