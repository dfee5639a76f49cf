/* script_rules.c - Declared rules end to end: a mindscape as a document in, a persona out.
 *
 * The rules and mindscapes of work.lua, as a mapper of JSON takes them, through
 * the jail from many callers; every answer is checked against the rules that
 * must fire before anything is timed. */
/* SPDX-License-Identifier: MIT */
#include "script_bench.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/error.h"
#include "script/library.h"

#include <bson/bson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE = 1000 };

static const int64_t now_ms = INT64_C(1768478400000);

/* The work, as read; what 'path' and 'fired' point to lies in 'doc'. */
struct work {
    bson_t *doc;
    const char *path[256];
    size_t paths;
    bson_t person[PEOPLE]; /* Inputs of 'map'. */
    struct pk_buf fired[PEOPLE];
    size_t people;
};

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "script_bench: %s: %s\n", what, why);
    exit(1);
}

static bson_t *read_json(const char *path)
{
    bson_error_t wrong;
    bson_json_reader_t *reader = bson_json_reader_new_from_file(path, &wrong);
    bson_t *doc = bson_new();
    if (!reader || bson_json_reader_read(reader, doc, &wrong) != 1) {
        die(path, wrong.message);
    }
    bson_json_reader_destroy(reader);
    return doc;
}

static bool list_of(const bson_t *doc, const char *name, bson_iter_t *out)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && bson_iter_recurse(&iter, out);
}

static void append_value(bson_t *out, const char *key, const bson_iter_t *from)
{
    if (!bson_append_iter(out, key, -1, from)) {
        die("input", "too large");
    }
}

/* A stored mindscape: what is known, each trait with all that is stored of it. */
static void make_person(struct work *work, const bson_iter_t *values, bson_t *out)
{
    bson_t mindscape, traits, trait;
    bson_iter_t at;
    char key[16];
    int count = 0;

    bson_init(out);
    BSON_APPEND_DATE_TIME(out, "now", now_ms);
    BSON_APPEND_UTF8(out, "detail", "deep_dive");
    BSON_APPEND_DOCUMENT_BEGIN(out, "mindscape", &mindscape);
    BSON_APPEND_ARRAY_BEGIN(&mindscape, "traits", &traits);
    (void)bson_iter_recurse(values, &at);
    for (size_t i = 0; i < work->paths && bson_iter_next(&at); i++) {
        if (BSON_ITER_HOLDS_NULL(&at)) {
            continue;
        }
        (void)snprintf(key, sizeof(key), "%d", count++);
        BSON_APPEND_DOCUMENT_BEGIN(&traits, key, &trait);
        BSON_APPEND_UTF8(&trait, "id", work->path[i]);
        append_value(&trait, "value", &at);
        BSON_APPEND_DOUBLE(&trait, "confidence", 0.8);
        BSON_APPEND_UTF8(&trait, "volatility", "medium");
        BSON_APPEND_DATE_TIME(&trait, "updatedAt", now_ms - 86400000);
        bson_append_document_end(&traits, &trait);
    }
    bson_append_array_end(&mindscape, &traits);
    bson_append_document_end(out, &mindscape);
}

static void read_work(struct work *work, const char *path)
{
    bson_iter_t list, numbers;

    work->doc = read_json(path);
    for (bool is_ok = list_of(work->doc, "paths", &list); is_ok && bson_iter_next(&list);) {
        work->path[work->paths++] = bson_iter_utf8(&list, NULL);
    }
    for (bool is_ok = list_of(work->doc, "people", &list); is_ok && bson_iter_next(&list);) {
        make_person(work, &list, &work->person[work->people++]);
    }
    size_t at = 0;
    for (bool is_ok = list_of(work->doc, "fired", &list); is_ok && bson_iter_next(&list); at++) {
        (void)bson_iter_recurse(&list, &numbers);
        while (bson_iter_next(&numbers)) {
            pk_buf_printf(&work->fired[at], "rule-%d ", (int)bson_iter_as_int64(&numbers));
        }
    }
}

/* ---- The mapper ---- */

