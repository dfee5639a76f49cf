/* client.h - A plain client for tests: bytes over a real socket, with patience. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_CLIENT_H
#define PK_TEST_CLIENT_H

#include "net/net.h"
#include "test.h"

#include <stddef.h>
#include <stdint.h>

enum { CLIENT_PATIENCE_MS = PK_TEST_PATIENCE_MS };

/* One on a free port, for options.listener; pk_net_address(net, 0) is where. */
extern const struct pk_net_listener client_listener[1];

int client_dial(const struct pk_net *net);
/* The same with a socket that is there. */
void client_connect(int fd, const struct pk_net *net);
/* The same from another loopback address, such as 0x7f000002. */
int client_dial_from(const struct pk_net *net, uint32_t address);
void client_say(int fd, const char *data, size_t size);
/* Reads until 'until' is there, the server closes (NULL: only then), or patience ends, which fails
 * the case. Static memory. */
const char *client_hear(int fd, const char *until);
/* One request on a connection of its own; everything that comes back. */
const char *client_ask(const struct pk_net *net, const char *request);

#define assert_says(text, part)                          \
    do {                                                 \
        const char *said = (text);                       \
        if (!strstr(said, part)) {                       \
            fail_msg("'%s' is not in '%s'", part, said); \
        }                                                \
    } while (0)

/* Waits until the condition holds; fails the case when patience ends. */
#define wait_until(condition)                                  \
    do {                                                       \
        for (int tries_ = 0; !(condition); tries_++) {         \
            if (tries_ > CLIENT_PATIENCE_MS) {                 \
                fail_msg("waited in vain for %s", #condition); \
            }                                                  \
            client_pause();                                    \
        }                                                      \
    } while (0)
void client_pause(void); /* A millisecond. */

#endif
