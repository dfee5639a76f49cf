/* mongoadmin.c - What tests ask of a mongod, without a shell of its own.
 *
 *     mongoadmin run URL DATABASE JSON...   runs commands, prints each answer as one line of JSON
 *     mongoadmin primary URL MS             waits for a writable primary, prints its HOST:PORT
 *     mongoadmin ports N                    prints N free ports of the loopback address
 *
 * Exit 0 when all went well, 1 with a sentence on standard error when not.
 * tests/support/mongod compiles it by itself when no build has. */
/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PORTS_MAX = 64,
    POLL_MS = 20,
    TRIES_MAX = 1000,
    PORT_MIN = 10000, /* From here on, ... */
    PORT_END = 32000, /* ... and below those that Linux takes for clients (32768 and up). */
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static mongoc_client_t *connect_to(const char *url)
{
    mongoc_client_t *client = mongoc_client_new(url);
    if (!client) {
        (void)fprintf(stderr, "mongoadmin: '%s' is not a MongoDB URL\n", url);
        exit(1);
    }
    mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
    return client;
}

static bool run_one(mongoc_client_t *client, const char *database, const char *json)
{
    bson_error_t error;
    bson_t command;
    bson_t reply = BSON_INITIALIZER;
    if (!bson_init_from_json(&command, json, -1, &error)) {
        (void)fprintf(stderr, "mongoadmin: '%s' is not JSON: %s\n", json, error.message);
        return false;
    }
    bson_destroy(&reply);
    bool ok = mongoc_client_command_simple(client, database, &command, NULL, &reply, &error);
    if (!ok) {
        (void)fprintf(stderr, "mongoadmin: %s: %s\n", json, error.message);
    }
    char *answer = bson_as_relaxed_extended_json(&reply, NULL);
    (void)printf("%s\n", answer);
    bson_free(answer);
    bson_destroy(&reply);
    bson_destroy(&command);
    return ok;
}

static int run_commands(int argc, char **argv)
{
    mongoc_client_t *client = connect_to(argv[0]);
    bool ok = true;
    for (int i = 2; ok && i < argc; i++) {
        ok = run_one(client, argv[1], argv[i]);
    }
    mongoc_client_destroy(client);
    return ok ? 0 : 1;
}

/* Asks one server whether it is the primary; prints who it is. */
static bool is_primary(mongoc_client_t *client)
{
    bson_t reply;
    bson_t *command = BCON_NEW("hello", BCON_INT32(1));
    bson_iter_t iter;
    bool found = mongoc_client_command_simple(client, "admin", command, NULL, &reply, NULL) &&
                 bson_iter_init_find(&iter, &reply, "isWritablePrimary") && bson_iter_bool(&iter);
    if (found && bson_iter_init_find(&iter, &reply, "me")) {
        (void)printf("%s\n", bson_iter_utf8(&iter, NULL));
    }
    bson_destroy(&reply);
    bson_destroy(command);
    return found;
}

static int wait_for_primary(int argc, char **argv)
{
    (void)argc;
    int64_t end_ms = now_ms() + atol(argv[1]);
    mongoc_client_t *client = connect_to(argv[0]);
    bool found = is_primary(client);
    while (!found && now_ms() < end_ms) {
        (void)usleep(POLL_MS * 1000);
        found = is_primary(client);
    }
    mongoc_client_destroy(client);
    if (!found) {
        (void)fprintf(stderr, "mongoadmin: no primary at '%s' after %s ms\n", argv[0], argv[1]);
    }
    return found ? 0 : 1;
}

/* Holds all the sockets until the last port is known, so that no port comes twice. Ports from
 * which clients connect are left out: while a server that is killed is down, somebody's connection
 * could take its port, even one that tries to reach it. */
static int print_ports(int argc, char **argv)
{
    (void)argc;
    const int wanted = atoi(argv[0]);
    int found = 0;
    for (int i = 0; i < TRIES_MAX && found < wanted && found < PORTS_MAX; i++) {
        uint32_t drawn = 0;
        if (getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn)) {
            break;
        }
        const uint16_t port = (uint16_t)(PORT_MIN + drawn % (PORT_END - PORT_MIN));
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
            (void)printf("%u\n", port);
            found++;
        } else if (fd >= 0) {
            (void)close(fd);
        }
    }
    if (found < wanted) {
        (void)fprintf(stderr, "mongoadmin: %d free ports instead of %d\n", found, wanted);
        return 1;
    }
    return 0;
}

static const struct {
    const char *name;
    int argc_min;
    int (*run)(int argc, char **argv);
} verb_table[] = {
    { "run", 3, run_commands },
    { "primary", 2, wait_for_primary },
    { "ports", 1, print_ports },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(verb_table) / sizeof(verb_table[0]); i++) {
        if (strcmp(argv[1], verb_table[i].name) == 0 && argc - 2 >= verb_table[i].argc_min) {
            mongoc_init();
            int status = verb_table[i].run(argc - 2, argv + 2);
            mongoc_cleanup();
            return status;
        }
    }
    (void)fprintf(stderr,
                  "usage: mongoadmin run URL DATABASE JSON... | primary URL MS | ports N\n");
    return 2;
}
