/* openapi_params.c - What may come with a request besides its body, in the words of OpenAPI.
 *
 * A row names its own parameters of path and query; what many rows take
 * (pages, versions, idempotency keys) is said once, as a component, by the
 * flag that rows take it with. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "api/openapi_internal.h"

#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json_put.h"
#include "doc/json_schema.h"

#include <string.h>

/* ---- Parameters that many operations share ---- */

#define TAG "(?:W/)?\"[!#-~]*\""

static const struct shared_param {
    unsigned flag;         /* Of the row. */
    const char *component; /* Its name among the components. */
    const char *name, *in;
    bool is_number;
    int min, max;        /* Value or characters; 0: no end. */
    const char *pattern; /* Or NULL. */
    const char *help;
} shared_param_table[] = {
    { .flag = PK_ROW_ONCE,
      .component = "IdempotencyKey",
      .name = "Idempotency-Key",
      .in = "header",
      .min = 1,
      .max = PK_IDEMPOTENCY_KEY_MAX,
      .pattern = "^[!-~]+$",
      .help = "A key of the caller's making. Repeating the request with it has one effect, and "
              "gives the same answer for 24 hours." },
    { .flag = PK_ROW_MATCH,
      .component = "IfMatch",
      .name = "If-Match",
      .in = "header",
      .pattern = "^(?:[*]|" TAG "(?:, ?" TAG "){0,31})$",
      .help =
          "The ETag that was read: the change is made only while it is still the current one." },
    { .flag = PK_ROW_AFTER,
      .component = "After",
      .name = "after",
      .in = "query",
      .min = 1,
      .max = PK_POSITION_TEXT - 1,
      .pattern = "^[!-~]+$",
      .help = "A PersonaKit-Cursor that a write answered: the answer waits until it shows that "
              "write." },
    { .flag = PK_ROW_WAIT,
      .component = "Wait",
      .name = "wait",
      .in = "query",
      .pattern = "^processed$",
      .help = "'processed': the answer waits, up to 10 s, until what was written has had its "
              "effects: a write's own, or all of this person that are pending." },
    { .flag = PK_ROW_LIST,
      .component = "Limit",
      .name = "limit",
      .in = "query",
      .is_number = true,
      .min = 1,
      .max = PK_PAGE_MAX,
      .help = "How many items at most; 100 when it is not said." },
    { .flag = PK_ROW_LIST,
      .component = "Cursor",
      .name = "cursor",
      .in = "query",
      .min = 1,
      .max = PK_PARAM_CURSOR_MAX,
      .pattern = "^[A-Za-z0-9_-]+$",
      .help = "'next' of the page before: goes on behind it." },
};

static void put_shared_schema(struct pk_buf *out, const struct shared_param *param)
{
    pk_json_open(out, "schema", '{');
    pk_json_put_text(out, "type", param->is_number ? "integer" : "string");
    if (param->min > 0) {
        pk_json_put_number(out, param->is_number ? "minimum" : "minLength", param->min);
    }
    if (param->max > 0) {
        pk_json_put_number(out, param->is_number ? "maximum" : "maxLength", param->max);
    }
    if (param->pattern) {
        pk_json_put_text(out, "pattern", param->pattern);
    }
    pk_json_close(out, '}');
}

void pk_openapi_shared_params(struct pk_buf *out)
{
    pk_json_open(out, "parameters", '{');
    for (size_t i = 0; i < PK_COUNT(shared_param_table); i++) {
        const struct shared_param *param = &shared_param_table[i];
        pk_json_open(out, param->component, '{');
        pk_json_put_text(out, "name", param->name);
        pk_json_put_text(out, "in", param->in);
        pk_json_put_text(out, "description", param->help);
        put_shared_schema(out, param);
        pk_json_close(out, '}');
    }
    pk_json_close(out, '}');
}

/* ---- Parameters of one row ---- */

static void put_text_schema(struct pk_buf *out, const struct pk_param *param)
{
    const int64_t max = param->max > 0 ? param->max : PK_PARAM_TEXT_MAX;
    pk_json_put_text(out, "type", "string");
    pk_json_put_number(out, "minLength", param->min > 0 ? (double)param->min : 1);
    pk_json_put_number(out, "maxLength", (double)max);
    pk_json_put_number(out, "x-max-bytes", (double)max);
    /* %00 is refused in any. */
    pk_json_put_text(out, "pattern", param->pattern ? param->pattern : "^[^\\u0000]*$");
}

