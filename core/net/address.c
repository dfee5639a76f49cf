/* address.c - How many connections each address has, so that one cannot take them all.
 *
 * A small open table from address to count, grown when it is half full; rows
 * whose count is 0 are reused. An IPv6 address counts by its /64, which is
 * what one customer is given. Who comes by a Unix socket, and trusted proxies,
 * are not counted.
 *
 * Locked by its own mutex: any loop, once per connection made and closed. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"

#include <netinet/in.h>
#include <string.h>

enum { KEY = 16, ROWS_FIRST = 256 };

struct row {
    uint8_t key[KEY];
    size_t count; /* 0: the row is free, but probing goes on behind it. */
    bool is_used; /* Ever. */
};
struct pk_addresses {
    pthread_mutex_t lock;
    struct row *row;
    size_t rows, used; /* 'rows' is a power of two. */
    size_t most_each;
    const struct pk_trust *trust;
    uint64_t seed;
};

struct pk_addresses *pk_addresses_new(size_t most_each, const struct pk_trust *trust)
{
    struct pk_addresses *addresses = pk_calloc(1, sizeof(*addresses));
    (void)pthread_mutex_init(&addresses->lock, NULL);
    addresses->rows = ROWS_FIRST;
    addresses->row = pk_calloc(addresses->rows, sizeof(*addresses->row));
    addresses->most_each = most_each;
    addresses->trust = trust;
    addresses->seed = pk_random_u64();
    return addresses;
}

void pk_addresses_free(struct pk_addresses *addresses)
{
    if (addresses) {
        (void)pthread_mutex_destroy(&addresses->lock);
        pk_free(addresses->row);
        pk_free(addresses);
    }
}

/* All zero for who is not counted: Unix sockets, and proxies, which bring everybody else. */
static void make_key(const struct pk_addresses *addresses, const struct sockaddr *from,
                     uint8_t key[KEY])
{
    uint8_t address[PK_ADDRESS_BYTES];
    pk_address_from(from, address);
    memset(key, 0, KEY);
    if (from->sa_family == AF_UNIX || pk_trust_has(addresses->trust, address)) {
        return;
    }
    if (pk_address_is_v4(address)) {
        key[0] = 4;
        memcpy(key + 4, address + 12, 4);
    } else {
        key[0] = 6;
        memcpy(key + 8, address, 8);
    }
}

/* The key's row, or where it would go. */
static struct row *find(const struct pk_addresses *addresses, const uint8_t key[KEY])
{
    uint64_t hash = addresses->seed;
    struct row *room = NULL;
    for (size_t i = 0; i < KEY; i++) {
        hash = (hash ^ key[i]) * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 29;
    }
    for (size_t at = (size_t)hash;; at++) {
        struct row *row = &addresses->row[at & (addresses->rows - 1)];
        if (row->count > 0 && memcmp(row->key, key, KEY) == 0) {
            return row;
        }
        if (row->count == 0 && !room) {
            room = row;
        }
        if (!row->is_used) {
            return room;
        }
    }
}

/* Makes the table twice as large, or as large as it is when most rows are free again. */
static void rebuild(struct pk_addresses *addresses)
{
    struct row *old = addresses->row;
    size_t old_rows = addresses->rows;
    size_t live = 0;
    for (size_t i = 0; i < old_rows; i++) {
        live += old[i].count > 0;
    }
    if (live * 4 > old_rows) {
        addresses->rows *= 2;
    }
    addresses->row = pk_calloc(addresses->rows, sizeof(*addresses->row));
    addresses->used = live;
    for (size_t i = 0; i < old_rows; i++) {
        if (old[i].count > 0) {
            *find(addresses, old[i].key) = old[i];
        }
    }
    pk_free(old);
}

bool pk_addresses_enter(struct pk_addresses *addresses, const struct sockaddr *address,
                        uint8_t out_key[KEY])
{
    make_key(addresses, address, out_key);
    if (out_key[0] == 0) {
        return true;
    }
    (void)pthread_mutex_lock(&addresses->lock);
    if (addresses->used * 2 >= addresses->rows) {
        rebuild(addresses);
    }
    struct row *row = find(addresses, out_key);
    bool has_room = row->count < addresses->most_each;
    if (has_room) {
        memcpy(row->key, out_key, KEY);
        addresses->used += !row->is_used;
        row->is_used = true;
        row->count++;
    }
    (void)pthread_mutex_unlock(&addresses->lock);
    return has_room;
}

void pk_addresses_leave(struct pk_addresses *addresses, const uint8_t key[KEY])
{
    if (key[0] == 0) {
        return;
    }
    (void)pthread_mutex_lock(&addresses->lock);
    find(addresses, key)->count--;
    (void)pthread_mutex_unlock(&addresses->lock);
}
