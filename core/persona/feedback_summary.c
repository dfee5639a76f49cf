/* feedback_summary.c - What a mapper's feedback says, added up: by version, and by rule in it.
 *
 * Nothing is kept beside the feedback itself: the index has it by mapper and
 * version, and it is read through in pages. Shares are of those who said
 * something, never of all. The net promoter score is the share of promoters
 * (9, 10) less that of detractors (1 to 6), in percent.
 *
 * The version that serves and the one that is tried beside it are there also
 * when nobody has said anything yet, with how often they were used and how
 * their calls go on this server: so the two stand side by side.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/feedback.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/registry.h"
#include "script/scripts.h"
#include "store/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RATINGS = 5, PROMOTER = 9, PASSIVE = 7 };
static const char *const rating_name[RATINGS] = { "overall", "accuracy", "completeness",
                                                  "relevance", "usability" };

/* What was said of one thing. */
struct tally {
    char *name; /* A version or rule; NULL: of all. */
    int64_t count;
    int64_t sum[RATINGS], rated[RATINGS];
    int64_t helpful, helpful_said;
    int64_t again, again_said; /* Would use it again. */
    int64_t promoters, passives, detractors;
};
struct tallies {
    struct tally *tally;
    size_t count, capacity;
};
struct version {
    struct tally own;
    struct tallies rules;
    const char *role; /* "active", "canary"; NULL: neither. */
    double share;     /* Of people who get it; of those two. */
    int64_t uses;     /* Of its personas. */
    bool has_calls;   /* It serves here. */
    struct pk_script_stats calls;
};
struct summary {
    struct tally all;
    struct version *version;
    size_t count, capacity;
};

static void summary_done(struct summary *summary)
{
    for (size_t i = 0; i < summary->count; i++) {
        struct version *version = &summary->version[i];
        for (size_t k = 0; k < version->rules.count; k++) {
            pk_free(version->rules.tally[k].name);
        }
        pk_free(version->rules.tally);
        pk_free(version->own.name);
    }
    pk_free(summary->version);
}

/* ---- Counting ---- */

static void add_share(const bson_t *doc, const char *path, int64_t *yes, int64_t *said)
{
    bson_iter_t iter;
    if (pk_path_find(doc, path, &iter) && BSON_ITER_HOLDS_BOOL(&iter)) {
        *said += 1;
        *yes += bson_iter_bool(&iter);
    }
}

static void tally_add(struct tally *tally, const struct pk_doc *feedback)
{
    bson_t view, ratings;
    bson_iter_t iter, rating;
    const uint8_t *data;
    uint32_t size;

    pk_doc_view(feedback, &view);
    tally->count++;
    if (bson_iter_init_find(&iter, &view, "ratings") && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &size, &data);
        for (size_t i = 0; bson_init_static(&ratings, data, size) && i < RATINGS; i++) {
            if (bson_iter_init_find(&rating, &ratings, rating_name[i])) {
                tally->sum[i] += bson_iter_as_int64(&rating);
                tally->rated[i]++;
            }
        }
    }
    add_share(&view, "helpful", &tally->helpful, &tally->helpful_said);
    add_share(&view, "impact.wouldUseAgain", &tally->again, &tally->again_said);
    const int64_t score = pk_doc_int(feedback, "impact.recommendationScore", 0);
    tally->promoters += score >= PROMOTER;
    tally->passives += score >= PASSIVE && score < PROMOTER;
    tally->detractors += score > 0 && score < PASSIVE;
}

static struct version *version_of(struct summary *summary, const char *name)
{
    /* They come in the order of their versions. */
    if (summary->count > 0 && strcmp(summary->version[summary->count - 1].own.name, name) == 0) {
        return &summary->version[summary->count - 1];
    }
    if (summary->count == summary->capacity) {
        summary->capacity = summary->capacity ? summary->capacity * 2 : 8;
        summary->version =
            pk_realloc(summary->version, summary->capacity * sizeof(*summary->version));
    }
    struct version *made = &summary->version[summary->count++];
    *made = (struct version){ .own = { .name = pk_strdup(name) } };
    return made;
}

static struct tally *rule_of(struct tallies *rules, const char *name)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (strcmp(rules->tally[i].name, name) == 0) {
            return &rules->tally[i];
        }
    }
    if (rules->count == rules->capacity) {
        rules->capacity = rules->capacity ? rules->capacity * 2 : 8;
        rules->tally = pk_realloc(rules->tally, rules->capacity * sizeof(*rules->tally));
    }
    struct tally *made = &rules->tally[rules->count++];
    *made = (struct tally){ .name = pk_strdup(name) };
    return made;
}

