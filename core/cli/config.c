/* config.c - 'personakit config': the settings as they are in effect, and where each comes from. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "cli/cli.h"

#include <stdio.h>

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_config_freep) struct pk_config *config = NULL;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    if (!pk_call_config(call, &config, err)) {
        return PK_EXIT_USAGE;
    }
    pk_config_print(config, &text, call->is_json ? PK_CONFIG_JSON : PK_CONFIG_TABLE);
    (void)fputs(pk_buf_text(&text), stdout);
    return PK_EXIT_OK;
}

const struct pk_command pk_command_config = {
    .noun = "config",
    .summary = "show the settings in effect, each with its origin",
    .text = "Reads the file, the environment and the options as 'serve' does, and prints what\n"
            "comes out. Secrets are not shown. A wrong setting is reported with its file, line,\n"
            "name, what was given and what is allowed, and the exit code is 2.\n",
    .example = "personakit config --config etc/personakit.lua",
    .takes_settings = true,
    .run = run,
};
