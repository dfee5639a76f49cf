/* registry_train.c - A draft that came of training: taken in and tried, and not written yet.
 *
 * Whoever trains writes it with what else belongs to it, in a list of his own. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"

#include <string.h>

static void script_unrefp(struct pk_script **script)
{
    pk_script_unref(*script);
}

/* The draft of a script, with what training knows of it. */
static struct pk_doc *make(const struct pk_script *script, const struct pk_by *by,
                           const bson_t *training, int64_t now_ms)
{
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *plain = registry_doc_new(script, script->version, by->actor_id, now_ms);
    bson_t *made = bson_new();
    bson_iter_t iter;
    bson_t view;

    pk_doc_view(plain, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "trainingMetadata") == 0) {
            BSON_APPEND_DOCUMENT(made, "trainingMetadata", training);
        } else {
            (void)bson_append_iter(made, NULL, 0, &iter);
        }
    }
    return pk_doc_take(made);
}

bool pk_registry_prepare(struct pk_registry *registry, const struct pk_by *by,
                         struct pk_bundle *bundle, const char *id, const bson_t *training,
                         struct pk_doc **out, struct pk_report *report, struct pk_error *err)
{
    PK_CLEANUP(script_unrefp) struct pk_script *script = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;

    if (!pk_loader_take(registry->options.loader, bundle, PK_SCRIPT_MAPPER, &script, report, err)) {
        return false;
    }
    if (strcmp(script->id, id) != 0) {
        return pk_fail(err, PK_INVALID, "train the mapper that it is",
                       "the script calls itself '%s', not '%.64s'", script->id, id);
    }
    doc = make(script, by, training, pk_clock_wall_ms(registry->options.books->clock));
    if (!registry_doc_check(script, doc, report, err)) {
        return false;
    }
    registry_keep(registry, script);
    *out = doc;
    doc = NULL;
    return true;
}
