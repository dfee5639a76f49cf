/* body.c - From the bytes of a body to a document that fits its schema, or to a text.
 *
 * Every fault is kept, so that the answer can list them all. A row that takes
 * texts (a script, as an editor saves it) looks at them itself. */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/json.h"

bool pk_call_read_body(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_buf *text = &call->request->body;
    bool is_text = false;
    bson_t said;

    if (call->row->form) {
        return pk_call_check_type(call, &is_text, err);
    }
    if (!call->row->body) {
        return true;
    }
    if (!pk_call_check_type(call, &is_text, err)) {
        return false;
    }
    if (text->size == 0) {
        return pk_fail(err, PK_INVALID, is_text ? "send a script" : "send a JSON object",
                       "the body is empty");
    }
    if (is_text) {
        call->text = text->data;
        call->text_size = text->size;
        return true;
    }
    if (!pk_json_read(&said, text->data, text->size, NULL, err)) {
        return pk_wrap(err, "read the body");
    }
    const bool is_fit = pk_schema_accept(call->row->body, &said, &call->accepted, &call->faults);
    bson_destroy(&said);
    call->body = is_fit ? &call->accepted : NULL;
    return is_fit || pk_faults_fail(&call->faults, err);
}
