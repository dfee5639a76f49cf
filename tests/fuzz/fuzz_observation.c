/* fuzz_observation.c - Whatever is sent: it is refused with a field, or becomes a document that
 * fits its schema, and is the same when it is sent again as it was stored.
 *
 * The bytes are JSON, or else BSON as it lies in a list of observations.
 *
 * Seeds: corpus/fuzz_observation/. */
/* SPDX-License-Identifier: MIT */
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "persona/observation_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OBS    "33333333-3333-4333-8333-333333333333"

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static struct pk_doc *stored(const struct observation_form *form)
{
    const struct observation_stamp stamp = {
        .id = OBS, .person = PERSON, .actor = "fuzz", .now_ms = INT64_C(1767225600000)
    };
    return observation_doc_new(form, &stamp);
}

static void check_stored(const struct pk_doc *doc)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    struct pk_faults faults = { .fault = NULL };
    bson_t view;
    pk_doc_view(doc, &view);
    insist(pk_schema_check(pk_inventory_find(inventory, "observations")->schema, &view, &faults));
    insist(pk_doc_date(doc, "effectiveAt", 0) <= INT64_C(1767225600000));
    pk_faults_done(&faults);
}

/* In the first spelling now: it is taken as it is. */
static void take_again(const struct observation_form *form, const struct pk_doc *doc)
{
    const struct pk_sent sent = { form->data, form->size };
    struct observation_form again;
    struct pk_faults faults = { .fault = NULL };
    insist(observation_form_read(&sent, NULL, &again, &faults, NULL));
    struct pk_doc *same = stored(&again);
    insist(observation_is_same(doc, same));
    pk_doc_unref(same);
    observation_form_done(&again);
    pk_faults_done(&faults);
}

static void take(const struct pk_sent *sent)
{
    struct observation_form form;
    struct pk_faults faults = { .fault = NULL };
    struct pk_error err = { 0 };
    if (!observation_form_read(sent, NULL, &form, &faults, &err)) {
        insist(err.code == PK_INVALID && err.message[0] != '\0');
        insist(faults.count == 0 || err.field);
        observation_form_done(&form);
        pk_faults_done(&faults);
        return;
    }
    insist(form.person.id || (form.person.source && form.person.external));
    insist(form.type && form.source);
    struct pk_doc *doc = stored(&form);
    check_stored(doc);
    if (!form.has_timestamp) { /* Which is a date now, and would be refused: JSON has none. */
        take_again(&form, doc);
    }
    pk_doc_unref(doc);
    observation_form_done(&form);
    pk_faults_done(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bson_t said;
    struct pk_doc *doc = NULL;
    if (pk_json_read(&said, (const char *)data, size, NULL, NULL)) {
        const struct pk_sent sent = { bson_get_data(&said), said.len };
        take(&sent);
        bson_destroy(&said);
    } else if (pk_doc_parse(&doc, data, size, NULL)) {
        const struct pk_sent sent = { pk_doc_data(doc), pk_doc_size(doc) };
        take(&sent);
        pk_doc_unref(doc);
    }
    return 0;
}