static void add(struct summary *summary, const struct pk_doc *feedback)
{
    const char *name = pk_doc_text(feedback, "mapperVersion");
    const char *rule = pk_doc_text(feedback, "ruleId");
    struct version *version = version_of(summary, name ? name : "");
    tally_add(&summary->all, feedback);
    tally_add(&version->own, feedback);
    if (rule) {
        tally_add(rule_of(&version->rules, rule), feedback);
    }
}

static bool read_all(const struct pk_domain *domain, const char *mapper, const char *version,
                     int64_t deadline_ns, struct summary *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = "feedback",
                                        .index = "by_mapper",
                                        .equal = { PK_TEXT(mapper),
                                                   PK_TEXT(version ? version : "") },
                                        .equal_count = version ? 2 : 1,
                                        .limit = PK_PAGE_MAX,
                                        .cursor = cursor };
        if (!pk_store_find(domain->books->store, &query, deadline_ns, &page, err)) {
            return pk_wrap(err, "read the mapper's feedback");
        }
        for (size_t i = 0; i < page.count; i++) {
            add(out, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return true;
}

/* ---- Those that serve ---- */

static struct version *find_version(struct summary *summary, const char *name)
{
    for (size_t i = 0; i < summary->count; i++) {
        if (strcmp(summary->version[i].own.name, name) == 0) {
            return &summary->version[i];
        }
    }
    return version_of(summary, name);
}

/* How its calls go here. */
static void add_calls(const struct pk_domain *domain, const char *mapper, struct version *version)
{
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    const struct pk_script *const serving[] = {
        pk_generation_find(pinned, PK_SCRIPT_MAPPER, mapper),
        pk_generation_canary(pinned, PK_SCRIPT_MAPPER, mapper, NULL),
    };
    for (size_t i = 0; i < PK_COUNT(serving); i++) {
        if (serving[i] && strcmp(serving[i]->version, version->own.name) == 0) {
            version->has_calls = pk_scripts_stats(domain->scripts, serving[i], &version->calls);
        }
    }
    pk_generation_unpin(pinned);
}

static void add_role(const struct pk_domain *domain, const char *mapper, const struct pk_doc *doc,
                     const char *role, double share, struct summary *summary)
{
    struct version *version = find_version(summary, pk_doc_text(doc, "version"));
    version->role = role;
    version->share = share;
    version->uses = pk_doc_int(doc, "usageCount", 0);
    add_calls(domain, mapper, version);
}

/* 'wanted' NULL: both. */
static bool add_serving(const struct pk_domain *domain, const char *mapper, const char *wanted,
                        struct summary *summary, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tried = NULL;
    if (!domain->registry) {
        return true;
    }
    if (!pk_registry_get(domain->registry, PK_SCRIPT_MAPPER, mapper, NULL, &active, err)) {
        return false;
    }
    const char *status = pk_doc_text(active, "status");
    const char *canary = pk_doc_text(active, "canary.version");
    const double share = pk_doc_number(active, "canary.share", 0);
    if (!status || strcmp(status, "active") != 0) {
        return true;
    }
    if (!wanted || strcmp(wanted, pk_doc_text(active, "version")) == 0) {
        add_role(domain, mapper, active, "active", 1 - share, summary);
    }
    if (!canary || (wanted && strcmp(wanted, canary) != 0)) {
        return true;
    }
    if (!pk_registry_get(domain->registry, PK_SCRIPT_MAPPER, mapper, canary, &tried, err)) {
        return false;
    }
    add_role(domain, mapper, tried, "canary", share, summary);
    return true;
}

/* ---- Showing ---- */

static double rounded(double value)
{
    return round(value * 1e4) / 1e4;
}

static void put_share(bson_t *out, const char *name, int64_t yes, int64_t said)
{
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(out, name, &child);
    BSON_APPEND_INT64(&child, "count", said);
    if (said > 0) {
        BSON_APPEND_DOUBLE(&child, "share", rounded((double)yes / (double)said));
    }
    bson_append_document_end(out, &child);
}

static void put_promotion(bson_t *out, const struct tally *tally)
{
    const int64_t count = tally->promoters + tally->passives + tally->detractors;
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(out, "recommendation", &child);
    BSON_APPEND_INT64(&child, "promoters", tally->promoters);
    BSON_APPEND_INT64(&child, "passives", tally->passives);
    BSON_APPEND_INT64(&child, "detractors", tally->detractors);
    if (count > 0) {
        BSON_APPEND_DOUBLE(
            &child, "nps",
            rounded(100.0 * (double)(tally->promoters - tally->detractors) / (double)count));
    }
    bson_append_document_end(out, &child);
}

static void put_tally(bson_t *out, const struct tally *tally)
{
    bson_t ratings;
    BSON_APPEND_INT64(out, "count", tally->count);
    BSON_APPEND_DOCUMENT_BEGIN(out, "ratings", &ratings);
    for (size_t i = 0; i < RATINGS; i++) {
        if (tally->rated[i] > 0) {
            BSON_APPEND_DOUBLE(&ratings, rating_name[i],
                               rounded((double)tally->sum[i] / (double)tally->rated[i]));
        }
    }
    bson_append_document_end(out, &ratings);
    put_share(out, "helpful", tally->helpful, tally->helpful_said);
    put_share(out, "wouldUseAgain", tally->again, tally->again_said);
    put_promotion(out, tally);
}

static int by_name(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* The newest first. */
static int by_version(const void *a, const void *b)
{
    const struct version *left = a, *right = b;
    struct pk_semver first, second;
    int order = 0;
    if (pk_semver_parse(left->own.name, strlen(left->own.name), &first) &&
        pk_semver_parse(right->own.name, strlen(right->own.name), &second)) {
        order = pk_semver_compare(&second, &first);
    }
    return order ? order : strcmp(right->own.name, left->own.name);
}

static void put_rules(bson_t *out, const struct tallies *rules)
{
    bson_t list, child;
    BSON_APPEND_ARRAY_BEGIN(out, "rules", &list);
    for (size_t i = 0; i < rules->count; i++) {
        char room[16];
        const char *key;
        (void)bson_uint32_to_string((uint32_t)i, &key, room, sizeof(room));
        BSON_APPEND_DOCUMENT_BEGIN(&list, key, &child);
        BSON_APPEND_UTF8(&child, "ruleId", rules->tally[i].name);
        put_tally(&child, &rules->tally[i]);
        bson_append_document_end(&list, &child);
    }
    bson_append_array_end(out, &list);
}

static void put_role(bson_t *out, const struct version *version)
{
    bson_t child;
    if (!version->role) {
        return;
    }
    BSON_APPEND_UTF8(out, "role", version->role);
    BSON_APPEND_DOUBLE(out, "peopleShare", version->share);
    BSON_APPEND_INT64(out, "usageCount", version->uses);
    if (version->has_calls) {
        BSON_APPEND_DOCUMENT_BEGIN(out, "calls", &child);
        BSON_APPEND_INT64(&child, "count", (int64_t)version->calls.calls);
        BSON_APPEND_INT64(&child, "failures", (int64_t)version->calls.failures);
        BSON_APPEND_DOUBLE(&child, "meanMs", (double)version->calls.mean_ns / 1e6);
        BSON_APPEND_DOUBLE(&child, "p99Ms", (double)version->calls.p99_ns / 1e6);
        bson_append_document_end(out, &child);
    }
}

static void put_summary(bson_t *out, const char *mapper, struct summary *summary)
{
    bson_t list, child;
    if (summary->count > 0) {
        qsort(summary->version, summary->count, sizeof(*summary->version), by_version);
    }
    BSON_APPEND_UTF8(out, "mapperId", mapper);
    put_tally(out, &summary->all);
    BSON_APPEND_ARRAY_BEGIN(out, "versions", &list);
    for (size_t i = 0; i < summary->count; i++) {
        struct version *version = &summary->version[i];
        char room[16];
        const char *key;
        if (version->rules.count > 0) {
            qsort(version->rules.tally, version->rules.count, sizeof(*version->rules.tally),
                  by_name);
        }
        (void)bson_uint32_to_string((uint32_t)i, &key, room, sizeof(room));
        BSON_APPEND_DOCUMENT_BEGIN(&list, key, &child);
        BSON_APPEND_UTF8(&child, "mapperVersion", version->own.name);
        put_role(&child, version);
        put_tally(&child, &version->own);
        put_rules(&child, &version->rules);
        bson_append_document_end(&list, &child);
    }
    bson_append_array_end(out, &list);
}

bool pk_feedback_summary(const struct pk_domain *domain, const char *mapper, const char *version,
                         int64_t deadline_ns, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(summary_done) struct summary summary = { .count = 0 };
    if (!read_all(domain, mapper, version, deadline_ns, &summary, err) ||
        !add_serving(domain, mapper, version, &summary, err)) {
        return false;
    }
    bson_init(out);
    put_summary(out, mapper, &summary);
    return true;
}
