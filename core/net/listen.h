/* listen.h - Sockets that listen on "127.0.0.1:8077", "[::1]:0" or "unix:/run/x.sock".
 *
 * The kernel spreads a TCP address's connections over its sockets. A Unix
 * socket has a file, which pk_listen_remove takes away. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_LISTEN_H
#define PK_NET_LISTEN_H

#include "net/net.h"

#include <sys/stat.h>

/* The file of a Unix socket that was made here. */
struct pk_socket_file {
    char path[108]; /* "": there is none. */
    dev_t device;   /* These three say whether it is still the same one. */
    ino_t inode;
    struct timespec changed;
};

/* 'count' descriptors that listen on one address. '*out_file' is filled, also for TCP. */
bool pk_listen(const char *address, size_t count, int *out_fd, struct pk_socket_file *out_file,
               struct pk_error *err);
/* The same for "unix:/path" alone. */
bool pk_listen_unix(const char *address, size_t count, int *out_fd, struct pk_socket_file *out_file,
                    struct pk_error *err);
/* "http://127.0.0.1:8077", "https://...", "unix:/path" of a listening socket. */
void pk_listen_text(int fd, bool is_secure, char out[PK_NET_ADDRESS_TEXT]);
/* From here on the kernel begins no further connection; those it has, and those that it completes
 * yet, can be accepted. */
void pk_listen_stop(int fd);
/* Removes the file, unless another program's is there by now. */
void pk_listen_remove(struct pk_socket_file *file);

#endif
