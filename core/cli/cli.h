/* cli.h - The commands: one row each in a table, one file each.
 *
 * A command says what it is called, which options it takes, and what it does;
 * reading the command line, --help, --json, the nearest name for a typing
 * mistake and the printing of errors are done once, in cli.c, from that table.
 *
 * If you add a command, write its file, declare its row below, and add it to
 * 'command_table' in cli.c. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_CLI_H
#define PK_CLI_CLI_H

#include "base/arena.h"
#include "base/config.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct pk_clock;
struct pk_inventory;
struct pk_log;
struct pk_store;

/* What the shell is told. If you add one, add its row to 'exit_table' in cli.c. */
enum pk_exit {
    PK_EXIT_OK = 0,
    PK_EXIT_FAILED = 1,
    PK_EXIT_USAGE = 2,
    PK_EXIT_UPGRADE_NEEDED = 3,
    PK_EXIT_STORE_NEWER = 4,
    PK_EXIT_STOPPED = 5
};

/* Made in main.c, passed down. */
struct pk_app {
    const struct pk_clock *clock;
    const struct pk_inventory *inventory;
};

enum {
    PK_CLI_OPTIONS_MAX = 24,
    PK_CLI_ARGUMENTS_MAX = 3,
    PK_CLI_WORDS_MAX = 256, /* Of the last argument, when it may be repeated. */
    PK_CLI_SETTINGS_MAX = 64
};

struct pk_cli_option {
    const char *name;     /* "--from" */
    const char *argument; /* "URL"; NULL: it takes none. */
    const char *help;     /* One sentence. */
};

struct pk_call;
struct pk_command {
    const char *noun;
    const char *verb; /* NULL: the noun is all. */
    const char *summary;
    const char *text; /* Paragraphs for --help; lines to 80 columns. */
    const char *example;
    const char *argument[PK_CLI_ARGUMENTS_MAX]; /* What must stand behind the verb: "ACTOR"; what
                                                 * may: "[PERSON]". */
    bool takes_many;                            /* The last of them may be repeated. */
    const struct pk_cli_option *option;         /* Its own; --help and --json are everybody's. */
    size_t option_count;
    bool takes_settings;  /* --config, --set and the options of the settings. */
    const char *settings; /* The few that count, for --help: "scripts.keys"; NULL: all. */
    enum pk_exit (*run)(struct pk_call *call, struct pk_error *err);
};

/* A command line that has been read. */
struct pk_call {
    const struct pk_app *app;
    const struct pk_command *command;
    const char *argument[PK_CLI_WORDS_MAX]; /* As many as the command has, or more of the last. */
    size_t argument_count;
    const char *value[PK_CLI_OPTIONS_MAX]; /* By option; "" for one without argument; or NULL. */
    struct pk_config_option setting[PK_CLI_SETTINGS_MAX];
    size_t setting_count;
    const char *config_file; /* --config, or NULL. */
    bool is_json;
    struct pk_arena arena; /* For what lives as long as the call: texts of 'err', too. */
};

/* The program. Returns the exit code. */
int pk_cli_main(const struct pk_app *app, int argc, char **argv);

/* ---- For commands ---- */

/* The value of an option of this command, or NULL. */
const char *pk_call_option(const struct pk_call *call, const char *name);
/* The settings; on failure all faults are printed. */
bool pk_call_config(const struct pk_call *call, struct pk_config **out, struct pk_error *err);

/* The URL of the store that the settings name: "store.url", or the folder "data". Freed with
 * pk_free. */
char *pk_cli_store_url(const struct pk_config *config);

/* An open store, and the lock of its folder when it is an embedded one. */
struct pk_open_store {
    struct pk_store *store;
    int lock_fd; /* -1: none. */
};
enum pk_open_how {
    PK_OPEN_USE,     /* Create what is missing. */
    PK_OPEN_READ,    /* Change nothing. */
    PK_OPEN_UPGRADE, /* Raise it to this program's schema version. */
    PK_OPEN_RESTORE, /* As PK_OPEN_USE, also where a restore has left its mark. */
};
/* 'held_folder' (may be NULL) is one that the caller has locked himself. */
bool pk_cli_store_open(const struct pk_app *app, const char *url, const char *held_folder,
                       enum pk_open_how how, struct pk_open_store *out, struct pk_error *err);
