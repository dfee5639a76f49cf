/* list.c - Lists, their documents and their names.
 *
 * An id is a UUID v4 that hides its list: 64 of its 122 free bits are the name
 * and part, sent through a small keyed permutation so that ids lie scattered
 * as random ones do; the other 58 are a hash of those, so that a damaged or
 * foreign id is told from ours. */
/* SPDX-License-Identifier: MIT */
#include "list.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum {
    ROUNDS = 4,            /* Of the permutation. */
    TEXT_MAX = 1200,       /* Bytes of an ordinary observation's text, at most. */
    BIG_EVERY = 64,        /* One observation in so many ... */
    BIG_BYTES = 20 * 1024, /* ... needs several pages. */
    CHECK_BITS = 58
};
static const int64_t BASE_MS = 1767225600000;  /* 2026-01-01. */
static const int64_t NEVER_MS = 4102444800000; /* 2100-01-01: expires after every test. */

/* ---- The inventory ---- */

static const struct pk_schema open_schema = {
    .name = "FaultDocument",
    .is_open = true,
    .help = "Anything: the lists know what their documents are.",
};
static const struct pk_index observation_index[] = {
    { .name = "by_user_created",
      .key = { { "userId", false }, { "createdAt", true } },
      .key_count = 2 },
    { .name = "by_tag", .key = { { "tags[]", false } }, .key_count = 1 },
};
static const struct pk_index task_index[] = {
    { .name = "by_state_due", .key = { { "state", false }, { "dueAt", false } }, .key_count = 2 },
};
static const struct pk_index key_index[] = {
    { .name = "by_actor_key",
      .key = { { "actorId", false }, { "key", false } },
      .key_count = 2,
      .is_unique = true },
};
static const struct pk_collection collection_table[] = {
    { .name = "observations",
      .schema = &open_schema,
      .index = observation_index,
      .index_count = PK_COUNT(observation_index),
      .help = "What came in." },
    { .name = "outbox",
      .schema = &open_schema,
      .index = task_index,
      .index_count = PK_COUNT(task_index),
      .help = "What is to be done about it." },
    { .name = "events", .schema = &open_schema, .is_feed = true, .help = "Who hears of it." },
    { .name = "idempotency",
      .schema = &open_schema,
      .index = key_index,
      .index_count = PK_COUNT(key_index),
      .ttl_path = "expiresAt",
      .help = "What was answered." },
    { .name = "counters",
      .schema = &open_schema,
      .is_guarded = true,
      .help = "Read, add one, replace." },
};

const struct pk_inventory *fault_inventory(void)
{
    static const struct pk_inventory inventory = {
        .collection = collection_table,
        .count = PK_COUNT(collection_table),
        .schema_version = 1,
    };
    return &inventory;
}

const char *fault_collection(enum fault_part part)
{
    static const char *const name[FAULT_PART_COUNT] = {
        [FAULT_OBSERVATION] = "observations",
        [FAULT_TASK] = "outbox",
        [FAULT_EVENT] = "events",
        [FAULT_KEY] = "idempotency",
    };
    return name[part];
}

/* ---- Names and ids ---- */

