/* scripting.h - The parts of a server that run scripts, put together.
 *
 *     jail ─▶ loader ─▶ scripts that serve ─▶ registry ─▶ folders that are watched
 *
 *     struct pk_scripting scripting;
 *     pk_scripting_start(&scripting, &options, &err)    what is active serves when it returns
 *     pk_scripting_watch(&scripting, &err)              from here on saved files count
 *     pk_scripting_quiet(&scripting)                    nothing changes by itself any more
 *     pk_scripting_stop(&scripting)                     also of one that was half made
 *
 * Thread: the one that starts the server. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_SCRIPTING_H
#define PK_CLI_SCRIPTING_H

#include "access/audit.h"
#include "base/config.h"

struct pk_folders;
struct pk_jail;
struct pk_loader;
struct pk_log;
struct pk_registry;
struct pk_scripts;
struct pk_takers;

struct pk_scripting {
    const struct pk_config *config; /* Borrowed, as the next two. */
    const struct pk_books *books;
    struct pk_log *log;
    struct pk_jail *jail;
    struct pk_loader *loader;
    struct pk_scripts *scripts;
    struct pk_registry *registry;
    struct pk_folders *folders; /* NULL: none is watched. */
    struct pk_takers *takers;   /* Of what they tell; the same. */
};

bool pk_scripting_start(struct pk_scripting *scripting, const struct pk_config *config,
                        const struct pk_books *books, struct pk_log *log, struct pk_error *err);
bool pk_scripting_watch(struct pk_scripting *scripting, struct pk_error *err);
void pk_scripting_quiet(struct pk_scripting *scripting);
void pk_scripting_stop(struct pk_scripting *scripting);

#endif
