/* parse.c - llhttp in strict mode, collecting one request at a time.
 *
 * Bytes come in pieces of any size. Target, names and values are appended to
 * one buffer with a NUL behind each, and none within: so they are found again
 * by walking. When the head is whole the buffer no longer moves, the walk makes
 * texts of it, and the policy is asked; then the body is collected up to the
 * limit of its route. At the end
 * llhttp is paused, so that bytes of the next request stay where they are
 * until this one is answered.
 *
 * No lenient flag is ever set. Thread: the loop's. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <string.h>

enum {
    EXTENSIONS_MAX = 4 * 1024, /* Bytes of chunk extensions in one body. */
    HEAD_SLACK = 1024          /* For method, version and empty lines before a request. */
};

static const struct {
    enum llhttp_method theirs;
    enum pk_method ours;
} method_table[] = {
    { HTTP_GET, PK_METHOD_GET },         { HTTP_HEAD, PK_METHOD_HEAD },
    { HTTP_POST, PK_METHOD_POST },       { HTTP_PUT, PK_METHOD_PUT },
    { HTTP_PATCH, PK_METHOD_PATCH },     { HTTP_DELETE, PK_METHOD_DELETE },
    { HTTP_OPTIONS, PK_METHOD_OPTIONS },
};

/* What a header's name is made of (RFC 9110, section 5.6.2), in lower case; 0: nothing else is. */
static const char token_table[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b',   ['c'] = 'c',
    ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i',   ['j'] = 'j',
    ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',   ['q'] = 'q',
    ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w',   ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd',   ['E'] = 'e',
    ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k',   ['L'] = 'l',
    ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',   ['S'] = 's',
    ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y',   ['Z'] = 'z',
};

/* Ends the parse: llhttp reports HPE_USER, and 'refusal' says why. */
static int refuse(struct pk_parser *parser, enum pk_refusal refusal)
{
    parser->refusal = refusal;
    return HPE_USER;
}

/* ---- What llhttp calls ---- */

static int on_message_begin(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    parser->exchange = pk_exchange_new(parser->loop);
    parser->exchange->request.times.first_ns = parser->loop->now_ns;
    return 0;
}

static int on_url(llhttp_t *http, const char *at, size_t size)
{
    struct pk_parser *parser = http->data;
    parser->target_size += size;
    if (parser->target_size > PK_NET_LINE_MAX) {
        return refuse(parser, PK_REFUSAL_TARGET_LONG);
    }
    pk_buf_add(&parser->exchange->text, at, size);
    return 0;
}

static int on_url_complete(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    pk_buf_add_char(&parser->exchange->text, '\0');
    return 0;
}

static int on_version_complete(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    parser->is_version_seen = true;
    return 0;
}

/* Where names and values go: the head's text is not touched once texts point into it. */
static struct pk_buf *text_of(struct pk_parser *parser)
{
    return parser->is_head_done ? &parser->trailer : &parser->exchange->text;
}

static int count_header_bytes(struct pk_parser *parser, size_t size)
{
    parser->header_bytes += size;
    return parser->header_bytes > PK_NET_HEAD_MAX ? refuse(parser, PK_REFUSAL_HEADERS_LARGE) : 0;
}

static int on_header_field(llhttp_t *http, const char *at, size_t size)
{
    struct pk_parser *parser = http->data;
    struct pk_buf *text = text_of(parser);
    if (parser->name_size == 0) {
        parser->name_at = text->size;
    }
    parser->name_size += size;
    char *to = pk_buf_reserve(text, size);
    bool is_token = true;
    for (size_t i = 0; i < size; i++) {
        to[i] = token_table[(unsigned char)at[i]];
        is_token &= to[i] != '\0';
    }
    to[size] = '\0';
    text->size += size;
    return is_token ? count_header_bytes(parser, size) : refuse(parser, PK_REFUSAL_HEADER);
}

static int on_header_field_complete(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    pk_buf_add_char(text_of(parser), '\0');
    return count_header_bytes(parser, 2); /* ": " */
}

static int on_header_value(llhttp_t *http, const char *at, size_t size)
{
    struct pk_parser *parser = http->data;
    pk_buf_add(text_of(parser), at, size);
    return count_header_bytes(parser, size);
}

