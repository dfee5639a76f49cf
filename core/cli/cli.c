/* cli.c - From the words of a command line to the command, and from its error to a person.
 *
 *     personakit NOUN [VERB] [ARGUMENT] [--option VALUE | --option=VALUE] ...
 *
 * Everything printed here comes from the tables: what --help says is what is
 * accepted. Results go to standard output, everything else to standard error. */
/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct pk_command *const command_table[] = {
    &pk_command_serve,
    &pk_command_config,
    &pk_command_move,
    &pk_command_backup,
    &pk_command_restore,
    &pk_command_upgrade,
    &pk_command_actor_list,
    &pk_command_actor_show,
    &pk_command_actor_create,
    &pk_command_actor_change,
    &pk_command_actor_suspend,
    &pk_command_actor_resume,
    &pk_command_actor_archive,
    &pk_command_key_list,
    &pk_command_key_add,
    &pk_command_key_revoke,
    &pk_command_key_reset,
    &pk_command_pepper_list,
    &pk_command_pepper_rotate,
    &pk_command_pepper_retire,
    &pk_command_mapper_check,
    &pk_command_mapper_test,
    &pk_command_mapper_sign,
    &pk_command_mapper_keygen,
    &pk_command_mapper_list,
    &pk_command_mapper_versions,
    &pk_command_mapper_put,
    &pk_command_mapper_activate,
    &pk_command_mapper_rollback,
    &pk_command_mapper_deprecate,
    &pk_command_mapper_canary,
    &pk_command_mapper_dry_run,
    &pk_command_mapper_diff,
    &pk_command_mapper_train,
    &pk_command_processor_check,
    &pk_command_processor_test,
    &pk_command_processor_sign,
    &pk_command_processor_list,
    &pk_command_processor_versions,
    &pk_command_processor_put,
    &pk_command_processor_activate,
    &pk_command_processor_rollback,
    &pk_command_processor_deprecate,
    &pk_command_condition_check,
    &pk_command_condition_test,
    &pk_command_condition_sign,
    &pk_command_condition_list,
    &pk_command_condition_versions,
    &pk_command_condition_put,
    &pk_command_condition_activate,
    &pk_command_condition_rollback,
    &pk_command_condition_deprecate,
    &pk_command_generations,
    &pk_command_script_lift,
    &pk_command_person_replay,
    &pk_command_person_export,
    &pk_command_person_erase,
    &pk_command_person_merge,
    &pk_command_person_unmerge,
    &pk_command_task_list,
    &pk_command_task_show,
    &pk_command_task_retry,
    &pk_command_task_discard,
    &pk_command_errors,
};

static const struct {
    enum pk_exit code;
    const char *help;
} exit_table[] = {
    { PK_EXIT_OK, "done; or, of 'upgrade --check', the store is up to date" },
    { PK_EXIT_FAILED, "not done; the message says why and what helps" },
    { PK_EXIT_USAGE, "the command line or a setting is wrong; nothing was begun" },
    { PK_EXIT_UPGRADE_NEEDED, "the store is older than this program ('upgrade --check')" },
    { PK_EXIT_STORE_NEWER, "the store is newer than this program" },
    { PK_EXIT_STOPPED, "stopped by a signal; the same command goes on where it stopped" },
};

static const struct pk_cli_option common_option[] = {
    { "--help", NULL, "Show this page." },
    { "--json", NULL, "Print the result, or the error, as JSON." },
};
static const struct pk_cli_option config_option = {
    "--config", "FILE", "Read settings from this file (see etc/personakit.lua)."
};
static const struct pk_cli_option set_option = { "--set", "NAME=VALUE",
                                                 "Give one of the settings; may be repeated." };

/* ---- Help ---- */

static void print_title(FILE *out, const struct pk_command *command)
{
    (void)fprintf(out, "personakit %s%s%s", command->noun, command->verb ? " " : "",
                  command->verb ? command->verb : "");
    for (size_t i = 0; i < PK_CLI_ARGUMENTS_MAX && command->argument[i]; i++) {
        (void)fprintf(out, " %s", command->argument[i]);
    }
    (void)fputs(command->takes_many ? "..." : "", out);
}

