/* asking.c - Asking for personas in tests. */
/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include "script/scripts.h"

struct pk_map_request request_of(const struct sketch *sketch, const char *mapper)
{
    return (struct pk_map_request){ .mapper = mapper,
                                    .person = sketch->person,
                                    .detail = PK_DETAIL_INSTANT };
}

void ask(struct kit *kit, const struct pk_map_request *request, struct pk_mapped *out)
{
    assert_ok(pk_persona_map(kit_personas(kit), request, out, &kit->err), &kit->err);
}

enum pk_cache_status map(struct sketch *sketch, const char *mapper, struct pk_doc **out)
{
    const struct pk_map_request request = request_of(sketch, mapper);
    struct pk_mapped mapped;
    ask(sketch->kit, &request, &mapped);
    const enum pk_cache_status status = mapped.status;
    if (out) {
        pk_doc_unref(*out);
        *out = pk_doc_ref(mapped.persona);
    }
    pk_mapped_done(&mapped);
    return status;
}

void refuse(struct sketch *sketch, const struct pk_map_request *request, enum pk_code code,
            const char *words)
{
    struct pk_error err = { 0 };
    struct pk_mapped mapped;
    assert_false(pk_persona_map(kit_personas(sketch->kit), request, &mapped, &err));
    expect_error(&err, code, words);
    assert_null(mapped.persona);
}

uint64_t calls_of(struct kit *kit, const char *mapper)
{
    struct pk_generation *pinned = pk_scripts_pin(kit->domain.scripts);
    struct pk_script_stats stats = { 0 };
    const struct pk_script *script = pk_generation_find(pinned, PK_SCRIPT_MAPPER, mapper);
    assert_true(pk_scripts_stats(kit->domain.scripts, script, &stats));
    pk_generation_unpin(pinned);
    return stats.calls;
}

static const char *const greeter =
    "return pk.mapper {\n"
    "  id = \"greeter\", version = \"1.0.0\", ttl = \"24h\",\n"
    "  overlay_ttl = \"2h\", limits = { soft_ms = 1000, hard_ms = 5000 },\n"
    "  core = function(m) return { tone = { m[\"tone\"] or \"none\" } } end,\n"
    "  overlay = function(m) return { mood = { m.now.mood or \"none\" } } end,\n"
    "}\n";

void put_greeter(struct kit *kit)
{
    kit_script(kit, PK_SCRIPT_MAPPER, "%s", greeter);
}
