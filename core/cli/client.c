/* client.c - How a command talks to a running server. See client.h.
 *
 * One request after the other over one kept connection. What the server
 * refuses comes as application/problem+json and becomes the command's error:
 * its code, its detail, its hint. */
/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include "access/key.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"
#include "net/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    ANSWER_MAX_BYTES = 32 * 1024 * 1024,
    LINE_MAX_BYTES = 4096,
    PAGES_MAX = 10000 /* Of one list: a server that never ends must not keep us for ever. */
};

static const char unix_prefix[] = "unix:";
static const char text_address[] = "write it as http://..., https://... or unix:/...";
static const char unix_host[] = "personakit"; /* What a URL by way of a socket names. */

/* ---- Which server, which key ---- */

/* The first line of a file, in the call's arena; PK_NOT_FOUND when there is none. */
static bool read_line(struct pk_call *call, const char *path, const char **out,
                      struct pk_error *err)
{
    struct pk_buf text = { 0 };
    (void)pk_buf_reserve(&text, 65536 * 2); /* Never moves, so that wiping it wipes all. */
    const bool is_ok = pk_file_read(&text, path, LINE_MAX_BYTES, err);
    if (is_ok) {
        *out =
            pk_arena_strndup(&call->arena, pk_buf_text(&text), strcspn(pk_buf_text(&text), "\r\n"));
    }
    pk_secret_wipe(text.data, text.capacity);
    pk_buf_done(&text);
    return is_ok;
}

/* The value of an option, or of a variable, or NULL. */
static const char *option_or_variable(const struct pk_call *call, const char *option,
                                      const char *variable, const char **out_from)
{
    const char *value = pk_call_option(call, option);
    const char *from = option;
    if (!value) {
        value = getenv(variable);
        from = variable;
    }
    if (!value || !value[0]) {
        return NULL;
    }
    *out_from = from;
    return value;
}

static const char *find_data(const struct pk_call *call)
{
    const char *from = NULL;
    const char *data = option_or_variable(call, "--data", "PERSONAKIT_DATA", &from);
    for (size_t i = 0; !data && i < pk_setting_count; i++) {
        if (strcmp(pk_setting_table[i].name, "data") == 0) {
            data = pk_setting_table[i].fallback;
        }
    }
    return data;
}

/* 'client->shown' and whether it is DATA's own. */
static bool find_server(struct pk_client *client, bool *out_is_own, struct pk_error *err)
{
    struct pk_call *call = client->call;
    const char *from = NULL;
    struct pk_error own = { 0 };
    const char *named = option_or_variable(call, "--server", "PERSONAKIT_SERVER", &from);
    const char *path = pk_arena_printf(&call->arena, "%s/server", client->data);
    const char *noted = NULL;
    bool is_noted = read_line(call, path, &noted, &own);
    if (is_noted && !pk_folder_is_held(client->data)) { /* Killed: its port may be anybody's now. */
        is_noted = false;
        noted = NULL;
        own.code = PK_NOT_FOUND;
    }
    if (!is_noted && !named) {
        if (own.code != PK_NOT_FOUND) {
            return pk_fail(err, own.code, own.hint, "%s", own.message);
        }
        return pk_fail(err, PK_UNAVAILABLE,
                       pk_arena_printf(&call->arena,
                                       "start it with 'personakit serve --data %s', or name one "
                                       "with --server",
                                       client->data),
                       "no server runs in '%.200s'", client->data);
    }
    client->shown = named ? named : noted;
    *out_is_own = noted && strcmp(client->shown, noted) == 0;
    return true;
}

/* Host and port of 'base', as the list of allowed hosts has them; the port is always said. */
static bool read_host(struct pk_client *client, const char **out, struct pk_error *err)
{
    const char *base = client->base;
    const bool is_https = strncasecmp(base, "https://", 8) == 0;
    if (!is_https && strncasecmp(base, "http://", 7) != 0) {
        return pk_fail(err, PK_INVALID, text_address, "'%.200s' is not the address of a server",
                       client->shown);
    }
    const char *host = base + (is_https ? 8 : 7);
    const size_t size = strcspn(host, "/?#");
    const char *end = host + size;
    const char *colon = memrchr(host, ':', size);
    const bool has_port = colon && !memchr(colon, ']', (size_t)(end - colon));
    *out = pk_arena_printf(&client->call->arena, "%.*s%s", (int)size, host,
                           has_port   ? ""
                           : is_https ? ":443"
                                      : ":80");
    return true;
}

