/* process_scripts.c - One observation through its processors, in the jail.
 *
 * Every processor gets the same input: the observation, the mindscape as it
 * was, and the observation's instant as its clock. What it asks its host is
 * recorded, question by question; a replay is given the record instead of a
 * host, and a question that is not the recorded one fails.
 *
 * Thread: the task's. */
/* SPDX-License-Identifier: MIT */
#include "persona/process.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/keys.h"
#include "doc/path.h"
#include "persona/input.h"
#include "script/scripts.h"

#include <stdio.h>
#include <string.h>

void pk_processed_done(struct pk_processed *processed)
{
    bson_destroy(&processed->operations);
    bson_destroy(&processed->answers);
}

/* ---- Questions to the host ---- */

struct asking {
    const struct pk_domain *domain;
    bson_t *answers;        /* Grows: what 'processing' keeps. */
    const bson_t *recorded; /* NULL: the host is asked. */
    uint32_t count;
};

/* The row of the record for question 'at'. */
static bool find_record(const bson_t *recorded, uint32_t at, bson_t *out)
{
    char number[16];
    const char *key;
    const uint8_t *data;
    uint32_t size;
    bson_iter_t iter;
    (void)bson_uint32_to_string(at, &key, number, sizeof(number));
    if (!bson_iter_init_find(&iter, recorded, key) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

/* The same question, asked with the same input: compared in stored form. */
static bool is_same_question(const bson_t *row, const char *name, const bson_t *question)
{
    bson_iter_t was, is;
    bson_t stored;
    if (!bson_iter_init_find(&was, row, "question") || !BSON_ITER_HOLDS_UTF8(&was) ||
        strcmp(bson_iter_utf8(&was, NULL), name) != 0) {
        return false;
    }
    pk_keys_escape(question, &stored);
    const bool has_was = bson_iter_init_find(&was, row, "input");
    const bool has_is = bson_iter_init_find(&is, &stored, "value");
    const bool is_same =
        has_was == has_is &&
        (!has_was || (bson_iter_type(&was) == bson_iter_type(&is) &&
                      was.next_off - was.d1 == is.next_off - is.d1 &&
                      memcmp(was.raw + was.d1, is.raw + is.d1, was.next_off - was.d1) == 0));
    bson_destroy(&stored);
    return is_same;
}

static bool answer_recorded(const struct asking *asking, const char *name, const bson_t *question,
                            bson_t *answer, struct pk_error *err)
{
    bson_t row;
    bson_iter_t iter;
    if (!find_record(asking->recorded, asking->count, &row) ||
        !is_same_question(&row, name, question)) {
        return pk_fail(err, PK_NOT_FOUND, "replay with another version asks other questions",
                       "'%.60s' was not asked when this was first processed", name);
    }
    if (!bson_iter_init_find(&iter, &row, "answer") || BSON_ITER_HOLDS_NULL(&iter)) {
        return pk_fail(err, PK_UNAVAILABLE, "there was none then, either",
                       "'%.60s' had no answer when this was first processed", name);
    }
    pk_keys_append_unescaped(answer, "value", &iter);
    return true;
}

static void record(struct asking *asking, const char *name, const bson_t *question,
                   const bson_t *answer)
{
    bson_t row, stored;
    bson_iter_t iter;
    char number[16];
    const char *key;
    (void)bson_uint32_to_string(asking->count, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(asking->answers, key, &row);
    BSON_APPEND_UTF8(&row, "question", name);
    pk_keys_escape(question, &stored);
    if (bson_iter_init_find(&iter, &stored, "value")) {
        (void)bson_append_iter(&row, "input", -1, &iter);
    }
    bson_destroy(&stored);
    if (answer) {
        pk_keys_escape(answer, &stored);
        if (bson_iter_init_find(&iter, &stored, "value")) {
            (void)bson_append_iter(&row, "answer", -1, &iter);
        } else {
            BSON_APPEND_NULL(&row, "answer");
        }
        bson_destroy(&stored);
    } else {
        BSON_APPEND_NULL(&row, "answer");
    }
    bson_append_document_end(asking->answers, &row);
}

static bool ask(void *context, const char *name, const bson_t *question, bson_t *answer,
                struct pk_error *err)
{
    struct asking *asking = context;
    const struct pk_domain *domain = asking->domain;
    bool ok;
    if (asking->recorded) {
        ok = answer_recorded(asking, name, question, answer, err);
    } else if (domain->ask) {
        ok = domain->ask(domain->ask_context, name, question, answer, err);
    } else {
        ok = pk_fail(err, PK_UNSUPPORTED, "this server answers no questions of that name",
                     "'%.60s' is not answered here", name);
    }
    record(asking, name, question, ok ? answer : NULL);
    asking->count++;
    return ok;
}

/* ---- One processor ---- */

/* The same for every processor of an observation. */
static bool make_input(const struct pk_domain *domain, const struct pk_process_how *how,
                       const struct pk_doc *observation, const struct pk_doc *mindscape,
                       bson_t *input, struct pk_error *err)
{
    const int64_t at = pk_doc_date(observation, "effectiveAt", 0);
    const int64_t known_at =
        how->known_at_ms ? how->known_at_ms : pk_clock_wall_ms(domain->books->clock);
    bson_t view, plain;
    pk_doc_view(observation, &view);
    pk_keys_unescape(&view, &plain);
    BSON_APPEND_DOCUMENT(input, "observation", &plain);
    bson_destroy(&plain);
    BSON_APPEND_DATE_TIME(input, "now", at);
    return pk_input_mindscape(domain, NULL, mindscape, "instant", known_at, how->knowledge,
                              how->deadline_ns, input, err);
}

static uint64_t seed_of(const char *observation, const char *processor)
{
    uint8_t hash[PK_HASH_BYTES];
    uint64_t seed;
    char text[256];
    const int size = snprintf(text, sizeof(text), "%s:%s", observation, processor);
    pk_hash(hash, text, (size_t)size, NULL, 0);
    memcpy(&seed, hash, sizeof(seed));
    return seed;
}

/* The operations that it gave, with their keys as they are stored. */
static bool take_operations(const struct pk_scripts_result *result, struct pk_processed *out,
                            struct pk_error *err)
{
    bson_t view, list;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    pk_jail_result_view(&result->jail, &view);
    if (!pk_path_find(&view, "value.operations", &iter) || !BSON_ITER_HOLDS_ARRAY(&iter)) {
        return pk_fail(err, PK_INVALID, "return pk.processor { ... }", "it gave no operations");
    }
    bson_iter_array(&iter, &size, &data);
    if (!bson_init_static(&list, data, size)) {
        return pk_fail(err, PK_INTERNAL, "report it", "its operations cannot be read");
    }
    bson_destroy(&out->operations);
    pk_keys_escape(&list, &out->operations);
    return true;
}

static void name_it(struct pk_processed *out, const struct pk_script *script)
{
    (void)snprintf(out->processor_id, sizeof(out->processor_id), "%s", script->id);
    (void)snprintf(out->processor_version, sizeof(out->processor_version), "%s", script->version);
    (void)snprintf(out->content_hash, sizeof(out->content_hash), "%s", script->bundle->hash_text);
}

static bool may_skip(const struct pk_script *script)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, &script->manifest, "onError") &&
           BSON_ITER_HOLDS_UTF8(&iter) && strcmp(bson_iter_utf8(&iter, NULL), "skip") == 0;
}

static bool run_one(const struct pk_domain *domain, const struct pk_process_how *how,
                    const struct pk_script *script, const struct pk_doc *observation,
                    const bson_t *input, struct pk_processed *out, struct pk_error *err)
{
    bson_t whole;
    struct pk_scripts_result result;
    struct asking asking = { .domain = domain, .answers = &out->answers };
    struct pk_scripts *scripts = how->scripts ? how->scripts : domain->scripts;

    name_it(out, script);
    out->may_skip = may_skip(script);
    asking.recorded = how->recorded ? how->recorded(how->context, script) : NULL;
    bson_copy_to(input, &whole);
    pk_input_config(script, &whole);
    const struct pk_scripts_call call = {
        .input = bson_get_data(&whole),
        .input_size = whole.len,
        .seed = seed_of(pk_doc_id(observation), script->id),
        .ask = ask,
        .context = &asking,
        .person = pk_input_person(pk_doc_text(observation, "userId")),
    };
    bool ok = pk_scripts_call(scripts, how->generation, script, &call, &result, err);
    if (result.ran) {
        name_it(out, result.ran);
    }
    out->duration_ms = result.jail.took_ns / 1000000;
    ok = ok && take_operations(&result, out, err);
    pk_scripts_result_done(&result);
    bson_destroy(&whole);
    return ok;
}

/* ---- All of them ---- */

/* It is tried again whatever was wrong with the script: another version may serve by then. */
static bool fail_processor(struct pk_processed *processed, struct pk_error *err)
{
    if (!pk_code_retry(err->code)) {
        err->code = PK_UNAVAILABLE;
    }
    processed->is_failed = true;
    (void)snprintf(processed->error, sizeof(processed->error), "%s", err->message);
    return pk_wrap(err, "processor '%s' %s", processed->processor_id, processed->processor_version);
}

static void skip_processor(struct pk_processed *processed, const struct pk_error *why)
{
    processed->is_skipped = true;
    (void)snprintf(processed->error, sizeof(processed->error), "%s", why->message);
    bson_destroy(&processed->operations);
    bson_init(&processed->operations);
}

bool pk_process_observation(const struct pk_domain *domain, const struct pk_process_how *how,
                            const struct pk_doc *observation, const struct pk_doc *mindscape,
                            struct pk_processed *out, size_t *out_count, struct pk_error *err)
{
    const struct pk_script *script[PK_PROCESSORS_MAX];
    const char *type = pk_doc_text(observation, "sourceType");
    bson_t input = BSON_INITIALIZER;
    struct pk_error why = { 0 };
    *out_count = 0;
    if (!type || strcmp(type, "curation") == 0) {
        return true;
    }
    const size_t count = pk_generation_accepting(how->generation, type, script, PK_PROCESSORS_MAX);
    if (count > PK_PROCESSORS_MAX) {
        return pk_fail(err, PK_FULL, "deprecate some of them",
                       "%zu processors accept '%.60s', over %d", count, type, PK_PROCESSORS_MAX);
    }
    bool ok = count == 0 || make_input(domain, how, observation, mindscape, &input, err);
    for (size_t i = 0; ok && i < count; i++) {
        struct pk_processed *one = &out[(*out_count)++];
        *one = (struct pk_processed){ .duration_ms = 0 };
        bson_init(&one->operations);
        bson_init(&one->answers);
        if (run_one(domain, how, script[i], observation, &input, one, &why)) {
            continue;
        }
        if (one->may_skip && why.code != PK_BUSY) {
            skip_processor(one, &why);
        } else {
            *err = why;
            ok = fail_processor(one, err);
        }
    }
    bson_destroy(&input);
    return ok;
}

bool pk_process_curation(const struct pk_doc *observation, bson_t *out_operations)
{
    const char *type = pk_doc_text(observation, "sourceType");
    bson_t view;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    pk_doc_view(observation, &view);
    if (!type || strcmp(type, "curation") != 0 ||
        !pk_path_find(&view, "content.structured.operations", &iter) ||
        !BSON_ITER_HOLDS_ARRAY(&iter)) {
        return false;
    }
    bson_iter_array(&iter, &size, &data);
    return bson_init_static(out_operations, data, size);
}

bool pk_process_apply(struct pk_mind *mind, const struct pk_doc *observation,
                      struct pk_processed *processed, size_t count, size_t *at,
                      struct pk_error *err)
{
    bson_t operations;
    struct pk_error why = { 0 };
    for (*at = 0; *at < count; (*at)++) {
        struct pk_processed *one = &processed[*at];
        const struct pk_ran ran = { .processor_id = one->processor_id,
                                    .processor_version = one->processor_version };
        if (one->is_skipped || pk_mind_apply(mind, &ran, &one->operations, &why)) {
            continue;
        }
        if (!one->may_skip) {
            *err = why;
            return fail_processor(one, err);
        }
        skip_processor(one, &why);
    }
    if (!pk_process_curation(observation, &operations)) {
        return true;
    }
    return pk_mind_apply(mind, &(struct pk_ran){ .processor_id = NULL }, &operations, err) ||
           pk_wrap(err, "apply the curation");
}
