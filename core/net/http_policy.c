/* http_policy.c - What a request must not say, on top of llhttp's strict grammar.
 *
 * Two servers that disagree about where a request ends can be made to see
 * different requests (smuggling). So whatever could be read in two ways is
 * refused, not repaired: the connection gets one answer and is closed, and not
 * one more byte of it is interpreted.
 *
 * All functions are pure. If you add a reason, add its row to 'refusal_table';
 * the compiler insists. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <string.h>
#include <strings.h>

static const struct pk_refusal_row refusal_table[] = {
    [PK_REFUSAL_NONE] = { 200, "ok", "nothing is wrong", NULL },
    [PK_REFUSAL_SYNTAX] = { 400, "malformed_request", "the request is not HTTP/1.1",
                            "check what speaks to this port: it must be plain HTTP/1.1" },
    [PK_REFUSAL_VERSION] = { 400, "unsupported_version", "the request has no version 1.0 or 1.1",
                             "end the request line with HTTP/1.1" },
    [PK_REFUSAL_TARGET] = { 400, "malformed_target", "the request target cannot be used",
                            "send a path that starts with '/', percent-encoded once, without "
                            "%00 and without '.' and '..' segments" },
    [PK_REFUSAL_TARGET_LONG] = { 414, "target_too_long", "the request target is over 8 KiB",
                                 "put long values into the body" },
    [PK_REFUSAL_HEADER] = { 400, "malformed_header", "a header has a forbidden character",
                            "send header values without control characters" },
    [PK_REFUSAL_HEADERS_LARGE] = { 431, "headers_too_large",
                                   "the headers are over 32 KiB or more than 100",
                                   "send fewer or shorter headers" },
    [PK_REFUSAL_HOST] = { 400, "malformed_host", "there is not exactly one valid Host header",
                          "send one Host header with a name or address and perhaps a port" },
    [PK_REFUSAL_LENGTH] = { 400, "malformed_length",
                            "there is not at most one Content-Length of decimal digits",
                            "send Content-Length once, and not with Transfer-Encoding" },
    [PK_REFUSAL_ENCODING] = { 400, "malformed_transfer_encoding",
                              "Transfer-Encoding is something else than 'chunked'",
                              "send it once, exactly 'chunked', on HTTP/1.1, and without "
                              "Content-Length" },
    [PK_REFUSAL_UPGRADE] = { 400, "upgrade_refused", "this server does not change protocols",
                             "leave out Upgrade, and do not use CONNECT" },
    [PK_REFUSAL_EXPECT] = { 417, "expectation_failed", "only '100-continue' can be expected",
                            "leave out the Expect header" },
    [PK_REFUSAL_TRAILER] = { 400, "malformed_trailer",
                             "a header that frames a message stands behind the body",
                             "send Content-Length, Transfer-Encoding and Host at the top" },
    [PK_REFUSAL_BODY_LARGE] = { 413, "body_too_large", "the body is over this route's limit",
                                "send less at once" },
    [PK_REFUSAL_BODIES_FULL] = { 503, "busy", "the server holds as many bodies as it can",
                                 "send it again in a while" },
    [PK_REFUSAL_SLOW] = { 408, "request_timeout", "the request did not arrive in time",
                          "send the whole request at once" },
};
_Static_assert(PK_COUNT(refusal_table) == PK_REFUSAL_COUNT, "every refusal has its row");

const struct pk_refusal_row *pk_refusal_row(enum pk_refusal refusal)
{
    return &refusal_table[refusal];
}

/* True when one of eight bytes is below a space, or DEL: no carry runs from a byte without a hit
 * into the next one, so a 'false' is exact. (A tab is a hit, too.) */
static bool may_have_control(const char *text)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    uint64_t del = word ^ each * 0x7f;
    uint64_t low = (word - each * 0x20) & ~word;
    return ((low | ((del - each) & ~del)) & each * 0x80) != 0;
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool value_has_control(const char *value, size_t size)
{
    size_t i = 0;
    while (i + sizeof(uint64_t) <= size && !may_have_control(value + i)) {
        i += sizeof(uint64_t);
    }
    if (size >= sizeof(uint64_t) && i + sizeof(uint64_t) > size &&
        !may_have_control(value + size - sizeof(uint64_t))) {
        return false; /* Nearly always: the rest, with some that were looked at. */
    }
    while (i < size && !is_control((unsigned char)value[i])) {
        i++;
    }
    return i < size;
}