static bool is_this_machine(const char *base)
{
    static const char *const own[] = { "http://127.0.0.1",  "http://[::1]",  "http://localhost",
                                       "https://127.0.0.1", "https://[::1]", "https://localhost" };
    for (size_t i = 0; i < PK_COUNT(own); i++) {
        const size_t size = strlen(own[i]);
        if (strncasecmp(base, own[i], size) == 0 && strchr(":/", base[size])) {
            return true; /* strchr finds the NUL, too. */
        }
    }
    return false;
}

static bool open_fetcher(struct pk_client *client, struct pk_error *err)
{
    const bool is_unix = strncmp(client->shown, unix_prefix, sizeof(unix_prefix) - 1) == 0;
    const char *host = unix_host;
    struct pk_fetch_options options = {
        .clock = client->call->app->clock,
        .host = &host,
        .host_count = 1,
        .is_private_allowed = true,
        .ca_file = pk_call_option(client->call, "--ca"),
        .unix_path = is_unix ? client->shown + sizeof(unix_prefix) - 1 : NULL,
    };
    size_t size = strlen(client->shown);
    while (size > 0 && client->shown[size - 1] == '/') {
        size--;
    }
    client->base = is_unix ? pk_arena_printf(&client->call->arena, "http://%s", unix_host)
                           : pk_arena_strndup(&client->call->arena, client->shown, size);
    if (!is_unix && !read_host(client, &host, err)) {
        return false;
    }
    return pk_fetcher_new(&client->fetcher, &options, err) ||
           pk_fail(err, PK_INVALID, text_address, "'%.200s' is not the address of a server",
                   client->shown);
}

static bool take_key(struct pk_client *client, const char *text, struct pk_error *err)
{
    PK_CLEANUP(pk_key_wipe) struct pk_key key = { 0 };
    if (!pk_key_parse(&key, text, strlen(text))) {
        return pk_fail(err, PK_INVALID, "a key is one word, pk_..., of 72 characters",
                       "what %.200s has is not a key", client->key_from);
    }
    client->authorization = pk_arena_printf(&client->call->arena, "Bearer %s", text);
    return true;
}

static bool find_key(struct pk_client *client, bool is_own, struct pk_error *err)
{
    struct pk_call *call = client->call;
    struct pk_error own = { 0 };
    const char *path = pk_arena_printf(&call->arena, "%s/admin.key", client->data);
    const char *text = option_or_variable(call, "--key", "PERSONAKIT_KEY", &client->key_from);
    if (text) {
        return take_key(client, text, err);
    }
    const bool is_unix = strncmp(client->shown, unix_prefix, sizeof(unix_prefix) - 1) == 0;
    if (!is_own && !is_unix && !is_this_machine(client->base)) {
        return pk_fail(err, PK_UNAUTHORIZED,
                       "name one with PERSONAKIT_KEY or --key; DATA's own is not sent to a server "
                       "elsewhere by itself",
                       "there is no key for '%.200s'", client->shown);
    }
    client->key_from = path;
    if (!read_line(call, path, &text, &own)) {
        return pk_fail(err, own.code == PK_NOT_FOUND ? PK_UNAUTHORIZED : own.code,
                       "name one with PERSONAKIT_KEY or --key; 'personakit key reset' makes a new "
                       "one when it is lost",
                       "there is no key: %.200s", own.message);
    }
    return take_key(client, text, err);
}

static void close_client(struct pk_client *client)
{
    pk_doc_unref(client->problem);
    pk_fetcher_free(client->fetcher);
    if (client->authorization) {
        pk_secret_wipe(client->authorization, strlen(client->authorization));
    }
}

