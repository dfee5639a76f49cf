/* errors.c - 'personakit errors': every code that an error answer can carry. */
/* SPDX-License-Identifier: MIT */
#include "api/problems.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "cli/cli.h"

#include <stdio.h>

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    (void)err;
    if (call->is_json) {
        pk_problems_json(&out);
        pk_buf_add_char(&out, '\n');
    } else {
        pk_problems_print(&out);
    }
    (void)fputs(pk_buf_text(&out), stdout);
    return PK_EXIT_OK;
}

const struct pk_command pk_command_errors = {
    .noun = "errors",
    .summary = "list the codes of error answers and what to do about each",
    .text = "Every error answer over HTTP has a stable 'code'. This prints all of them, with the\n"
            "status each comes with, what it means, and what a caller should do; with --json as\n"
            "a list for programs. /openapi.json says the same.\n",
    .example = "personakit errors --json",
    .run = run,
};
