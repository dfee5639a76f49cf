/* config.c - Four sources, one value each, all faults at once.
 *
 *     defaults < file < environment < command line
 *
 * Sources are applied in that order, so the last one stays. A fault does not
 * stop the reading; it stops the result. */
/* SPDX-License-Identifier: MIT */
#include "base/config.h"

#include "base/alloc.h"
#include "base/config_internal.h"
#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20, NEAR = 4 /* Letters off that still look like a slip. */ };

static const char prefix[] = "PERSONAKIT_";

/* Variables with our prefix that are no settings: the client's, and what Docker and Kubernetes
 * put there for a service that is called personakit. A name that ends in '*' begins so. */
static const char *const foreign_variable[] = {
    "KEY", "SERVER", "CONFIG", "SERVICE_HOST", "SERVICE_PORT*", "PORT", "PORT_*", "NAME", "ENV_*",
};

void fault_add(struct faults *faults, const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(n >= 0);
    PK_CLEANUP(pk_buf_done) struct pk_buf line = { 0 };
    (void)vsnprintf(pk_buf_reserve(&line, (size_t)n), (size_t)n + 1, format, again);
    va_end(again);
    line.size = (size_t)n;
    if (faults->count++ == 0) {
        pk_buf_add(&faults->first, line.data, line.size);
    }
    if (faults->all) {
        pk_buf_add(faults->all, line.data, line.size);
        pk_buf_add_char(faults->all, '\n');
    }
}

static size_t find_name(const struct pk_config *config, const char *name, size_t size)
{
    for (size_t i = 0; i < config->count; i++) {
        if (strlen(config->table[i].name) == size &&
            memcmp(config->table[i].name, name, size) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool is_group(const struct pk_config *config, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < config->count; i++) {
        if (strncmp(config->table[i].name, name, size) == 0 && config->table[i].name[size] == '.') {
            return true;
        }
    }
    return false;
}

/* "origin: unknown setting 'stor.url'; did you mean 'store.url'?" */
static void fault_unknown(const struct pk_config *config, const char *origin, const char *name,
                          struct faults *faults)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    const char *nearest = NULL;
    size_t distance = NEAR;

    for (size_t i = 0; i < config->count; i++) {
        size_t n = pk_text_distance(name, config->table[i].name, distance);
        if (n < distance) {
            distance = n;
            nearest = config->table[i].name;
        }
    }
    setting_show(NULL, name, &shown);
    if (is_group(config, name)) {
        fault_add(faults, "%s: '%s' is a table of settings, not a setting", origin,
                  pk_buf_text(&shown));
    } else if (nearest) {
        fault_add(faults, "%s: unknown setting '%s'; did you mean '%s'?", origin,
                  pk_buf_text(&shown), nearest);
    } else {
        fault_add(faults, "%s: unknown setting '%s'; 'personakit config' lists them all", origin,
                  pk_buf_text(&shown));
    }
}

static void fault_value(const struct pk_setting *setting, const char *origin, const char *given,
                        const char *quote, struct faults *faults)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf allowed = { 0 };

    setting_show(setting, given, &shown);
    setting_allowed(setting, &allowed);
    fault_add(faults, "%s: %s: given %s%s%s, allowed: %s", origin, setting->name, quote,
              pk_buf_text(&shown), quote, pk_buf_text(&allowed));
}

/* Takes 'value' over. */
static void keep(struct pk_config *config, size_t at, struct setting_value *value,
                 const char *origin)
{
    setting_value_done(&config->value[at]);
    config->value[at] = *value;
    config->value[at].origin = pk_strdup(origin);
}

static void set_text(struct pk_config *config, size_t at, const char *text, const char *origin,
                     struct faults *faults)
{
    struct setting_value value = { 0 };
    if (setting_read(&config->table[at], text, &value)) {
        keep(config, at, &value, origin);
    } else {
        fault_value(&config->table[at], origin, text, "'", faults);
    }
}