/* SplitMix64's finisher: every bit of the input moves half of the output's. */
uint64_t fault_mix(uint64_t seed, uint64_t value)
{
    uint64_t x = seed + (value + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

enum fault_kind fault_kind_of(uint32_t number)
{
    if (number % 32 == 31) {
        return FAULT_TWICE;
    }
    if (number % 16 == 6) {
        return FAULT_SHARED;
    }
    if (number % 4 == 1) {
        return FAULT_OWN;
    }
    return number % 8 == 3 ? FAULT_LOOK : FAULT_PLAIN;
}

/* A Feistel network: whatever the round function, run backwards it undoes itself. */
static uint64_t hide(uint64_t seed, uint64_t plain)
{
    uint32_t left = (uint32_t)(plain >> 32);
    uint32_t right = (uint32_t)plain;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint32_t next = left ^ (uint32_t)fault_mix(seed + round, right);
        left = right;
        right = next;
    }
    return (uint64_t)left << 32 | right;
}

static uint64_t reveal(uint64_t seed, uint64_t hidden)
{
    uint32_t left = (uint32_t)(hidden >> 32);
    uint32_t right = (uint32_t)hidden;
    for (uint64_t round = ROUNDS; round-- > 0;) {
        uint32_t before = right ^ (uint32_t)fault_mix(seed + round, left);
        right = left;
        left = before;
    }
    return (uint64_t)left << 32 | right;
}

static void write_uuid(char out[PK_UUID_TEXT], uint64_t seed, uint64_t hidden)
{
    uint64_t check = fault_mix(~seed, hidden) >> (64 - CHECK_BITS);
    (void)snprintf(out, PK_UUID_TEXT, "%08x-%04x-4%03x-%04x-%04x%08x", (unsigned)(hidden >> 32),
                   (unsigned)(hidden >> 16 & 0xffff), (unsigned)(check & 0xfff),
                   (unsigned)(0x8000 | (check >> 12 & 0x3fff)), (unsigned)(hidden & 0xffff),
                   (unsigned)(check >> 26));
}

void fault_id(char out[PK_UUID_TEXT], uint64_t seed, struct fault_name name, enum fault_part part)
{
    uint64_t plain = (uint64_t)name.run << 46 | (uint64_t)name.thread << 36 |
                     (uint64_t)name.number << 4 | (uint64_t)part;
    write_uuid(out, seed, hide(seed, plain));
}

bool fault_id_read(const char *id, uint64_t seed, struct fault_name *out_name,
                   enum fault_part *out_part)
{
    unsigned high, middle, low;
    if (strlen(id) != PK_UUID_TEXT - 1 || sscanf(id, "%8x-%4x-", &high, &middle) != 2 ||
        sscanf(id + 24, "%4x", &low) != 1) {
        return false;
    }
    uint64_t hidden = (uint64_t)high << 32 | (uint64_t)middle << 16 | low;
    uint64_t plain = reveal(seed, hidden);
    char again[PK_UUID_TEXT];
    write_uuid(again, seed, hidden);
    if (strcmp(again, id) != 0 || plain >> 60 != 0 || (plain & 15) >= FAULT_PART_COUNT) {
        return false;
    }
    *out_name = (struct fault_name){ .run = (uint32_t)(plain >> 46),
                                     .thread = (uint32_t)(plain >> 36 & 0x3ff),
                                     .number = (uint32_t)(plain >> 4) };
    *out_part = (enum fault_part)(plain & 15);
    return true;
}

void fault_person(char out[PK_UUID_TEXT], uint64_t seed, uint32_t thread)
{
    write_uuid(out, seed + 1, hide(seed + 1, thread));
}

void fault_own_id(char out[32], uint32_t thread)
{
    (void)snprintf(out, 32, "own-%u", thread);
}

void fault_shared_id(char out[32], struct fault_name name)
{
    (void)snprintf(out, 32, "shared-%u", name.number / 16 % FAULT_SHARED_COUNT);
}

/* ---- Documents ---- */

static void add_text(bson_t *doc, uint64_t random)
{
    size_t size = random % BIG_EVERY == 0 ? BIG_BYTES : 50 + random % TEXT_MAX;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    char *at = pk_buf_reserve(&text, size);
    for (size_t i = 0; i < size; i++) {
        at[i] = (char)('a' + (random >> (i % 59)) % 26);
        random += i % 59 == 0 ? 0x9e3779b97f4a7c15u : 0;
    }
    bson_append_utf8(doc, "raw", -1, at, (int)size);
}

static void build_observation(bson_t *doc, uint64_t seed, struct fault_name name)
{
    char person[PK_UUID_TEXT];
    bson_t tags;
    uint64_t random = fault_mix(seed ^ name.thread, (uint64_t)name.run << 32 | name.number);
    fault_person(person, seed, name.thread);
    BSON_APPEND_UTF8(doc, "userId", person);
    BSON_APPEND_DATE_TIME(doc, "createdAt", BASE_MS + name.number / 3);
    BSON_APPEND_ARRAY_BEGIN(doc, "tags", &tags);
    BSON_APPEND_UTF8(&tags, "0", random % 2 ? "odd" : "even");
    BSON_APPEND_UTF8(&tags, "1", "all");
    bson_append_array_end(doc, &tags);
    add_text(doc, random);
}

static void build_task(bson_t *doc, uint64_t seed, struct fault_name name)
{
    char observation[PK_UUID_TEXT];
    fault_id(observation, seed, name, FAULT_OBSERVATION);
    BSON_APPEND_UTF8(doc, "type", "process");
    BSON_APPEND_UTF8(doc, "state", "pending");
    BSON_APPEND_DATE_TIME(doc, "dueAt", BASE_MS + name.number);
    BSON_APPEND_UTF8(doc, "observationId", observation);
}

static void build_event(bson_t *doc, uint64_t seed, struct fault_name name)
{
    char person[PK_UUID_TEXT];
    fault_person(person, seed, name.thread);
    BSON_APPEND_UTF8(doc, "type", "observation.accepted");
    BSON_APPEND_UTF8(doc, "personId", person);
    BSON_APPEND_INT64(doc, "version", name.number);
}

static void build_key(bson_t *doc, uint64_t seed, struct fault_name name)
{
    char observation[PK_UUID_TEXT];
    char key[64];
    fault_id(observation, seed, name, FAULT_OBSERVATION);
    (void)snprintf(key, sizeof(key), "%u.%u.%u", name.run, name.thread, name.number);
    BSON_APPEND_UTF8(doc, "actorId", "fault");
    BSON_APPEND_UTF8(doc, "key", key);
    BSON_APPEND_UTF8(doc, "answer", observation);
    BSON_APPEND_DATE_TIME(doc, "expiresAt", NEVER_MS);
}

struct pk_doc *fault_doc(uint64_t seed, struct fault_name name, enum fault_part part)
{
    static void (*const build[FAULT_PART_COUNT])(bson_t *, uint64_t, struct fault_name) = {
        [FAULT_OBSERVATION] = build_observation,
        [FAULT_TASK] = build_task,
        [FAULT_EVENT] = build_event,
        [FAULT_KEY] = build_key,
    };
    bson_t doc = BSON_INITIALIZER;
    char id[PK_UUID_TEXT];
    fault_id(id, seed, name, part);
    BSON_APPEND_UTF8(&doc, "_id", id);
    build[part](&doc, seed, name);
    return pk_doc_take(&doc);
}

/* ---- Counters ---- */

int64_t fault_counter_value(const struct pk_doc *counter)
{
    return counter ? pk_doc_int(counter, "value", -1) : 0;
}

static struct pk_doc *make_counter(const char *id, int64_t value)
{
    bson_t doc = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_INT64(&doc, "value", value);
    return pk_doc_take(&doc);
}

/* Reads the counter and adds its raising, or its first insert, to the list. */
static bool raise_counter(struct pk_writes *list, struct pk_store *store, const char *id,
                          int64_t deadline_ns, int64_t *out_value, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = NULL;
    if (!pk_store_get(store, "counters", id, deadline_ns, &old, err)) {
        return false;
    }
    *out_value = fault_counter_value(old) + 1;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *new = make_counter(id, *out_value);
    if (old) {
        pk_writes_replace(list, "counters", new, pk_doc_version(old));
    } else {
        pk_writes_insert(list, "counters", new);
    }
    return true;
}

static bool look_at_counter(struct pk_writes *list, struct pk_store *store, const char *id,
                            int64_t deadline_ns, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = NULL;
    if (!pk_store_get(store, "counters", id, deadline_ns, &old, err)) {
        return false;
    }
    if (old) {
        pk_writes_expect(list, "counters", id, pk_doc_version(old));
    } else {
        pk_writes_expect_absent(list, "counters", id);
    }
    return true;
}

/* ---- Lists ---- */

static void add_parts(struct pk_writes *list, uint64_t seed, struct fault_name name,
                      struct fault_name observation)
{
    for (enum fault_part part = 0; part < FAULT_PART_COUNT; part++) {
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *doc = fault_doc(seed, part == FAULT_OBSERVATION ? observation : name, part);
        if (part == FAULT_EVENT) {
            pk_writes_announce(list, doc);
        } else {
            pk_writes_insert(list, fault_collection(part), doc);
        }
    }
}

bool fault_list_fill(struct pk_writes *list, struct pk_store *store, uint64_t seed,
                     struct fault_name name, enum fault_kind kind, int64_t deadline_ns,
                     int64_t *out_value, struct pk_error *err)
{
    struct fault_name observation = name;
    char own[32];
    char shared[32];
    *out_value = 0;
    fault_own_id(own, name.thread);
    fault_shared_id(shared, name);
    if (kind == FAULT_TWICE) {
        observation.number--;
    }
    add_parts(list, seed, name, observation);
    switch (kind) {
    case FAULT_PLAIN:
    case FAULT_TWICE:
        return true;
    case FAULT_OWN:
        return raise_counter(list, store, own, deadline_ns, out_value, err);
    case FAULT_SHARED:
        return raise_counter(list, store, shared, deadline_ns, out_value, err);
    case FAULT_LOOK:
        return look_at_counter(list, store, own, deadline_ns, err);
    }
    return true;
}
