/* persona_run.c - The call of a mapper: what it is handed, and what it gave.
 *
 * It gets the mindscape that was read first, without what is hidden from who
 * asks, one frozen time, and those values of the request that it declares. Only
 * the halves that are asked for are run; each gives the same alone. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "doc/keys.h"
#include "persona/input.h"
#include "persona/mindscape.h"

#include <string.h>

/* ---- The input ---- */

static void add_halves(bson_t *input, bool wants_core, bool wants_overlay)
{
    bson_t halves;
    if (wants_core && wants_overlay) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(input, "halves", &halves);
    BSON_APPEND_BOOL(&halves, "core", wants_core);
    BSON_APPEND_BOOL(&halves, "overlay", wants_overlay);
    bson_append_document_end(input, &halves);
}

static void add_plain(bson_t *input, const char *name, const bson_t *stored)
{
    bson_t plain;
    if (!bson_empty(stored)) {
        pk_keys_unescape(stored, &plain);
        BSON_APPEND_DOCUMENT(input, name, &plain);
        bson_destroy(&plain);
    }
}

static bool make_input(const struct mapping *mapping, bool wants_core, bool wants_overlay,
                       bson_t *input, struct pk_error *err)
{
    const char *detail = pk_detail_name(mapping->request->detail);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *seen = pk_mindscape_known_to(mapping->mindscape, mapping->request->who);

    BSON_APPEND_DATE_TIME(input, "now", mapping->now_ms);
    BSON_APPEND_UTF8(input, "detail", detail);
    add_halves(input, wants_core, wants_overlay);
    add_plain(input, "context", &mapping->common.context);
    add_plain(input, "task", &mapping->common.task);
    pk_input_config(mapping->mapper, input);
    return pk_input_mindscape(mapping->domain, mapping->mapper, seen, detail, mapping->now_ms,
                              mapping->knowledge, mapping->request->deadline_ns, input, err);
}

/* ---- The call ---- */

/* What the mapper did is its author's to mend; what the machine did not do may be tried again. */
static bool fail_as(const struct mapping *mapping, const struct made *made, struct pk_error *err)
{
    if (made->result.jail.end != PK_JAIL_NOT_RUN && made->result.ran) {
        err->code = PK_REFUSED;
    }
    return pk_wrap(err, "mapper '%s' %s", mapping->mapper->id, mapping->mapper->version);
}

bool persona_run(const struct mapping *mapping, bool wants_core, bool wants_overlay,
                 struct made *out, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    const struct pk_clock *clock = mapping->domain->books->clock;
    const uint64_t person = pk_input_person(mapping->request->person);
    const int64_t started_ns = pk_clock_mono_ns(clock);
    bson_t view;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;

    out->has_core = wants_core;
    out->has_overlay = wants_overlay;
    if (!make_input(mapping, wants_core, wants_overlay, &input, err)) {
        return pk_wrap(err, "read what mapper '%s' reads", mapping->mapper->id);
    }
    const struct pk_scripts_call call = {
        .input = bson_get_data(&input), .input_size = input.len, .seed = person, .person = person
    };
    if (!pk_scripts_call(mapping->domain->scripts, mapping->pinned, mapping->mapper, &call,
                         &out->result, err)) {
        return fail_as(mapping, out, err);
    }
    out->ran = out->result.ran;
    out->took_ns = pk_clock_mono_ns(clock) - started_ns;
    if (wants_overlay) {
        prompts_fill(&out->prompts, out->ran, mapping->request->detail, &input, mapping->now_ms);
    }
    pk_jail_result_view(&out->result.jail, &view);
    if (!bson_iter_init_find(&iter, &view, "value") || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return pk_fail(err, PK_REFUSED, "end the script with 'return pk.mapper { ... }'",
                       "mapper '%s' %s gave no persona", mapping->mapper->id,
                       mapping->mapper->version);
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(&out->output, data, size) ||
           pk_fail(err, PK_INTERNAL, NULL, "what mapper '%s' gave is damaged", mapping->mapper->id);
}

void made_done(struct made *made)
{
    pk_scripts_result_done(&made->result);
    prompts_done(&made->prompts);
    *made = (struct made){ 0 };
}
