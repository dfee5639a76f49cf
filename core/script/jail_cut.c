/* jail_cut.c - A mindscape cut down to what a script reads, before it is sent.
 *
 *     input                                     sent, when there are only rules
 *     { now, detail, halves, task ...,          { now, detail, halves,
 *       mindscape: { goals ..., traits: [         mindscape: { traits: [ those below a prefix ] } }
 *         { id, value, sources, ... } ... ] } }  and behind it: slot, value; slot, value ...
 *
 * A person has hundreds of traits with dozens of sources each, and 50 rules
 * name some of them: what nobody reads is not copied, not sent and not looked
 * at, and a worker never has it. Behind author's functions all traits are sent,
 * without what no script can see (sources, links, metadata).
 *
 * An input that is not as expected is sent whole: what comes of it is for the
 * library to say. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "script/jail_internal.h"
#include "script/worker/walk.h"

#include <stdio.h>
#include <string.h>

enum { AHEAD_BYTES = 768 }; /* A mindscape lies in no cache, mostly. */

struct pk_jail_cut {
    uint32_t mask; /* Places but one. */
    bool is_timed, has_code;
    size_t prefixes;
    struct text {
        char *data;
        size_t size;
    } * prefix, *path; /* The paths by slot, from 1. */
    size_t paths;
    struct place {
        uint32_t hash;
        uint32_t slot; /* 0: free. */
    } * place;
};

/* ---- Made once ---- */

static struct text text_new(const char *from)
{
    return (struct text){ pk_strdup(from), strlen(from) };
}

static struct place *find_place(const struct pk_jail_cut *cut, const char *id, size_t size)
{
    const uint32_t hash = walk_hash(id, size);

    for (uint32_t i = hash & cut->mask;; i = (i + 1) & cut->mask) {
        struct place *place = &cut->place[i];
        const struct text *path = &cut->path[place->slot];
        if (!place->slot ||
            (place->hash == hash && path->size == size && walk_equal(path->data, id, size))) {
            return place;
        }
    }
}

struct pk_jail_cut *pk_jail_cut_new(const struct pk_jail_reads *reads)
{
    struct pk_jail_cut *cut = pk_calloc(1, sizeof(*cut));
    uint32_t places = 8;

    while (places < 2 * reads->paths) {
        places *= 2;
    }
    cut->mask = places - 1;
    cut->place = pk_calloc(places, sizeof(*cut->place));
    cut->prefix = pk_calloc(reads->prefixes + 1, sizeof(*cut->prefix));
    cut->path = pk_calloc(reads->paths + 1, sizeof(*cut->path));
    cut->is_timed = reads->is_timed;
    cut->has_code = reads->has_code;
    while (cut->paths < reads->paths) {
        struct text *path = &cut->path[cut->paths + 1];
        *path = text_new(reads->path[cut->paths++]);
        struct place *place = find_place(cut, path->data, path->size);
        if (!place->slot) {
            *place = (struct place){ walk_hash(path->data, path->size), (uint32_t)cut->paths };
        }
    }
    for (; cut->prefixes < reads->prefixes; cut->prefixes++) {
        cut->prefix[cut->prefixes] = text_new(reads->prefix[cut->prefixes]);
    }
    return cut;
}

void pk_jail_cut_free(struct pk_jail_cut *cut)
{
    if (!cut) {
        return;
    }
    for (size_t i = 0; i < cut->paths; i++) {
        pk_free(cut->path[i + 1].data);
    }
    for (size_t i = 0; i < cut->prefixes; i++) {
        pk_free(cut->prefix[i].data);
    }
    pk_free(cut->place);
    pk_free(cut->path);
    pk_free(cut->prefix);
    pk_free(cut);
}

/* ---- Writing ---- */

/* Begins a document within another; returns where its length is. */
static size_t begin(struct pk_buf *out, uint8_t type, const char *key)
{
    pk_buf_add(out, &type, 1);
    pk_buf_add(out, key, strlen(key) + 1);
    pk_buf_add(out, "\0\0\0\0", 4);
    return out->size - 4;
}

static void end(struct pk_buf *out, size_t start)
{
    pk_buf_add(out, "", 1);
    const uint32_t size = BSON_UINT32_TO_LE((uint32_t)(out->size - start));
    memcpy(out->data + start, &size, sizeof(size));
}

static void add_element(struct pk_buf *out, const struct walk_at *at)
{
    pk_buf_add(out, at->start, (size_t)(at->next - at->start));
}

