/* outbox_lines.c - Lines of people, a heap of times, a queue of those who are due.
 *
 * Whatever changes a line ends in 'tend', the one place that makes its first
 * due. What became due and is no longer the first (an older task was found in
 * the store) is put back when it is taken. */
/* SPDX-License-Identifier: MIT */
#include "feed/outbox_lines.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

enum { BUCKETS_FIRST = 256 };

struct pk_line {
    char person[PK_UUID_TEXT];
    struct pk_entry *first, *last;
    struct pk_entry *held; /* Nobody moves up while there is one. */
    size_t length;         /* In the line. */
    size_t users;          /* Entries that name it. */
    struct pk_line *bucket_next;
};

/* ---- Queues ---- */

void pk_entries_add(struct pk_entries *queue, struct pk_entry *entry)
{
    entry->next = NULL;
    if (queue->last) {
        queue->last->next = entry;
    } else {
        queue->first = entry;
    }
    queue->last = entry;
    queue->count++;
}

struct pk_entry *pk_entries_take(struct pk_entries *queue)
{
    struct pk_entry *entry = queue->first;
    if (entry) {
        queue->first = entry->next;
        queue->last = queue->first ? queue->last : NULL;
        queue->count--;
        entry->next = NULL;
    }
    return entry;
}

/* ---- Tables ---- */

/* FNV-1a; ids and people are random already. */
static size_t hash(const char *text)
{
    uint64_t value = UINT64_C(14695981039346656037);
    for (; *text; text++) {
        value = (value ^ (uint8_t)*text) * UINT64_C(1099511628211);
    }
    return (size_t)(value ^ (value >> 32));
}

void pk_lines_init(struct pk_lines *lines)
{
    *lines = (struct pk_lines){ .entry_buckets = BUCKETS_FIRST, .line_buckets = BUCKETS_FIRST };
    lines->entry = pk_calloc(BUCKETS_FIRST, sizeof(struct pk_entry *));
    lines->line = pk_calloc(BUCKETS_FIRST, sizeof(struct pk_line *));
}

void pk_lines_done(struct pk_lines *lines)
{
    for (size_t i = 0; i < lines->entry_buckets; i++) {
        for (struct pk_entry *next, *entry = lines->entry[i]; entry; entry = next) {
            next = entry->bucket_next;
            pk_free(entry);
        }
    }
    for (size_t i = 0; i < lines->line_buckets; i++) {
        for (struct pk_line *next, *line = lines->line[i]; line; line = next) {
            next = line->bucket_next;
            pk_free(line);
        }
    }
    pk_free(lines->entry);
    pk_free(lines->line);
    pk_free(lines->heap);
    *lines = (struct pk_lines){ 0 };
}

static void grow_entries(struct pk_lines *lines)
{
    const size_t buckets = lines->entry_buckets * 2;
    struct pk_entry **table = pk_calloc(buckets, sizeof(struct pk_entry *));
    for (size_t i = 0; i < lines->entry_buckets; i++) {
        for (struct pk_entry *next, *entry = lines->entry[i]; entry; entry = next) {
            struct pk_entry **bucket = &table[hash(entry->id) % buckets];
            next = entry->bucket_next;
            entry->bucket_next = *bucket;
            *bucket = entry;
        }
    }
    pk_free(lines->entry);
    lines->entry = table;
    lines->entry_buckets = buckets;
}

static void grow_lines(struct pk_lines *lines)
{
    const size_t buckets = lines->line_buckets * 2;
    struct pk_line **table = pk_calloc(buckets, sizeof(struct pk_line *));
    for (size_t i = 0; i < lines->line_buckets; i++) {
        for (struct pk_line *next, *line = lines->line[i]; line; line = next) {
            struct pk_line **bucket = &table[hash(line->person) % buckets];
            next = line->bucket_next;
            line->bucket_next = *bucket;
            *bucket = line;
        }
    }
    pk_free(lines->line);
    lines->line = table;
    lines->line_buckets = buckets;
}

struct pk_entry *pk_lines_find(const struct pk_lines *lines, const char *id)
{
    struct pk_entry *entry = lines->entry[hash(id) % lines->entry_buckets];
    while (entry && strcmp(entry->id, id) != 0) {
        entry = entry->bucket_next;
    }
    return entry;
}

static struct pk_line *find_line(const struct pk_lines *lines, const char *person)
{
    struct pk_line *line = lines->line[hash(person) % lines->line_buckets];
    while (line && strcmp(line->person, person) != 0) {
        line = line->bucket_next;
    }
    return line;
}

