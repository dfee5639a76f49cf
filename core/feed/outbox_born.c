/* outbox_born.c - Tasks that are claimed as they are written.
 *
 * A claim is a durable write of its own, and the node that accepts a change is
 * mostly the one that works on what follows. So it writes the task as it would
 * be after its claim: in progress, leased by this node, its first attempt
 * counted. What is remembered here until its turn comes is the version under
 * which it will be stored, which is that of its lease.
 *
 * Nothing else is different. The feed's row puts it into its person's line as
 * any other, where it waits for those before it, whoever has them; its end
 * replaces it at that version. A list that is never committed leaves a row
 * here, forgotten when its lease is over. After a crash the task is one whose
 * lease has an owner that is gone: it is claimed again when the lease is over,
 * on SQLite at once, and that is its second attempt.
 *
 * Beside other nodes only a few are born so: what waits here could be done
 * there. Who is alone has nobody to leave them to.
 *
 * Thread: any; 'lock' guards all. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "feed/outbox_internal.h"

#include <stdatomic.h>
#include <string.h>

enum {
    BUCKETS = 4096,
    QUIET_MS = 100,
    LEASE_MS = 20000,   /* At most: beside other nodes a dead one's tasks wait so long. */
    ALONE_MAX = 200000, /* About 120 bytes each. */
    SHARED_MAX = 512,   /* Beside other nodes: as many as are claimed ahead. */
    DOCS_MAX = 8192 /* Of so many the document is kept; others are read when their turn comes. */
};

struct row {
    char id[PK_UUID_TEXT];
    int64_t version;
    int64_t deadline_ns; /* Of its lease. */
    struct pk_doc *doc;  /* As it will be stored, or NULL. */
    struct row *next;
};

struct pk_born {
    pthread_mutex_t lock;
    struct row *bucket[BUCKETS];
    size_t count, docs;
    _Atomic int64_t last_ns; /* When the last one was born, by the system's clock. */
};

/* ---- Rows ---- */

/* Ids are random, but for the time at their start: the end is what tells them apart. */
static struct row **bucket_of(struct pk_born *born, const char *id)
{
    uint32_t hash = 2166136261u;
    for (; *id; id++) {
        hash = (hash ^ (uint8_t)*id) * 16777619u;
    }
    return &born->bucket[(hash ^ (hash >> 16)) % BUCKETS];
}