static void print_row(FILE *out, const struct pk_command *command)
{
    enum { WIDTH = 20 };
    const int width = (int)strlen(command->noun) + (command->verb ? 1 : 0);
    (void)fprintf(out, "  %s%s%-*s %s\n", command->noun, command->verb ? " " : "",
                  width < WIDTH ? WIDTH - width : 0, command->verb ? command->verb : "",
                  command->summary);
}

/* A noun with what can be done with it: "  key         list, add, revoke, reset". */
static void print_verbs(FILE *out, size_t first)
{
    const char *noun = command_table[first]->noun;
    (void)fprintf(out, "  %-12s%s", noun, command_table[first]->verb);
    for (size_t i = first + 1; i < PK_COUNT(command_table); i++) {
        if (strcmp(command_table[i]->noun, noun) == 0) {
            (void)fprintf(out, ", %s", command_table[i]->verb);
        }
    }
    (void)fputs("\n", out);
}

static bool is_first_of_noun(size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(command_table[i]->noun, command_table[at]->noun) == 0) {
            return false;
        }
    }
    return true;
}

static void print_overview(FILE *out)
{
    (void)fputs("personakit - a server that keeps what is known about people, and serves it as\n"
                "views made for one task.\n\nCommands\n",
                out);
    for (size_t i = 0; i < PK_COUNT(command_table); i++) {
        if (!command_table[i]->verb) {
            (void)fprintf(out, "  %-12s%s\n", command_table[i]->noun, command_table[i]->summary);
        } else if (is_first_of_noun(i)) {
            print_verbs(out, i);
        }
    }
    (void)fputs("\n  personakit COMMAND --help    its options, with an example\n"
                "  personakit --version\n\nExit codes\n",
                out);
    for (size_t i = 0; i < PK_COUNT(exit_table); i++) {
        (void)fprintf(out, "  %d  %s\n", (int)exit_table[i].code, exit_table[i].help);
    }
}

/* The commands of one noun, and the example of the first. */
static void print_noun(FILE *out, const char *noun)
{
    const char *example = NULL;
    (void)fprintf(out, "personakit %s COMMAND\n\nCommands\n", noun);
    for (size_t i = 0; i < PK_COUNT(command_table); i++) {
        if (strcmp(command_table[i]->noun, noun) == 0) {
            print_row(out, command_table[i]);
            example = example ? example : command_table[i]->example;
        }
    }
    (void)fprintf(out,
                  "\nExample\n  %s\n\nOptions\n"
                  "  'personakit %s COMMAND --help' lists them; all take --help and --json\n",
                  example, noun);
}

static void print_option(FILE *out, const struct pk_cli_option *option)
{
    int width = (int)strlen(option->name);
    (void)fprintf(out, "  %s", option->name);
    if (option->argument) {
        width += fprintf(out, " %s", option->argument);
    }
    (void)fprintf(out, "%*s %s\n", width < 22 ? 22 - width : 1, "", option->help);
}

static void print_setting_options(FILE *out, const struct pk_command *command)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf help = { 0 };
    print_option(out, &config_option);
    print_option(out, &set_option);
    if (command->settings) {
        (void)fprintf(out, "\nSettings that count: %s; 'personakit serve --help' explains them.\n",
                      command->settings);
        return;
    }
    (void)fputs("\nSettings (each also in the file, and as a variable)\n", out);
    pk_config_help(&help);
    (void)fputs(pk_buf_text(&help), out);
}

static void print_help(FILE *out, const struct pk_command *command)
{
    print_title(out, command);
    (void)fprintf(out, " - %s\n\n%s\nExample\n  %s\n\nOptions\n", command->summary, command->text,
                  command->example);
    for (size_t i = 0; i < command->option_count; i++) {
        print_option(out, &command->option[i]);
    }
    for (size_t i = 0; i < PK_COUNT(common_option); i++) {
        print_option(out, &common_option[i]);
    }
    if (command->takes_settings) {
        print_setting_options(out, command);
    }
}

/* ---- Errors ---- */

static void add_json_member(struct pk_buf *buf, const char *name, const char *value)
{
    pk_buf_printf(buf, ",\"%s\":", name);
    pk_text_json(buf, value, strlen(value));
}

