/* persona_instead.c - What the active version made for somebody on whom another one is tried.
 *
 * Until the tried version has made something for him, that is out of date. But
 * where it was run and failed, the active version's persona is what serves him;
 * so the persona says what it stands in for, and on which mindscape that failed:
 *
 *     insteadOf: { mapperVersion: "1.1.0", mindscapeVersion: 7 }
 *
 * This holds for that version and that mindscape; on another one it may do
 * better, which nobody knows before it has been run. It lies with the persona,
 * so that every node says the same. Written once for each mindscape on which the
 * tried version fails, and by no list that anything else depends on: lost, the
 * next mapping says it again. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/canary.h"
#include "store/store.h"

#include <string.h>

static bool says(const struct pk_doc *persona, const char *tried, int64_t mindscape_version)
{
    const char *version = pk_doc_text(persona, "insteadOf.mapperVersion");
    return version && strcmp(version, tried) == 0 &&
           pk_doc_int(persona, "insteadOf.mindscapeVersion", -1) == mindscape_version;
}

bool persona_is_instead(const struct pk_doc *persona, const char *tried,
                        const struct pk_doc *mindscape)
{
    return persona && mindscape && says(persona, tried, pk_doc_int(mindscape, "version", 0));
}

const struct pk_script *persona_serving(const struct pk_generation *pinned,
                                        const struct pk_doc *persona,
                                        const struct pk_doc *mindscape)
{
    const char *mapper = pk_doc_text(persona, "mapperId");
    bool is_canary = false;
    const struct pk_script *serving =
        pk_canary_mapper(pinned, mapper, pk_doc_text(persona, "userId"), &is_canary);
    return is_canary && persona_is_instead(persona, serving->version, mindscape)
               ? pk_generation_find(pinned, PK_SCRIPT_MAPPER, mapper)
               : serving;
}

static struct pk_doc *with_note(const struct pk_doc *persona, const char *tried,
                                int64_t mindscape_version)
{
    bson_t view, note, *made = bson_new();
    pk_doc_view(persona, &view);
    bson_copy_to_excluding_noinit(&view, made, "insteadOf", NULL);
    BSON_APPEND_DOCUMENT_BEGIN(made, "insteadOf", &note);
    BSON_APPEND_UTF8(&note, "mapperVersion", tried);
    BSON_APPEND_INT64(&note, "mindscapeVersion", mindscape_version);
    bson_append_document_end(made, &note);
    return pk_doc_take(made);
}

void persona_note_instead(const struct pk_domain *domain, const struct pk_doc *served,
                          const char *tried, int64_t mindscape_version, int64_t deadline_ns)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    if (says(served, tried, mindscape_version) ||
        !pk_store_get(domain->books->store, "personas", pk_doc_id(served), deadline_ns, &stored,
                      NULL) ||
        !stored || says(stored, tried, mindscape_version) ||
        strcmp(pk_doc_text(stored, "personaInstanceId"),
               pk_doc_text(served, "personaInstanceId")) != 0) {
        return;
    }
    struct pk_doc *noted = with_note(stored, tried, mindscape_version);
    pk_writes_replace(&list, "personas", noted, pk_doc_version(stored));
    pk_doc_unref(noted);
    pk_writes_expect_absent(&list, "tombstones", pk_doc_text(stored, "userId"));
    (void)pk_store_commit(domain->books->store, &list, deadline_ns, NULL, NULL);
}