static void append_check(const struct work *work, bson_t *all, const char *key, size_t at,
                         const char *operator, const bson_iter_t * value)
{
    bson_t check;
    BSON_APPEND_DOCUMENT_BEGIN(all, key, &check);
    BSON_APPEND_UTF8(&check, "type", "trait_check");
    BSON_APPEND_UTF8(&check, "trait", work->path[at - 1]);
    BSON_APPEND_UTF8(&check, "operator", operator);
    append_value(&check, "value", value);
    bson_append_document_end(all, &check);
}

static void take_field(bson_iter_t *from, bson_iter_t *out)
{
    if (!bson_iter_next(from)) {
        die("rules", "one of them is not whole");
    }
    *out = *from;
}

static void append_rule(const struct work *work, bson_t *rules, size_t number, bson_iter_t *from)
{
    bson_t rule, conditions, all, actions, action;
    bson_iter_t word_at, word, number_at, bound;
    char key[16], id[32], text[64];

    /* In the order in which work.lua writes them. */
    take_field(from, &word_at);
    take_field(from, &word);
    take_field(from, &number_at);
    take_field(from, &bound);
    (void)snprintf(key, sizeof(key), "%zu", number);
    (void)snprintf(id, sizeof(id), "rule-%zu", number + 1);
    (void)snprintf(text, sizeof(text), "Rule %zu says so", number + 1);
    BSON_APPEND_DOCUMENT_BEGIN(rules, key, &rule);
    BSON_APPEND_UTF8(&rule, "id", id);
    BSON_APPEND_DOCUMENT_BEGIN(&rule, "conditions", &conditions);
    BSON_APPEND_ARRAY_BEGIN(&conditions, "all", &all);
    append_check(work, &all, "0", (size_t)bson_iter_as_int64(&word_at), "equals", &word);
    append_check(work, &all, "1", (size_t)bson_iter_as_int64(&number_at), "gt", &bound);
    bson_append_array_end(&conditions, &all);
    bson_append_document_end(&rule, &conditions);
    BSON_APPEND_ARRAY_BEGIN(&rule, "actions", &actions);
    BSON_APPEND_DOCUMENT_BEGIN(&actions, "0", &action);
    BSON_APPEND_UTF8(&action, "type", "suggestion");
    BSON_APPEND_UTF8(&action, "template", text);
    BSON_APPEND_UTF8(&action, "priority", "medium");
    bson_append_document_end(&actions, &action);
    bson_append_array_end(&rule, &actions);
    bson_append_document_end(rules, &rule);
}

/* What 'describe' is asked: the mapper as its JSON has it. */
static void make_mapper(const struct work *work, bson_t *out)
{
    bson_t configuration, metadata, rules;
    bson_iter_t list, rule;
    size_t number = 0;

    bson_init(out);
    BSON_APPEND_DOCUMENT_BEGIN(out, "configuration", &configuration);
    BSON_APPEND_DOCUMENT_BEGIN(&configuration, "metadata", &metadata);
    BSON_APPEND_UTF8(&metadata, "id", "bench-mapper");
    BSON_APPEND_UTF8(&metadata, "name", "Bench");
    bson_append_document_end(&configuration, &metadata);
    BSON_APPEND_UTF8(&configuration, "version", "1.0.0");
    BSON_APPEND_ARRAY_BEGIN(&configuration, "rules", &rules);
    for (bool is_ok = list_of(work->doc, "rules", &list); is_ok && bson_iter_next(&list);) {
        (void)bson_iter_recurse(&list, &rule);
        append_rule(work, &rules, number++, &rule);
    }
    bson_append_array_end(&configuration, &rules);
    bson_append_document_end(out, &configuration);
    BSON_APPEND_UTF8(out, "source", "");
}

/* Calls, and finds the field 'name' of what comes back; its bytes live as long as 'result'. */
static void call_or_die(struct pk_jail *jail, const struct pk_jail_call *call, const char *name,
                        struct pk_jail_result *result, bson_iter_t *out)
{
    struct pk_error err = { 0 };
    bson_iter_t iter;
    bson_t view;

    if (!pk_jail_call(jail, call, result, &err)) {
        die("call", err.message);
    }
    pk_jail_result_view(result, &view);
    if (!bson_iter_init(&iter, &view) || !bson_iter_find_descendant(&iter, name, out)) {
        char *json = bson_as_relaxed_extended_json(&view, NULL);
        die(name, json);
    }
}

