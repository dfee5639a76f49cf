/* registry.c - What a registry holds in memory: scripts taken in lately, and why others were not.
 *
 * Both are conveniences of this node. What is active, and what is barred, is
 * read from the store each time. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- Kinds ---- */

static const struct registry_home home_table[] = {
    [PK_SCRIPT_MAPPER] = { "mappers", "mapperId", "mapper", "mapper" },
    [PK_SCRIPT_PROCESSOR] = { "scripts", "scriptId", "script", "script" },
    [PK_SCRIPT_CONDITION] = { "scripts", "scriptId", "script", "script" },
};

const struct registry_home *registry_home(enum pk_script_kind kind)
{
    assert(kind > PK_SCRIPT_ANY && kind < PK_SCRIPT_KINDS);
    return &home_table[kind];
}

struct pk_store *registry_store(const struct pk_registry *registry)
{
    return registry->options.books->store;
}

/* ---- From new to free ---- */

struct pk_registry *pk_registry_new(const struct pk_registry_options *options)
{
    struct pk_registry *registry = pk_calloc(1, sizeof(*registry));
    registry->options = *options;
    (void)pthread_mutex_init(&registry->refreshing, NULL);
    (void)pthread_mutex_init(&registry->lock, NULL);
    pk_cond_init(&registry->stir);
    return registry;
}

void pk_registry_free(struct pk_registry *registry)
{
    if (!registry) {
        return;
    }
    pk_registry_stop(registry);
    for (size_t i = 0; i < registry->entry_count; i++) {
        pk_script_unref(registry->entry[i].script);
        pk_script_unref(registry->entry[i].before);
        pk_script_unref(registry->entry[i].canary);
    }
    for (size_t i = 0; i < REGISTRY_TAKEN; i++) {
        pk_script_unref(registry->taken[i]);
    }
    for (size_t i = 0; i < registry->refused_count; i++) {
        pk_refused_done(&registry->refused[i]);
    }
    for (size_t i = 0; i < registry->doubt_count; i++) {
        pk_free(registry->doubt[i].reason);
    }
    (void)pthread_cond_destroy(&registry->stir);
    (void)pthread_mutex_destroy(&registry->lock);
    (void)pthread_mutex_destroy(&registry->refreshing);
    pk_free(registry->entry);
    pk_free(registry->refused);
    pk_free(registry->lifted);
    pk_free(registry);
}

/* ---- Scripts that were taken in ---- */

static bool is_that(const struct pk_script *script, enum pk_script_kind kind, const char *hash_text)
{
    return script && (kind == PK_SCRIPT_ANY || script->kind == kind) &&
           strcmp(script->bundle->hash_text, hash_text) == 0;
}

struct pk_script *registry_taken(struct pk_registry *registry, enum pk_script_kind kind,
                                 const char *hash_text)
{
    struct pk_script *found = NULL;
    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < REGISTRY_TAKEN && !found; i++) {
        if (is_that(registry->taken[i], kind, hash_text)) {
            found = pk_script_ref(registry->taken[i]);
        }
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return found;
}

void registry_keep(struct pk_registry *registry, struct pk_script *script)
{
    (void)pthread_mutex_lock(&registry->lock);
    struct pk_script *old = registry->taken[registry->taken_next];
    registry->taken[registry->taken_next] = pk_script_ref(script);
    registry->taken_next = (registry->taken_next + 1) % REGISTRY_TAKEN;
    (void)pthread_mutex_unlock(&registry->lock);
    pk_script_unref(old);
}

/* ---- Candidates that were refused ---- */

/* By kind and id, or by file. */
static struct pk_refused *find_refused(struct pk_registry *registry, enum pk_script_kind kind,
                                       const char *id, const char *file)
{
    for (size_t i = 0; i < registry->refused_count; i++) {
        struct pk_refused *refused = &registry->refused[i];
        if (file ? refused->file && strcmp(refused->file, file) == 0
                 : refused->kind == kind && strcmp(refused->id, id) == 0) {
            return refused;
        }
    }
    return NULL;
}

static struct pk_refused *add_refused(struct pk_registry *registry, enum pk_script_kind kind,
                                      const char *id, const char *file)
{
    if (registry->refused_count == registry->refused_room) {
        registry->refused_room = registry->refused_room ? 2 * registry->refused_room : 8;
        registry->refused =
            pk_realloc(registry->refused, registry->refused_room * sizeof(*registry->refused));
    }
    struct pk_refused *refused = &registry->refused[registry->refused_count++];
    *refused = (struct pk_refused){ .kind = kind, .file = file ? pk_strdup(file) : NULL };
    (void)snprintf(refused->id, sizeof(refused->id), "%s", id);
    return refused;
}

void pk_refused_done(struct pk_refused *refused)
{
    pk_free(refused->file);
    pk_free(refused->reason);
}

static void remove_refused(struct pk_registry *registry, struct pk_refused *refused)
{
    pk_refused_done(refused);
    *refused = registry->refused[--registry->refused_count];
}

static void refuse(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                   const char *version, const char *file, const char *reason)
{
    (void)pthread_mutex_lock(&registry->lock);
    struct pk_refused *refused = find_refused(registry, kind, id, file);
    if (!reason && refused) {
        remove_refused(registry, refused);
    } else if (reason) {
        refused = refused ? refused : add_refused(registry, kind, id, file);
        pk_free(refused->reason);
        refused->reason = pk_strdup(reason);
        refused->at_ms = pk_clock_wall_ms(registry->options.books->clock);
        (void)snprintf(refused->version, sizeof(refused->version), "%s", version);
    }
    (void)pthread_mutex_unlock(&registry->lock);
}

void registry_refuse(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                     const char *version, const char *reason)
{
    refuse(registry, kind, id, version, NULL, reason);
}

void pk_registry_refuse_file(struct pk_registry *registry, const char *path, const char *reason)
{
    refuse(registry, PK_SCRIPT_ANY, "", "", path, reason);
}

void registry_refused_keep(struct pk_registry *registry, registry_wanted_fn *is_wanted,
                           const void *context)
{
    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = registry->refused_count; i-- > 0;) {
        struct pk_refused *refused = &registry->refused[i];
        if (!refused->file && !is_wanted(context, refused)) {
            remove_refused(registry, refused);
        }
    }
    (void)pthread_mutex_unlock(&registry->lock);
}

size_t pk_registry_refused(struct pk_registry *registry, struct pk_refused *out, size_t max)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&registry->lock);
    for (; count < registry->refused_count && count < max; count++) {
        const struct pk_refused *refused = &registry->refused[count];
        out[count] = *refused;
        out[count].file = refused->file ? pk_strdup(refused->file) : NULL;
        out[count].reason = pk_strdup(refused->reason);
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return count;
}

size_t pk_registry_refused_count(struct pk_registry *registry)
{
    (void)pthread_mutex_lock(&registry->lock);
    const size_t count = registry->refused_count;
    (void)pthread_mutex_unlock(&registry->lock);
    return count;
}

/* ---- Hashes ---- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool registry_unhex(const char *text, uint8_t out[PK_HASH_BYTES])
{
    for (size_t i = 0; i < PK_HASH_BYTES; i++) {
        const int high = digit_of(text[2 * i]);
        const int low = high < 0 ? -1 : digit_of(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return text[(size_t)2 * PK_HASH_BYTES] == '\0';
}
