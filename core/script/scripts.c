/* scripts.c - Which generation serves, who has pinned which, and when one ends.
 *
 * The race to close: a thread reads the pointer to the generation that serves,
 * and before it has raised the count of its pins, another publishes the next
 * one, sees no pins, and frees it. So pointer and count are one word, raised
 * and read at once:
 *
 *     head:  | slot, 12 bits | pins since it serves, 52 bits |
 *
 *     pin      head += 1; the slot in what was there says which generation it is
 *     unpin    generation->pins -= 1
 *     publish  old = head; head = | new slot | 0 |
 *              generation->pins += pins of 'old'
 *
 * A pin is given back to the generation, not to the head, which may have moved
 * on. So while a generation serves its own count is minus what was given back
 * and can never come back to 0 by an unpin; the publication adds what was taken,
 * and from then on it is exactly the pins that are left. Who brings it to 0,
 * the last call or the publication, ends the generation: one thread, once.
 *
 * A pin is one atomic addition, and so is an unpin, on another cache line: 10 ns
 * for both, and 40 to 80 when eight threads do nothing else on two cores (with a
 * mutex it was 30 and 80 to 120). 52 bits hold 14 years of 10 million pins a second
 * in one generation. 4,096 generations can be alive; each old one is held by a
 * call under way, and there are never so many of those: to run out is a leak.
 *
 * Locks: 'publishing' while a generation is made; 'mutex' for the list of those
 * alive; none is held while a script runs. */
/* SPDX-License-Identifier: MIT */
#include "script/scripts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "script/scripts_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { WATCH_MS = 60000, WATCH_CALLS = 20, WATCH_FAILURES = 5 };

#define PIN_MASK ((UINT64_C(1) << PIN_BITS) - 1)

static void put_in_front(struct pk_scripts *scripts, struct pk_generation *generation)
{
    generation->next = scripts->alive;
    if (scripts->alive) {
        scripts->alive->previous = generation;
    }
    scripts->alive = generation;
}

struct pk_scripts *pk_scripts_new(const struct pk_scripts_options *options)
{
    struct pk_scripts *scripts = aligned_alloc(_Alignof(struct pk_scripts), sizeof(*scripts));
    struct pk_quarantine_options quarantine = { 0 };

    if (!scripts) {
        abort(); /* As pk_alloc does. */
    }
    memset(scripts, 0, sizeof(*scripts));
    scripts->clock = options->clock ? options->clock : pk_clock_system();
    scripts->log = options->log;
    scripts->jail = options->jail;
    scripts->doubt = options->doubt;
    scripts->context = options->context;
    scripts->watch_ns = (options->watch_ms ? options->watch_ms : WATCH_MS) * 1000000;
    scripts->watch_calls = options->watch_calls ? options->watch_calls : WATCH_CALLS;
    scripts->watch_failures = options->watch_failures ? options->watch_failures : WATCH_FAILURES;
    if (options->quarantine) {
        quarantine = *options->quarantine;
    }
    quarantine.clock = quarantine.clock ? quarantine.clock : scripts->clock;
    scripts->quarantine = pk_quarantine_new(&quarantine);
    scripts->repeater = repeater_new(scripts->jail, scripts->log);
    scripts->doubted = pk_calloc(1, sizeof(*scripts->doubted));
    (void)pthread_mutex_init(&scripts->publishing, NULL);
    (void)pthread_mutex_init(&scripts->mutex, NULL);
    scripts->slot[0] = generation_new(scripts, NULL, NULL, 0); /* Serves until the first one. */
    put_in_front(scripts, scripts->slot[0]);
    return scripts;
}

struct pk_scripts *pk_scripts_apart(const struct pk_scripts *scripts)
{
    return pk_scripts_new(&(struct pk_scripts_options){
        .clock = scripts->clock, .log = scripts->log, .jail = scripts->jail });
}

void pk_scripts_free(struct pk_scripts *scripts)
{
    if (!scripts) {
        return;
    }
    struct pk_generation *last = scripts->alive;
    assert(!last->next && (int64_t)(scripts->head & PIN_MASK) + last->pins == 0);
    repeater_free(scripts->repeater);
    generation_free(last);
    pk_quarantine_free(scripts->quarantine);
    pk_free(scripts->doubted);
    (void)pthread_mutex_destroy(&scripts->mutex);
    (void)pthread_mutex_destroy(&scripts->publishing);
    free(scripts);
}

/* ---- Pins ---- */

struct pk_generation *pk_scripts_pin(struct pk_scripts *scripts)
{
    const uint64_t head = atomic_fetch_add_explicit(&scripts->head, 1, memory_order_acquire);
    return scripts->slot[head >> PIN_BITS];
}