/* A name and its value are whole. */
static int on_header_value_complete(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    struct pk_buf *text = text_of(parser);
    size_t value_at = parser->name_at + parser->name_size + 1;

    while (text->size > value_at &&
           (text->data[text->size - 1] == ' ' || text->data[text->size - 1] == '\t')) {
        text->size--;
    }
    enum pk_refusal refusal = parser->name_size == 0
                                  ? PK_REFUSAL_HEADER
                                  : pk_policy_value(text->data + value_at, text->size - value_at);
    pk_buf_add_char(text, '\0');
    if (refusal == PK_REFUSAL_NONE && parser->is_head_done) {
        refusal = pk_policy_trailer(text->data + parser->name_at);
    }
    if (refusal == PK_REFUSAL_NONE && parser->header_count == PK_NET_HEADERS_MAX) {
        refusal = PK_REFUSAL_HEADERS_LARGE;
    }
    if (refusal != PK_REFUSAL_NONE) {
        return refuse(parser, refusal);
    }
    if (parser->is_head_done) {
        pk_buf_clear(text); /* A trailer: counted, and dropped. */
    }
    parser->header_count++;
    parser->name_size = 0;
    return count_header_bytes(parser, 2); /* The line's end. */
}

static enum pk_method method_of(const llhttp_t *http)
{
    for (size_t i = 0; i < PK_COUNT(method_table); i++) {
        if (method_table[i].theirs == (enum llhttp_method)http->method) {
            return method_table[i].ours;
        }
    }
    return PK_METHOD_OTHER;
}

static void take_headers(struct pk_parser *parser)
{
    struct pk_request *request = &parser->exchange->request;
    const char *at = parser->exchange->text.data + parser->target_size + 1;
    size_t count = parser->header_count;
    struct pk_header *header = pk_arena_alloc(&request->arena, (count + 1) * sizeof(*header));
    for (size_t i = 0; i < count; i++) {
        header[i].name = at;
        header[i].value = at + strlen(at) + 1;
        at = header[i].value + strlen(header[i].value) + 1;
    }
    request->header = header;
    request->header_count = count;
}

/* The client's own id is kept when it is harmless: it goes into logs and answers. */
static void take_request_id(struct pk_request *request)
{
    const char *given = pk_request_header(request, "x-request-id");
    if (given) {
        size_t size = strspn(given, "0123456789abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-");
        if (size > 0 && size < sizeof(request->id) && given[size] == '\0') {
            memcpy(request->id, given, size + 1);
        }
    }
}

static int on_headers_complete(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    struct pk_exchange *exchange = parser->exchange;
    struct pk_request *request = &exchange->request;
    struct pk_match match;

    if (!parser->is_version_seen) {
        return refuse(parser, PK_REFUSAL_VERSION); /* HTTP/0.9 has no version. */
    }
    take_headers(parser);
    take_request_id(request);
    enum pk_refusal refusal = pk_policy_head(http, request);
    request->method = method_of(http);
    if (refusal == PK_REFUSAL_NONE) {
        refusal = pk_policy_target(request, exchange->text.data);
    }
    if (refusal != PK_REFUSAL_NONE) {
        return refuse(parser, refusal);
    }
    /* A request that no route takes may carry a small body, which is read and dropped: then the
     * connection can go on behind its 404. */
    pk_route_find(parser->loop->net, request, &match);
    request->route = match.route;
    parser->body_max_bytes = match.route ? match.route->body_max_bytes : 64 * 1024;
    if (match.route && match.route->is_streamed) {
        exchange->stream = pk_stream_new(exchange);
        if (parser->body_max_bytes == 0) {
            parser->body_max_bytes = SIZE_MAX;
        }
    }
    if ((http->flags & F_CONTENT_LENGTH) && http->content_length > parser->body_max_bytes) {
        return refuse(parser, PK_REFUSAL_BODY_LARGE);
    }
    bool has_body = (http->flags & F_CHUNKED) || http->content_length > 0;
    parser->is_continue_wanted =
        has_body && http->http_minor == 1 && pk_request_header(request, "expect") != NULL;
    exchange->is_http_1_0 = http->http_minor == 0;
    exchange->is_keep_alive = llhttp_should_keep_alive(http) != 0;
    request->times.head_ns = parser->loop->now_ns;
    parser->is_head_done = true;
    parser->is_held = has_body; /* Somebody is asked before a byte of it is taken. */
    return has_body ? HPE_PAUSED : 0;
}

