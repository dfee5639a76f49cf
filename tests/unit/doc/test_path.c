/* test_path.c - Dot paths: one value, and many. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json.h"
#include "doc/path.h"

#include <string.h>

static const char text[] =
    "{\"a\":1,\"b\":{\"c\":{\"d\":\"x\"},\"e\":[10,20,{\"f\":true}]},\"tags\":[\"t1\",\"t2\",[\"t3\"]"
    ",{\"t\":4},null],\"keys\":[{\"id\":\"k1\",\"in\":[{\"v\":1},{\"v\":2}]},{\"id\":\"k2\"},"
    "{\"other\":1},7],\"meta\":{\"p\":1,\"q\":{\"r\":[2,{\"s\":3}],\"u.v\":4},\"w\":{}},\"\":{\"\":9},"
    "\"bb\":2}";

static void read_doc(bson_t *out)
{
    assert_true(pk_json_read(out, text, strlen(text), NULL, NULL));
}

TEST(plain_paths_find_fields_and_elements_by_number)
{
    static const struct {
        const char *path;
        bson_type_t type; /* BSON_TYPE_EOD: nothing there. */
    } row[] = {
        { "a", BSON_TYPE_INT64 },        { "b", BSON_TYPE_DOCUMENT },
        { "b.c.d", BSON_TYPE_UTF8 },     { "b.e", BSON_TYPE_ARRAY },
        { "b.e.1", BSON_TYPE_INT64 },    { "b.e.2.f", BSON_TYPE_BOOL },
        { "tags.4", BSON_TYPE_NULL },    { "meta.q.u%2Ev", BSON_TYPE_INT64 },
        { "", BSON_TYPE_DOCUMENT },      { ".", BSON_TYPE_INT64 },
        { "bb", BSON_TYPE_INT64 },       { "b.c.d.e", BSON_TYPE_EOD },
        { "a.b", BSON_TYPE_EOD },        { "b.e.3", BSON_TYPE_EOD },
        { "b.e.01", BSON_TYPE_EOD },     { "c", BSON_TYPE_EOD },
        { "b.", BSON_TYPE_EOD },         { ".b", BSON_TYPE_EOD },
        { "meta.q.u.v", BSON_TYPE_EOD }, { "b.c.dd", BSON_TYPE_EOD },
        { "ta", BSON_TYPE_EOD },         { "a..b", BSON_TYPE_EOD },
    };
    bson_t doc;
    read_doc(&doc);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        bson_iter_t iter;
        bool is_found = pk_path_find(&doc, row[i].path, &iter);
        if (is_found != (row[i].type != BSON_TYPE_EOD) ||
            (is_found && bson_iter_type(&iter) != row[i].type)) {
            fail_msg("'%s'", row[i].path);
        }
    }
    bson_destroy(&doc);
}

TEST(only_brackets_and_stars_make_a_path_multiple)
{
    assert_false(pk_path_is_multi("a"));
    assert_false(pk_path_is_multi("a.b.0"));
    assert_true(pk_path_is_multi("tags[]"));
    assert_true(pk_path_is_multi("keys[].id"));
    assert_true(pk_path_is_multi("meta.*"));
}

/* Writes "below=value " for each value. */
struct listing {
    struct pk_buf seen;
    size_t left; /* Values until it has enough. */
};

static bool list_value(void *context, const char *below, const bson_iter_t *value)
{
    struct listing *listing = context;
    if (BSON_ITER_HOLDS_UTF8(value)) {
        pk_buf_printf(&listing->seen, "%s=%s ", below, bson_iter_utf8(value, NULL));
    } else if (BSON_ITER_HOLDS_NULL(value)) {
        pk_buf_printf(&listing->seen, "%s=null ", below);
    } else {
        pk_buf_printf(&listing->seen, "%s=%lld ", below, (long long)bson_iter_as_int64(value));
    }
    return --listing->left > 0;
}

TEST(each_visits_every_scalar_that_a_path_reaches)
{
    static const struct {
        const char *path;
        const char *seen;
    } row[] = {
        { "a", "=1 " },
        { "b.c.d", "=x " },
        { "b.c", "" },
        { "nothing", "" },
        { "tags", "" },
        { "tags[]", "=t1 =t2 =null " },
        { "keys[].id", "=k1 =k2 " },
        { "keys[].in[].v", "=1 =2 " },
        { "keys[]", "=7 " },
        { "a[]", "" },
        { "b[]", "" },
        { "meta.*", "p=1 q.r=2 q.r.s=3 q.u%2Ev=4 " },
        { "meta.q.*", "r=2 r.s=3 u%2Ev=4 " },
        { "a.*", "" },
        { "tags.*", "=t1 =t2 =t3 t=4 =null " },
        { "keys[].*", "id=k1 in.v=1 in.v=2 id=k2 other=1 " },
    };
    bson_t doc;
    read_doc(&doc);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct listing listing = { .left = SIZE_MAX };
        assert_true(pk_path_each(&doc, row[i].path, list_value, &listing));
        if (strcmp(pk_buf_text(&listing.seen), row[i].seen) != 0) {
            fail_msg("'%s' gives '%s'", row[i].path, pk_buf_text(&listing.seen));
        }
        pk_buf_done(&listing.seen);
    }
    bson_destroy(&doc);
}

TEST(each_stops_when_it_is_told_to)
{
    static const char *const path[] = { "tags[]", "meta.*", "keys[].in[].v", "a", "tags.*" };
    bson_t doc;
    read_doc(&doc);
    for (size_t i = 0; i < PK_COUNT(path); i++) {
        struct listing listing = { .left = 1 };
        assert_false(pk_path_each(&doc, path[i], list_value, &listing));
        assert_int_equal(listing.left, 0);
        pk_buf_done(&listing.seen);
    }
    bson_destroy(&doc);
}

TEST(a_star_alone_visits_the_whole_document)
{
    bson_t doc;
    struct listing listing = { .left = SIZE_MAX };
    assert_true(pk_json_read(&doc, "{\"a\":1,\"b\":{\"c\":[2]}}", 21, NULL, NULL));
    assert_true(pk_path_each(&doc, "*", list_value, &listing));
    assert_string_equal(pk_buf_text(&listing.seen), "a=1 b.c=2 ");
    pk_buf_done(&listing.seen);
    bson_destroy(&doc);
}