enum pk_refusal pk_policy_value(const char *value, size_t size)
{
    return value_has_control(value, size) ? PK_REFUSAL_HEADER : PK_REFUSAL_NONE;
}

enum pk_refusal pk_policy_header(const char *name, size_t name_size, const char *value,
                                 size_t value_size)
{
    if (name_size == 0) {
        return PK_REFUSAL_HEADER;
    }
    for (size_t i = 0; i < name_size; i++) {
        if ((unsigned char)name[i] <= ' ' || (unsigned char)name[i] >= 0x7f) {
            return PK_REFUSAL_HEADER;
        }
    }
    return pk_policy_value(value, value_size);
}

enum pk_refusal pk_policy_trailer(const char *name)
{
    static const char *const framing[] = { "content-length", "transfer-encoding", "host",
                                           "connection",     "upgrade",           "te",
                                           "trailer" };
    for (size_t i = 0; i < PK_COUNT(framing); i++) {
        if (strcmp(name, framing[i]) == 0) {
            return PK_REFUSAL_TRAILER;
        }
    }
    return PK_REFUSAL_NONE;
}

/* ---- Host ---- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_name_char(char c)
{
    static const bool table[256] = {
        ['0' ... '9'] = true, ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['-'] = true,
        ['.'] = true,         ['_'] = true,         ['~'] = true,         ['!'] = true,
        ['$'] = true,         ['&'] = true,         ['\''] = true,        ['('] = true,
        [')'] = true,         ['*'] = true,         ['+'] = true,         [','] = true,
        [';'] = true,         ['='] = true,
    };
    return table[(unsigned char)c];
}

/* Behind the name: nothing, or a port of one to five digits. */
static bool is_port(const char *text)
{
    if (*text == '\0') {
        return true;
    }
    size_t digits = strspn(text + 1, "0123456789");
    return text[0] == ':' && digits >= 1 && digits <= 5 && text[1 + digits] == '\0';
}

static bool host_is_valid(const char *host)
{
    size_t size = 0;
    if (host[0] == '[') {
        size = 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
        return size > 2 && host[size] == ']' && is_port(host + size + 1);
    }
    while (is_name_char(host[size]) ||
           (host[size] == '%' && is_hex(host[size + 1]) && is_hex(host[size + 2]))) {
        size++;
    }
    return size > 0 && is_port(host + size);
}

/* ---- The head as a whole ---- */

/* The headers that are looked at here: how often each is there, and its last value. */
enum { HOST, EXPECT, UPGRADE, LENGTH, ENCODING, LOOKED_AT };
static const char *const looked_at[] = {
    [HOST] = "host",
    [EXPECT] = "expect",
    [UPGRADE] = "upgrade",
    [LENGTH] = "content-length",
    [ENCODING] = "transfer-encoding",
};
struct found {
    size_t count[LOOKED_AT];
    const char *value[LOOKED_AT];
};

static void look(const struct pk_request *request, struct found *out)
{
    *out = (struct found){ 0 };
    for (size_t i = 0; i < request->header_count; i++) {
        const struct pk_header *header = &request->header[i];
        for (size_t which = 0; which < LOOKED_AT; which++) {
            if (header->name[0] == looked_at[which][0] &&
                strcmp(header->name, looked_at[which]) == 0) {
                out->count[which]++;
                out->value[which] = header->value;
                break;
            }
        }
    }
}

static enum pk_refusal check_framing(const llhttp_t *http, const struct found *found)
{
    const char *length = found->value[LENGTH];
    const char *encoding = found->value[ENCODING];
    size_t lengths = found->count[LENGTH];
    size_t encodings = found->count[ENCODING];