/* Under the mutex: nobody can pin it or has it pinned. */
static void unlink_generation(struct pk_scripts *scripts, struct pk_generation *generation)
{
    if (generation->previous) {
        generation->previous->next = generation->next;
    } else {
        scripts->alive = generation->next;
    }
    if (generation->next) {
        generation->next->previous = generation->previous;
    }
    scripts->slot[generation->slot] = NULL;
}

void pk_generation_unpin(struct pk_generation *generation)
{
    struct pk_scripts *scripts = generation->scripts;

    if (atomic_fetch_sub_explicit(&generation->pins, 1, memory_order_acq_rel) == 1) {
        (void)pthread_mutex_lock(&scripts->mutex);
        unlink_generation(scripts, generation);
        (void)pthread_mutex_unlock(&scripts->mutex);
        generation_free(generation);
    }
}

/* ---- Publishing ---- */

static uint32_t free_slot(const struct pk_scripts *scripts)
{
    uint32_t slot = 0;
    while (slot < SLOTS && scripts->slot[slot]) {
        slot++;
    }
    assert(slot < SLOTS); /* Else somebody does not give pins back. */
    return slot;
}

/* Makes 'next' the one that serves. Returns the old one when it has ended with that, or NULL. */
static struct pk_generation *swap(struct pk_scripts *scripts, struct pk_generation *next)
{
    (void)pthread_mutex_lock(&scripts->mutex);
    struct pk_generation *old = scripts->alive;
    next->slot = free_slot(scripts);
    scripts->slot[next->slot] = next;
    put_in_front(scripts, next);
    const uint64_t head = atomic_exchange_explicit(&scripts->head, (uint64_t)next->slot << PIN_BITS,
                                                   memory_order_acq_rel);
    const int64_t taken = (int64_t)(head & PIN_MASK);
    const bool has_ended =
        atomic_fetch_add_explicit(&old->pins, taken, memory_order_acq_rel) + taken == 0;
    if (has_ended) {
        unlink_generation(scripts, old);
    }
    (void)pthread_mutex_unlock(&scripts->mutex);
    return has_ended ? old : NULL;
}

uint64_t pk_scripts_publish(struct pk_scripts *scripts, const struct pk_scripts_entry *entry,
                            size_t count)
{
    (void)pthread_mutex_lock(&scripts->publishing);
    struct pk_generation *now = pk_scripts_pin(scripts);
    struct pk_generation *next = generation_new(scripts, now, entry, count);
    pk_generation_unpin(now);
    const uint64_t number = ++scripts->number;
    next->number = number;
    struct pk_generation *ended = swap(scripts, next);
    (void)pthread_mutex_unlock(&scripts->publishing);
    if (ended) {
        generation_free(ended);
    }
    pk_log_debug(scripts->log, "scripts published", PK_NUM("generation", number),
                 PK_NUM("scripts", count));
    return number;
}

/* ---- What is alive ---- */

static size_t pins_of(const struct pk_scripts *scripts, const struct pk_generation *generation,
                      bool is_serving)
{
    int64_t pins = atomic_load_explicit(&generation->pins, memory_order_acquire);
    if (is_serving) {
        pins += (int64_t)(atomic_load_explicit(&scripts->head, memory_order_acquire) & PIN_MASK);
    }
    return pins > 0 ? (size_t)pins : 0;
}

size_t pk_scripts_generations(struct pk_scripts *scripts, struct pk_generation_info *out,
                              size_t max)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&scripts->mutex);
    for (struct pk_generation *at = scripts->alive; at && count < max; at = at->next) {
        const bool is_serving = at == scripts->alive;
        const size_t pins = pins_of(scripts, at, is_serving);
        if (is_serving || pins) { /* Else its last call is just ending it. */
            out[count++] = (struct pk_generation_info){ .number = at->number,
                                                        .scripts = at->count,
                                                        .calls = pins,
                                                        .published_ms = at->published_ms,
                                                        .is_serving = is_serving };
        }
    }
    (void)pthread_mutex_unlock(&scripts->mutex);
    return count;
}

/* ---- Judging ---- */

bool pk_scripts_lift(struct pk_scripts *scripts, const uint8_t hash[PK_HASH_BYTES])
{
    (void)pthread_mutex_lock(&scripts->mutex);
    const bool was_doubted = said_has(scripts->doubted, hash);
    said_remove(scripts->doubted, hash);
    (void)pthread_mutex_unlock(&scripts->mutex);
    repeater_forget(scripts->repeater, hash);
    return pk_quarantine_lift(scripts->quarantine, hash) || was_doubted;
}

bool pk_scripts_stats(struct pk_scripts *scripts, const struct pk_script *script,
                      struct pk_script_stats *out)
{
    struct pk_generation *generation = pk_scripts_pin(scripts);
    struct vitals *vitals = generation_vitals(generation, script);

    if (vitals) {
        vitals_read(vitals, out);
        out->is_quarantined = pk_quarantine_is_barred(scripts->quarantine, script->bundle->hash);
    }
    pk_generation_unpin(generation);
    return vitals != NULL;
}