static void print_error(const struct pk_error *err, bool is_json)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf line = { 0 };
    if (is_json) {
        pk_buf_printf(&line, "{\"code\":\"%s\"", pk_code_name(err->code));
        add_json_member(&line, "message", err->message);
        if (err->field) {
            add_json_member(&line, "field", err->field);
        }
        if (err->hint) {
            add_json_member(&line, "hint", err->hint);
        }
        pk_buf_add_text(&line, "}\n");
    } else {
        pk_buf_add_text(&line, "personakit: ");
        pk_text_escape(&line, err->message, strlen(err->message), false);
        pk_buf_add_text(&line, "\n");
        if (err->field && *err->field) { /* Empty: the document as a whole. */
            pk_buf_add_text(&line, "  field: ");
            pk_text_escape(&line, err->field, strlen(err->field), false);
            pk_buf_add_text(&line, "\n");
        }
        if (err->hint) { /* It may have come from a server. */
            pk_buf_add_text(&line, "  ");
            pk_text_escape(&line, err->hint, strlen(err->hint), false);
            pk_buf_add_text(&line, "\n");
        }
    }
    (void)fputs(line.data, stderr);
}

/* ---- The nearest name ---- */

struct nearest {
    const char *given;
    const char *name; /* Owned by a table. */
    size_t distance;
};

static void consider(struct nearest *best, const char *name)
{
    /* The longer the word, the more of it may be wrong. */
    size_t limit = best->name ? best->distance : 1 + strlen(best->given) / 3;
    size_t distance = pk_text_distance(best->given, name, limit);
    if (distance < limit) {
        best->name = name;
        best->distance = distance;
    }
}

static bool fail_unknown(const char *what, const struct nearest *best, const char *hint,
                         struct pk_error *err)
{
    if (best->name) {
        return pk_fail(err, PK_INVALID, hint, "there is no %s '%.60s'; did you mean '%s'?", what,
                       best->given, best->name);
    }
    return pk_fail(err, PK_INVALID, hint, "there is no %s '%.60s'", what, best->given);
}

