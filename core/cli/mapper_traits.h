/* mapper_traits.h - The trait paths that 'mapper check' holds a script against. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_MAPPER_TRAITS_H
#define PK_CLI_MAPPER_TRAITS_H

#include <stdbool.h>
#include <stddef.h>

struct pk_call;
struct pk_config;
struct pk_error;

struct pk_known_traits {
    char **path; /* Sorted, each once; NULL: none was asked for. */
    size_t count;
};
/* From the file of --traits, and with --known from the store. */
bool pk_known_traits_read(struct pk_known_traits *known, const struct pk_call *call,
                          const struct pk_config *config, struct pk_error *err);
void pk_known_traits_done(struct pk_known_traits *known);

#endif
