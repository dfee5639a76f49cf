/* fetch_guard.c - Which URL may be asked for.
 *
 * Two programs that read one URL differently are how such a check is passed:
 * the one sees the host that is allowed, the other goes elsewhere. So here the
 * URL is parsed by the one who will use it (curl's own parser, whose result is
 * handed to the transfer as it is), and what a plain reading of RFC 3986 says
 * must be the same to the letter; what is written in a second way ("0x7f.1",
 * a percent sign in the host) is refused, whoever would be right.
 *
 *     scheme "http://" or "https://", in any case
 *     host   letters, digits, '-', '_' and '.'; or an address; no user, no password
 *     port   none, or 1 to 65535
 *     rest   characters that RFC 3986 knows */
/* SPDX-License-Identifier: MIT */
#include "net/fetch_internal.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char host_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

/* ---- Hosts ---- */

static void fold(char *text)
{
    for (; *text; text++) {
        if (*text >= 'A' && *text <= 'Z') {
            *text = (char)(*text + ('a' - 'A'));
        }
    }
}

/* A name without empty labels, or an IPv4 address; lower case. */
static bool is_name(const char *host)
{
    const size_t size = strlen(host);
    return size > 0 && size < PK_HOST_TEXT && strspn(host, host_characters) == size &&
           host[0] != '.' && host[size - 1] != '.' && !strstr(host, "..");
}

/* "[2001:db8::1]"; a zone ("%eth0") is no part of it. */
static bool is_v6_literal(const char *host)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char address[sizeof(struct in6_addr)];
    const size_t size = strlen(host);
    if (size < 4 || size - 2 >= sizeof(text) || host[0] != '[' || host[size - 1] != ']') {
        return false;
    }
    memcpy(text, host + 1, size - 2);
    text[size - 2] = '\0';
    return inet_pton(AF_INET6, text, address) == 1;
}

/* Digits only, 1 to 65535; else 0. */
static int read_port(const char *text, size_t size)
{
    long port = 0;
    if (size < 1 || size > 5 || strspn(text, "0123456789") < size) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        port = port * 10 + (text[i] - '0');
    }
    return port <= 65535 ? (int)port : 0;
}

/* ---- The allowed ones ---- */

static bool read_rule(struct pk_guard_rule *rule, const char *entry, struct pk_error *err)
{
    const char *host = entry;
    const char *colon = strrchr(entry, ':');
    if (strncmp(host, "*.", 2) == 0) {
        rule->is_below = true;
        host += 2;
    }
    if (colon && strchr(colon, ']')) { /* It is inside an IPv6 address. */
        colon = NULL;
    }
    rule->host = colon ? pk_strndup(host, (size_t)(colon - host)) : pk_strdup(host);
    fold(rule->host);
    rule->port = colon ? read_port(colon + 1, strlen(colon + 1)) : 0;
    const bool is_good = is_name(rule->host) || (!rule->is_below && is_v6_literal(rule->host));
    if (!is_good || (colon && rule->port == 0)) {
        return pk_fail(err, PK_INVALID,
                       "write 'api.example.org', '*.example.org', an address, each with ':port' or "
                       "without; no scheme and no path",
                       "'%.100s' is not a host that could be allowed", entry);
    }
    return true;
}

bool pk_guard_init(struct pk_guard *guard, const char *const *host, size_t count,
                   struct pk_error *err)
{
    if (count > PK_FETCH_HOSTS_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "allow a whole domain with '*.'",
                       "%zu allowed hosts are more than %d", count, PK_FETCH_HOSTS_MAX);
    }
    guard->rule = pk_calloc(count + 1, sizeof(*guard->rule));
    for (size_t i = 0; i < count; i++) {
        guard->count = i + 1;
        if (!read_rule(&guard->rule[i], host[i], err)) {
            return false;
        }
    }
    return true;
}

void pk_guard_done(struct pk_guard *guard)
{
    for (size_t i = 0; i < guard->count; i++) {
        pk_free(guard->rule[i].host);
    }
    pk_free(guard->rule);
    *guard = (struct pk_guard){ 0 };
}

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in_addr)];
    return host[0] == '[' || inet_pton(AF_INET, host, address) == 1;
}

static bool does_match(const struct pk_guard_rule *rule, const struct pk_fetch_target *place)
{
    const int own_port = place->is_secure ? 443 : 80;
    const size_t size = strlen(place->host);
    const size_t rule_size = strlen(rule->host);
    if (place->port != (rule->port ? rule->port : own_port)) {
        return false;
    }
    if (!rule->is_below) {
        return strcmp(place->host, rule->host) == 0;
    }
    return size > rule_size + 1 && !is_address(place->host) &&
           place->host[size - rule_size - 1] == '.' &&
           strcmp(place->host + size - rule_size, rule->host) == 0;
}

