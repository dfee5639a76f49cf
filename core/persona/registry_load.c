/* registry_load.c - Any stored version, as a script that can run.
 *
 * What serves or was taken in lately is there already; all else is taken in
 * again from its files. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"

#include <string.h>

bool pk_registry_load(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                      const char *version, int64_t deadline_ns, struct pk_script **out,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    if (!registry_find_version(registry, kind, id, version, deadline_ns, &doc, err)) {
        return false;
    }
    if (!doc) {
        return registry_fail_missing(kind, version, err) ||
               pk_wrap(err, "load %s '%s' %s", pk_script_kind_name(kind), id, version);
    }
    const char *hash = pk_doc_text(doc, "contentHash");
    struct pk_script *taken = hash ? registry_taken(registry, kind, hash) : NULL;
    if (taken && strcmp(taken->id, id) == 0 && strcmp(taken->version, version) == 0) {
        *out = taken;
        return true;
    }
    pk_script_unref(taken);
    return registry_doc_load(registry, doc, out, &report, err) ||
           pk_wrap(err, "load %s '%s' %s", pk_script_kind_name(kind), id, version);
}