static struct row **find(struct pk_born *born, const char *id)
{
    struct row **link = bucket_of(born, id);
    while (*link && strcmp((*link)->id, id) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static void drop(struct pk_born *born, struct row **link)
{
    struct row *row = *link;
    *link = row->next;
    born->count--;
    born->docs -= row->doc != NULL;
    pk_doc_unref(row->doc);
    pk_free(row);
}

struct pk_born *pk_born_new(void)
{
    struct pk_born *born = pk_calloc(1, sizeof(*born));
    (void)pthread_mutex_init(&born->lock, NULL);
    return born;
}

void pk_born_clear(struct pk_born *born)
{
    (void)pthread_mutex_lock(&born->lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (born->bucket[i]) {
            drop(born, &born->bucket[i]);
        }
    }
    (void)pthread_mutex_unlock(&born->lock);
}

void pk_born_free(struct pk_born *born)
{
    pk_born_clear(born);
    (void)pthread_mutex_destroy(&born->lock);
    pk_free(born);
}

/* ---- At its birth ---- */

int64_t pk_born_lease_ms(const struct pk_task_type *type)
{
    return type->lease_ms < LEASE_MS ? type->lease_ms : LEASE_MS;
}

const struct pk_task_type *pk_born_type(struct pk_outbox *outbox, const char *name)
{
    struct pk_born *born = outbox->born;
    const struct pk_task_type *type = outbox->options.type;
    while (type->name && strcmp(type->name, name) != 0) {
        type++;
    }
    if (!type->name || !outbox->is_running || outbox->is_stopping) {
        return NULL;
    }
    const size_t most = outbox->is_alone  ? ALONE_MAX
                        : outbox->is_slow ? outbox->options.threads
                                          : SHARED_MAX;
    (void)pthread_mutex_lock(&born->lock);
    const bool has_room = born->count < most;
    (void)pthread_mutex_unlock(&born->lock);
    return has_room ? type : NULL;
}

void pk_born_add(struct pk_outbox *outbox, const struct pk_task_type *type,
                 const struct pk_doc *task, int64_t version)
{
    struct pk_born *born = outbox->born;
    struct row *row = pk_calloc(1, sizeof(*row));
    bson_t view;
    pk_doc_view(task, &view);
    (void)strncpy(row->id, pk_doc_id(task), sizeof(row->id) - 1);
    row->version = version;
    row->deadline_ns = pk_deadline_in_ms(pk_outbox_books(outbox)->clock, pk_born_lease_ms(type));
    atomic_store_explicit(&born->last_ns, pk_clock_mono_ns(pk_clock_system()),
                          memory_order_relaxed);
    (void)pthread_mutex_lock(&born->lock);
    if (born->docs < DOCS_MAX) {
        row->doc = pk_doc_new_versioned(&view, version);
        born->docs++;
    }
    struct row **link = bucket_of(born, row->id);
    row->next = *link;
    *link = row;
    born->count++;
    (void)pthread_mutex_unlock(&born->lock);
}

bool pk_born_is_quiet(const struct pk_outbox *outbox)
{
    const int64_t last_ns = atomic_load_explicit(&outbox->born->last_ns, memory_order_relaxed);
    return pk_clock_mono_ns(pk_clock_system()) - last_ns > QUIET_MS * INT64_C(1000000);
}

/* ---- When its turn comes ---- */

struct pk_doc *pk_born_doc(struct pk_outbox *outbox, const char *id)
{
    struct pk_born *born = outbox->born;
    (void)pthread_mutex_lock(&born->lock);
    struct row *row = *find(born, id);
    struct pk_doc *doc = row && row->doc ? pk_doc_ref(row->doc) : NULL;
    (void)pthread_mutex_unlock(&born->lock);
    return doc;
}

bool pk_born_take(struct pk_outbox *outbox, const struct pk_doc *task, int64_t *out_deadline_ns)
{
    struct pk_born *born = outbox->born;
    bool is_ours = false;
    (void)pthread_mutex_lock(&born->lock);
    struct row **link = find(born, pk_doc_id(task));
    if (*link) {
        is_ours = (*link)->version == pk_doc_version(task);
        *out_deadline_ns = (*link)->deadline_ns;
        drop(born, link);
    }
    (void)pthread_mutex_unlock(&born->lock);
    return is_ours;
}

void pk_born_forget(struct pk_outbox *outbox)
{
    struct pk_born *born = outbox->born;
    (void)pthread_mutex_lock(&born->lock);
    for (size_t i = 0; born->count > 0 && i < BUCKETS; i++) {
        for (struct row **link = &born->bucket[i]; *link;) {
            if (pk_deadline_passed(pk_outbox_books(outbox)->clock, (*link)->deadline_ns) &&
                !pk_lines_find(&outbox->lines, (*link)->id)) {
                drop(born, link);
            } else {
                link = &(*link)->next;
            }
        }
    }
    (void)pthread_mutex_unlock(&born->lock);
}

void pk_born_each(struct pk_outbox *outbox, void (*each)(void *context, const struct pk_doc *task),
                  void *context)
{
    struct pk_born *born = outbox->born;
    (void)pthread_mutex_lock(&born->lock); /* Who adds one may still be at it. */
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct row *row = born->bucket[i]; row; row = row->next) {
            if (row->doc && pk_lines_find(&outbox->lines, row->id)) {
                each(context, row->doc);
            }
        }
    }
    (void)pthread_mutex_unlock(&born->lock);
}
