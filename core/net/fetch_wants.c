/* fetch_wants.c - What a request sends: method, headers and body, checked before a byte goes out.
 *
 * A header's value comes from scripts and from data; CR, LF and NUL in it could
 * make a second header or a second request of one. Headers that frame the
 * message are curl's alone. */
/* SPDX-License-Identifier: MIT */
#include "net/fetch_internal.h"

#include "base/alloc.h"

#include <string.h>
#include <strings.h>

static const char *const method_table[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };

/* Set by curl from the URL and the body, or never sent. */
static const char *const framing_table[] = {
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
};

static bool is_token(const char *name)
{
    static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "!#$%&'*+-.^_`|~";
    return name[0] != '\0' && name[strspn(name, known)] == '\0';
}

/* No control character but the tab, and no white space at the ends, which would be lost. */
static bool is_value(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return size == 0 || (!strchr(" \t", value[0]) && !strchr(" \t", value[size - 1]));
}

static bool is_framing(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(framing_table); i++) {
        if (strcasecmp(framing_table[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_header(const struct pk_fetch_header *header, struct pk_error *err)
{
    if (!is_token(header->name)) {
        return pk_fail(err, PK_INVALID, "letters, digits and '-'", "'%.60s' is no header's name",
                       header->name);
    }
    if (is_framing(header->name)) {
        return pk_fail(err, PK_INVALID, "leave it out",
                       "the header '%.60s' is not for the caller to set", header->name);
    }
    if (!is_value(header->value, header->value_size)) {
        return pk_fail(err, PK_INVALID,
                       "no line breaks, no control characters, no white space at the ends",
                       "the value of the header '%.60s' cannot be sent", header->name);
    }
    return true;
}

static void add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) { /* NULL: out of memory; curl then says so, too. */
        *list = longer;
    }
}

static bool add_headers(const struct pk_fetch_request *request, struct curl_slist **list,
                        bool *out_has_type, struct pk_error *err)
{
    size_t bytes = 0;
    if (request->header_count > PK_FETCH_HEADERS_MAX) {
        return pk_fail(err, PK_INVALID, "send fewer", "more than %d headers", PK_FETCH_HEADERS_MAX);
    }
    for (size_t i = 0; i < request->header_count; i++) {
        const struct pk_fetch_header *header = &request->header[i];
        if (!check_header(header, err)) {
            return false;
        }
        bytes += strlen(header->name) + header->value_size + 4;
        if (bytes > PK_FETCH_HEAD_MAX) {
            return pk_fail(err, PK_INVALID, "send what is long in the body",
                           "the headers are longer than %d bytes", PK_FETCH_HEAD_MAX);
        }
        /* To curl "name:" means "leave it out"; "name;" is an empty value. */
        PK_CLEANUP(pk_freep)
        char *line = header->value_size ? pk_strdupf("%s: %.*s", header->name,
                                                     (int)header->value_size, header->value)
                                        : pk_strdupf("%s;", header->name);
        add_line(list, line);
        *out_has_type = *out_has_type || strcasecmp(header->name, "content-type") == 0;
    }
    return true;
}

static bool set_method(CURL *curl, const struct pk_fetch_request *request, struct pk_error *err)
{
    const char *wanted = request->method ? request->method : "GET";
    const char *method = NULL;
    for (size_t i = 0; i < PK_COUNT(method_table); i++) {
        if (strcmp(method_table[i], wanted) == 0) {
            method = method_table[i];
        }
    }
    if (!method) {
        return pk_fail(err, PK_INVALID, "GET, HEAD, POST, PUT, PATCH or DELETE, in capitals",
                       "'%.30s' is no method that can be sent", wanted);
    }
    const bool is_plain = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (is_plain && request->body) {
        return pk_fail(err, PK_INVALID, "use POST", "%s has no body", method);
    }
    if (strcmp(method, "HEAD") == 0) {
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return true;
    }
    (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (request->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
        strcmp(method, "PATCH") == 0) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)(request->body ? request->body_size : 0));
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    return true;
}

bool pk_wants_set(CURL *curl, const struct pk_fetch_request *request, struct curl_slist **out_list,
                  struct pk_error *err)
{
    bool has_type = false;
    if (!set_method(curl, request, err) || !add_headers(request, out_list, &has_type, err)) {
        return false;
    }
    add_line(out_list, "Expect:"); /* No waiting for "100 Continue". */
    if (!has_type) {
        add_line(out_list, "Content-Type:"); /* Not curl's idea of it. */
    }
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *out_list);
    return true;
}
