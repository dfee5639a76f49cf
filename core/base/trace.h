/* trace.h - The id of a trace, from the header 'traceparent' (W3C Trace Context).
 *
 *     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *     version  trace id                   parent id        flags
 *
 * It is only passed on into logs, so that one search there finds every server
 * that a request went through; none is ever made up. Pure; any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_TRACE_H
#define PK_BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    PK_TRACE_TEXT = 33, /* 32 hexadecimal digits and a NUL. */
    PK_PARENT_TEXT = 17 /* 16 and a NUL. */
};

struct pk_trace {
    char trace_id[PK_TRACE_TEXT];
    char parent_id[PK_PARENT_TEXT];
    bool is_sampled; /* The caller says that it records this trace. */
};

/* 'text' is the header's value, any bytes. False: it is not valid, the caller goes on as if there
 * were none, and '*out' is untouched. A version that is not known is read by the rules for that:
 * what it has in common with version 00 counts, the rest is ignored. */
bool pk_trace_parse(struct pk_trace *out, const char *text, size_t size);

#endif