static void set_defaults(struct pk_config *config)
{
    struct faults faults = { 0 };
    for (size_t i = 0; i < config->count; i++) {
        set_text(config, i, config->table[i].fallback, "default", &faults);
    }
    assert(faults.count == 0); /* A default that is not allowed is our bug. */
    pk_buf_done(&faults.first);
}

/* Lua has types, and a wrong one is a slip: "true" is not true, 10 is not "10s". */
static bool is_fit(const struct pk_setting *setting, const struct given *given)
{
    switch (setting->type) {
    case PK_SETTING_TEXT:
    case PK_SETTING_ENUM:
    case PK_SETTING_SIZE:
        return given->type == GIVEN_TEXT;
    case PK_SETTING_DURATION:
        return given->type == GIVEN_TEXT ||
               (given->type == GIVEN_NUMBER && setting_counts_ms(setting));
    case PK_SETTING_INT:
        return given->type == GIVEN_NUMBER;
    case PK_SETTING_BOOL:
        return given->type == GIVEN_BOOL;
    case PK_SETTING_LIST: /* One element may stand alone. */
        return given->type == GIVEN_LIST || given->type == GIVEN_TEXT;
    }
    return false;
}

static void set_given(struct pk_config *config, const struct given *given, const char *origin,
                      struct faults *faults)
{
    struct setting_value value = { 0 };
    size_t at = find_name(config, given->name, strlen(given->name));

    if (at == SIZE_MAX) {
        bool is_empty_group = given->type == GIVEN_LIST && given->item_count == 0;
        if (!is_empty_group || !is_group(config, given->name)) {
            fault_unknown(config, origin, given->name, faults);
        }
        return;
    }
    const struct pk_setting *setting = &config->table[at];
    bool is_text = given->type == GIVEN_TEXT;
    if (!is_fit(setting, given)) {
        fault_value(setting, origin, given->text, is_text ? "'" : "", faults);
        return;
    }
    bool is_ok = given->type == GIVEN_LIST
                     ? setting_read_list(setting, given->item, given->item_count, &value)
                     : setting_read(setting, given->text, &value);
    if (is_ok) {
        keep(config, at, &value, origin);
    } else {
        fault_value(setting, origin, given->text, is_text ? "'" : "", faults);
    }
}

static void givens_cleanup(struct givens *givens)
{
    givens_done(givens);
}

static void read_config_file(struct pk_config *config, const struct pk_config_source *source,
                             struct faults *faults)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(givens_cleanup) struct givens givens = { 0 };
    struct pk_error err = { 0 };

    if (!source->file) {
        return;
    }
    if (!pk_file_read(&text, source->file, FILE_MAX_BYTES, &err)) {
        if (err.code != PK_NOT_FOUND || !source->file_may_miss) {
            fault_add(faults, "%s: %s", source->file, err.message);
        }
        return;
    }
    config_lua_read(pk_buf_text(&text), text.size, source->file, &givens, faults);
    for (size_t i = 0; i < givens.count; i++) {
        PK_CLEANUP(pk_freep)
        char *origin = givens.row[i].line ? pk_strdupf("%s:%d", source->file, givens.row[i].line)
                                          : pk_strdup(source->file);
        set_given(config, &givens.row[i], origin, faults);
    }
}

static bool is_foreign(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(foreign_variable); i++) {
        const char *pattern = foreign_variable[i];
        size_t size = strlen(pattern);
        if (pattern[size - 1] == '*' ? strncmp(name, pattern, size - 1) == 0
                                     : strcmp(name, pattern) == 0) {
            return true;
        }
    }
    return false;
}

