/* config_print.c - What is in force, for people and for programs. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/config_internal.h"
#include "base/text.h"

#include <string.h>

static void show_value(const struct pk_config *config, size_t at, struct pk_buf *out)
{
    const struct setting_value *value = &config->value[at];
    bool is_text =
        config->table[at].type == PK_SETTING_TEXT || config->table[at].type == PK_SETTING_LIST;

    pk_buf_clear(out);
    if (is_text && !*value->text) {
        pk_buf_add_text(out, "\"\"");
    } else {
        setting_show(&config->table[at], value->text, out);
    }
}

static void pad(struct pk_buf *buf, size_t size, size_t width)
{
    for (; size < width; size++) {
        pk_buf_add_char(buf, ' ');
    }
}

static void print_table(const struct pk_config *config, struct pk_buf *buf)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    size_t name_width = 0;
    size_t value_width = 0;

    for (size_t i = 0; i < config->count; i++) {
        size_t size = strlen(config->table[i].name);
        name_width = size > name_width ? size : name_width;
        show_value(config, i, &shown);
        value_width = shown.size > value_width ? shown.size : value_width;
    }
    value_width = value_width < 48 ? value_width : 48; /* A long one pushes its origin only. */
    for (size_t i = 0; i < config->count; i++) {
        show_value(config, i, &shown);
        pk_buf_add_text(buf, config->table[i].name);
        pad(buf, strlen(config->table[i].name), name_width + 2);
        pk_buf_add_text(buf, pk_buf_text(&shown));
        pad(buf, shown.size, value_width + 2);
        if (shown.size >= value_width + 2) {
            pk_buf_add_char(buf, ' ');
        }
        pk_text_escape(buf, config->value[i].origin, strlen(config->value[i].origin), false);
        pk_buf_add_char(buf, '\n');
    }
}

/* Numbers in their unit (ms, bytes), booleans and lists as JSON has them; the rest as text. */
static void print_json_value(const struct pk_config *config, size_t at, struct pk_buf *buf)
{
    const struct pk_setting *setting = &config->table[at];
    const struct setting_value *value = &config->value[at];
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };

    switch (setting->type) {
    case PK_SETTING_INT:
    case PK_SETTING_DURATION:
    case PK_SETTING_SIZE:
        pk_buf_printf(buf, "%lld", (long long)value->number);
        return;
    case PK_SETTING_BOOL:
        pk_buf_add_text(buf, value->text);
        return;
    case PK_SETTING_LIST:
        pk_buf_add_char(buf, '[');
        for (size_t i = 0; i < value->item_count; i++) {
            pk_buf_add_text(buf, i ? "," : "");
            pk_buf_clear(&shown);
            setting_mask(setting, value->item[i], &shown);
            pk_text_json(buf, pk_buf_text(&shown), shown.size);
        }
        pk_buf_add_char(buf, ']');
        return;
    case PK_SETTING_TEXT:
    case PK_SETTING_ENUM:
        setting_mask(setting, value->text, &shown);
        pk_text_json(buf, pk_buf_text(&shown), shown.size);
        return;
    }
}

static void print_json(const struct pk_config *config, struct pk_buf *buf)
{
    for (size_t i = 0; i < config->count; i++) {
        pk_buf_add_text(buf, i ? ",\n  " : "{\n  ");
        pk_text_json(buf, config->table[i].name, strlen(config->table[i].name));
        pk_buf_add_text(buf, ": {\"value\": ");
        print_json_value(config, i, buf);
        pk_buf_add_text(buf, ", \"origin\": ");
        pk_text_json(buf, config->value[i].origin, strlen(config->value[i].origin));
        pk_buf_add_char(buf, '}');
    }
    pk_buf_add_text(buf, config->count ? "\n}\n" : "{}\n");
}

void pk_config_print(const struct pk_config *config, struct pk_buf *buf, enum pk_config_style style)
{
    if (style == PK_CONFIG_JSON) {
        print_json(config, buf);
    } else {
        print_table(config, buf);
    }
}

void pk_config_help(struct pk_buf *buf)
{
    for (size_t i = 0; i < pk_setting_count; i++) {
        const struct pk_setting *setting = &pk_setting_table[i];
        PK_CLEANUP(pk_freep) char *variable = setting_variable(setting);
        pk_buf_printf(buf, "%s = %s\n    %s\n    Allowed: ", setting->name,
                      *setting->fallback ? setting->fallback : "\"\"", setting->help);
        setting_allowed(setting, buf);
        pk_buf_printf(buf, ".\n    Also: %s%s%s%s%s\n", variable, setting->variable ? ", " : "",
                      setting->variable ? setting->variable : "", setting->option ? ", " : "",
                      setting->option ? setting->option : "");
    }
}
