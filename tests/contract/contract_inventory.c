/* contract_inventory.c - Collections that have every kind of index there is. */
/* SPDX-License-Identifier: MIT */
#include "contract_inventory.h"

#include "base/alloc.h"

static const struct pk_index things_index[] = {
    { .name = "by_kind_rank",
      .key = { { .path = "kind" }, { .path = "rank", .is_descending = true } },
      .key_count = 2 },
    { .name = "by_rank", .key = { { .path = "rank" } }, .key_count = 1 },
    { .name = "by_deep", .key = { { .path = "where.city" } }, .key_count = 1 },
    { .name = "by_flag_when",
      .key = { { .path = "flag" }, { .path = "when", .is_descending = true } },
      .key_count = 2 },
    { .name = "by_four",
      .key = { { .path = "a" },
               { .path = "b", .is_descending = true },
               { .path = "c" },
               { .path = "d", .is_descending = true } },
      .key_count = 4 },
    { .name = "urgent_by_rank",
      .key = { { .path = "rank" } },
      .key_count = 1,
      .only = PK_ONLY_TRUE,
      .only_path = "urgent" },
    { .name = "named_by_name",
      .key = { { .path = "name" } },
      .key_count = 1,
      .only = PK_ONLY_EXISTS,
      .only_path = "name" },
    { .name = "open_by_kind",
      .key = { { .path = "kind" }, { .path = "rank" } },
      .key_count = 2,
      .only = PK_ONLY_TEXT,
      .only_path = "state",
      .only_text = "open" },
    { .name = "by_tag",
      .key = { { .path = "tags[]" }, { .path = "rank", .is_descending = true } },
      .key_count = 2 },
    { .name = "by_metadata", .key = { { .path = "metadata.*" } }, .key_count = 1 },
    { .name = "one_key_id",
      .key = { { .path = "keys[].keyId" } },
      .key_count = 1,
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "keys" },
};

static const struct pk_index unique_index[] = {
    { .name = "one_slug",
      .key = { { .path = "slug" }, { .path = "number" } },
      .key_count = 2,
      .is_unique = true },
    { .name = "one_email",
      .key = { { .path = "email" } },
      .key_count = 1,
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "email" },
    { .name = "one_active",
      .key = { { .path = "group" } },
      .key_count = 1,
      .is_unique = true,
      .only = PK_ONLY_TEXT,
      .only_path = "status",
      .only_text = "active" },
    { .name = "one_default",
      .key = { { .path = "group" } },
      .key_count = 1,
      .is_unique = true,
      .only = PK_ONLY_TRUE,
      .only_path = "isDefault" },
};

static const struct pk_index mortals_index[] = {
    { .name = "one_name",
      .key = { { .path = "name" } },
      .key_count = 1,
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "name" },
    { .name = "by_owner", .key = { { .path = "owner" } }, .key_count = 1 },
};

static const struct pk_index other_index[] = {
    { .name = "one_name", .key = { { .path = "owner" } }, .key_count = 1 },
    { .name = "by_owner", .key = { { .path = "owner" } }, .key_count = 1 },
};

static const struct pk_field typed_field[] = {
    { .name = "_id", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED, .help = "Id." },
    { .name = "score",
      .type = PK_TYPE_NUMBER,
      .flags = PK_FIELD_REQUIRED,
      .min = 0,
      .max = 1,
      .help = "Score." },
    { .name = "name", .type = PK_TYPE_STRING, .help = "Name." },
};

static const struct pk_schema typed_schema = {
    .name = "Typed",
    .field = typed_field,
    .count = PK_COUNT(typed_field),
    .help = "A document with a schema.",
};

#define REST                                                                            \
    { .name = "things",                                                                 \
      .index = things_index,                                                            \
      .index_count = PK_COUNT(things_index),                                            \
      .help = "Every kind of index." },                                                 \
        { .name = "uniques",                                                            \
          .index = unique_index,                                                        \
          .index_count = PK_COUNT(unique_index),                                        \
          .help = "Every kind of unique index." },                                      \
        { .name = "guards", .is_guarded = true, .help = "May be expected absent." },    \
        { .name = "typed", .schema = &typed_schema, .help = "Has a schema." },          \
    {                                                                                   \
        .name = "events", .ttl_path = "expiresAt", .is_feed = true, .help = "The feed." \
    }

static const struct pk_collection collection_table[] = {
    { .name = "mortals",
      .index = mortals_index,
      .index_count = PK_COUNT(mortals_index),
      .ttl_path = "expiresAt",
      .is_guarded = true,
      .help = "They expire." },
    REST,
};

static const struct pk_collection other_table[] = {
    { .name = "mortals",
      .index = other_index,
      .index_count = PK_COUNT(other_index),
      .ttl_path = "expiresAt",
      .is_guarded = true,
      .help = "They expire." },
    REST,
};

const struct pk_inventory *contract_inventory(void)
{
    static const struct pk_inventory inventory = { .collection = collection_table,
                                                   .count = PK_COUNT(collection_table),
                                                   .schema_version = 1 };
    return &inventory;
}

const struct pk_inventory *contract_inventory_later(void)
{
    static const struct pk_inventory inventory = { .collection = collection_table,
                                                   .count = PK_COUNT(collection_table),
                                                   .schema_version = 2 };
    return &inventory;
}

const struct pk_inventory *contract_inventory_other_index(void)
{
    static const struct pk_inventory inventory = { .collection = other_table,
                                                   .count = PK_COUNT(other_table),
                                                   .schema_version = 1 };
    return &inventory;
}
