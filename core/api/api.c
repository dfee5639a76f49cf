/* api.c - The list of tables, and the routes that net/ is given of it. */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "api/events.h"
#include "api/openapi.h"
#include "api/resources.h"
#include "base/alloc.h"

#include <assert.h>

enum { BODY_DEFAULT = 64 * 1024 };
#define DEADLINE_DEFAULT_MS 10000

static const struct pk_api_table *const table_list[] = {
    &pk_api_system_table,       &pk_api_actors_table,      &pk_api_keys_table,
    &pk_api_audit_table,        &pk_api_events_table,      &pk_api_mappers_table,
    &pk_api_scripts_table,      &pk_api_generations_table, &pk_api_tasks_table,
    &pk_api_observations_table, &pk_api_people_table,      &pk_api_consents_table,
    &pk_api_personas_table,     &pk_api_mindscapes_table,  &pk_api_traits_table,
    &pk_api_curations_table,    &pk_api_reviews_table,     &pk_api_replays_table,
    &pk_api_feedback_table,     &pk_api_explain_table,     &pk_api_privacy_table,
    &pk_api_merges_table,       &pk_api_trials_table,      &pk_api_training_table,
};

size_t pk_api_row_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < PK_COUNT(table_list); i++) {
        count += table_list[i]->count;
    }
    return count;
}

const struct pk_api_row *pk_api_row_at(size_t i)
{
    size_t table = 0;
    while (i >= table_list[table]->count) {
        i -= table_list[table++]->count;
        assert(table < PK_COUNT(table_list));
    }
    return &table_list[table]->row[i];
}

const struct pk_api_row *pk_api_row_of(const struct pk_api *api, const struct pk_request *request)
{
    return api->row[request->route - api->route];
}

bool pk_row_is_public(const struct pk_api_row *row)
{
    return pk_action_get(row->action)->is_public;
}

/* What a row must say; a mistake here is ours, and found at the first start. */
static void check(const struct pk_api_row *row)
{
    const bool is_once = (row->flags & PK_ROW_ONCE) != 0;
    const bool is_secret = (row->flags & PK_ROW_SECRET) != 0;
    size_t params = 0;
    while (row->param && row->param[params].name) {
        params++;
    }
    assert(pk_action_get(row->action) && row->id && row->tag && row->help);
    assert(row->run || row->hot);
    assert(row->run ? row->lane != PK_LANE_HOT : row->lane == PK_LANE_HOT);
    assert(!is_once || is_secret || row->show);
    assert(!is_once || (row->flags & PK_ROW_WRITES));
    assert(params <= PK_PARAMS_MAX);
}

static struct pk_route route_of(const struct pk_api_row *row)
{
    const size_t body = row->body || row->form ? BODY_DEFAULT : 0;
    return (struct pk_route){
        .method = row->method,
        .path = row->path,
        .action = (int)row->action,
        .lane = row->hot ? PK_LANE_HOT : row->lane,
        .body_max_bytes = row->body_max_bytes ? row->body_max_bytes : body,
        .handler = row->hot ? row->hot : pk_api_run,
        .help = row->help,
        .others = row->others,
    };
}

struct pk_api *pk_api_new_of(const struct pk_api_parts *parts,
                             const struct pk_api_table *const *table, size_t table_count)
{
    struct pk_api *api = pk_calloc(1, sizeof(*api));
    api->parts = *parts;
    api->parts.deadline_ms = parts->deadline_ms ? parts->deadline_ms : DEADLINE_DEFAULT_MS;
    for (size_t i = 0; i < table_count; i++) {
        api->count += table[i]->count;
    }
    api->row = pk_calloc(api->count + 1, sizeof(*api->row));
    api->route = pk_calloc(api->count + 1, sizeof(*api->route));
    size_t at = 0;
    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < table[i]->count; j++) {
            check(&table[i]->row[j]);
            api->row[at] = &table[i]->row[j];
            api->route[at++] = route_of(&table[i]->row[j]);
        }
    }
    api->openapi = pk_openapi_new(parts->hot);
    return api;
}

struct pk_api *pk_api_new(const struct pk_api_parts *parts)
{
    return pk_api_new_of(parts, table_list, PK_COUNT(table_list));
}

void pk_api_free(struct pk_api *api)
{
    if (api) {
        pk_openapi_free(api->openapi);
        pk_free((void *)api->row);
        pk_free(api->route);
        pk_free(api);
    }
}

const struct pk_route *pk_api_routes(const struct pk_api *api, size_t *out_count)
{
    *out_count = api->count;
    return api->route;
}
