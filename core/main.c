/* main.c - Builds the app from its parts and hands it to the command that was asked for. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "cli/cli.h"
#include "doc/inventory.h"

#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct pk_error err = { 0 };
    const struct pk_app app = {
        .clock = pk_clock_system(),
        .inventory = pk_inventory_builtin(),
    };
    (void)signal(SIGCHLD, SIG_DFL); /* Workers are waited for, whatever our parent ignores. */
    if (!pk_crypto_init(&err)) {
        (void)fprintf(stderr, "personakit: %s\n", err.message);
        return PK_EXIT_FAILED;
    }
    return pk_cli_main(&app, argc, argv);
}