enum pk_exit pk_client_run(struct pk_call *call, pk_client_work_fn *work, struct pk_error *err)
{
    struct pk_client client = { .call = call, .data = find_data(call) };
    bool is_own = false;
    const bool is_ok = find_server(&client, &is_own, err) && open_fetcher(&client, err) &&
                       find_key(&client, is_own, err) && work(&client, err);
    close_client(&client);
    if (is_ok) {
        return PK_EXIT_OK;
    }
    return err->code == PK_INVALID && !client.has_asked ? PK_EXIT_USAGE : PK_EXIT_FAILED;
}

/* ---- A request and its answer ---- */

/* "store_unavailable" and 503 are a code of ours. */
static enum pk_code find_code(const char *name, int status)
{
    for (int i = PK_OK + 1; name && i < PK_CODE_COUNT; i++) {
        if (strcmp(pk_code_name((enum pk_code)i), name) == 0) {
            return (enum pk_code)i;
        }
    }
    for (int i = PK_OK + 1; i < PK_CODE_COUNT; i++) {
        if (pk_code_http((enum pk_code)i) == status) {
            return (enum pk_code)i;
        }
    }
    return status < 500 ? PK_INVALID : PK_INTERNAL;
}

static const char *keep(struct pk_client *client, const char *text)
{
    return text ? pk_arena_strdup(&client->call->arena, text) : NULL;
}

/* What the server refuses becomes our error. */
static bool fail_refused(struct pk_client *client, int status, const struct pk_doc *problem,
                         struct pk_error *err)
{
    const char *detail = problem ? pk_doc_text(problem, "detail") : NULL;
    if (!detail) {
        return pk_fail(err, status < 500 ? PK_INVALID : PK_UNAVAILABLE,
                       "see that --server names a PersonaKit server, and what stands before it",
                       "'%.150s' answers %d, and not as a PersonaKit server would", client->shown,
                       status);
    }
    const enum pk_code code = find_code(pk_doc_text(problem, "code"), status);
    const char *hint = keep(client, pk_doc_text(problem, "hint"));
    const char *field = keep(client, pk_doc_text(problem, "field"));
    const char *id = pk_doc_text(problem, "requestId");
    if (code == PK_UNAUTHORIZED) {
        return pk_fail(
            err, code,
            "it may be unknown, expired or revoked, or its actor suspended; name another "
            "with PERSONAKIT_KEY or --key; 'personakit key reset' helps when the admin's "
            "is lost",
            "the server refuses the key of %.150s", client->key_from);
    }
    if (code == PK_INTERNAL && id) {
        return pk_fail(err, code, hint ? hint : "its log says more", "%s (request %.64s)", detail,
                       id);
    }
    return pk_fail_field(err, code, field, hint, "%s", detail);
}

static bool fail_unreached(struct pk_client *client, struct pk_error *err)
{
    if (err->code == PK_UNAVAILABLE && strncmp(err->message, "cannot connect", 14) == 0) {
        err->hint = pk_arena_printf(&client->call->arena,
                                    "no server runs there: start it with 'personakit serve --data "
                                    "%s', or name another with --server",
                                    client->data);
    }
    return pk_wrap(err, "ask the server");
}

/* '*out' NULL: the answer has no body. */
static bool read_answer(const struct pk_fetch_answer *answer, struct pk_doc **out)
{
    bson_t bson;
    const struct pk_buf *body = &answer->body;
    if (body->size == 0) {
        return true;
    }
    if (!pk_json_read(&bson, body->data, body->size, NULL, NULL)) {
        return false;
    }
    *out = pk_doc_take(&bson);
    return true;
}

static bool send_request(struct pk_client *client, const char *method, const char *path,
                         const bson_t *body, struct pk_fetch_answer *answer, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("%s%s", client->base, path);
    struct pk_fetch_header header[] = {
        { "Authorization", client->authorization, strlen(client->authorization) },
        { "Accept", "application/json", 16 },
        { "Content-Type", "application/json", 16 },
    };
    if (body && !pk_json_write(&text, body, PK_JSON_COMPACT, err)) {
        return false;
    }
    const struct pk_fetch_request request = {
        .method = method,
        .url = url,
        .header = header,
        .header_count = PK_COUNT(header) - (body ? 0 : 1),
        .body = text.data,
        .body_size = text.size,
        .answer_max_bytes = ANSWER_MAX_BYTES,
    };
    client->has_asked = true;
    return pk_fetch(client->fetcher, &request, answer, err) || fail_unreached(client, err);
}