static bool check_allowed(const struct pk_guard *guard, const struct pk_fetch_target *place,
                          struct pk_error *err)
{
    for (size_t i = 0; i < guard->count; i++) {
        if (does_match(&guard->rule[i], place)) {
            return true;
        }
    }
    if (place->port == (place->is_secure ? 443 : 80)) {
        return pk_fail(err, PK_FORBIDDEN, "add it, as it is quoted here, to the allowed hosts",
                       "the host '%.200s' is not among those that may be reached", place->host);
    }
    return pk_fail(err, PK_FORBIDDEN, "add it, as it is quoted here, to the allowed hosts",
                   "the host '%.200s:%d' is not among those that may be reached", place->host,
                   place->port);
}

/* ---- The URL ---- */

static bool check_characters(const char *url, struct pk_error *err)
{
    static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~:/?#[]@!$&'()*+,;=%";
    const size_t size = strnlen(url, PK_FETCH_URL_MAX + 1);
    if (size > PK_FETCH_URL_MAX) {
        return pk_fail(err, PK_INVALID, "send what is long in the body",
                       "the URL is longer than %d bytes", PK_FETCH_URL_MAX);
    }
    const size_t good = strspn(url, known);
    if (good < size) {
        return pk_fail(err, PK_INVALID, "write it as %XX; a host outside ASCII as its xn-- form",
                       "the URL has a character that none may have, at byte %zu", good);
    }
    return true;
}

/* The authority between "//" and the next '/', '?' or '#', as RFC 3986 reads it. */
static bool read_authority(const char *url, struct pk_fetch_target *out, struct pk_error *err)
{
    static const char hint[] = "write http://HOST/..., https://HOST/... or with :PORT";
    const bool is_http = strncasecmp(url, "http://", 7) == 0;
    const bool is_https = strncasecmp(url, "https://", 8) == 0;
    if (!is_http && !is_https) {
        return pk_fail(err, PK_INVALID, hint, "the URL does not begin with http:// or https://");
    }
    const char *from = url + (is_https ? 8 : 7);
    const size_t size = strcspn(from, "/?#");
    if (memchr(from, '@', size)) {
        return pk_fail(err, PK_INVALID, "send them as an Authorization header",
                       "the URL has a user or a password in it");
    }
    size_t host_size = size;
    while (host_size > 0 && from[host_size - 1] >= '0' && from[host_size - 1] <= '9') {
        host_size--;
    }
    const bool has_port = host_size > 0 && host_size < size && from[host_size - 1] == ':';
    out->is_secure = is_https;
    out->port = has_port ? read_port(from + host_size, size - host_size) : is_https ? 443 : 80;
    host_size = has_port ? host_size - 1 : size;
    if (host_size >= sizeof(out->host) || out->port == 0) {
        return pk_fail(err, PK_INVALID, hint, "the URL's host or port is none");
    }
    memcpy(out->host, from, host_size);
    out->host[host_size] = '\0';
    fold(out->host);
    if (!is_name(out->host) && !is_v6_literal(out->host)) {
        return pk_fail(err, PK_INVALID, hint, "the URL's host is neither a name nor an address");
    }
    return true;
}

/* True when curl, too, reads this host and port. */
static bool is_read_alike(CURLU *parsed, const struct pk_fetch_target *place)
{
    char *host = NULL;
    char *port = NULL;
    char *user = NULL;
    bool is_alike = curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                    curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                    curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                    strcasecmp(host, place->host) == 0 && strtol(port, NULL, 10) == place->port;
    curl_free(host);
    curl_free(port);
    curl_free(user);
    return is_alike;
}

bool pk_guard_url(const struct pk_guard *guard, const char *url, CURLU **out,
                  struct pk_fetch_target *out_place, struct pk_error *err)
{
    if (!check_characters(url, err) || !read_authority(url, out_place, err)) {
        return false;
    }
    CURLU *parsed = curl_url();
    const bool is_good =
        parsed && curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
        is_read_alike(parsed, out_place);
    if (!is_good) {
        curl_url_cleanup(parsed);
        return pk_fail(err, PK_INVALID,
                       "write the host as it is usually written: in an address no leading zeros, "
                       "four decimal parts, or the shortest IPv6 form",
                       "the URL can be read in two ways");
    }
    if (!check_allowed(guard, out_place, err)) {
        curl_url_cleanup(parsed);
        return false;
    }
    if (out) {
        *out = parsed;
    } else {
        curl_url_cleanup(parsed);
    }
    return true;
}