/* What all requests together hold is bounded; a stream bounds itself. */
static bool hold(struct pk_exchange *exchange, size_t size)
{
    struct pk_net *net = exchange->loop->net;
    if (atomic_fetch_add(&net->bodies_bytes, size) + size > net->options.limits.bodies_bytes) {
        (void)atomic_fetch_sub(&net->bodies_bytes, size);
        return false;
    }
    exchange->body_counted += size;
    return true;
}

static int on_body(llhttp_t *http, const char *at, size_t size)
{
    struct pk_parser *parser = http->data;
    struct pk_stream *stream = parser->exchange->stream;
    if (size > parser->body_max_bytes - parser->body_bytes) {
        return refuse(parser, PK_REFUSAL_BODY_LARGE);
    }
    parser->body_bytes += size;
    if (stream) {
        pk_stream_feed(stream, at, size);
    } else if (parser->exchange->request.route) { /* Nobody reads what no route takes. */
        if (!hold(parser->exchange, size)) {
            return refuse(parser, PK_REFUSAL_BODIES_FULL);
        }
        pk_buf_add(&parser->exchange->request.body, at, size);
    }
    return 0;
}

/* The size of the chunk that begins: one that cannot fit is refused before it arrives. */
static int on_chunk_header(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    size_t room = parser->body_max_bytes - parser->body_bytes;
    return http->content_length > room ? refuse(parser, PK_REFUSAL_BODY_LARGE) : 0;
}

static int on_extension(llhttp_t *http, const char *at, size_t size)
{
    struct pk_parser *parser = http->data;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)at[i] < ' ' || at[i] == 0x7f) {
            return refuse(parser, PK_REFUSAL_SYNTAX);
        }
    }
    parser->extension_bytes += size;
    return parser->extension_bytes > EXTENSIONS_MAX ? refuse(parser, PK_REFUSAL_BODY_LARGE) : 0;
}

static int on_message_complete(llhttp_t *http)
{
    struct pk_parser *parser = http->data;
    struct pk_stream *stream = parser->exchange->stream;
    parser->is_complete = true;
    parser->exchange->request.times.whole_ns = parser->loop->now_ns;
    if (stream) {
        pk_stream_feed_end(stream);
    }
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_version_complete = on_version_complete,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

/* ---- The parser ---- */

void pk_parser_init(struct pk_parser *parser, struct pk_loop *loop)
{
    *parser = (struct pk_parser){ .loop = loop };
    llhttp_init(&parser->http, HTTP_REQUEST, &settings);
    parser->http.data = parser;
}

void pk_parser_done(struct pk_parser *parser)
{
    if (!parser->is_lent) {
        pk_exchange_free(parser->exchange);
    }
    parser->exchange = NULL;
    parser->is_lent = false;
    pk_buf_done(&parser->trailer);
}

enum pk_refusal pk_parser_feed(struct pk_parser *parser, const char *data, size_t size,
                               size_t *out_used)
{
    llhttp_errno_t result = llhttp_execute(&parser->http, data, size);
    *out_used = size;
    if (result == HPE_OK) {
        if (!parser->is_head_done) {
            /* Whatever a head is made of (empty lines, too), there is an end to it. */
            parser->head_bytes += size;
            if (parser->head_bytes > PK_NET_LINE_MAX + PK_NET_HEAD_MAX + HEAD_SLACK) {
                parser->refusal = PK_REFUSAL_HEADERS_LARGE;
            }
        }
        return parser->refusal;
    }
    if (result == HPE_PAUSED && (parser->is_complete || parser->is_held)) {
        *out_used = (size_t)(llhttp_get_error_pos(&parser->http) - data);
        return PK_REFUSAL_NONE;
    }
    if (parser->refusal == PK_REFUSAL_NONE) {
        parser->refusal = PK_REFUSAL_SYNTAX;
    }
    return parser->refusal;
}

void pk_parser_go_on(struct pk_parser *parser)
{
    parser->is_held = false;
    llhttp_resume(&parser->http);
}

struct pk_exchange *pk_parser_take(struct pk_parser *parser)
{
    struct pk_exchange *exchange = parser->exchange;
    pk_buf_done(&parser->trailer);
    pk_parser_init(parser, parser->loop);
    return exchange;
}

/* ---- Requests ---- */

const char *pk_request_header(const struct pk_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        const char *given = request->header[i].name;
        if (given[0] == name[0] && strcmp(given, name) == 0) {
            return request->header[i].value;
        }
    }
    return NULL;
}
