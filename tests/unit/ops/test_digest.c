/* test_digest.c - Sums of documents: blind to order, and to nothing else. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "ops/digest.h"

#include <string.h>

static void digest_json(const char *json, uint8_t out[PK_HASH_BYTES])
{
    struct pk_error err = { 0 };
    bson_t bson;
    assert_ok(pk_json_read(&bson, json, strlen(json), NULL, &err), &err);
    struct pk_doc *doc = pk_doc_new(&bson);
    bson_destroy(&bson);
    pk_digest_doc(doc, out);
    pk_doc_unref(doc);
}

static bool is_same(const char *a, const char *b)
{
    uint8_t digest_a[PK_HASH_BYTES];
    uint8_t digest_b[PK_HASH_BYTES];
    digest_json(a, digest_a);
    digest_json(b, digest_b);
    return memcmp(digest_a, digest_b, sizeof(digest_a)) == 0;
}

TEST(order_of_fields_does_not_matter_at_any_depth)
{
    assert_true(is_same("{\"a\":1,\"b\":{\"x\":[1,{\"p\":1,\"q\":null}],\"y\":\"s\"}}",
                        "{\"b\":{\"y\":\"s\",\"x\":[1,{\"q\":null,\"p\":1}]},\"a\":1}"));
}

TEST(everything_else_matters)
{
    static const char *const other[] = {
        "{\"a\":[1,2],\"b\":\"x\"}",
        "{\"a\":[2,1],\"b\":\"x\"}",
        "{\"a\":[1,2.0],\"b\":\"x\"}",
        "{\"a\":[1,2],\"b\":\"\"}",
        "{\"a\":[1,2],\"b\":null}",
        "{\"a\":[1],\"b\":[2]}",
        "{\"a\":[1,2],\"c\":\"x\"}",
        "{\"a\":[[1,2]],\"b\":\"x\"}",
        "{\"a\":[1,2]}",
        "{\"a\":{\"0\":1,\"1\":2},\"b\":\"x\"}",
        "{\"a\":[1,2,\"b\"],\"x\":1}",
        "{}",
        "{\"ab\":\"x\"}",
        "{\"a\":\"bx\"}",
    };
    for (size_t i = 0; i < PK_COUNT(other); i++) {
        for (size_t j = 0; j < i; j++) {
            if (is_same(other[i], other[j])) {
                fail_msg("%s and %s have one digest", other[i], other[j]);
            }
        }
    }
}

TEST(sums_are_blind_to_the_order_of_documents_and_see_each_of_them)
{
    uint8_t one[PK_HASH_BYTES];
    uint8_t two[PK_HASH_BYTES];
    struct pk_sum forth = { 0 };
    struct pk_sum back = { 0 };
    struct pk_sum twice = { 0 };
    digest_json("{\"n\":1}", one);
    digest_json("{\"n\":2}", two);
    pk_sum_add(&forth, one);
    pk_sum_add(&forth, two);
    pk_sum_add(&back, two);
    pk_sum_add(&back, one);
    pk_sum_add(&twice, one);
    pk_sum_add(&twice, one);
    assert_true(pk_sum_equal(&forth, &back));
    assert_false(pk_sum_equal(&forth, &twice));
}
