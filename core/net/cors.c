/* cors.c - What pages of other origins may do, and the OPTIONS that ask.
 *
 * An origin that is configured gets its name back; any other gets nothing, so
 * that its browser keeps the answer from the page. Credentials are never
 * allowed: keys are sent in a header by who has them, not by a browser on its
 * own. OPTIONS is answered for every path from the route table. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include <string.h>

static bool is_allowed(const struct pk_net *net, const char *origin)
{
    for (size_t i = 0; i < net->options.origin_count; i++) {
        const char *allowed = net->options.origin[i];
        if (strcmp(allowed, "*") == 0 || strcmp(allowed, origin) == 0) {
            return true;
        }
    }
    return false;
}

/* What a page may read of an answer besides what browsers always show it. */
static const char exposed[] = "ETag, Idempotency-Replayed, Location, PersonaKit-Cursor, "
                              "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, "
                              "Retry-After, X-Request-Id";

void pk_cors_add(struct pk_exchange *exchange)
{
    struct pk_request *request = &exchange->request;
    const struct pk_net *net = exchange->loop->net;
    const char *origin = net->options.origin_count ? pk_request_header(request, "origin") : NULL;
    if (origin && is_allowed(net, origin)) {
        struct pk_answer *answer = &exchange->answer;
        (void)pk_answer_header(request, answer, "Access-Control-Allow-Origin", origin, NULL);
        (void)pk_answer_header(request, answer, "Access-Control-Expose-Headers", exposed, NULL);
        (void)pk_answer_header(request, answer, "Vary", "Origin", NULL);
    }
}

bool pk_cors_options(struct pk_exchange *exchange, const struct pk_match *match)
{
    struct pk_request *request = &exchange->request;
    struct pk_answer *answer = &exchange->answer;
    if (request->method != PK_METHOD_OPTIONS || match->allowed == 0) {
        return false;
    }
    const char *headers = pk_request_header(request, "access-control-request-headers");
    const char *methods = pk_route_allow(match->allowed | 1U << PK_METHOD_OPTIONS, request);
    answer->status = 204;
    answer->allow = methods;
    bool is_preflight = answer->header_count > 0 &&
                        pk_request_header(request, "access-control-request-method") != NULL;
    if (is_preflight) {
        (void)pk_answer_header(request, answer, "Access-Control-Allow-Methods", methods, NULL);
        (void)pk_answer_header(request, answer, "Access-Control-Max-Age", "600", NULL);
        if (headers) {
            (void)pk_answer_header(request, answer, "Access-Control-Allow-Headers", headers, NULL);
        }
    }
    return true;
}
