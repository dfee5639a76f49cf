/* client.h - How a command talks to a running server.
 *
 *     PK_CLIENT_OPTIONS in the command's table of options
 *     pk_client_run(call, work, err)      finds the server and the key, then calls
 *     work(client, err)                   which asks: pk_client_ask, pk_client_list
 *
 *     server   --server, PERSONAKIT_SERVER, or what DATA/server says
 *     key      --key, PERSONAKIT_KEY, or DATA/admin.key
 *     DATA     --data, PERSONAKIT_DATA, or "var"
 *
 * DATA/server is written by 'serve': one line with its address. The key of
 * DATA/admin.key goes to that server and to this machine by itself, to others
 * only when it is asked for: a mistyped --server must not learn it. Errors
 * carry what the server says, in its words. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_CLIENT_H
#define PK_CLI_CLIENT_H

#include "cli/cli.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_doc;
struct pk_fetcher;

#define PK_CLIENT_OPTIONS                                                                          \
    { "--server", "URL", "The server: http://..., https://... or unix:/...; default: DATA's." },   \
        { "--key", "KEY",                                                                          \
          "The key to ask with; better in PERSONAKIT_KEY, where others do not see "                \
          "it." },                                                                                 \
        { "--data", "DATA", "The server's folder, for its address and admin.key; default: var." }, \
    {                                                                                              \
        "--ca", "FILE", "Whose certificates are believed (PEM); default: the system's."            \
    }

struct pk_client {
    struct pk_call *call;
    struct pk_fetcher *fetcher;
    const char *base;     /* "http://127.0.0.1:8077", without a slash; in the call's arena, as
                           * all texts here. */
    const char *shown;    /* The server, for messages. */
    const char *data;     /* The folder. */
    const char *key_from; /* Where the key came from: "--key". */
    char *authorization;  /* "Bearer pk_..." */
    bool has_asked;       /* A request was sent: no longer the words alone can be wrong. */
    struct pk_doc
        *problem; /* What the server said when it refused last, or NULL; pk_client_run's. */
};

typedef bool pk_client_work_fn(struct pk_client *client, struct pk_error *err);
enum pk_exit pk_client_run(struct pk_call *call, pk_client_work_fn *work, struct pk_error *err);

/* '*out' (NULL: not wanted) is the answer, a reference; texts of 'err' live as long as the call. */
bool pk_client_ask(struct pk_client *client, const char *method, const char *path,
                   const bson_t *body, struct pk_doc **out, struct pk_error *err);
/* GET of an answer of any length and of another type ("application/x-ndjson"), in pieces as it
 * comes; false of 'each' ends it with 'err' as 'each' left it. No time is too long. */
typedef bool pk_client_piece_fn(void *context, const void *data, size_t size, struct pk_error *err);
bool pk_client_stream(struct pk_client *client, const char *path, const char *type,
                      pk_client_piece_fn *each, void *context, struct pk_error *err);
/* Every item of a list, page after page; 'path' may have a query. False of 'each' ends it with
 * 'err' as 'each' left it. */
typedef bool pk_client_each_fn(void *context, const struct pk_doc *item, struct pk_error *err);
bool pk_client_list(struct pk_client *client, const char *path, pk_client_each_fn *each,
                    void *context, struct pk_error *err);
/* A path from a format whose every %s is a segment, which is escaped; lives as long as the call. */
const char *pk_client_path(struct pk_client *client, const char *format, const char *first,
                           const char *second);

/* --json: one document, or {"items": [...], "next": null} from a list. */
bool pk_client_print(const struct pk_doc *doc, struct pk_error *err);
bool pk_client_print_list(struct pk_client *client, const char *path, struct pk_error *err);

/* The id of the actor that is called so, or has this id; "self" is who asks. PK_NOT_FOUND, or
 * PK_CONFLICT when several are called so. */
bool pk_client_actor(struct pk_client *client, const char *name, const char **out_id,
                     struct pk_error *err);

#endif
