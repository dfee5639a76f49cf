/* fuzz_bundle.c - A script as the store or a request has it: refused with a reason, or whole.
 *
 * Bytes are BSON for pk_bundle_of_doc; the same bytes are a text, and a
 * signature. Seeds: corpus/fuzz_bundle/. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "script/bundle.h"
#include "script/sign.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

/* What was taken comes back as it is from what the store keeps of it. */
static void come_back(struct pk_bundle *bundle)
{
    struct pk_bundle *again = NULL;
    struct pk_error err;
    const char *line = NULL;
    size_t length = 0;
    bson_t doc = BSON_INITIALIZER;

    insist(bundle->count > 0 && bundle->main < bundle->count);
    for (unsigned i = 0; i < 4; i++) {
        (void)pk_bundle_line(bundle, bundle->file[0].name, i, &line, &length);
    }
    pk_bundle_put(bundle, &doc);
    insist(pk_bundle_of_doc(&doc, &again, &err));
    insist(strcmp(again->hash_text, bundle->hash_text) == 0);
    insist(again->signature.is_there == bundle->signature.is_there);
    bson_destroy(&doc);
    pk_bundle_unref(again);
    pk_bundle_unref(bundle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    struct pk_bundle_signature signature = { 0 };
    struct pk_bundle *bundle = NULL;
    struct pk_error err = { 0 };
    bson_t view;

    if (!is_ready) {
        insist(pk_crypto_init(&err));
        is_ready = true;
    }
    if (bson_init_static(&view, data, size)) {
        if (pk_bundle_of_doc(&view, &bundle, &err)) {
            come_back(bundle);
        } else {
            insist(err.code != PK_OK && err.message[0] && err.hint);
        }
    }
    if (pk_bundle_of_text("a.lua", (const char *)data, size, &bundle, &err)) {
        come_back(bundle);
    }
    char *text = pk_strndup((const char *)data, size);
    (void)pk_sign_read(text, "a.lua.sig", &signature, &err);
    pk_free(text);
    return 0;
}