/* Whether scripts can see this field of a trait, by value, confidence or validity. */
static bool is_seen(const struct walk_at *at)
{
    static const struct {
        const char *name;
        size_t size;
    } field_table[] = {
        { "id", 2 },        { "value", 5 },     { "confidence", 10 },
        { "updatedAt", 9 }, { "validFrom", 9 }, { "expiresAt", 9 },
        { "halfLife", 8 },  { "pinned", 6 },    { "traitName", 9 },
    };
    for (size_t i = 0; i < sizeof(field_table) / sizeof(field_table[0]); i++) {
        if (walk_is(at, field_table[i].name, field_table[i].size)) {
            return true;
        }
    }
    return false;
}

/* A trait's document without what no script sees. False: it is none that we know. */
static bool add_trait(struct pk_buf *out, const uint8_t *data, size_t size)
{
    const size_t start = out->size;
    struct walk_at at;

    pk_buf_add(out, "\0\0\0\0", 4);
    for (walk_into(&at, data, size); walk_next(&at);) {
        if (is_seen(&at)) {
            add_element(out, &at);
        }
    }
    end(out, start);
    return at.start == at.end;
}

/* ---- Traits ---- */

/* A trait with a slot: its value, or all of it where time may decide. 'at' is behind its id. */
static bool add_slot(const struct pk_jail_cut *cut, struct pk_buf *out, uint32_t slot,
                     const struct walk_at *trait, struct walk_at *at)
{
    struct pk_wire_slot head = { .slot = slot };
    struct walk_at value = { .type = WALK_NULL };
    bool is_timed = cut->is_timed;

    while (walk_next(at)) {
        if (at->key[0] == 'v' ? walk_is(at, "value", 5) : false) {
            value = *at;
        } else if (at->type != WALK_NULL &&
                   (walk_is(at, "validFrom", 9) || walk_is(at, "expiresAt", 9))) {
            is_timed = true;
        }
    }
    if (at->start != at->end) {
        return false;
    }
    if (is_timed) {
        head.type = WALK_DOCUMENT;
        head.is_whole = 1;
        pk_buf_add(out, &head, sizeof(head));
        return add_trait(out, trait->value, trait->size);
    }
    if (value.type != WALK_NULL) {
        head.type = value.type;
        char *to = pk_buf_reserve(out, sizeof(head) + value.size);
        memcpy(to, &head, sizeof(head));
        memcpy(to + sizeof(head), value.value, value.size);
        out->size += sizeof(head) + value.size;
    }
    return true;
}

/* Sets out on a trait and stops behind its id; from the start again when something is before it. */
static uint32_t find_slot(const struct pk_jail_cut *cut, const struct walk_at *trait,
                          struct walk_at *at)
{
    const char *id = NULL;
    size_t size = 0;

    walk_into(at, trait->value, trait->size);
    if (walk_next(at) && walk_is_id(at)) {
        id = walk_text(at, &size);
    } else if (walk_id(trait->value, trait->size, &id, &size)) {
        walk_into(at, trait->value, trait->size);
    } else {
        return 0;
    }
    return find_place(cut, id, size)->slot;
}

/* Behind the input: the traits that have a slot. */
static bool add_slots(const struct pk_jail_cut *cut, const struct walk_at *traits,
                      struct pk_buf *out)
{
    struct walk_at at, inner;

    for (walk_into(&at, traits->value, traits->size); walk_next(&at);) {
        __builtin_prefetch(at.next + AHEAD_BYTES);
        __builtin_prefetch(at.next + AHEAD_BYTES + 64);
        const uint32_t slot = at.type == WALK_DOCUMENT ? find_slot(cut, &at, &inner) : 0;
        if (slot && !add_slot(cut, out, slot, &at, &inner)) {
            return false;
        }
    }
    return at.start == at.end;
}

static bool is_below(const struct pk_jail_cut *cut, const struct walk_at *trait)
{
    const char *id = NULL;
    size_t size = 0;

    if (cut->has_code) {
        return true;
    }
    if (!walk_id(trait->value, trait->size, &id, &size)) {
        return false;
    }
    for (size_t i = 0; i < cut->prefixes; i++) {
        const struct text *prefix = &cut->prefix[i];
        if (size >= prefix->size && memcmp(id, prefix->data, prefix->size) == 0) {
            return true;
        }
    }
    return false;
}

/* The array of traits, cut. */
static bool add_list(const struct pk_jail_cut *cut, const struct walk_at *traits,
                     struct pk_buf *out)
{
    const size_t start = begin(out, WALK_ARRAY, traits->key);
    const bool has_some = cut->has_code || cut->prefixes;
    struct walk_at at = { .start = NULL };
    bool is_good = true;
    uint32_t count = 0;

