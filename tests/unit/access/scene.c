/* scene.c - Opens what a case needs. */
/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include "access/actor.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "doc/inventory.h"
#include "doc/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void scene_open(struct scene *scene, const char *folder)
{
    *scene = (struct scene){ .by = { .actor_id = "tester", .request_id = "r-1" } };
    (void)snprintf(scene->folder, sizeof(scene->folder), "%s", folder ? folder : pk_test_folder());
    pk_clock_fake_init(&scene->clock, NOW_MS);
    char *url = pk_strdupf("sqlite:%s", scene->folder);
    const struct pk_store_options options = { .url = url,
                                              .inventory = pk_inventory_builtin(),
                                              .clock = &scene->clock.clock };
    assert_ok(pk_store_open(&scene->store, &options, &scene->err), &scene->err);
    pk_free(url);
    assert_ok(pk_peppers_open(&scene->peppers, scene->folder, scene->store, false, &scene->err),
              &scene->err);
    scene->books = (struct pk_books){ .store = scene->store,
                                      .clock = &scene->clock.clock,
                                      .peppers = scene->peppers,
                                      .node = "node-1",
                                      .event_keep_ms = INT64_C(7) * 86400000 };
}

void scene_close(struct scene *scene)
{
    pk_store_close(scene->store);
    pk_peppers_free(scene->peppers);
}

bson_t json(const char *format, ...)
{
    char text[65536];
    bson_t out;
    struct pk_error err;
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(size >= 0 && (size_t)size < sizeof(text));
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    assert_ok(pk_json_read(&out, text, (size_t)size, NULL, &err), &err);
    return out;
}

struct pk_doc *make_actor(struct scene *scene, const char *name, const char *capabilities)
{
    struct pk_doc *actor = NULL;
    bson_t wanted =
        json("{'actorType':'ai_agent','name':'%s','capabilities':%s}", name, capabilities);
    assert_ok(pk_actor_create(&scene->books, &scene->by, &wanted, &actor, &scene->err),
              &scene->err);
    bson_destroy(&wanted);
    return actor;
}

struct pk_key make_key(struct scene *scene, const char *actor_id, int64_t expires_at_ms)
{
    struct pk_key key;
    assert_ok(pk_actor_add_key(&scene->books, &scene->by, actor_id, 0, "test", expires_at_ms, &key,
                               NULL, &scene->err),
              &scene->err);
    return key;
}

size_t count_where(struct scene *scene, const char *collection, const char *path, const char *text)
{
    char *cursor = NULL;
    size_t count = 0;
    do {
        struct pk_page page;
        const struct pk_query query = {
            .collection = collection, .index = "_id", .limit = PK_PAGE_MAX, .cursor = cursor
        };
        assert_ok(pk_store_find(scene->store, &query, 0, &page, &scene->err), &scene->err);
        for (size_t i = 0; i < page.count; i++) {
            const char *found = path ? pk_doc_text(page.doc[i], path) : NULL;
            count += !path || (found && strcmp(found, text) == 0);
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
        pk_page_done(&page);
    } while (cursor);
    return count;
}

size_t count_docs(struct scene *scene, const char *collection)
{
    return count_where(scene, collection, NULL, NULL);
}

struct runner {
    void (*work)(void *context, size_t number);
    void *context;
    pthread_barrier_t *start;
    size_t number;
};

static void *run_one(void *argument)
{
    struct runner *runner = argument;
    (void)pthread_barrier_wait(runner->start);
    runner->work(runner->context, runner->number);
    return NULL;
}

void run_threads(size_t count, void (*work)(void *context, size_t number), void *context)
{
    pthread_t thread[64];
    struct runner runner[64];
    pthread_barrier_t start;

    assert_true(count <= 64);
    (void)pthread_barrier_init(&start, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        runner[i] = (struct runner){ work, context, &start, i };
        if (pthread_create(&thread[i], NULL, run_one, &runner[i]) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    (void)pthread_barrier_destroy(&start);
}

/* Linked in place of pk_store_find (tests/CMakeLists.txt). */
bool __real_pk_store_find(struct pk_store *store, const struct pk_query *query, int64_t deadline_ns,
                          struct pk_page *out, struct pk_error *err);
bool __wrap_pk_store_find(struct pk_store *store, const struct pk_query *query, int64_t deadline_ns,
                          struct pk_page *out, struct pk_error *err);

static struct {
    const char *index; /* NULL: none, or done. */
    void (*act)(void *context);
    void *context;
} interruption;

void interrupt_once(const char *index, void (*act)(void *context), void *context)
{
    interruption.index = index;
    interruption.act = act;
    interruption.context = context;
}

bool was_interrupted(void)
{
    return interruption.index == NULL;
}

bool __wrap_pk_store_find(struct pk_store *store, const struct pk_query *query, int64_t deadline_ns,
                          struct pk_page *out, struct pk_error *err)
{
    const bool ok = __real_pk_store_find(store, query, deadline_ns, out, err);
    if (interruption.index && strcmp(query->index, interruption.index) == 0) {
        interruption.index = NULL;
        interruption.act(interruption.context);
    }
    return ok;
}

void expect_error(const struct pk_error *err, enum pk_code code, const char *part)
{
    if (err->code != code || !strstr(err->message, part)) {
        fail_msg("'%s' (%s) is not '%s' (%s)", err->message, pk_code_name(err->code), part,
                 pk_code_name(code));
    }
    assert_non_null(err->hint);
}

void expect_silence(const struct pk_error *err, const char *secret)
{
    if (strstr(err->message, secret) || (err->hint && strstr(err->hint, secret))) {
        fail_msg("'%s' says what it must not", err->message);
    }
}

char *read_text(const char *folder, const char *name)
{
    struct pk_buf buf = { 0 };
    char *path = pk_strdupf("%s/%s", folder, name);
    const bool ok = pk_file_read(&buf, path, 65536, NULL);
    pk_free(path);
    if (!ok) {
        pk_buf_done(&buf);
        return NULL;
    }
    pk_buf_add(&buf, "", 0);
    return pk_buf_take(&buf);
}

void write_text(const char *folder, const char *name, const char *text, unsigned mode)
{
    struct pk_error err;
    char *path = pk_strdupf("%s/%s", folder, name);
    assert_ok(pk_file_write(path, text, strlen(text), mode, &err), &err);
    pk_free(path);
}

unsigned mode_of(const char *folder, const char *name)
{
    struct stat info;
    char *path = pk_strdupf("%s/%s", folder, name);
    assert_int_equal(stat(path, &info), 0);
    pk_free(path);
    return (unsigned)info.st_mode & 07777u;
}