bool pk_client_ask(struct pk_client *client, const char *method, const char *path,
                   const bson_t *body, struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_fetch_answer_done) struct pk_fetch_answer answer = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    if (!send_request(client, method, path, body, &answer, err)) {
        return false;
    }
    const bool is_json = read_answer(&answer, &doc);
    if (answer.status < 200 || answer.status > 299) {
        pk_doc_unref(client->problem);
        client->problem = doc ? pk_doc_ref(doc) : NULL;
        return fail_refused(client, answer.status, doc, err);
    }
    if (!is_json || (out && !doc)) {
        return fail_refused(client, answer.status, NULL, err);
    }
    if (out) {
        *out = doc;
        doc = NULL;
    }
    return true;
}

/* ---- Answers of any length ---- */

struct streaming {
    pk_client_piece_fn *each;
    void *context;
    struct pk_buf problem; /* What came instead. */
    struct pk_error *err;
    bool is_ok;
};

static bool is_success(const struct pk_fetch_answer *answer)
{
    return answer->status >= 200 && answer->status <= 299;
}

static bool take_piece(void *context, const struct pk_fetch_answer *answer, const void *data,
                       size_t size)
{
    struct streaming *streaming = context;
    if (is_success(answer)) {
        streaming->is_ok = streaming->each(streaming->context, data, size, streaming->err);
        return streaming->is_ok;
    }
    if (streaming->problem.size + size > LINE_MAX_BYTES * 16) {
        return false;
    }
    pk_buf_add(&streaming->problem, data, size);
    return true;
}

bool pk_client_stream(struct pk_client *client, const char *path, const char *type,
                      pk_client_piece_fn *each, void *context, struct pk_error *err)
{
    PK_CLEANUP(pk_fetch_answer_done) struct pk_fetch_answer answer = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *problem = NULL;
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("%s%s", client->base, path);
    struct streaming streaming = { .each = each, .context = context, .err = err, .is_ok = true };
    const struct pk_fetch_header header[] = {
        { "Authorization", client->authorization, strlen(client->authorization) },
        { "Accept", type, strlen(type) },
    };
    const struct pk_fetch_request request = {
        .url = url,
        .header = header,
        .header_count = PK_COUNT(header),
        .answer_max_bytes = SIZE_MAX,
        .deadline_ns = PK_FETCH_NO_DEADLINE,
        .piece = take_piece,
        .context = &streaming,
    };
    client->has_asked = true;
    bool ok = pk_fetch(client->fetcher, &request, &answer, err) || fail_unreached(client, err);
    if (ok && !is_success(&answer)) {
        answer.body = streaming.problem; /* Ended with the answer. */
        streaming.problem = (struct pk_buf){ 0 };
        (void)read_answer(&answer, &problem);
        ok = fail_refused(client, answer.status, problem, err);
    }
    pk_buf_done(&streaming.problem);
    return ok && streaming.is_ok;
}

/* ---- Lists ---- */

static bool each_item(const struct pk_doc *page, pk_client_each_fn *each, void *context,
                      struct pk_error *err)
{
    bson_t view;
    bson_iter_t at;
    bson_iter_t item;
    pk_doc_view(page, &view);
    if (!bson_iter_init_find(&at, &view, "items") || !BSON_ITER_HOLDS_ARRAY(&at) ||
        !bson_iter_recurse(&at, &item)) {
        return pk_fail(err, PK_INTERNAL, "server and command may be of different versions",
                       "the server's answer is no list");
    }
    while (bson_iter_next(&item)) {
        const uint8_t *data = NULL;
        uint32_t size = 0;
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        if (!BSON_ITER_HOLDS_DOCUMENT(&item)) {
            continue;
        }
        bson_iter_document(&item, &size, &data);
        if (!pk_doc_parse(&doc, data, size, err) || !each(context, doc, err)) {
            return false;
        }
    }
    return true;
}