static void put_int_schema(struct pk_buf *out, const struct pk_param *param)
{
    pk_json_put_text(out, "type", "integer");
    pk_json_put_text(out, "format", "int64");
    if (param->min != 0 || param->max != 0) {
        pk_json_put_number(out, "minimum", (double)param->min);
        pk_json_put_number(out, "maximum", (double)param->max);
    }
}

static void put_bool_schema(struct pk_buf *out, const struct pk_param *param)
{
    (void)param;
    pk_json_put_text(out, "type", "boolean");
}

static void put_row_schema(struct pk_buf *out, const struct pk_field *field)
{
    pk_json_schema_row(out, field, PK_JSON_IN);
}

static void put_time_schema(struct pk_buf *out, const struct pk_param *param)
{
    static const struct pk_field row = { .type = PK_TYPE_DATE, .flags = PK_FIELD_REQUIRED };
    (void)param;
    put_row_schema(out, &row);
}

static void put_uuid_schema(struct pk_buf *out, const struct pk_param *param)
{
    static const struct pk_field row = { .type = PK_TYPE_STRING,
                                         .format = PK_FORMAT_UUID,
                                         .flags = PK_FIELD_REQUIRED };
    (void)param;
    put_row_schema(out, &row);
}

static void put_word_schema(struct pk_buf *out, const struct pk_param *param)
{
    pk_json_put_text(out, "type", "string");
    pk_json_open(out, "enum", '[');
    for (size_t i = 0; param->allowed[i]; i++) {
        pk_json_put_text(out, NULL, param->allowed[i]);
    }
    pk_json_close(out, ']');
}

static void (*const param_table[])(struct pk_buf *out, const struct pk_param *param) = {
    [PK_PARAM_TEXT] = put_text_schema, [PK_PARAM_INT] = put_int_schema,
    [PK_PARAM_BOOL] = put_bool_schema, [PK_PARAM_TIME] = put_time_schema,
    [PK_PARAM_UUID] = put_uuid_schema, [PK_PARAM_WORD] = put_word_schema,
};

/* True when the path has "{name}". */
static bool is_in_path(const char *path, const char *name, size_t size)
{
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        if (strncmp(at + 1, name, size) == 0 && at[1 + size] == '}') {
            return true;
        }
    }
    return false;
}

static void put_param(struct pk_buf *out, const struct pk_api_row *row,
                      const struct pk_param *param)
{
    bool is_path = is_in_path(row->path, param->name, strlen(param->name));
    pk_json_open(out, NULL, '{');
    pk_json_put_text(out, "name", param->name);
    pk_json_put_text(out, "in", is_path ? "path" : "query");
    if (is_path) {
        pk_json_put_bool(out, "required", true);
    }
    if (param->help || param->fallback) {
        const char *fallback = param->fallback;
        PK_CLEANUP(pk_freep)
        char *help = pk_strdupf("%s%s%s%s%s", param->help ? param->help : "",
                                param->help && fallback ? " " : "", fallback ? "Without it: " : "",
                                fallback ? fallback : "", fallback ? "." : "");
        pk_json_put_text(out, "description", help);
    }
    pk_json_open(out, "schema", '{');
    param_table[param->type](out, param);
    pk_json_close(out, '}');
    pk_json_close(out, '}');
}

static bool is_declared(const struct pk_api_row *row, const char *name, size_t size)
{
    for (const struct pk_param *param = row->param; param && param->name; param++) {
        if (strlen(param->name) == size && strncmp(param->name, name, size) == 0) {
            return true;
        }
    }
    return false;
}

/* Those of the path that no row describes. */
static void put_plain_params(struct pk_buf *out, const struct pk_api_row *row)
{
    for (const char *at = strchr(row->path, '{'); at; at = strchr(at + 1, '{')) {
        size_t size = strcspn(at + 1, "}");
        if (!is_declared(row, at + 1, size)) {
            PK_CLEANUP(pk_freep) char *name = pk_strndup(at + 1, size);
            const struct pk_param param = { .name = name, .type = PK_PARAM_TEXT };
            put_param(out, row, &param);
        }
    }
}

void pk_openapi_params(struct pk_buf *out, const struct pk_api_row *row)
{
    pk_json_open(out, "parameters", '[');
    put_plain_params(out, row);
    for (const struct pk_param *param = row->param; param && param->name; param++) {
        put_param(out, row, param);
    }
    const unsigned flags = row->flags | (pk_row_may_wait(row) ? PK_ROW_WAIT : 0U);
    for (size_t i = 0; i < PK_COUNT(shared_param_table); i++) {
        if (flags & shared_param_table[i].flag) {
            pk_openapi_ref(out, NULL, "parameters", shared_param_table[i].component);
        }
    }
    pk_json_close(out, ']');
}
