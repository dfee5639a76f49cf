/* scripts.c - /v1/processors and /v1/conditions: the same routes as mappers have, for operators.
 *
 * What they do, they do to everybody's observations: so their author runs the
 * server. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "api/versions.h"
#include "base/alloc.h"
#include "doc/schema_scripts.h"

#define PARAMS(NAME)                                                                          \
    static const struct pk_param NAME##_one[] = { PK_PARAM_SCRIPT(#NAME), { .name = NULL } }; \
    static const struct pk_param NAME##_version[] = { PK_PARAM_SCRIPT(#NAME),                 \
                                                      PK_PARAM_VERSION,                       \
                                                      { .name = NULL } };                     \
    static const struct pk_param NAME##_put[] = { PK_PARAM_SCRIPT(#NAME),                     \
                                                  PK_PARAM_ACTIVATE,                          \
                                                  { .name = NULL } }
PARAMS(processor);
PARAMS(condition);

/* NAME is the kind, TITLE the same in operation ids. */
#define ROWS(NAME, TITLE)                                                                          \
    { PK_ROW(GET, "/v1/" #NAME "s", PLUGIN_MANAGE),                                                \
      .lane = PK_LANE_STORE,                                                                       \
      .flags = PK_ROW_LIST | PK_ROW_AFTER,                                                         \
      .run = pk_versions_list,                                                                     \
      .answer = &pk_schema_script_row,                                                             \
      .id = "list" TITLE "s",                                                                      \
      .tag = #NAME "s",                                                                            \
      .help = "Lists the " #NAME "s, each by its active version or its newest." },                 \
        { PK_ROW(GET, "/v1/" #NAME "s/{" #NAME "}", PLUGIN_MANAGE),                                \
          .lane = PK_LANE_STORE,                                                                   \
          .flags = PK_ROW_AFTER,                                                                   \
          .param = NAME##_one,                                                                     \
          .subject = pk_versions_find,                                                             \
          .run = pk_versions_show_found,                                                           \
          .show = pk_versions_show,                                                                \
          .answer = &pk_schema_script_view,                                                        \
          .id = "get" TITLE,                                                                       \
          .tag = #NAME "s",                                                                        \
          .help = "Shows a " #NAME ": its active version, or its newest." },                       \
        { PK_ROW(PUT, "/v1/" #NAME "s/{" #NAME "}", PLUGIN_MANAGE),                                \
          .lane = PK_LANE_SLOW,                                                                    \
          .flags = PK_ROW_WRITES,                                                                  \
          .param = NAME##_put,                                                                     \
          .body = &pk_schema_script_put,                                                           \
          .text_type = PK_VERSIONS_TEXT,                                                           \
          .body_max_bytes = PK_VERSIONS_BODY,                                                      \
          .subject = pk_versions_name,                                                             \
          .run = pk_versions_put,                                                                  \
          .show = pk_versions_show,                                                                \
          .answer = &pk_schema_script_view,                                                        \
          .id = "put" TITLE,                                                                       \
          .tag = #NAME "s",                                                                        \
          .help = "Saves a version as a draft, once its own examples are good; the same content "  \
                  "is saved once.",                                                                \
          .fails = pk_versions_refused },                                                          \
        { PK_ROW(GET, "/v1/" #NAME "s/{" #NAME "}/versions", PLUGIN_MANAGE),                       \
          .lane = PK_LANE_STORE,                                                                   \
          .flags = PK_ROW_LIST | PK_ROW_AFTER,                                                     \
          .param = NAME##_one,                                                                     \
          .subject = pk_versions_find,                                                             \
          .run = pk_versions_list_of,                                                              \
          .answer = &pk_schema_script_row,                                                         \
          .id = "list" TITLE "Versions",                                                           \
          .tag = #NAME "s",                                                                        \
          .help = "Lists the versions of a " #NAME ", newest first." },                            \
        { PK_ROW(GET, "/v1/" #NAME "s/{" #NAME "}/versions/{version}", PLUGIN_MANAGE),             \
          .lane = PK_LANE_STORE,                                                                   \
          .flags = PK_ROW_AFTER,                                                                   \
          .param = NAME##_version,                                                                 \
          .subject = pk_versions_find,                                                             \
          .run = pk_versions_show_found,                                                           \
          .show = pk_versions_show,                                                                \
          .answer = &pk_schema_script_view,                                                        \
          .id = "get" TITLE "Version",                                                             \
          .tag = #NAME "s",                                                                        \
          .help = "Shows a version, with its files." },                                            \
        { PK_ROW(POST, "/v1/" #NAME "s/{" #NAME "}/versions/{version}/activate", PLUGIN_MANAGE),   \
          .lane = PK_LANE_SLOW,                                                                    \
          .flags = PK_ROW_WRITES | PK_ROW_ONCE,                                                    \
          .param = NAME##_version,                                                                 \
          .subject = pk_versions_find,                                                             \
          .run = pk_versions_activate,                                                             \
          .show = pk_versions_show,                                                                \
          .answer = &pk_schema_script_view,                                                        \
          .id = "activate" TITLE,                                                                  \
          .tag = #NAME "s",                                                                        \
          .help = "Has every new request on every server get this version.",                       \
          .fails = pk_versions_refused },                                                          \
        { PK_ROW(POST, "/v1/" #NAME "s/{" #NAME "}/versions/{version}/deprecate", PLUGIN_MANAGE),  \
          .lane = PK_LANE_SLOW,                                                                    \
          .flags = PK_ROW_WRITES | PK_ROW_ONCE,                                                    \
          .param = NAME##_version,                                                                 \
          .subject = pk_versions_find,                                                             \
          .run = pk_versions_deprecate,                                                            \
          .show = pk_versions_show,                                                                \
          .answer = &pk_schema_script_view,                                                        \
          .id = "deprecate" TITLE,                                                                 \
          .tag = #NAME "s",                                                                        \
          .help =                                                                                  \
              "Has this version never be active again; when it is, the " #NAME " serves no more.", \
          .fails = pk_versions_conflict },                                                         \
    {                                                                                              \
        PK_ROW(POST, "/v1/" #NAME "s/{" #NAME "}/rollback", PLUGIN_MANAGE),                        \
            .lane = PK_LANE_SLOW, .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = NAME##_one,       \
            .body = &pk_schema_rollback, .subject = pk_versions_find, .run = pk_versions_rollback, \
            .show = pk_versions_show, .answer = &pk_schema_script_view, .id = "rollback" TITLE,    \
            .tag = #NAME "s",                                                                      \
            .help = "Brings back the version that was active before, and bars the content of "     \
                    "this one.",                                                                   \
            .fails = pk_versions_conflict                                                          \
    }

static const struct pk_api_row row[] = {
    ROWS(processor, "Processor"),
    ROWS(condition, "Condition"),
};
const struct pk_api_table pk_api_scripts_table = { row, PK_COUNT(row) };