/* Letters, digits and -._~ stand for themselves. */
static const char *escape(struct pk_client *client, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~";
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    for (; *text; text++) {
        if (strchr(plain, *text)) {
            pk_buf_add_char(&out, *text);
        } else {
            pk_buf_printf(&out, "%%%02X", (unsigned char)*text);
        }
    }
    return keep(client, pk_buf_text(&out));
}

bool pk_client_list(struct pk_client *client, const char *path, pk_client_each_fn *each,
                    void *context, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *at = pk_strdup(path);
    for (int i = 0; i < PAGES_MAX; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *page = NULL;
        if (!pk_client_ask(client, "GET", at, NULL, &page, err) ||
            !each_item(page, each, context, err)) {
            return false;
        }
        const char *next = pk_doc_text(page, "next");
        if (!next) {
            return true;
        }
        pk_free(at);
        at = pk_strdupf("%s%ccursor=%s", path, strchr(path, '?') ? '&' : '?', escape(client, next));
    }
    return pk_fail(err, PK_TOO_LARGE, NULL, "the list does not end after %d pages", PAGES_MAX);
}

const char *pk_client_path(struct pk_client *client, const char *format, const char *first,
                           const char *second)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    const char *segment[] = { first, second };
    size_t used = 0;
    for (const char *c = format; *c; c++) {
        if (c[0] == '%' && c[1] == 's' && used < PK_COUNT(segment) && segment[used]) {
            pk_buf_add_text(&out, escape(client, segment[used++]));
            c++;
        } else {
            pk_buf_add_char(&out, *c);
        }
    }
    return keep(client, pk_buf_text(&out));
}

/* ---- For programs ---- */

static bool add_json(struct pk_buf *out, const struct pk_doc *doc, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(doc, &view);
    return pk_json_write(out, &view, PK_JSON_COMPACT, err);
}

bool pk_client_print(const struct pk_doc *doc, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    if (!add_json(&out, doc, err)) {
        return false;
    }
    (void)printf("%s\n", pk_buf_text(&out));
    return true;
}

static bool collect(void *context, const struct pk_doc *item, struct pk_error *err)
{
    struct pk_buf *out = context;
    pk_buf_add_text(out, out->data[out->size - 1] == '[' ? "" : ",");
    return add_json(out, item, err);
}

bool pk_client_print_list(struct pk_client *client, const char *path, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    pk_buf_add_text(&out, "{\"items\":[");
    if (!pk_client_list(client, path, collect, &out, err)) {
        return false;
    }
    (void)printf("%s],\"next\":null}\n", pk_buf_text(&out));
    return true;
}

/* ---- Actors by name ---- */

struct search {
    struct pk_client *client;
    const char *name;
    const char *id; /* The last that was found. */
    size_t count;
};

static bool compare(void *context, const struct pk_doc *item, struct pk_error *err)
{
    struct search *search = context;
    const char *name = pk_doc_text(item, "name");
    const char *id = pk_doc_text(item, "actorId");
    (void)err;
    if (name && id && strcmp(name, search->name) == 0) {
        search->id = keep(search->client, id);
        search->count++;
    }
    return true;
}

bool pk_client_actor(struct pk_client *client, const char *name, const char **out_id,
                     struct pk_error *err)
{
    struct search search = { .client = client, .name = name };
    if (pk_uuid_is_v4(name, strlen(name))) {
        *out_id = name;
        return true;
    }
    if (strcmp(name, "self") == 0) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *self = NULL;
        if (!pk_client_ask(client, "GET", "/v1/actors/self", NULL, &self, err)) {
            return false;
        }
        *out_id = keep(client, pk_doc_text(self, "actorId"));
        return *out_id || pk_fail(err, PK_INTERNAL, NULL, "the server does not say who asks");
    }
    if (!pk_client_list(client, "/v1/actors", compare, &search, err)) {
        return false;
    }
    if (search.count == 0) {
        return pk_fail(err, PK_NOT_FOUND, "'personakit actor list' shows those there are",
                       "there is no actor '%.100s'", name);
    }
    if (search.count > 1) {
        return pk_fail(err, PK_CONFLICT, "name it by its id; 'personakit actor list' shows them",
                       "%zu actors are called '%.100s'", search.count, name);
    }
    *out_id = search.id;
    return true;
}