    if (lengths > 1 || (lengths == 1 && encodings > 0)) {
        return PK_REFUSAL_LENGTH;
    }
    if (lengths == 1) {
        size_t digits = strspn(length, "0123456789");
        if (digits == 0 || digits > 18 || length[digits] != '\0') {
            return PK_REFUSAL_LENGTH;
        }
    }
    /* 'chunked' in any case is the same coding (RFC 9112, section 7). */
    if (encodings > 1 ||
        (encodings == 1 && (http->http_minor == 0 || strcasecmp(encoding, "chunked") != 0))) {
        return PK_REFUSAL_ENCODING;
    }
    return PK_REFUSAL_NONE;
}

enum pk_refusal pk_policy_head(const llhttp_t *http, const struct pk_request *request)
{
    struct found found;
    look(request, &found);
    if (http->http_major != 1 || http->http_minor > 1) {
        return PK_REFUSAL_VERSION;
    }
    if (http->method == HTTP_CONNECT || found.count[UPGRADE] > 0) {
        return PK_REFUSAL_UPGRADE;
    }
    size_t hosts = found.count[HOST];
    if (hosts > 1 || (hosts == 0 && http->http_minor == 1) ||
        (hosts == 1 && !host_is_valid(found.value[HOST]))) {
        return PK_REFUSAL_HOST;
    }
    size_t expects = found.count[EXPECT];
    if (expects > 1 || (expects == 1 && strcasecmp(found.value[EXPECT], "100-continue") != 0)) {
        return PK_REFUSAL_EXPECT;
    }
    return check_framing(http, &found);
}

/* ---- The target ---- */

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Decodes '%XX' in place, once. False for a damaged one, and for NUL. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        char c = *from;
        if (c == '%') {
            if (!is_hex(from[1]) || !is_hex(from[2])) {
                return false;
            }
            c = (char)(hex_value(from[1]) * 16 + hex_value(from[2]));
            from += 2;
            if (c == '\0') {
                return false;
            }
        }
        *to++ = c;
    }
    *to = '\0';
    return true;
}

/* True when the decoded segment, or a part of it between slashes that were encoded, is a dot
 * segment: something behind us might resolve it. */
static bool has_dots(const char *segment)
{
    if (!strchr(segment, '.')) {
        return false; /* Nearly always. */
    }
    for (;;) {
        size_t size = strcspn(segment, "/\\");
        if ((size == 1 && segment[0] == '.') ||
            (size == 2 && segment[0] == '.' && segment[1] == '.')) {
            return true;
        }
        if (segment[size] == '\0') {
            return false;
        }
        segment += size + 1;
    }
}

/* "http://HOST/path" must name the Host that was sent, and becomes "/path". */
static char *strip_authority(const struct pk_request *request, char *target)
{
    const char *host = pk_request_header(request, "host");
    if (target[0] == '/') {
        return target;
    }
    if (strncasecmp(target, "http://", 7) != 0 || !host) {
        return NULL;
    }
    size_t size = strcspn(target + 7, "/?#");
    bool is_same = strlen(host) == size && strncasecmp(target + 7, host, size) == 0;
    return is_same && target[7 + size] == '/' ? target + 7 + size : NULL;
}

enum pk_refusal pk_policy_target(struct pk_request *request, char *target)
{
    for (const char *c = target; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#') {
            return PK_REFUSAL_TARGET;
        }
    }
    target = strip_authority(request, target);
    if (!target) {
        return PK_REFUSAL_TARGET;
    }
    size_t path_size = (size_t)(strchrnul(target, '?') - target);
    request->query = target[path_size] == '?' ? target + path_size + 1 : "";
    target[path_size] = '\0';
    request->path = target;

    /* Split first and decode then: an encoded slash belongs to its segment. */
    char *segment = pk_arena_strndup(&request->arena, target, path_size) + 1;
    bool is_more = segment[0] != '\0';
    request->segment_count = 0;
    while (is_more) {
        char *end = strchrnul(segment, '/');
        is_more =
            *end == '/'; /* "/a/" has an empty one behind: it is another resource than "/a". */
        *end = '\0';
        if (!decode(segment) || has_dots(segment) ||
            request->segment_count == PK_NET_SEGMENTS_MAX) {
            return PK_REFUSAL_TARGET;
        }
        request->segment[request->segment_count++] = segment;
        segment = end + 1;
    }
    return PK_REFUSAL_NONE;
}