/* Takes the mapper in with the whole library; the script that serves, behind the resident one. */
static void load_mapper(struct pk_jail *jail, const struct work *work, struct pk_jail_script *out,
                        struct pk_buf *text)
{
    static const char source[] = "return require(\"personakit\").declared()";
    const char *path[PK_COUNT(work->path)];
    struct pk_jail_reads reads = { .path = path };
    PK_CLEANUP(pk_buf_done) struct pk_buf full = { 0 };
    struct pk_jail_result result;
    bson_iter_t program;
    uint32_t size = 0;
    bson_t mapper;

    make_mapper(work, &mapper);
    pk_library_text(PK_LIBRARY_FULL, NULL, 0, &full);
    *out = (struct pk_jail_script){ .name = "bench-mapper.json",
                                    .source = source,
                                    .source_size = sizeof(source) - 1,
                                    .preamble = full.data,
                                    .preamble_size = full.size };
    pk_hash(out->hash, source, out->source_size, NULL, 0);
    pk_hash(out->preamble_hash, full.data, full.size, NULL, 0);
    const struct pk_jail_call call = {
        .script = out,
        .entry = "describe",
        .input = bson_get_data(&mapper),
        .input_size = mapper.len,
        .limits = { .soft_ms = 5000, .hard_ms = 5000, .memory_bytes = 64 << 20 },
    };
    call_or_die(jail, &call, "value.program", &result, &program);
    const char *source_of = bson_iter_utf8(&program, &size);
    pk_library_text(PK_LIBRARY_RESIDENT, source_of, size, text);
    bson_t view;
    bson_iter_t iter, cut, paths;
    pk_jail_result_view(&result, &view);
    if (!bson_iter_init(&iter, &view) ||
        !bson_iter_find_descendant(&iter, "value.cut.paths", &cut) ||
        !bson_iter_recurse(&cut, &paths)) {
        die("describe", "it does not say what is read");
    }
    while (bson_iter_next(&paths) && reads.paths < PK_COUNT(path)) {
        path[reads.paths++] = bson_iter_utf8(&paths, NULL);
    }
    out->cut = pk_jail_cut_new(&reads); /* As the loader does for a mapper of rules alone. */
    pk_jail_result_done(&result);
    bson_destroy(&mapper);
    out->preamble = text->data;
    out->preamble_size = text->size;
    out->is_preamble_resident = true;
    out->source = "";
    out->source_size = 0;
    pk_hash(out->preamble_hash, text->data, text->size, NULL, 0);
}

static void check_results(struct pk_jail *jail, const struct work *work,
                          const struct pk_jail_script *script)
{
    for (size_t i = 0; i < work->people; i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf fired = { 0 };
        struct pk_jail_result result;
        bson_iter_t list, ids;
        const struct pk_jail_call call = {
            .script = script,
            .entry = "map",
            .input = bson_get_data(&work->person[i]),
            .input_size = work->person[i].len,
            .limits = { .soft_ms = 10000, .hard_ms = 10000 },
        };
        call_or_die(jail, &call, "value.fired", &result, &list);
        (void)bson_iter_recurse(&list, &ids);
        while (bson_iter_next(&ids)) {
            pk_buf_printf(&fired, "%s ", bson_iter_utf8(&ids, NULL));
        }
        if (strcmp(pk_buf_text(&fired), pk_buf_text(&work->fired[i])) != 0) {
            die("other rules fire", pk_buf_text(&fired));
        }
        pk_jail_result_done(&result);
    }
}

void script_bench_rules(const struct script_bench *bench, const char *work_file)
{
    static struct work work;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_jail_script script;
    struct pk_jail *jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = bench->worker, .workers_max = 1 });

    read_work(&work, work_file);
    load_mapper(jail, &work, &script, &text);
    check_results(jail, &work, &script);
    pk_jail_free(jail);
    script_bench_run(bench, &(struct script_work){ .name = "50 rules, persona out",
                                                   .script = &script,
                                                   .entry = "map",
                                                   .input = work.person,
                                                   .inputs = work.people });
    for (size_t i = 0; i < work.people; i++) {
        bson_destroy(&work.person[i]);
        pk_buf_done(&work.fired[i]);
    }
    bson_destroy(work.doc);
}
