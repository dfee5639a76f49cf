/* route.c - From method and path to the row of the route table.
 *
 * The table is small and read from top to bottom; the first row whose segments
 * fit wins. A path that fits with another method is 405 with Allow, one that
 * fits nowhere is 404 and names the nearest path there is. Pure; any thread. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

static const char *const method_name[] = {
    [PK_METHOD_GET] = "GET",         [PK_METHOD_HEAD] = "HEAD",   [PK_METHOD_POST] = "POST",
    [PK_METHOD_PUT] = "PUT",         [PK_METHOD_PATCH] = "PATCH", [PK_METHOD_DELETE] = "DELETE",
    [PK_METHOD_OPTIONS] = "OPTIONS", [PK_METHOD_OTHER] = "OTHER",
};
_Static_assert(PK_COUNT(method_name) == PK_METHOD_COUNT, "every method has its name");

const char *pk_method_name(enum pk_method method)
{
    return method_name[method];
}

static bool fits(const char *pattern, const struct pk_request *request)
{
    size_t i = 0;
    while (pattern[0] == '/' && pattern[1] != '\0') {
        if (i == request->segment_count) {
            return false;
        }
        const char *given = request->segment[i++];
        pattern++;
        if (*pattern == '{') {
            if (given[0] == '\0') {
                return false;
            }
            pattern = strchrnul(pattern, '/');
            continue;
        }
        for (; *given == *pattern && *given != '\0' && *given != '/'; given++) {
            pattern++;
        }
        if (*given != '\0' || (*pattern != '/' && *pattern != '\0')) {
            return false;
        }
    }
    return i == request->segment_count;
}

/* How many segments of a pattern may be anything. */
static size_t count_any(const char *pattern)
{
    size_t count = 0;
    for (; *pattern; pattern++) {
        count += *pattern == '{';
    }
    return count;
}

/* Where "/things/self" and "/things/{thing}" both fit, the path with fewer '{...}' is the resource,
 * and the other one's methods are not its own. */
void pk_route_find(const struct pk_net *net, const struct pk_request *request, struct pk_match *out)
{
    /* HEAD is what GET answers, without the body. */
    enum pk_method method = request->method == PK_METHOD_HEAD ? PK_METHOD_GET : request->method;
    const char *path = NULL;
    *out = (struct pk_match){ 0 };
    for (size_t i = 0; i < net->options.route_count; i++) {
        const struct pk_route *route = &net->options.route[i];
        if (!fits(route->path, request)) {
            continue;
        }
        if (!path || count_any(route->path) < count_any(path)) {
            path = route->path;
            *out = (struct pk_match){ 0 };
        } else if (strcmp(route->path, path) != 0) {
            continue;
        }
        out->allowed |= 1U << route->method;
        out->others = route->others ? route->others : out->others;
        if (route->method == PK_METHOD_GET) {
            out->allowed |= 1U << PK_METHOD_HEAD;
        }
        if (!out->route && route->method == method) {
            out->route = route;
        }
    }
}

const char *pk_route_allow(unsigned allowed, struct pk_request *request)
{
    const char *text = "";
    for (unsigned i = 0; i < PK_METHOD_COUNT; i++) {
        if (allowed & (1U << i)) {
            text = pk_arena_printf(&request->arena, "%s%s%s", text, text[0] ? ", " : "",
                                   method_name[i]);
        }
    }
    return text;
}

/* How much of the path a pattern has: its leading segments that fit, then the leading characters
 * of the next. */
static size_t nearness(const char *pattern, const struct pk_request *request)
{
    enum { SEGMENT = 64 };
    size_t near = 0;
    for (size_t i = 0; pattern[0] == '/' && i < request->segment_count; i++) {
        const char *given = request->segment[i];
        size_t size = strcspn(pattern + 1, "/");
        size_t same = 0;
        while (same < size && given[same] != '\0' && given[same] == pattern[1 + same]) {
            same++;
        }
        bool is_fitting = pattern[1] == '{' || (same == size && given[same] == '\0');
        if (!is_fitting) {
            return near + (same < SEGMENT ? same : SEGMENT - 1);
        }
        near += SEGMENT;
        pattern += 1 + size;
    }
    return near;
}

static const char *nearest(const struct pk_net *net, const struct pk_request *request)
{
    const char *found = NULL;
    size_t best = 0;
    for (size_t i = 0; i < net->options.route_count; i++) {
        size_t near = nearness(net->options.route[i].path, request);
        if (near > best) {
            best = near;
            found = net->options.route[i].path;
        }
    }
    return found;
}

void pk_route_miss(const struct pk_net *net, const struct pk_match *match,
                   struct pk_request *request, struct pk_answer *answer)
{
    struct pk_arena *arena = &request->arena;
    if (match->allowed) {
        answer->allow = pk_route_allow(match->allowed, request);
        pk_answer_problem(
            request, answer, 405, "method_not_allowed",
            pk_arena_printf(arena, "'%.200s' does not take %s", request->path,
                            request->method == PK_METHOD_OTHER ? "this method"
                                                               : method_name[request->method]),
            match->others ? match->others : pk_arena_printf(arena, "use %s", answer->allow));
        return;
    }
    const char *near = nearest(net, request);
    pk_answer_problem(request, answer, 404, "not_found",
                      pk_arena_printf(arena, "there is nothing at '%.200s'", request->path),
                      near ? pk_arena_printf(arena, "check the path; the nearest is '%s'", near)
                           : "check the path; /openapi.json lists those there are");
}
