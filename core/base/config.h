/* config.h - The settings of this process, each with its origin.
 *
 * Four sources, the later wins: the default, the configuration file, the
 * environment, the command line. 'pk_config_load' reads them all and reports
 * every fault at once; a configuration with a fault is never made, so what a
 * getter returns has been checked. Settings are rows of one table
 * (settings.c); if you add one, add it to etc/personakit.lua, too: a test
 * insists.
 *
 * The file is Lua that returns a table, evaluated in an empty environment: it
 * can calculate and nothing else (config_lua.c).
 *
 * A loaded configuration is immutable: any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_CONFIG_H
#define PK_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_buf;
struct pk_config; /* Opaque. */
struct pk_error;

enum pk_setting_type {
    PK_SETTING_TEXT,
    PK_SETTING_INT,
    PK_SETTING_BOOL,     /* true, false; in variables and options also on, off, yes, no, 1, 0. */
    PK_SETTING_DURATION, /* "500ms", "10s", "5m", "24h", "7d"; held in milliseconds. */
    PK_SETTING_SIZE,     /* "512B", "64KiB", "16MiB", "1GiB"; held in bytes. */
    PK_SETTING_LIST,     /* Texts; in variables and options separated by commas. */
    PK_SETTING_ENUM,     /* One of 'allowed'. */
};

/* One row of the table. Static. */
struct pk_setting {
    const char *name; /* "store.url": its place in the file's table. */
    enum pk_setting_type type;
    const char *fallback;       /* The default, written as in a variable. */
    int64_t min, max;           /* INT, DURATION (ms), SIZE (bytes); TEXT, LIST: bytes, elements. */
    const char *const *allowed; /* ENUM: its names, then NULL. */
    bool (*check)(const char *text); /* TEXT, LIST elements: further rule, or NULL. */
    const char *expects;             /* What 'check' allows, in words: "an address ..." */
    const char *option;              /* "--listen", or NULL: --set only. */
    const char *variable; /* Further name in the environment, or NULL: PERSONAKIT_<NAME> only. */
    const char *help;     /* A sentence. */
    bool is_secret;       /* Never shown; a URL is shown without its password. */
    bool is_reloadable;   /* SIGHUP brings a new value into effect; others want a restart. */
};

extern const struct pk_setting pk_setting_table[];
extern const size_t pk_setting_count;

/* "--listen" and its value, or "--set" and "name=value"; as pk_config_option_read makes it. */
struct pk_config_option {
    const char *option; /* As given, for messages. */
    size_t option_size; /* Bytes of it that name the option: "--listen" of "--listen=x". */
    const char *value;  /* NULL when it is missing: a fault. */
};

struct pk_config_source {
    const char *file;           /* Path of the Lua file, or NULL: none. */
    bool file_may_miss;         /* A file that is not there is like an empty one. */
    const char *const *environ; /* NAME=value ..., then NULL; NULL: none. */
    const struct pk_config_option *option;
    size_t option_count;
    const struct pk_setting *table; /* NULL: pk_setting_table. Tests bring their own. */
    size_t table_count;
};

/* Reads the option at argv[at]: 0 when it is none of ours, else the words it takes (1 or 2). */
int pk_config_option_read(int argc, char *const *argv, int at, struct pk_config_option *out);

/* On failure 'err' is the first fault and how many there are, and 'faults' (may be NULL) has them
 * all, a line each: where, name, what was given, what is allowed. */
bool pk_config_load(struct pk_config **out, const struct pk_config_source *source,
                    struct pk_buf *faults, struct pk_error *err);
void pk_config_free(struct pk_config *config);
void pk_config_freep(struct pk_config **config);

/* Getters. An unknown name, or one of another type, is a bug (assert). Owned by 'config'. */
const char *pk_config_text(const struct pk_config *config, const char *name); /* TEXT, ENUM. */
int64_t pk_config_int(const struct pk_config *config, const char *name);
bool pk_config_bool(const struct pk_config *config, const char *name);
int64_t pk_config_ms(const struct pk_config *config, const char *name);
int64_t pk_config_bytes(const struct pk_config *config, const char *name);
const char *const *pk_config_list(const struct pk_config *config, const char *name,
                                  size_t *out_count);
/* "default", "etc/personakit.lua:12", "PERSONAKIT_STORE", "--store". */
const char *pk_config_origin(const struct pk_config *config, const char *name);

/* True when both have the same value for 'name', wherever it came from. */
bool pk_config_is_same(const struct pk_config *a, const struct pk_config *b, const char *name);

enum pk_config_style {
    PK_CONFIG_TABLE, /* Name, value and origin in columns. */
    PK_CONFIG_JSON,  /* One object: name to {value, origin}. */
};
/* All settings with secrets masked. */
void pk_config_print(const struct pk_config *config, struct pk_buf *buf,
                     enum pk_config_style style);
/* The table of settings for --help and the guides: name, default, allowed, variable, option. */
void pk_config_help(struct pk_buf *buf);

#endif
