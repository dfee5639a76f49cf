/* handmade.c - Scripts for tests of what serves. */
/* SPDX-License-Identifier: MIT */
#include "handmade.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct handmade *handmade_new(enum pk_script_kind kind, const char *id, const char *version,
                              const char *source)
{
    struct handmade *made = pk_calloc(1, sizeof(*made));
    struct pk_script *script = &made->script;
    struct pk_error err = { 0 };

    assert_ok(pk_bundle_of_text("test.lua", source, strlen(source), &made->bundle, &err), &err);
    script->kind = kind;
    (void)snprintf(script->id, sizeof(script->id), "%s", id);
    (void)snprintf(script->version, sizeof(script->version), "%s", version);
    script->bundle = made->bundle;
    script->serve = (struct pk_jail_script){ .name = "test.lua",
                                             .source = made->bundle->file[0].text,
                                             .source_size = made->bundle->file[0].size };
    memcpy(script->serve.hash, made->bundle->hash, sizeof(script->serve.hash));
    script->check = script->serve;
    script->entry = "map";
    script->limits = (struct pk_jail_limits){ .soft_ms = 2000, .hard_ms = 4000, .asks = 8 };
    script->refs = 1;
    return made;
}

void handmade_free(struct handmade *made)
{
    assert_int_equal(__atomic_load_n(&made->script.refs, __ATOMIC_ACQUIRE), 1);
    pk_bundle_unref(made->bundle);
    pk_free(made);
}

int64_t handmade_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
