/* test_cursor.c - Cursors say where they belong and notice damage. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "doc/doc.h"
#include "store/store_internal.h"
#include "test.h"
#include "things.h"

#include <string.h>

struct fixture {
    const struct pk_collection *collection;
    const struct pk_index *index;
    struct pk_query query;
    char *cursor;
};

static struct fixture fixture_new(void)
{
    struct fixture fixture = {
        .collection = pk_inventory_find(things_inventory(), "things"),
        .query = { .collection = "things", .index = "by_owner", .limit = 10 },
    };
    fixture.index = pk_collection_index(fixture.collection, "by_owner");
    struct pk_doc *doc =
        thing_new((struct thing){ .id = "h\xc3\xa4mmer:1", .owner = "ann", .at = -5 });
    fixture.cursor = pk_cursor_write(fixture.collection, fixture.index, &fixture.query, doc);
    pk_doc_unref(doc);
    return fixture;
}

static bool read_cursor(const struct fixture *fixture, const char *cursor, struct pk_after *after)
{
    struct pk_query query = fixture->query;
    struct pk_error err;
    query.cursor = cursor;
    const bool ok = pk_cursor_read(fixture->collection, fixture->index, &query, after, &err);
    if (!ok) {
        assert_int_equal(err.code, PK_INVALID);
    }
    return ok;
}

TEST(a_cursor_comes_back_as_it_was)
{
    struct fixture fixture = fixture_new();
    struct pk_after after;
    assert_true(read_cursor(&fixture, fixture.cursor, &after));
    assert_true(after.is_set);
    assert_int_equal(after.key_count, 2);
    assert_string_equal(after.key[0].text, "ann");
    assert_int_equal(after.key[1].type, PK_VALUE_DATE);
    assert_int_equal(after.key[1].number, -5);
    assert_string_equal(after.id, "h\xc3\xa4mmer:1");
    pk_after_done(&after);
    for (const char *c = fixture.cursor; *c; c++) {
        assert_true(*c > ' ' && *c < 127 && *c != '+' && *c != '/' && *c != '=');
    }
    pk_free(fixture.cursor);
}

TEST(no_cursor_is_the_start)
{
    struct fixture fixture = fixture_new();
    struct pk_after after;
    assert_true(read_cursor(&fixture, NULL, &after));
    assert_false(after.is_set);
    assert_true(read_cursor(&fixture, "", &after));
    assert_false(after.is_set);
    pk_free(fixture.cursor);
}

TEST(every_damage_to_a_cursor_is_noticed)
{
    struct fixture fixture = fixture_new();
    const size_t length = strlen(fixture.cursor);
    struct pk_after after;
    for (size_t i = 0; i < length; i++) {
        PK_CLEANUP(pk_freep) char *bad = pk_strdup(fixture.cursor);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_false(read_cursor(&fixture, bad, &after));
        bad[i] = '\n';
        assert_false(read_cursor(&fixture, bad, &after));
        bad[i] = 0;
        assert_true(i == 0 || !read_cursor(&fixture, bad, &after));
    }
    for (int tail = 1; tail <= 4; tail++) {
        PK_CLEANUP(pk_freep) char *longer = pk_strdupf("%s%.*s", fixture.cursor, tail, "AAAA");
        assert_false(read_cursor(&fixture, longer, &after));
    }
    pk_free(fixture.cursor);
}

TEST(a_cursor_of_another_query_is_refused)
{
    struct fixture fixture = fixture_new();
    struct pk_after after;
    struct fixture other = fixture;
    other.query.is_reversed = true;
    assert_false(read_cursor(&other, fixture.cursor, &after));
    other = fixture;
    other.query.min = (struct pk_bound){ .is_set = true, .value = PK_TEXT("a") };
    assert_false(read_cursor(&other, fixture.cursor, &after));
    other = fixture;
    other.index = pk_collection_index(fixture.collection, "by_name");
    assert_false(read_cursor(&other, fixture.cursor, &after));
    other = fixture;
    other.query.limit = 3; /* How many come at a time is no part of the query. */
    assert_true(read_cursor(&other, fixture.cursor, &after));
    pk_after_done(&after);
    pk_free(fixture.cursor);
}
