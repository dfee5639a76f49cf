/* digest.c - Feeds a document to the hash, field by field in sorted order.
 *
 * Each value goes in as its type, its size and its bytes; objects and arrays
 * as their type, their number of entries and these in turn. So no two different
 * documents feed the same bytes. Nesting is at most PK_DOC_MAX_DEPTH. */
/* SPDX-License-Identifier: MIT */
#include "ops/digest.h"

#include "base/alloc.h"
#include "doc/doc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* An entry of an object, in plain memory: a bson_iter_t must not be put into an array of ours,
 * because it wants an alignment that the heap does not give. */
struct entry {
    const char *key;
    const uint8_t *data; /* The value's bytes. */
    uint32_t size;
    bson_type_t type;
};

static void add_object(struct pk_hasher *hasher, const uint8_t *data, size_t size, bool is_sorted);

static void add_sized(struct pk_hasher *hasher, const void *data, uint32_t size)
{
    pk_hasher_add(hasher, &size, sizeof(size));
    pk_hasher_add(hasher, data, size);
}

static void add_value(struct pk_hasher *hasher, const struct entry *entry)
{
    uint8_t type = (uint8_t)entry->type;
    pk_hasher_add(hasher, &type, 1);
    if (entry->type == BSON_TYPE_DOCUMENT || entry->type == BSON_TYPE_ARRAY) {
        add_object(hasher, entry->data, entry->size, entry->type == BSON_TYPE_DOCUMENT);
    } else {
        add_sized(hasher, entry->data, entry->size);
    }
}

static int compare_keys(const void *a, const void *b)
{
    const struct entry *entry_a = a;
    const struct entry *entry_b = b;
    return strcmp(entry_a->key, entry_b->key);
}

/* The bytes of a value lie behind its key, up to the next entry; null has none. */
static struct entry read_entry(const bson_iter_t *iter)
{
    uint32_t start = iter->d1 ? iter->d1 : iter->next_off;
    return (struct entry){ .key = bson_iter_key(iter),
                           .data = iter->raw + start,
                           .size = iter->next_off - start,
                           .type = bson_iter_type(iter) };
}

static void add_object(struct pk_hasher *hasher, const uint8_t *data, size_t size, bool is_sorted)
{
    struct entry *entry = NULL;
    size_t count = 0;
    size_t capacity = 0;
    bson_iter_t iter;

    bool is_sound = bson_iter_init_from_data(&iter, data, size);
    assert(is_sound); /* A document was checked when it was made. */
    while (is_sound && bson_iter_next(&iter)) {
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            entry = pk_realloc(entry, capacity * sizeof(*entry));
        }
        entry[count++] = read_entry(&iter);
    }
    if (is_sorted && count > 1) {
        qsort(entry, count, sizeof(*entry), compare_keys);
    }
    uint32_t entries = (uint32_t)count;
    pk_hasher_add(hasher, &entries, sizeof(entries));
    for (size_t i = 0; i < count; i++) {
        if (is_sorted) {
            add_sized(hasher, entry[i].key, (uint32_t)strlen(entry[i].key));
        }
        add_value(hasher, &entry[i]);
    }
    pk_free(entry);
}

void pk_digest_doc(const struct pk_doc *doc, uint8_t out[PK_HASH_BYTES])
{
    struct pk_hasher hasher;
    pk_hasher_init(&hasher);
    add_object(&hasher, pk_doc_data(doc), pk_doc_size(doc), true);
    pk_hasher_end(&hasher, out);
}

void pk_sum_add(struct pk_sum *sum, const uint8_t digest[PK_HASH_BYTES])
{
    for (size_t i = 0; i < PK_COUNT(sum->word); i++) {
        uint64_t word;
        memcpy(&word, digest + 8 * i, sizeof(word));
        sum->word[i] += word;
    }
    sum->count++;
}

bool pk_sum_equal(const struct pk_sum *a, const struct pk_sum *b)
{
    return a->count == b->count && memcmp(a->word, b->word, sizeof(a->word)) == 0;
}

void pk_sum_text(const struct pk_sum *sum, char out[PK_HASH_TEXT])
{
    pk_hex(out, sum->word, sizeof(sum->word));
}
