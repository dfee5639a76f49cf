/* outbox_waits.c - A table by the id of the task or the person. */
/* SPDX-License-Identifier: MIT */
#include "feed/outbox_waits.h"

#include "base/alloc.h"

#include <string.h>

static struct pk_wait **bucket_of(struct pk_waits *waits, const char *key)
{
    uint32_t value = 2166136261U; /* FNV-1a */
    for (; *key; key++) {
        value = (value ^ (uint8_t)*key) * 16777619U;
    }
    return &waits->bucket[(value ^ (value >> 16)) % PK_WAITS_BUCKETS];
}

static void finish(struct pk_waits *waits, struct pk_wait **link)
{
    struct pk_wait *wait = *link;
    *link = wait->next;
    wait->next = waits->over;
    waits->over = wait;
    waits->count--;
}

void pk_waits_add(struct pk_waits *waits, const struct pk_wait *wait)
{
    struct pk_wait **bucket = bucket_of(waits, wait->key);
    struct pk_wait *copy = pk_alloc(sizeof(*copy));
    *copy = *wait;
    copy->next = *bucket;
    *bucket = copy;
    waits->count++;
    if (copy->left == 0) {
        finish(waits, bucket);
    }
}

void pk_waits_end(struct pk_waits *waits, const char *key, uint64_t number)
{
    if (waits->count == 0) {
        return;
    }
    for (struct pk_wait **link = bucket_of(waits, key); *link;) {
        struct pk_wait *wait = *link;
        if (strcmp(wait->key, key) == 0 && number <= wait->number && --wait->left == 0) {
            finish(waits, link);
        } else {
            link = &wait->next;
        }
    }
}

void pk_waits_expire(struct pk_waits *waits, int64_t now_ns)
{
    for (size_t i = 0; i < PK_WAITS_BUCKETS; i++) {
        for (struct pk_wait **link = &waits->bucket[i]; *link;) {
            if ((*link)->until_ns <= now_ns) {
                finish(waits, link);
            } else {
                link = &(*link)->next;
            }
        }
    }
}

void pk_waits_call(struct pk_wait *over)
{
    for (struct pk_wait *next; over; over = next) {
        next = over->next;
        over->wake(over->context);
        pk_free(over);
    }
}