static void copy_id(char out[PK_UUID_TEXT], const char *id)
{
    const size_t length = strnlen(id, PK_UUID_TEXT - 1);
    memcpy(out, id, length);
    out[length] = '\0';
}

static struct pk_line *use_line(struct pk_lines *lines, const char *person)
{
    struct pk_line *line = find_line(lines, person);
    if (!line) {
        if (lines->line_count == lines->line_buckets) {
            grow_lines(lines);
        }
        struct pk_line **bucket = &lines->line[hash(person) % lines->line_buckets];
        line = pk_calloc(1, sizeof(*line));
        copy_id(line->person, person);
        line->bucket_next = *bucket;
        *bucket = line;
        lines->line_count++;
    }
    line->users++;
    return line;
}

static void leave_line(struct pk_lines *lines, struct pk_line *line)
{
    if (--line->users > 0) {
        return;
    }
    struct pk_line **link = &lines->line[hash(line->person) % lines->line_buckets];
    while (*link != line) {
        link = &(*link)->bucket_next;
    }
    *link = line->bucket_next;
    lines->line_count--;
    pk_free(line);
}

const char *pk_entry_person(const struct pk_entry *entry)
{
    return entry->line ? entry->line->person : NULL;
}

size_t pk_lines_length(const struct pk_lines *lines, const char *person)
{
    const struct pk_line *line = find_line(lines, person);
    return line ? line->length : 0;
}

/* ---- The heap ---- */

static void heap_set(struct pk_lines *lines, size_t at, struct pk_entry *entry)
{
    lines->heap[at] = entry;
    entry->heap_at = at;
}

static void heap_up(struct pk_lines *lines, size_t at)
{
    struct pk_entry *entry = lines->heap[at];
    for (; at > 1 && lines->heap[at / 2]->wake_ms > entry->wake_ms; at /= 2) {
        heap_set(lines, at, lines->heap[at / 2]);
    }
    heap_set(lines, at, entry);
}

static void heap_down(struct pk_lines *lines, size_t at)
{
    struct pk_entry *entry = lines->heap[at];
    for (size_t child = at * 2; child <= lines->heap_count; at = child, child *= 2) {
        if (child < lines->heap_count &&
            lines->heap[child + 1]->wake_ms < lines->heap[child]->wake_ms) {
            child++;
        }
        if (lines->heap[child]->wake_ms >= entry->wake_ms) {
            break;
        }
        heap_set(lines, at, lines->heap[child]);
    }
    heap_set(lines, at, entry);
}

static void heap_add(struct pk_lines *lines, struct pk_entry *entry)
{
    if (lines->heap_count + 1 >= lines->heap_size) {
        lines->heap_size = lines->heap_size ? lines->heap_size * 2 : 64;
        lines->heap = pk_realloc(lines->heap, lines->heap_size * sizeof(struct pk_entry *));
    }
    lines->heap[++lines->heap_count] = entry;
    heap_up(lines, lines->heap_count);
}

static void heap_remove(struct pk_lines *lines, struct pk_entry *entry)
{
    const size_t at = entry->heap_at;
    struct pk_entry *last = lines->heap[lines->heap_count--];
    entry->heap_at = 0;
    if (last != entry) {
        heap_set(lines, at, last);
        heap_up(lines, at);
        heap_down(lines, last->heap_at);
    }
}

/* ---- Lines ---- */

static void make_due(struct pk_lines *lines, struct pk_entry *entry)
{
    entry->state = PK_ENTRY_DUE;
    pk_entries_add(&lines->due, entry);
}

/* Its time has come, or it waits for it. */
static void await_time(struct pk_lines *lines, struct pk_entry *entry, int64_t now_ms)
{
    if (entry->wake_ms <= now_ms) {
        make_due(lines, entry);
    } else if (!entry->heap_at) {
        heap_add(lines, entry);
    }
}

static void tend(struct pk_lines *lines, struct pk_line *line, int64_t now_ms)
{
    if (line->first && !line->held && line->first->state == PK_ENTRY_RESTS) {
        await_time(lines, line->first, now_ms);
    }
}

static bool is_older(const struct pk_entry *a, const struct pk_entry *b)
{
    return a->created_ms != b->created_ms ? a->created_ms < b->created_ms
                                          : strcmp(a->id, b->id) < 0;
}

/* Behind 'at'; NULL: to the front. */
static void put_behind(struct pk_line *line, struct pk_entry *entry, struct pk_entry *at)
{
    entry->before = at;
    entry->behind = at ? at->behind : line->first;
    *(entry->behind ? &entry->behind->before : &line->last) = entry;
    *(at ? &at->behind : &line->first) = entry;
    line->length++;
}