    for (walk_into(&at, traits->value, traits->size); has_some && is_good && walk_next(&at);) {
        if (at.type != WALK_DOCUMENT || is_below(cut, &at)) {
            char key[16];
            (void)snprintf(key, sizeof(key), "%u", count++);
            pk_buf_add(out, &at.type, 1);
            pk_buf_add(out, key, strlen(key) + 1);
            if (at.type == WALK_DOCUMENT) {
                is_good = add_trait(out, at.value, at.size);
            } else {
                pk_buf_add(out, at.value, at.size);
            }
        }
    }
    end(out, start);
    return is_good && (!has_some || at.start == at.end);
}

/* ---- The input ---- */

static bool is_traits(const struct walk_at *at)
{
    return walk_is(at, "traits", 6) || walk_is(at, "traitMatrix", 11);
}

/* The traits of a mindscape, as the library finds them; false: neither an array nor nothing. */
static bool find_traits(const struct walk_at *mindscape, struct walk_at *out)
{
    struct walk_at at, matrix = { .type = WALK_NULL };

    out->type = WALK_NULL;
    for (walk_into(&at, mindscape->value, mindscape->size); walk_next(&at);) {
        if (walk_is(&at, "traits", 6)) {
            *out = at;
        } else if (walk_is(&at, "traitMatrix", 11)) {
            matrix = at;
        }
    }
    if (out->type == WALK_NULL) {
        *out = matrix;
    }
    return at.start == at.end && (out->type == WALK_ARRAY || out->type == WALK_NULL);
}

/* All of a mindscape, its traits cut. */
static bool add_mindscape(const struct pk_jail_cut *cut, const struct walk_at *mindscape,
                          struct pk_buf *out)
{
    const size_t start = begin(out, WALK_DOCUMENT, "mindscape");
    struct walk_at at;
    bool is_good = true;

    for (walk_into(&at, mindscape->value, mindscape->size); is_good && walk_next(&at);) {
        if (is_traits(&at) && at.type == WALK_ARRAY) {
            is_good = add_list(cut, &at, out);
        } else {
            add_element(out, &at);
        }
    }
    end(out, start);
    return is_good && at.start == at.end;
}

/* Nothing of it but traits. */
static bool add_traits(const struct pk_jail_cut *cut, const struct walk_at *mindscape,
                       struct walk_at *out_traits, struct pk_buf *out)
{
    const size_t start = begin(out, WALK_DOCUMENT, "mindscape");
    bool is_good = find_traits(mindscape, out_traits);

    if (is_good && out_traits->type == WALK_ARRAY) {
        is_good = add_list(cut, out_traits, out);
    }
    end(out, start);
    return is_good;
}

/* What rules look at beside the mindscape. */
static bool is_for_rules(const struct walk_at *at)
{
    return walk_is(at, "now", 3) || walk_is(at, "detail", 6) || walk_is(at, "halves", 6);
}

static bool add_input(const struct pk_jail_cut *cut, const uint8_t *input, size_t size,
                      struct walk_at *out_traits, struct pk_buf *out)
{
    const size_t start = out->size;
    struct walk_at at;
    bool is_good = true;
    unsigned mindscapes = 0;

    pk_buf_add(out, "\0\0\0\0", 4);
    for (walk_into(&at, input, size); is_good && walk_next(&at);) {
        if (walk_is(&at, "mindscape", 9)) {
            mindscapes++;
            is_good = at.type == WALK_DOCUMENT && mindscapes == 1 &&
                      (cut->has_code ? add_mindscape(cut, &at, out)
                                     : add_traits(cut, &at, out_traits, out));
        } else if (cut->has_code || is_for_rules(&at)) {
            add_element(out, &at);
        }
    }
    end(out, start);
    return is_good && at.start == at.end;
}

bool jail_cut(const struct pk_jail_cut *cut, const uint8_t *input, size_t size, struct pk_buf *out,
              struct pk_wire_call *wire)
{
    struct walk_at traits = { .type = WALK_NULL };
    const size_t start = out->size;

    if (!add_input(cut, input, size, &traits, out)) {
        out->size = start;
        return false;
    }
    const size_t behind = out->size;
    if (traits.type == WALK_ARRAY && !add_slots(cut, &traits, out)) {
        out->size = start;
        return false;
    }
    wire->is_cut = !cut->has_code;
    wire->cut_size = (uint32_t)(out->size - behind);
    return true;
}
