/* faults.c - Everything wrong with a document, by path.
 *
 * At most FAULTS_MAX are kept: a hostile document must not cost more than it
 * is worth, and nobody reads the hundred-and-first. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FAULTS_MAX = 100 };

void pk_faults_done(struct pk_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        pk_free(faults->fault[i].path);
        pk_free(faults->fault[i].expected);
        pk_free(faults->fault[i].got);
    }
    pk_free(faults->fault);
    *faults = (struct pk_faults){ 0 };
}

void pk_faults_add(struct pk_faults *faults, const char *path, const char *expected,
                   const char *got_format, ...)
{
    if (faults->count == FAULTS_MAX) {
        faults->is_cut = true;
        return;
    }
    if (!faults->fault) {
        faults->fault = pk_calloc(FAULTS_MAX, sizeof(*faults->fault));
    }
    PK_CLEANUP(pk_freep) char *got = NULL;
    va_list args;
    va_start(args, got_format);
    int length = vasprintf(&got, got_format, args);
    va_end(args);
    faults->fault[faults->count++] = (struct pk_fault){
        .path = pk_strdup(path),
        .expected = pk_strdup(expected),
        .got = pk_strdup(length < 0 ? "" : got),
    };
}

/* Bytes of 'text' that a message has room for. */
static int cut(const char *text, size_t max)
{
    return (int)pk_utf8_cut((const uint8_t *)text, strlen(text), max);
}

bool pk_faults_fail(const struct pk_faults *faults, struct pk_error *err)
{
    static const char hint[] = "mend the fields that are named and send it again";
    if (faults->count == 0) {
        return pk_fail(err, PK_INTERNAL, NULL, "refused without a fault");
    }
    const struct pk_fault *first = &faults->fault[0];
    char more[64] = "";
    if (faults->count > 1) {
        (void)snprintf(more, sizeof(more), ", and %zu more fault%s%s", faults->count - 1,
                       faults->count > 2 ? "s" : "", faults->is_cut ? " or above" : "");
    }
    const char *path = first->path[0] ? first->path : "the document";
    return pk_fail_field(err, PK_INVALID, first->path, hint,
                         "invalid '%.*s': expected %.*s, got %.*s%s", cut(path, 64), path,
                         cut(first->expected, 72), first->expected, cut(first->got, 48), first->got,
                         more);
}

void pk_faults_print(const struct pk_faults *faults, struct pk_buf *out)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct pk_fault *fault = &faults->fault[i];
        pk_buf_printf(out, "%s: expected %s, got %s\n",
                      fault->path[0] ? fault->path : "the document", fault->expected, fault->got);
    }
    if (faults->is_cut) {
        pk_buf_printf(out, "... and more\n");
    }
}
