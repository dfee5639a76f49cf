/* config_value.c - From words to values and back, by the type of the setting. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/config_internal.h"
#include "base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Units, each a multiple of the one before; shown with the largest that leaves no rest. */
struct unit {
    const char *name;
    int64_t size;
};
static const struct unit duration_unit[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 },
};
static const struct unit size_unit[] = {
    { "B", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 },
};
static const struct unit no_unit[] = { { "", 1 }, { NULL, 0 } };

bool setting_counts_ms(const struct pk_setting *setting)
{
    size_t size = strlen(setting->name);
    return setting->type == PK_SETTING_DURATION && size > 3 &&
           strcmp(setting->name + size - 3, "_ms") == 0;
}

static const struct unit *units_of(const struct pk_setting *setting)
{
    return setting->type == PK_SETTING_DURATION ? duration_unit
           : setting->type == PK_SETTING_SIZE   ? size_unit
                                                : no_unit;
}

/* Digits, then a unit; nothing else, and no overflow. */
static bool read_number(const struct pk_setting *setting, const char *text, int64_t *out)
{
    bool is_negative = setting->type == PK_SETTING_INT && *text == '-';
    const char *at = is_negative ? text + 1 : text;
    int64_t number = 0;

    if (*at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *at - '0', &number)) {
            return false;
        }
    }
    const struct unit *unit = units_of(setting);
    if (*at == '\0' && setting_counts_ms(setting)) {
        at = unit->name; /* The name says the unit. */
    }
    while (unit->name && strcmp(unit->name, at) != 0) {
        unit++;
    }
    if (!unit->name || __builtin_mul_overflow(number, unit->size, &number)) {
        return false;
    }
    *out = is_negative ? -number : number;
    return *out >= setting->min && *out <= setting->max;
}

static void show_number(const struct pk_setting *setting, int64_t number, struct pk_buf *buf)
{
    const struct unit *best = units_of(setting);

    for (const struct unit *unit = best; unit->name; unit++) {
        if (number != 0 && number % unit->size == 0) {
            best = unit;
        }
    }
    pk_buf_printf(buf, "%" PRId64 "%s", number / best->size, best->name);
}

static bool read_bool(const char *text, int64_t *out)
{
    static const char *const words[] = { "false", "true", "off", "on", "no", "yes", "0", "1" };

    for (size_t i = 0; i < PK_COUNT(words); i++) {
        if (strcmp(words[i], text) == 0) {
            *out = (int64_t)(i % 2);
            return true;
        }
    }
    return false;
}

static bool is_allowed(const struct pk_setting *setting, const char *text)
{
    const char *const *name = setting->allowed;
    while (*name && strcmp(*name, text) != 0) {
        name++;
    }
    return *name != NULL;
}

static bool is_text_fit(const struct pk_setting *setting, const char *text)
{
    size_t size = strlen(text);
    return size >= (size_t)setting->min && size <= (size_t)setting->max &&
           (!setting->check || setting->check(text));
}

/* "a,b" to two items; "" to none. */
static bool split_list(const struct pk_setting *setting, const char *text,
                       struct setting_value *out)
{
    char *item[64];
    size_t count = 0;
    bool is_ok = true;
    PK_CLEANUP(pk_freep) char *copy = pk_strdup(text);

    for (char *at = *copy ? copy : NULL; at;) {
        if (count == PK_COUNT(item)) {
            is_ok = false;
            break;
        }
        item[count++] = at;
        at = strchr(at, ',');
        if (at) {
            *at++ = '\0';
        }
    }
    return is_ok && setting_read_list(setting, item, count, out);
}

bool setting_read_list(const struct pk_setting *setting, char *const *item, size_t count,
                       struct setting_value *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };

    if (count < (size_t)setting->min || count > (size_t)setting->max) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        /* A comma would come back as two items from the environment: refused everywhere. */
        if (!*item[i] || strchr(item[i], ',') || (setting->check && !setting->check(item[i]))) {
            return false;
        }
    }
    *out = (struct setting_value){ .item_count = count };
    out->item = pk_calloc(count, sizeof(*out->item));
    for (size_t i = 0; i < count; i++) {
        out->item[i] = pk_strdup(item[i]);
        pk_buf_printf(&text, "%s%s", i ? "," : "", item[i]);
    }
    out->text = pk_buf_take(&text);
    return true;
}

bool setting_read(const struct pk_setting *setting, const char *text, struct setting_value *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    int64_t number = 0;

    switch (setting->type) {
    case PK_SETTING_LIST:
        return split_list(setting, text, out);
    case PK_SETTING_BOOL:
        if (!read_bool(text, &number)) {
            return false;
        }
        pk_buf_add_text(&shown, number ? "true" : "false");
        break;
    case PK_SETTING_INT:
    case PK_SETTING_DURATION:
    case PK_SETTING_SIZE:
        if (!read_number(setting, text, &number)) {
            return false;
        }
        show_number(setting, number, &shown);
        break;
    case PK_SETTING_ENUM:
        if (!is_allowed(setting, text)) {
            return false;
        }
        pk_buf_add_text(&shown, text);
        break;
    case PK_SETTING_TEXT:
        if (!is_text_fit(setting, text)) {
            return false;
        }
        pk_buf_add_text(&shown, text);
        break;
    }
    *out = (struct setting_value){ .number = number, .text = pk_buf_take(&shown) };
    return true;
}

