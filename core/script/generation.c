/* generation.c - An immutable set of scripts, found by kind and id.
 *
 * Entries are sorted by kind, then id: a look-up halves. What changes is
 * outside of the set: the vitals of each version (scripts_vitals.c), which a
 * generation shares with the one before it when the version stays, and the
 * count of pins (scripts.c says how it works).
 *
 * A version that stays is one with the same hash. One that takes another's
 * place notes how that one had been doing, for it is judged by it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "script/scripts_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Finding ---- */

static const struct generation_entry *find_entry(const struct pk_generation *generation,
                                                 enum pk_script_kind kind, const char *id)
{
    if (kind <= PK_SCRIPT_ANY || kind >= PK_SCRIPT_KINDS) {
        return NULL;
    }
    size_t low = generation->first[kind], high = generation->first[kind + 1];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(generation->entry[middle].script->id, id);
        if (order == 0) {
            return &generation->entry[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct pk_script *pk_generation_find(const struct pk_generation *generation,
                                           enum pk_script_kind kind, const char *id)
{
    const struct generation_entry *entry = find_entry(generation, kind, id);
    return entry ? entry->script : NULL;
}

const struct generation_entry *generation_entry_of(const struct pk_generation *generation,
                                                   const struct pk_script *script)
{
    const struct generation_entry *entry = find_entry(generation, script->kind, script->id);
    const bool is_there =
        entry && (entry->script == script || entry->before == script || entry->canary == script);
    return is_there ? entry : NULL;
}

static bool is_same(const struct pk_script *a, const struct pk_script *b)
{
    return memcmp(a->bundle->hash, b->bundle->hash, PK_HASH_BYTES) == 0;
}

struct vitals *generation_vitals(const struct pk_generation *generation,
                                 const struct pk_script *script)
{
    const struct generation_entry *entry = find_entry(generation, script->kind, script->id);
    if (entry && is_same(entry->script, script)) {
        return entry->vitals;
    }
    if (entry && entry->canary && is_same(entry->canary, script)) {
        return entry->canary_vitals;
    }
    return entry && entry->before && is_same(entry->before, script) ? entry->before_vitals : NULL;
}

static bool does_accept(const struct pk_script *script, const char *source_type)
{
    for (char *const *type = script->accepts; type && *type; type++) {
        if (strcmp(*type, source_type) == 0) {
            return true;
        }
    }
    return false;
}

size_t pk_generation_accepting(const struct pk_generation *generation, const char *source_type,
                               const struct pk_script **out, size_t max)
{
    size_t count = 0;
    for (size_t i = generation->first[PK_SCRIPT_PROCESSOR];
         i < generation->first[PK_SCRIPT_PROCESSOR + 1] && count < max; i++) {
        if (does_accept(generation->entry[i].script, source_type)) {
            out[count++] = generation->entry[i].script;
        }
    }
    return count;
}

uint64_t pk_generation_number(const struct pk_generation *generation)
{
    return generation->number;
}

size_t pk_generation_count(const struct pk_generation *generation)
{
    return generation->count;
}

const struct pk_script *pk_generation_at(const struct pk_generation *generation, size_t i)
{
    return i < generation->count ? generation->entry[i].script : NULL;
}

const struct pk_script *pk_generation_canary(const struct pk_generation *generation,
                                             enum pk_script_kind kind, const char *id,
                                             double *out_share)
{
    const struct generation_entry *entry = find_entry(generation, kind, id);
    if (entry && entry->canary && out_share) {
        *out_share = entry->canary_share;
    }
    return entry ? entry->canary : NULL;
}

/* ---- Making ---- */

static int by_kind_and_id(const void *a, const void *b)
{
    const struct pk_script *one = ((const struct generation_entry *)a)->script;
    const struct pk_script *two = ((const struct generation_entry *)b)->script;
    return one->kind != two->kind ? (one->kind < two->kind ? -1 : 1) : strcmp(one->id, two->id);
}

static struct vitals *fresh_vitals(const struct pk_scripts *scripts, int64_t since_ms)
{
    const int64_t wall_ms = pk_clock_wall_ms(scripts->clock);
    const int64_t age_ms = since_ms && since_ms < wall_ms ? wall_ms - since_ms : 0;
    struct vitals *vitals = vitals_new();

    vitals->since_ms = wall_ms;
    if (age_ms < scripts->watch_ns / 1000000) {
        vitals->young_until_ns =
            pk_clock_mono_ns(scripts->clock) + scripts->watch_ns - age_ms * 1000000;
    }
    return vitals;
}

/* Vitals of an entry's script: those it has, or new ones that know their predecessor. */
static struct vitals *vitals_for(const struct pk_scripts *scripts,
                                 const struct pk_generation *previous,
                                 const struct pk_scripts_entry *entry)
{
    const struct generation_entry *old =
        previous ? find_entry(previous, entry->script->kind, entry->script->id) : NULL;

    if (old && is_same(old->script, entry->script)) {
        return vitals_ref(old->vitals);
    }
    struct vitals *vitals = fresh_vitals(scripts, entry->since_ms);
    vitals->has_before = old || entry->before;
    if (old) {
        vitals_totals(old->vitals, &vitals->before_calls, &vitals->before_failures);
    }
    return vitals;
}

static struct vitals *vitals_for_before(const struct pk_scripts *scripts,
                                        const struct pk_generation *previous,
                                        const struct pk_script *before)
{
    struct vitals *had = previous ? generation_vitals(previous, before) : NULL;
    /* It has served before: nobody watches it. */
    return had ? vitals_ref(had) : fresh_vitals(scripts, 1);
}

/* What it did before it was a canary, or the one before, does not count. */
static struct vitals *vitals_for_canary(const struct pk_scripts *scripts,
                                        const struct pk_generation *previous,
                                        const struct pk_scripts_entry *entry)
{
    const struct generation_entry *old =
        previous ? find_entry(previous, entry->script->kind, entry->script->id) : NULL;
    if (old && old->canary && is_same(old->canary, entry->canary)) {
        return vitals_ref(old->canary_vitals);
    }
    struct vitals *vitals = fresh_vitals(scripts, entry->canary_since_ms);
    vitals->is_canary = true;
    return vitals;
}

static void index_kinds(struct pk_generation *generation)
{
    size_t at = 0;
    for (int kind = 0; kind < PK_SCRIPT_KINDS; kind++) {
        generation->first[kind] = at;
        while (at < generation->count && (int)generation->entry[at].script->kind == kind) {
            at++;
        }
    }
    generation->first[PK_SCRIPT_KINDS] = at;
    assert(at == generation->count); /* Every script has a kind. */
}

struct pk_generation *generation_new(struct pk_scripts *scripts,
                                     const struct pk_generation *previous,
                                     const struct pk_scripts_entry *entry, size_t count)
{
    struct pk_generation *generation =
        aligned_alloc(_Alignof(struct pk_generation), sizeof(*generation));
    if (!generation) {
        abort(); /* As pk_alloc does. */
    }
    *generation = (struct pk_generation){ .scripts = scripts, .count = count };
    generation->published_ms = pk_clock_wall_ms(scripts->clock);
    generation->entry = pk_calloc(count ? count : 1, sizeof(*generation->entry));
    for (size_t i = 0; i < count; i++) {
        struct generation_entry *to = &generation->entry[i];
        to->script = pk_script_ref(entry[i].script);
        to->vitals = vitals_for(scripts, previous, &entry[i]);
        if (entry[i].before) {
            to->before = pk_script_ref(entry[i].before);
            to->before_vitals = vitals_for_before(scripts, previous, entry[i].before);
        }
        if (entry[i].canary) {
            to->canary = pk_script_ref(entry[i].canary);
            to->canary_vitals = vitals_for_canary(scripts, previous, &entry[i]);
            to->canary_share = entry[i].canary_share;
        }
    }
    qsort(generation->entry, count, sizeof(*generation->entry), by_kind_and_id);
    for (size_t i = 1; i < count; i++) {
        assert(by_kind_and_id(&generation->entry[i - 1], &generation->entry[i]) != 0);
    }
    index_kinds(generation);
    return generation;
}

void generation_free(struct pk_generation *generation)
{
    for (size_t i = 0; i < generation->count; i++) {
        struct generation_entry *entry = &generation->entry[i];
        pk_script_unref(entry->script);
        pk_script_unref(entry->before);
        pk_script_unref(entry->canary);
        vitals_unref(entry->vitals);
        vitals_unref(entry->before_vitals);
        vitals_unref(entry->canary_vitals);
    }
    pk_free(generation->entry);
    free(generation);
}
