/* config_internal.h - What config.c, config_value.c, config_lua.c, config_lines.c and
 * config_print.c share; nobody else includes it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_CONFIG_INTERNAL_H
#define PK_BASE_CONFIG_INTERNAL_H

#include "base/buf.h"
#include "base/config.h"
#include "base/error.h"

/* A checked value. */
struct setting_value {
    char *text;        /* As it is printed; TEXT, ENUM: the value itself. */
    int64_t number;    /* INT; BOOL: 0, 1; DURATION: ms; SIZE: bytes. */
    char **item;       /* LIST. */
    size_t item_count; /* Of 'item'. */
    char *origin;      /* Where it came from. */
};

struct pk_config {
    const struct pk_setting *table;
    size_t count;
    struct setting_value *value; /* One per row of 'table'. */
};

/* Faults, collected until all sources were read. */
struct faults {
    struct pk_buf *all; /* A line each. */
    struct pk_buf first;
    size_t count;
};
__attribute__((format(printf, 2, 3))) void fault_add(struct faults *faults, const char *format,
                                                     ...);

/* What the Lua file gave under one name. */
enum given_type { GIVEN_TEXT, GIVEN_NUMBER, GIVEN_BOOL, GIVEN_LIST, GIVEN_OTHER };
struct given {
    char *name; /* "store.url" */
    enum given_type type;
    char *text;        /* The value in words; of LIST and OTHER what it is: "a function". */
    char **item;       /* LIST. */
    size_t item_count; /* Of 'item'. */
    int line;          /* In the file; 0: nobody knows. */
};
struct givens {
    struct given *row;
    size_t count;
};
void givens_done(struct givens *givens);

/* config_lua.c: evaluates 'source' and flattens its table. Faults name 'path'. */
void config_lua_read(const char *source, size_t size, const char *path, struct givens *out,
                     struct faults *faults);

/* config_lines.c: on which line 'name' is given, in the constructor behind 'return' or by an
 * assignment; 0: nobody knows. '*out_again' is the line where the constructor names it a second
 * time, or 0. */
int config_line_of(const char *source, size_t size, const char *name, int *out_again);

/* config_value.c */
bool setting_read(const struct pk_setting *setting, const char *text, struct setting_value *out);
bool setting_read_list(const struct pk_setting *setting, char *const *item, size_t count,
                       struct setting_value *out);
void setting_value_done(struct setting_value *value);
/* "a duration from 1h to 3650d, like "90s" or "7d"" */
void setting_allowed(const struct pk_setting *setting, struct pk_buf *buf);
/* The value without its secrets: of a URL all but user and password, of other secrets nothing. */
void setting_mask(const struct pk_setting *setting, const char *text, struct pk_buf *buf);
/* The same, cut and escaped for a person's eyes. 'setting' may be NULL. */
void setting_show(const struct pk_setting *setting, const char *text, struct pk_buf *buf);
/* "PERSONAKIT_STORE_URL" of "store.url"; the caller frees it. */
char *setting_variable(const struct pk_setting *setting);
bool setting_counts_ms(const struct pk_setting *setting); /* Its name ends in _ms. */

#endif
