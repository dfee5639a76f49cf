/* mappers.c - /v1/mappers: versions of mappers, and which of them is active.
 *
 * Authors of those mappers that their key names may write; who may request
 * personas of a mapper may read it. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "api/versions.h"
#include "base/alloc.h"
#include "doc/schema_scripts.h"

static const struct pk_param one[] = { PK_PARAM_SCRIPT("mapper"), { .name = NULL } };
static const struct pk_param version[] = { PK_PARAM_SCRIPT("mapper"),
                                           PK_PARAM_VERSION,
                                           { .name = NULL } };
static const struct pk_param put[] = { PK_PARAM_SCRIPT("mapper"),
                                       PK_PARAM_ACTIVATE,
                                       { .name = NULL } };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/mappers", MAPPER_LIST), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .run = pk_versions_list, .answer = &pk_schema_mapper_row,
      .id = "listMappers", .tag = "mappers",
      .help = "Lists the mappers that the key may use, each by its active version or its newest; a "
              "page may have fewer items than asked for, and still a next." },
    { PK_ROW(GET, "/v1/mappers/{mapper}", MAPPER_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = one, .subject = pk_versions_find,
      .run = pk_versions_show_found, .show = pk_versions_show, .answer = &pk_schema_mapper_view,
      .id = "getMapper", .tag = "mappers",
      .help = "Shows a mapper: its active version, or its newest." },
    { PK_ROW(PUT, "/v1/mappers/{mapper}", MAPPER_WRITE), .lane = PK_LANE_SLOW,
      .flags = PK_ROW_WRITES, .param = put, .body = &pk_schema_script_put,
      .text_type = PK_VERSIONS_TEXT, .body_max_bytes = PK_VERSIONS_BODY,
      .subject = pk_versions_name, .run = pk_versions_put, .show = pk_versions_show,
      .answer = &pk_schema_mapper_view, .id = "putMapper", .tag = "mappers",
      .help = "Saves a version as a draft, once its own examples are good; the same content is "
              "saved once.",
      .fails = pk_versions_refused },
    { PK_ROW(GET, "/v1/mappers/{mapper}/versions", MAPPER_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = one, .subject = pk_versions_find,
      .run = pk_versions_list_of, .answer = &pk_schema_mapper_row, .id = "listMapperVersions",
      .tag = "mappers", .help = "Lists the versions of a mapper, newest first." },
    { PK_ROW(GET, "/v1/mappers/{mapper}/versions/{version}", MAPPER_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = version, .subject = pk_versions_find,
      .run = pk_versions_show_found, .show = pk_versions_show, .answer = &pk_schema_mapper_view,
      .id = "getMapperVersion", .tag = "mappers", .help = "Shows a version, with its files." },
    { PK_ROW(POST, "/v1/mappers/{mapper}/versions/{version}/activate", MAPPER_ACTIVATE),
      .lane = PK_LANE_SLOW, .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = version,
      .subject = pk_versions_find, .run = pk_versions_activate, .show = pk_versions_show,
      .answer = &pk_schema_mapper_view, .id = "activateMapper", .tag = "mappers",
      .help = "Has every new request on every server get this version.",
      .fails = pk_versions_refused },
    { PK_ROW(POST, "/v1/mappers/{mapper}/versions/{version}/deprecate", MAPPER_ACTIVATE),
      .lane = PK_LANE_SLOW, .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = version,
      .subject = pk_versions_find, .run = pk_versions_deprecate, .show = pk_versions_show,
      .answer = &pk_schema_mapper_view, .id = "deprecateMapper", .tag = "mappers",
      .help = "Has this version never be active again; when it is, the mapper serves no more.",
      .fails = pk_versions_conflict },
    { PK_ROW(POST, "/v1/mappers/{mapper}/versions/{version}/canary", MAPPER_ACTIVATE),
      .lane = PK_LANE_SLOW, .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = version,
      .body = &pk_schema_canary_start, .subject = pk_versions_find, .run = pk_versions_canary,
      .show = pk_versions_show, .answer = &pk_schema_mapper_view, .id = "startCanary",
      .tag = "mappers",
      .help = "Tries this version on a share of people, stable per person, while the active one, "
              "which is the answer, serves all others; or changes that share.",
      .fails = pk_versions_refused },
    { PK_ROW(DELETE, "/v1/mappers/{mapper}/versions/{version}/canary", MAPPER_ACTIVATE),
      .lane = PK_LANE_SLOW, .flags = PK_ROW_WRITES, .param = version, .subject = pk_versions_find,
      .run = pk_versions_canary_end, .show = pk_versions_show, .answer = &pk_schema_mapper_view,
      .id = "endCanary", .tag = "mappers",
      .help = "Ends that: its people get the active version again, which is the answer.",
      .fails = pk_versions_conflict },
    { PK_ROW(POST, "/v1/mappers/{mapper}/rollback", MAPPER_ACTIVATE), .lane = PK_LANE_SLOW,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = one, .body = &pk_schema_rollback,
      .subject = pk_versions_find, .run = pk_versions_rollback, .show = pk_versions_show,
      .answer = &pk_schema_mapper_view, .id = "rollbackMapper", .tag = "mappers",
      .help = "Brings back the version that was active before, and bars the content of this one.",
      .fails = pk_versions_conflict },
};
const struct pk_api_table pk_api_mappers_table = { row, PK_COUNT(row) };
