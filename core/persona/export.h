/* export.h - Everything there is of a person, as JSON Lines.
 *
 *     {"collection":"observations","document":{...}}       one line for each, spelt as over HTTP
 *     {"summary":{"personId":...,"exportedAt":...,"documents":N,"counts":{...}}}
 *
 * Of a person with merged ids: of all of them that are in sight (sight.h); 'mergedFrom' says whose
 * a document was. Driven by the inventory (is_exported). The summary is the last line: an export
 * without one is not whole. What is written while it runs may be in it or not. Memory is bounded by
 * a page of documents, however much there is. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_EXPORT_H
#define PK_PERSONA_EXPORT_H

#include "persona/domain.h"

#include <stdbool.h>
#include <stddef.h>

struct pk_error;
struct pk_principal;

/* Gets lines, each with its line break, several at a time. False ends the export. */
typedef bool pk_export_put_fn(void *context, const char *data, size_t size, struct pk_error *err);

/* 'who' (NULL: the server itself) sees it. The audit row ("person.exported") is written before the
 * first line goes out. Blocks. */
bool pk_export_person(const struct pk_domain *domain, const struct pk_by *by,
                      const struct pk_principal *who, const char *person, pk_export_put_fn *put,
                      void *context, struct pk_error *err);

#endif