static size_t find_variable(const struct pk_config *config, const char *name, size_t size)
{
    for (size_t i = 0; i < config->count; i++) {
        const char *other = config->table[i].variable;
        PK_CLEANUP(pk_freep) char *variable = setting_variable(&config->table[i]);
        if ((strlen(variable) == size && memcmp(variable, name, size) == 0) ||
            (other && strlen(other) == size && memcmp(other, name, size) == 0)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* The setting's variable that is nearest, as a hint; a slip there is as silent as any. */
static void fault_variable(const struct pk_config *config, const char *name, struct faults *faults)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    PK_CLEANUP(pk_freep) char *nearest = NULL;
    size_t distance = NEAR;

    for (size_t i = 0; i < config->count; i++) {
        char *variable = setting_variable(&config->table[i]);
        size_t n = pk_text_distance(name, variable, distance);
        if (n < distance) {
            distance = n;
            pk_free(nearest);
            nearest = variable;
        } else {
            pk_free(variable);
        }
    }
    setting_show(NULL, name, &shown);
    fault_add(faults, "%s: unknown variable of ours%s%s%s", pk_buf_text(&shown),
              nearest ? "; did you mean " : "; 'personakit config' lists them all",
              nearest ? nearest : "", nearest ? "?" : "");
}

static void read_environment(struct pk_config *config, const char *const *environ_list,
                             struct faults *faults)
{
    PK_CLEANUP(pk_freep) const char **seen = pk_calloc(config->count, sizeof(*seen));

    for (; environ_list && *environ_list; environ_list++) {
        const char *equals = strchr(*environ_list, '=');
        if (!equals || strncmp(*environ_list, prefix, sizeof(prefix) - 1) != 0) {
            continue;
        }
        PK_CLEANUP(pk_freep)
        char *name = pk_strndup(*environ_list, (size_t)(equals - *environ_list));
        size_t at = find_variable(config, name, strlen(name));
        if (at == SIZE_MAX) {
            if (!is_foreign(name + sizeof(prefix) - 1)) {
                fault_variable(config, name, faults);
            }
        } else if (seen[at] && strcmp(seen[at], equals + 1) != 0) {
            fault_add(faults, "%s: given twice, with different values: unset this or %s", name,
                      config->value[at].origin);
        } else {
            seen[at] = equals + 1;
            set_text(config, at, equals + 1, name, faults);
        }
    }
}

/* "--set store.url=x": 'value' is "store.url=x". */
static void read_set(struct pk_config *config, const char *value, struct faults *faults)
{
    const char *equals = strchr(value, '=');

    if (!equals) {
        fault_add(faults, "--set: write it as NAME=VALUE, like --set log.level=debug");
        return;
    }
    size_t at = find_name(config, value, (size_t)(equals - value));
    if (at == SIZE_MAX) {
        PK_CLEANUP(pk_freep) char *name = pk_strndup(value, (size_t)(equals - value));
        fault_unknown(config, "--set", name, faults);
        return;
    }
    PK_CLEANUP(pk_freep) char *origin = pk_strdupf("--set %s", config->table[at].name);
    set_text(config, at, equals + 1, origin, faults);
}

static size_t find_option(const struct pk_setting *table, size_t count, const char *option,
                          size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].option && strlen(table[i].option) == size &&
            memcmp(table[i].option, option, size) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool is_set(const char *option, size_t size)
{
    return size == 5 && memcmp(option, "--set", 5) == 0;
}

static void read_option(struct pk_config *config, const struct pk_config_option *option,
                        struct faults *faults)
{
    PK_CLEANUP(pk_freep) char *name = pk_strndup(option->option, option->option_size);
    size_t at = find_option(config->table, config->count, name, strlen(name));

    if (!option->value) {
        fault_add(faults, "%s: the value is missing", name);
    } else if (is_set(name, strlen(name))) {
        read_set(config, option->value, faults);
    } else if (at == SIZE_MAX) {
        fault_add(faults, "%s: there is no such option", name);
    } else {
        set_text(config, at, option->value, name, faults);
    }
}

int pk_config_option_read(int argc, char *const *argv, int at, struct pk_config_option *out)
{
    const char *word = argv[at];
    const char *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);

    if (!is_set(word, size) &&
        find_option(pk_setting_table, pk_setting_count, word, size) == SIZE_MAX) {
        return 0;
    }
    *out = (struct pk_config_option){ .option = word, .option_size = size };
    if (equals) {
        out->value = equals + 1;
        return 1;
    }
    out->value = at + 1 < argc ? argv[at + 1] : NULL;
    return out->value ? 2 : 1;
}

static struct pk_config *new_config(const struct pk_config_source *source)
{
    struct pk_config *config = pk_calloc(1, sizeof(*config));
    config->table = source->table ? source->table : pk_setting_table;
    config->count = source->table ? source->table_count : pk_setting_count;
    config->value = pk_calloc(config->count, sizeof(*config->value));
    set_defaults(config);
    return config;
}

static void faults_done(struct faults *faults)
{
    pk_buf_done(&faults->first);
}

bool pk_config_load(struct pk_config **out, const struct pk_config_source *source,
                    struct pk_buf *faults_text, struct pk_error *err)
{
    PK_CLEANUP(pk_config_freep) struct pk_config *config = new_config(source);
    PK_CLEANUP(faults_done) struct faults faults = { .all = faults_text };

    read_config_file(config, source, &faults);
    read_environment(config, source->environ, &faults);
    for (size_t i = 0; i < source->option_count; i++) {
        read_option(config, &source->option[i], &faults);
    }
    if (faults.count == 1) {
        return pk_fail(err, PK_INVALID, "mend the setting and start again", "%s",
                       pk_buf_text(&faults.first));
    }
    if (faults.count > 1) {
        return pk_fail(err, PK_INVALID, "mend the settings and start again",
                       "%zu settings are wrong, the first: %s", faults.count,
                       pk_buf_text(&faults.first));
    }
    *out = config;
    config = NULL; /* The caller's now. */
    return true;
}

void pk_config_free(struct pk_config *config)
{
    if (!config) {
        return;
    }
    for (size_t i = 0; i < config->count; i++) {
        setting_value_done(&config->value[i]);
    }
    pk_free(config->value);
    pk_free(config);
}

void pk_config_freep(struct pk_config **config)
{
    pk_config_free(*config);
    *config = NULL;
}

/* Types as bits, for getters that serve several. */
static const struct setting_value *get(const struct pk_config *config, const char *name,
                                       unsigned types)
{
    size_t at = find_name(config, name, strlen(name));
    assert(at != SIZE_MAX); /* No such setting. */
    assert(types >> config->table[at].type & 1);
    (void)types;
    return &config->value[at];
}

const char *pk_config_text(const struct pk_config *config, const char *name)
{
    return get(config, name, 1U << PK_SETTING_TEXT | 1U << PK_SETTING_ENUM)->text;
}

int64_t pk_config_int(const struct pk_config *config, const char *name)
{
    return get(config, name, 1U << PK_SETTING_INT)->number;
}

bool pk_config_bool(const struct pk_config *config, const char *name)
{
    return get(config, name, 1U << PK_SETTING_BOOL)->number != 0;
}

int64_t pk_config_ms(const struct pk_config *config, const char *name)
{
    return get(config, name, 1U << PK_SETTING_DURATION)->number;
}

int64_t pk_config_bytes(const struct pk_config *config, const char *name)
{
    return get(config, name, 1U << PK_SETTING_SIZE)->number;
}

const char *const *pk_config_list(const struct pk_config *config, const char *name,
                                  size_t *out_count)
{
    const struct setting_value *value = get(config, name, 1U << PK_SETTING_LIST);
    *out_count = value->item_count;
    return (const char *const *)value->item;
}

const char *pk_config_origin(const struct pk_config *config, const char *name)
{
    return get(config, name, ~0U)->origin;
}

bool pk_config_is_same(const struct pk_config *a, const struct pk_config *b, const char *name)
{
    return strcmp(get(a, name, ~0U)->text, get(b, name, ~0U)->text) == 0;
}
