/* test_unix.c - Listening on a Unix socket, and what stands in the way of listening at all. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "client.h"
#include "net/listen.h"
#include "net/net.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOOPS = 2 };

/* "unix:" and a path in the test's folder. Static memory. */
static const char *place(const char *name)
{
    static const char *folder;
    static char text[200];
    folder = folder ? folder : pk_test_folder();
    (void)snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
    return text;
}

/* A descriptor, or -1: nobody answers. */
static int dial(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Says which address it was asked from, on PK_LANE_HOT. */
static void show_address(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    for (size_t i = 0; i < sizeof(request->address); i++) {
        pk_buf_printf(&answer->body, "%02x", request->address[i]);
    }
    pk_buf_printf(&answer->body, " listener %d", request->listener);
    pk_answer_json(answer, 200);
}

static const struct pk_route route[] = {
    { PK_METHOD_GET, "/", 1, PK_LANE_HOT, 0, show_address, "Who asks.", NULL, false },
};

static struct pk_net *serve(const char *address, const char *trusted)
{
    struct pk_error err;
    struct pk_net *net;
    struct pk_net_listener listener = { .address = address, .tag = 7 };
    struct pk_net_options options = { .listener = &listener,
                                      .listener_count = 1,
                                      .route = route,
                                      .route_count = 1,
                                      .trusted = &trusted,
                                      .trusted_count = trusted ? 1 : 0,
                                      .loops = LOOPS,
                                      .limits = { .connections_address_max = 1 } };
    assert_ok(pk_net_open(&net, &options, &err), &err);
    return net;
}

static const char *ask(const char *path, const char *header)
{
    char request[200];
    int fd = dial(path);
    assert_true(fd >= 0);
    (void)snprintf(request, sizeof(request),
                   "GET / HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n", header);
    client_say(fd, request, strlen(request));
    const char *said = client_hear(fd, NULL);
    (void)close(fd);
    return said;
}

static void assert_not_listening(const char *address, enum pk_code code, const char *part)
{
    struct pk_error err = { 0 };
    struct pk_socket_file file;
    int fd[LOOPS];
    assert_false(pk_listen(address, LOOPS, fd, &file, &err));
    assert_says(err.message, part);
    assert_int_equal(err.code, code);
    assert_non_null(err.hint);
}

TEST(a_unix_socket_is_served_and_removed)
{
    struct stat made;
    mode_t before = umask(0177);
    struct pk_net *net = serve(place("http.sock"), NULL);
    (void)umask(before);
    const char *path = pk_net_address(net, 0) + strlen("unix:");
    assert_string_equal(pk_net_address(net, 0), place("http.sock"));
    assert_int_equal(stat(path, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0660);

    /* More connections than one address may have: they have none. */
    int waiting[4];
    for (size_t i = 0; i < PK_COUNT(waiting); i++) {
        waiting[i] = dial(path);
        assert_true(waiting[i] >= 0);
    }
    assert_says(ask(path, ""), "\r\n\r\n00000000000000000000000000000000 listener 7");
    assert_says(ask(path, "X-Forwarded-For: 192.0.2.1\r\n"), "\r\n\r\n00000000000000000000");
    for (size_t i = 0; i < PK_COUNT(waiting); i++) {
        (void)close(waiting[i]);
    }
    pk_net_close(net);
    assert_int_equal(access(place("http.sock") + 5, F_OK), -1);
}

TEST(who_comes_by_a_trusted_unix_socket_is_believed)
{
    struct pk_net *net = serve(place("trusted.sock"), "unix");
    const char *path = pk_net_address(net, 0) + strlen("unix:");
    assert_says(ask(path, "X-Forwarded-For: 192.0.2.1\r\n"),
                "\r\n\r\n00000000000000000000ffffc0000201 listener 7");
    pk_net_close(net);
}

TEST(a_draining_unix_socket_serves_whom_it_has_and_refuses_others)
{
    struct pk_net *net = serve(place("drain.sock"), NULL);
    const char *path = pk_net_address(net, 0) + strlen("unix:");
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int fd = dial(path);
    client_say(fd, request, sizeof(request) - 1);
    pk_net_drain(net);
    assert_says(client_hear(fd, NULL), "listener 7");
    (void)close(fd);
    wait_until((fd = dial(path)) < 0 || (close(fd), false));
    pk_net_close(net);
}

TEST(a_socket_that_nobody_answers_at_is_replaced)
{
    struct pk_socket_file file;
    struct pk_socket_file second;
    struct pk_error err;
    int fd[LOOPS];
    int again[LOOPS];
    assert_ok(pk_listen(place("stale.sock"), LOOPS, fd, &file, &err), &err);
    assert_not_listening(place("stale.sock"), PK_CONFLICT, "another program answers there");
    (void)close(fd[0]);
    (void)close(fd[1]);
    assert_ok(pk_listen(place("stale.sock"), LOOPS, again, &second, &err), &err);
    pk_listen_remove(&file); /* The successor's is not ours. */
    assert_int_equal(access(place("stale.sock") + 5, F_OK), 0);
    pk_listen_remove(&second);
    assert_int_equal(access(place("stale.sock") + 5, F_OK), -1);
    (void)close(again[0]);
    (void)close(again[1]);
}

TEST(a_file_that_is_no_socket_stays)
{
    int fd = open(place("precious") + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_not_listening(place("precious"), PK_CONFLICT, "there is a file that is no socket");
    assert_int_equal(access(place("precious") + 5, F_OK), 0);
}

TEST(paths_that_cannot_be_are_refused_with_a_sentence)
{
    char deep[200] = "unix:/";
    memset(deep + 6, 'a', sizeof(deep) - 7);
    assert_not_listening(deep, PK_TOO_LARGE, "bytes, and that of a socket at most 107");
    assert_not_listening("unix:", PK_INVALID, "is not a path to listen on");
    assert_not_listening("unix:http.sock", PK_INVALID, "is not a path to listen on");
    assert_not_listening("unix:@abstract", PK_INVALID, "is not a path to listen on");
    assert_not_listening("unix:/tmp/", PK_INVALID, "is not a path to listen on");
    assert_not_listening(place("none/http.sock"), PK_NOT_FOUND, "there is no such folder");
}

TEST(tcp_addresses_that_cannot_be_are_refused_with_a_sentence)
{
    struct pk_error err;
    struct pk_socket_file file;
    int fd[1];
    char text[PK_NET_ADDRESS_TEXT];
    assert_ok(pk_listen("127.0.0.1:0", 1, fd, &file, &err), &err);
    pk_listen_text(fd[0], true, text);
    assert_memory_equal(text, "https://127.0.0.1:", 18);
    assert_string_equal(file.path, "");
    assert_not_listening(text + strlen("https://"), PK_CONFLICT, "another program has that port");
    (void)close(fd[0]);
    assert_not_listening("192.0.2.1:0", PK_INVALID, "this machine does not have that address");
    assert_not_listening("127.0.0.1", PK_INVALID, "is not an address to listen on");
    assert_not_listening("127.0.0.1:70000", PK_INVALID, "is not an address to listen on");
    assert_not_listening("no.such.host.invalid:0", PK_INVALID, "cannot listen on");
}

/* Low ports need a right that this process does not have. */
static bool ports_are_guarded(void)
{
    unsigned first = 1024;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    const bool is_known = file && fscanf(file, "%u", &first) == 1;
    if (file) {
        (void)fclose(file);
    }
    return is_known && geteuid() != 0 && first > 1;
}

TEST_WHEN(a_port_of_the_system_needs_the_right, ports_are_guarded())
{
    assert_not_listening("127.0.0.1:1", PK_FORBIDDEN, "this user may not use that port");
}