static void join(struct pk_lines *lines, struct pk_entry *entry, bool is_inserted)
{
    struct pk_line *line = entry->line;
    struct pk_entry *at = line->last;
    while (is_inserted && at && is_older(entry, at)) {
        at = at->before;
    }
    put_behind(line, entry, at);
    entry->number = ++lines->number;
    entry->is_in_line = true;
}

static void part(struct pk_entry *entry)
{
    struct pk_line *line = entry->line;
    *(entry->before ? &entry->before->behind : &line->first) = entry->behind;
    *(entry->behind ? &entry->behind->before : &line->last) = entry->before;
    entry->before = entry->behind = NULL;
    entry->is_in_line = false;
    line->length--;
}

struct pk_entry *pk_lines_add(struct pk_lines *lines, const struct pk_entry_new *made,
                              int64_t now_ms)
{
    if (lines->count == lines->entry_buckets) {
        grow_entries(lines);
    }
    struct pk_entry **bucket = &lines->entry[hash(made->id) % lines->entry_buckets];
    struct pk_entry *entry = pk_calloc(1, sizeof(*entry));
    copy_id(entry->id, made->id);
    entry->created_ms = made->created_ms;
    entry->wake_ms = made->wake_ms;
    entry->bucket_next = *bucket;
    *bucket = entry;
    lines->count++;
    if (made->person) {
        entry->line = use_line(lines, made->person);
    }
    if (!made->person || (made->is_apart && made->wake_ms > now_ms)) {
        await_time(lines, entry, now_ms);
    } else {
        join(lines, entry, made->is_inserted);
        tend(lines, entry->line, now_ms);
    }
    return entry;
}

struct pk_entry *pk_lines_take(struct pk_lines *lines)
{
    for (struct pk_entry *entry; (entry = pk_entries_take(&lines->due));) {
        if (!entry->line || (entry->line->first == entry && !entry->line->held)) {
            entry->state = PK_ENTRY_HELD;
            if (entry->line) {
                entry->line->held = entry;
            }
            return entry;
        }
        entry->state = PK_ENTRY_RESTS; /* An older one has come; its end makes this one due. */
    }
    return NULL;
}

static void let_go(struct pk_entry *entry)
{
    assert(entry->state == PK_ENTRY_HELD);
    entry->state = PK_ENTRY_RESTS;
    if (entry->line) {
        entry->line->held = NULL;
    }
}

void pk_lines_end(struct pk_lines *lines, struct pk_entry *entry, int64_t now_ms)
{
    struct pk_entry **link = &lines->entry[hash(entry->id) % lines->entry_buckets];
    let_go(entry);
    while (*link != entry) {
        link = &(*link)->bucket_next;
    }
    *link = entry->bucket_next;
    lines->count--;
    if (entry->line) {
        if (entry->is_in_line) {
            part(entry);
        }
        tend(lines, entry->line, now_ms);
        leave_line(lines, entry->line);
    }
    pk_free(entry);
}

void pk_lines_rest(struct pk_lines *lines, struct pk_entry *entry, int64_t wake_ms, int64_t now_ms)
{
    let_go(entry);
    entry->wake_ms = wake_ms;
    if (entry->line) {
        tend(lines, entry->line, now_ms);
    } else {
        await_time(lines, entry, now_ms);
    }
}

void pk_lines_leave(struct pk_lines *lines, struct pk_entry *entry, int64_t wake_ms, int64_t now_ms)
{
    let_go(entry);
    entry->wake_ms = wake_ms;
    if (entry->line) {
        part(entry);
        tend(lines, entry->line, now_ms);
    }
    heap_add(lines, entry);
}

/* ---- Time ---- */

static void wake(struct pk_lines *lines, struct pk_entry *entry, int64_t now_ms)
{
    heap_remove(lines, entry);
    if (!entry->line) {
        make_due(lines, entry);
        return;
    }
    if (!entry->is_in_line) {
        join(lines, entry, false);
    }
    tend(lines, entry->line, now_ms);
}

void pk_lines_nudge(struct pk_lines *lines, struct pk_entry *entry, int64_t now_ms)
{
    entry->wake_ms = entry->wake_ms > now_ms ? now_ms : entry->wake_ms;
    if (entry->heap_at) {
        heap_up(lines, entry->heap_at);
        wake(lines, entry, now_ms);
    }
}

int64_t pk_lines_tick(struct pk_lines *lines, int64_t now_ms)
{
    while (lines->heap_count > 0 && lines->heap[1]->wake_ms <= now_ms) {
        wake(lines, lines->heap[1], now_ms);
    }
    return lines->heap_count > 0 ? lines->heap[1]->wake_ms : INT64_MAX;
}
