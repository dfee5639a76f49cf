/* problems.c - The table of codes: what each means, and what to do about it.
 *
 * Codes come from three places: the table of error codes (base/error.c), what
 * the front door refuses unparsed (net/http_policy.c), and a few that only one
 * place answers. Status and retry are said there, too; tests/unit/api holds
 * them against each other, so that what is documented is what is answered. */
/* SPDX-License-Identifier: MIT */
#include "api/problems.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json_put.h"

#include <string.h>

/* Shorthands for the third column. */
enum { ONCE = false, AGAIN = true };

static const struct pk_problem problem_table[] = {
    /* The request itself. */
    { "invalid", 400, ONCE, "a value breaks a rule; 'field' names it where it is a field",
      "correct the request; sending it again as it is cannot help" },
    { "malformed_header", 400, ONCE, "a header has a character that no header may have",
      "send header values without control characters" },
    { "malformed_host", 400, ONCE, "there is not exactly one valid Host header",
      "send one Host header with a name or address and perhaps a port" },
    { "malformed_length", 400, ONCE,
      "there is more than one Content-Length, or one that is no number",
      "send Content-Length once, in digits, and not with Transfer-Encoding" },
    { "malformed_request", 400, ONCE, "what came is not HTTP/1.1",
      "check what speaks to this port: it must be plain HTTP/1.1" },
    { "malformed_target", 400, ONCE, "the request target cannot be used",
      "send a path that starts with '/', percent-encoded once, without %00 and dot segments" },
    { "malformed_trailer", 400, ONCE, "a header that frames a message stands behind the body",
      "send Content-Length, Transfer-Encoding and Host at the top" },
    { "malformed_transfer_encoding", 400, ONCE,
      "Transfer-Encoding is something else than 'chunked'",
      "send it once, exactly 'chunked', on HTTP/1.1, and without Content-Length" },
    { "unsupported_version", 400, ONCE, "the request has no version 1.0 or 1.1",
      "end the request line with HTTP/1.1" },
    { "upgrade_refused", 400, ONCE, "this server does not change protocols",
      "leave out Upgrade, and do not use CONNECT" },

    /* Who asks, and for what. */
    { "unauthorized", 401, ONCE,
      "who asks is not known: the key is missing, wrong, expired or revoked",
      "send 'Authorization: Bearer pk_...' with a key that is valid" },
    { "forbidden", 403, ONCE, "who asks is known and lacks a capability for this",
      "use the key of an actor who may, or ask an operator to grant it" },
    { "not_found", 404, ONCE, "there is no such thing, or none that this key may see",
      "check the path and the id; the hint names the nearest path" },
    { "method_not_allowed", 405, ONCE, "the path exists and does not take this method",
      "use one of the methods in the Allow header" },
    { "not_acceptable", 406, ONCE, "what is answered here is of no type that Accept names",
      "send 'Accept: application/json', or leave it out" },
    { "request_timeout", 408, ONCE, "the request did not arrive in time, or too slowly",
      "send the whole request at once" },
    { "conflict", 409, AGAIN,
      "somebody else's write came first, a unique value is taken, or the same request is under way",
      "read again, decide again, and send that; for a taken value choose another" },
    { "secret_already_shown", 409, ONCE,
      "it was done before under this Idempotency-Key, and its answer held a secret shown once",
      "look at what was made; if the secret is lost, revoke it and make another" },
    { "precondition_failed", 412, ONCE, "the version in If-Match is no longer the current one",
      "read it again and repeat the change with the new ETag" },
    { "body_too_large", 413, ONCE, "the body is over this route's limit", "send less at once" },
    { "too_large", 413, ONCE, "it is over a limit, which the message names",
      "make it smaller, or split it" },
    { "target_too_long", 414, ONCE, "the request target is over 8 KiB",
      "put long values into the body" },
    { "unsupported_media_type", 415, ONCE, "the body is not said to be JSON",
      "send 'Content-Type: application/json'" },
    { "expectation_failed", 417, ONCE, "only '100-continue' can be expected",
      "leave out the Expect header" },
    { "idempotency_mismatch", 422, ONCE, "this Idempotency-Key came before with another request",
      "use a new key for a new request" },
    { "script_refused", 422, ONCE, "a script was looked at and does not pass",
      "mend what 'findings' lists, by file and line; 'personakit mapper check' says the same" },
    { "rate_limited", 429, AGAIN, "too many requests of this key, address or about this person",
      "wait as long as Retry-After says" },
    { "headers_too_large", 431, ONCE, "the headers are over 32 KiB or more than 100",
      "send fewer or shorter headers" },

    /* The server. */
    { "internal", 500, ONCE, "a fault of the server, or damage to its files",
      "report it with the requestId; the log has the rest" },
    { "unsupported", 501, ONCE, "understood, and not offered here",
      "look up in /openapi.json what there is" },
    { "busy", 503, AGAIN, "not done, because there is too much to do",
      "repeat it after Retry-After, with growing pauses" },
    { "draining", 503, AGAIN, "the server is about to stop and takes no more work",
      "repeat it; another server, or the next one here, will take it" },
    { "outcome_unknown", 503, AGAIN, "perhaps done: the store did not say",
      "repeat it under the same Idempotency-Key, or read what became of it" },
    { "store_unavailable", 503, AGAIN, "not done, because the store cannot be reached",
      "repeat it after Retry-After; /readyz says why" },
    { "hung", 504, AGAIN, "the work did not come back in time and was given up; perhaps done",
      "repeat it later under the same Idempotency-Key; the log names the route" },
    { "timeout", 504, AGAIN, "not done in the time there was",
      "repeat it, perhaps asking for less at once" },
    { "no_space", 507, AGAIN, "not done: no room is left on the device, or a quota is used up",
      "have an operator make room, then repeat it" },
};

const struct pk_problem *pk_problems(size_t *out_count)
{
    *out_count = PK_COUNT(problem_table);
    return problem_table;
}

const struct pk_problem *pk_problem_find(const char *code)
{
    for (size_t i = 0; i < PK_COUNT(problem_table); i++) {
        if (strcmp(problem_table[i].code, code) == 0) {
            return &problem_table[i];
        }
    }
    return NULL;
}

void pk_problems_print(struct pk_buf *out)
{
    for (size_t i = 0; i < PK_COUNT(problem_table); i++) {
        const struct pk_problem *problem = &problem_table[i];
        pk_buf_printf(out, "%d  %-28s %s\n%34s%s%s\n", problem->status, problem->code,
                      problem->meaning, "-> ", problem->advice,
                      problem->retry ? " (may succeed later)" : "");
    }
}

void pk_problems_json(struct pk_buf *out)
{
    pk_json_open(out, NULL, '[');
    for (size_t i = 0; i < PK_COUNT(problem_table); i++) {
        const struct pk_problem *problem = &problem_table[i];
        pk_json_open(out, NULL, '{');
        pk_json_put_text(out, "code", problem->code);
        pk_json_put_number(out, "status", problem->status);
        pk_json_put_bool(out, "retry", problem->retry);
        pk_json_put_text(out, "meaning", problem->meaning);
        pk_json_put_text(out, "advice", problem->advice);
        pk_json_close(out, '}');
    }
    pk_json_close(out, ']');
}