void setting_value_done(struct setting_value *value)
{
    for (size_t i = 0; i < value->item_count; i++) {
        pk_free(value->item[i]);
    }
    pk_free(value->item);
    pk_free(value->text);
    pk_free(value->origin);
    *value = (struct setting_value){ 0 };
}

static void add_range(const struct pk_setting *setting, const char *what, const char *example,
                      struct pk_buf *buf)
{
    pk_buf_printf(buf, "%s from ", what);
    show_number(setting, setting->min, buf);
    pk_buf_add_text(buf, " to ");
    show_number(setting, setting->max, buf);
    pk_buf_add_text(buf, example);
}

void setting_allowed(const struct pk_setting *setting, struct pk_buf *buf)
{
    switch (setting->type) {
    case PK_SETTING_INT:
        add_range(setting, "a whole number", "", buf);
        return;
    case PK_SETTING_DURATION:
        add_range(setting, "a duration",
                  setting_counts_ms(setting) ? ", in milliseconds or like \"10s\""
                                             : ", like \"90s\" or \"7d\"",
                  buf);
        return;
    case PK_SETTING_SIZE:
        add_range(setting, "a size", ", like \"64KiB\" or \"16MiB\"", buf);
        return;
    case PK_SETTING_BOOL:
        pk_buf_add_text(buf, "true or false");
        return;
    case PK_SETTING_ENUM:
        pk_buf_add_text(buf, "one of ");
        for (const char *const *name = setting->allowed; *name; name++) {
            pk_buf_printf(buf, "%s%s", name == setting->allowed ? "" : ", ", *name);
        }
        return;
    case PK_SETTING_LIST:
        if (setting->expects) {
            pk_buf_printf(buf, "%s; or a list of up to %" PRId64 " of them", setting->expects,
                          setting->max);
        } else {
            pk_buf_printf(buf, "a list of %" PRId64 " to %" PRId64 " texts without commas",
                          setting->min, setting->max);
        }
        return;
    case PK_SETTING_TEXT:
        if (setting->expects) {
            pk_buf_add_text(buf, setting->expects);
        } else {
            pk_buf_printf(buf, "a text of %" PRId64 " to %" PRId64 " bytes", setting->min,
                          setting->max);
        }
        return;
    }
}

/* Parameters of a URL whose value is a secret. */
static bool is_secret_parameter(const char *name, size_t size)
{
    static const char *const part[] = { "password", "secret", "token", "authmechanismproperties" };
    char lower[64];

    size = size < sizeof(lower) - 1 ? size : sizeof(lower) - 1;
    for (size_t i = 0; i < size; i++) {
        lower[i] = (char)tolower((unsigned char)name[i]);
    }
    lower[size] = '\0';
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        if (strstr(lower, part[i])) {
            return true;
        }
    }
    return false;
}

/* host/db?a=1&tlsPassword=x with the secret values hidden. */
static void add_masked_query(struct pk_buf *buf, const char *text)
{
    size_t head = strcspn(text, "?");
    pk_buf_add(buf, text, head);
    for (text += head; *text;) {
        size_t size = 1 + strcspn(text + 1, "&");
        size_t name = strcspn(text, "=");
        if (name < size && is_secret_parameter(text, name)) {
            pk_buf_printf(buf, "%.*s=***", (int)name, text);
        } else {
            pk_buf_add(buf, text, size);
        }
        text += size;
    }
}

/* Of a URL all but user, password and secret parameters; of anything else nothing. */
static void mask_secret(struct pk_buf *buf, const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *at = strrchr(text, '@'); /* The last: a bad password may hold one. */

    if (!scheme) {
        pk_buf_add_text(buf, *text ? "***" : "");
        return;
    }
    scheme += 3;
    pk_buf_add(buf, text, (size_t)(scheme - text));
    if (at && at >= scheme) {
        pk_buf_add_text(buf, "***");
        scheme = at;
    }
    add_masked_query(buf, scheme);
}

void setting_mask(const struct pk_setting *setting, const char *text, struct pk_buf *buf)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf masked = { 0 };

    if (setting && setting->is_secret) {
        mask_secret(&masked, text);
    } else {
        pk_buf_add_text(&masked, text);
    }
    pk_text_mask(buf, pk_buf_text(&masked), masked.size);
}

void setting_show(const struct pk_setting *setting, const char *text, struct pk_buf *buf)
{
    enum { SHOWN_MAX = 200 };
    PK_CLEANUP(pk_buf_done) struct pk_buf masked = { 0 };

    setting_mask(setting, text, &masked);
    size_t size = masked.size < SHOWN_MAX ? masked.size : SHOWN_MAX;
    pk_text_escape(buf, pk_buf_text(&masked), size, false);
    if (size < masked.size) {
        pk_buf_add_text(buf, "...");
    }
}

char *setting_variable(const struct pk_setting *setting)
{
    char *name = pk_strdupf("PERSONAKIT_%s", setting->name);
    for (char *at = name; *at; at++) {
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    }
    return name;
}