/* "--drain.lead_ms": the setting has no option of its own. */
static bool is_setting(const char *name)
{
    for (size_t i = 0; i < pk_setting_count; i++) {
        if (strcmp(pk_setting_table[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool fail_unknown_option(const struct pk_command *command, const char *given,
                                struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *name = pk_strndup(given, strcspn(given, "="));
    struct nearest best = { .given = name };
    if (command->takes_settings && is_setting(name + strspn(name, "-"))) {
        return pk_fail(err, PK_INVALID, "every setting can be given as '--set NAME=VALUE'",
                       "'%.60s' is a setting and no option", name);
    }
    for (size_t i = 0; i < command->option_count; i++) {
        consider(&best, command->option[i].name);
    }
    for (size_t i = 0; i < PK_COUNT(common_option); i++) {
        consider(&best, common_option[i].name);
    }
    if (command->takes_settings) {
        consider(&best, config_option.name);
        consider(&best, "--set");
        for (size_t i = 0; i < pk_setting_count; i++) {
            if (pk_setting_table[i].option) {
                consider(&best, pk_setting_table[i].option);
            }
        }
    }
    return fail_unknown("option", &best, "'--help' behind the command lists what it takes", err);
}

/* ---- Reading the command line ---- */

/* Matches "--name" and "--name=value". 0: another option; else the words it takes. */
static int read_option(const struct pk_cli_option *option, int argc, char **argv, int at,
                       const char **out_value, struct pk_error *err)
{
    size_t size = strlen(option->name);
    const char *word = argv[at];
    if (strncmp(word, option->name, size) != 0 || (word[size] != '\0' && word[size] != '=')) {
        return 0;
    }
    if (!option->argument) {
        if (word[size] == '=') {
            (void)pk_fail(err, PK_INVALID, "write it without '='", "'%s' takes no value",
                          option->name);
            return -1;
        }
        *out_value = "";
        return 1;
    }
    bool is_next = word[size] == '\0';
    if (is_next && at + 1 == argc) {
        (void)pk_fail(err, PK_INVALID, "write it behind the option, or with '='",
                      "'%s' needs a value: %s", option->name, option->argument);
        return -1;
    }
    *out_value = is_next ? argv[at + 1] : word + size + 1;
    if (**out_value == '\0') {
        (void)pk_fail(err, PK_INVALID, "write it behind the option, or with '='",
                      "'%s' needs a value: %s", option->name, option->argument);
        return -1;
    }
    return is_next ? 2 : 1;
}

/* True when a command that has 'count' words takes another. */
static bool takes_word(const struct pk_command *command, size_t count)
{
    return (count < PK_CLI_ARGUMENTS_MAX && command->argument[count]) ||
           (command->takes_many && count < PK_CLI_WORDS_MAX);
}

/* Reads the option at 'at'. -1: 'err' is set; else the words it takes. */
static int read_word(struct pk_call *call, int argc, char **argv, int at, struct pk_error *err)
{
    const struct pk_command *command = call->command;
    const char *unused;
    int words = 0;

    for (size_t i = 0; i < command->option_count && words == 0; i++) {
        words = read_option(&command->option[i], argc, argv, at, &call->value[i], err);
    }
    if (words == 0 && (words = read_option(&common_option[1], argc, argv, at, &unused, err)) == 1) {
        call->is_json = true;
    }
    if (words == 0 && command->takes_settings) {
        words = read_option(&config_option, argc, argv, at, &call->config_file, err);
    }
    if (words == 0 && command->takes_settings && call->setting_count < PK_CLI_SETTINGS_MAX) {
        words = pk_config_option_read(argc, argv, at, &call->setting[call->setting_count]);
        call->setting_count += words > 0;
    }
    if (words != 0) {
        return words;
    }
    if (argv[at][0] == '-') {
        (void)fail_unknown_option(command, argv[at], err);
    } else if (takes_word(command, call->argument_count)) {
        call->argument[call->argument_count++] = argv[at];
        return 1;
    } else {
        (void)pk_fail(err, PK_INVALID, "'--help' behind the command lists what it takes",
                      "'%s' takes no '%.60s'", command->noun, argv[at]);
    }
    return -1;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

/* True when commands of this noun have verbs. */
static bool has_verbs(const char *noun)
{
    for (size_t i = 0; i < PK_COUNT(command_table); i++) {
        if (strcmp(command_table[i]->noun, noun) == 0) {
            return command_table[i]->verb != NULL;
        }
    }
    return false;
}

/* 'noun' is one, 'word' none of its verbs. */
static bool fail_unknown_verb(const char *noun, const char *word, struct pk_error *err)
{
    struct nearest best = { .given = word };
    if (word[0] == '-') {
        consider(&best, common_option[0].name);
        consider(&best, common_option[1].name);
        return fail_unknown("option", &best, "name a command before its options", err);
    }
    for (size_t i = 0; i < PK_COUNT(command_table); i++) {
        if (strcmp(command_table[i]->noun, noun) == 0) {
            consider(&best, command_table[i]->verb);
        }
    }
    if (best.name) {
        return pk_fail(err, PK_INVALID, "'--help' behind it lists what it takes",
                       "'%s' takes no '%.60s'; did you mean '%s %s'?", noun, word, noun, best.name);
    }
    return pk_fail(err, PK_INVALID, "'--help' behind it lists what it takes",
                   "'%s' takes no '%.60s'", noun, word);
}

/* The command that argv[1] (and argv[2]) names; what belongs to it is from '*out_at' on. */
static const struct pk_command *find_command(int argc, char **argv, int *out_at,
                                             struct pk_error *err)
{
    struct nearest best = { .given = argv[1] };
    for (size_t i = 0; i < PK_COUNT(command_table); i++) {
        const struct pk_command *command = command_table[i];
        consider(&best, command->noun);
        if (strcmp(command->noun, argv[1]) != 0) {
            continue;
        }
        if (!command->verb || (argc > 2 && strcmp(command->verb, argv[2]) == 0)) {
            *out_at = command->verb ? 3 : 2;
            return command;
        }
    }
    consider(&best, "--help");
    consider(&best, "--version");
    if (has_verbs(argv[1])) {
        (void)fail_unknown_verb(argv[1], argc > 2 ? argv[2] : "", err);
    } else {
        (void)fail_unknown("command", &best, "'personakit --help' lists them", err);
    }
    return NULL;
}

/* "actor", "actor --help", "help actor": its commands. '*out_code' is what the shell is told. */
static bool show_noun(int argc, char **argv, bool is_help, enum pk_exit *out_code)
{
    if (!has_verbs(argv[1])) {
        return false;
    }
    if (argc == 2 || wants_help(1, argv + 2)) {
        const bool is_asked = is_help || argc > 2;
        print_noun(is_asked ? stdout : stderr, argv[1]);
        *out_code = is_asked ? PK_EXIT_OK : PK_EXIT_USAGE;
        return true;
    }
    return false;
}

static bool has_arguments(const struct pk_call *call, struct pk_error *err)
{
    const struct pk_command *command = call->command;
    const size_t count = call->argument_count;
    if (count >= PK_CLI_ARGUMENTS_MAX || !command->argument[count] ||
        command->argument[count][0] == '[') {
        return true;
    }
    return pk_fail(err, PK_INVALID, "'--help' behind the command has an example",
                   "'%s%s%s' needs %s", command->noun, command->verb ? " " : "",
                   command->verb ? command->verb : "", command->argument[count]);
}

static enum pk_exit run_command(struct pk_call *call, int argc, char **argv, int at,
                                struct pk_error *err)
{
    if (wants_help(argc - at, argv + at)) {
        print_help(stdout, call->command);
        return PK_EXIT_OK;
    }
    while (at < argc) {
        int words = read_word(call, argc, argv, at, err);
        if (words < 0) {
            return PK_EXIT_USAGE;
        }
        at += words;
    }
    return has_arguments(call, err) ? call->command->run(call, err) : PK_EXIT_USAGE;
}

/* From the words behind the program's name to the exit code. */
static enum pk_exit run_words(struct pk_call *call, int argc, char **argv, struct pk_error *err)
{
    const bool is_help = strcmp(argv[1], "help") == 0 && argc > 2;
    enum pk_exit code = PK_EXIT_USAGE;
    int at = 0;

    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("personakit %s\n", PK_VERSION);
        return PK_EXIT_OK;
    }
    if (strcmp(argv[1], "help") == 0 ? !is_help : wants_help(1, argv + 1)) {
        print_overview(stdout);
        return PK_EXIT_OK;
    }
    if (show_noun(argc - is_help, argv + is_help, is_help, &code)) {
        return code;
    }
    call->command = find_command(argc - is_help, argv + is_help, &at, err);
    if (call->command && is_help) {
        print_help(stdout, call->command);
        return PK_EXIT_OK;
    }
    return call->command ? run_command(call, argc, argv, at, err) : PK_EXIT_USAGE;
}

int pk_cli_main(const struct pk_app *app, int argc, char **argv)
{
    struct pk_call call = { .app = app };
    struct pk_error err = { 0 };

    if (argc < 2) {
        print_overview(stderr);
        return PK_EXIT_USAGE;
    }
    enum pk_exit code = run_words(&call, argc, argv, &err);
    if (err.code != PK_OK) {
        print_error(&err, call.is_json);
    }
    pk_arena_done(&call.arena);
    if (fflush(stdout) != 0 && code == PK_EXIT_OK) {
        perror("personakit: standard output");
        return PK_EXIT_FAILED;
    }
    return (int)code;
}

/* ---- For commands ---- */

const char *pk_call_option(const struct pk_call *call, const char *name)
{
    for (size_t i = 0; i < call->command->option_count; i++) {
        if (strcmp(call->command->option[i].name, name) == 0) {
            return call->value[i];
        }
    }
    return NULL;
}

bool pk_call_confirm(const struct pk_call *call, const char *question, struct pk_error *err)
{
    char line[16] = "";
    if (pk_call_option(call, "--yes")) {
        return true;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return pk_fail(err, PK_PRECONDITION, "add --yes when it is meant",
                       "this cannot be undone, and nobody is here to say yes");
    }
    (void)fprintf(stderr, "%s [y/N] ", question);
    if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y')) {
        return true;
    }
    return pk_fail(err, PK_PRECONDITION, NULL, "nothing was done");
}

bool pk_call_config(const struct pk_call *call, struct pk_config **out, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf faults = { 0 };
    const struct pk_config_source source = {
        .file = call->config_file,
        .environ = (const char *const *)environ,
        .option = call->setting,
        .option_count = call->setting_count,
    };
    if (pk_config_load(out, &source, &faults, err)) {
        return true;
    }
    if (!call->is_json && faults.size > 0) {
        (void)fputs(pk_buf_text(&faults), stderr); /* All, so 'err' need not name the first. */
        (void)pk_fail(err, err->code, err->hint, "the settings are wrong");
    }
    return false;
}