void pk_cli_store_close(struct pk_open_store *open); /* '{ NULL, -1 }' is fine. */
/* A restore marks the data folder from before it deletes or makes anything until the store itself
 * says that it is half restored: meanwhile nobody else opens a store there, or from there.
 * '*out_is_marked': it had the mark already. */
bool pk_cli_restore_mark(const char *folder, bool *out_is_marked, struct pk_error *err);
bool pk_cli_restore_unmark(const char *folder, struct pk_error *err);
/* The folder of "sqlite:FOLDER", or NULL. Points into 'url'. */
const char *pk_cli_store_folder(const char *url);
/* The URL without its password, for messages; freed with pk_free. */
char *pk_cli_store_shown(const char *url);

/* True when the person at the terminal says yes to 'question'. Without a terminal, --yes (an option
 * of the command) stands for it; else PK_PRECONDITION says so. */
bool pk_call_confirm(const struct pk_call *call, const char *question, struct pk_error *err);

extern const struct pk_command pk_command_serve;
extern const struct pk_command pk_command_config;
extern const struct pk_command pk_command_move;
extern const struct pk_command pk_command_backup;
extern const struct pk_command pk_command_restore;
extern const struct pk_command pk_command_upgrade;
extern const struct pk_command pk_command_errors;
extern const struct pk_command pk_command_actor_list;
extern const struct pk_command pk_command_actor_show;
extern const struct pk_command pk_command_actor_create;
extern const struct pk_command pk_command_actor_change;
extern const struct pk_command pk_command_actor_suspend;
extern const struct pk_command pk_command_actor_resume;
extern const struct pk_command pk_command_actor_archive;
extern const struct pk_command pk_command_key_list;
extern const struct pk_command pk_command_key_add;
extern const struct pk_command pk_command_key_revoke;
extern const struct pk_command pk_command_key_reset;
extern const struct pk_command pk_command_pepper_list;
extern const struct pk_command pk_command_pepper_rotate;
extern const struct pk_command pk_command_pepper_retire;
extern const struct pk_command pk_command_mapper_check;
extern const struct pk_command pk_command_mapper_test;
extern const struct pk_command pk_command_mapper_sign;
extern const struct pk_command pk_command_mapper_keygen;
extern const struct pk_command pk_command_processor_check;
extern const struct pk_command pk_command_processor_test;
extern const struct pk_command pk_command_processor_sign;
extern const struct pk_command pk_command_condition_check;
extern const struct pk_command pk_command_condition_test;
extern const struct pk_command pk_command_condition_sign;
extern const struct pk_command pk_command_mapper_list;
extern const struct pk_command pk_command_mapper_versions;
extern const struct pk_command pk_command_mapper_put;
extern const struct pk_command pk_command_mapper_activate;
extern const struct pk_command pk_command_mapper_rollback;
extern const struct pk_command pk_command_mapper_deprecate;
extern const struct pk_command pk_command_mapper_canary;
extern const struct pk_command pk_command_mapper_dry_run;
extern const struct pk_command pk_command_mapper_diff;
extern const struct pk_command pk_command_mapper_train;
extern const struct pk_command pk_command_processor_list;
extern const struct pk_command pk_command_processor_versions;
extern const struct pk_command pk_command_processor_put;
extern const struct pk_command pk_command_processor_activate;
extern const struct pk_command pk_command_processor_rollback;
extern const struct pk_command pk_command_processor_deprecate;
extern const struct pk_command pk_command_condition_list;
extern const struct pk_command pk_command_condition_versions;
extern const struct pk_command pk_command_condition_put;
extern const struct pk_command pk_command_condition_activate;
extern const struct pk_command pk_command_condition_rollback;
extern const struct pk_command pk_command_condition_deprecate;
extern const struct pk_command pk_command_generations;
extern const struct pk_command pk_command_script_lift;
extern const struct pk_command pk_command_person_replay;
extern const struct pk_command pk_command_person_export;
extern const struct pk_command pk_command_person_merge;
extern const struct pk_command pk_command_person_unmerge;
extern const struct pk_command pk_command_person_erase;
extern const struct pk_command pk_command_task_list;
extern const struct pk_command pk_command_task_show;
extern const struct pk_command pk_command_task_retry;
extern const struct pk_command pk_command_task_discard;

#endif
