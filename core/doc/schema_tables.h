/* schema_tables.h - The schemas of the collections by name, and what their tables share.
 *
 * Only inventory.c and the schema_*.c files include this. A table is found by
 * its subject: what is said of a person in schema_observation.c, what is known
 * in schema_mindscape.c and schema_knowledge.c, and so on. A row is one line,
 * written with a ROW_ macro; what a macro cannot say is written out as a
 * designated initialiser.
 *
 * If you add a field: a row here, a line in names.c when it is spelt
 * differently outside, and its place in a write that fills it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_TABLES_H
#define PK_DOC_SCHEMA_TABLES_H

#include "doc/schema.h"

/* ---- Rows ---- */

enum { OPT = 0, REQ = PK_FIELD_REQUIRED };

/* Limits on texts (bytes) and lists (elements), so that no document grows without end. */
enum {
    TEXT_WORD = 200,            /* A name, a label, an id of somebody else's. */
    TEXT_LINE = 2000,           /* A sentence or two, an address. */
    TEXT_PAGE = 64 * 1024,      /* A description, a prompt. */
    TEXT_RAW = 8 * 1024 * 1024, /* An observation's content; below PK_DOC_MAX_BYTES. */
    LIST_SHORT = 32,
    LIST_SOME = 200,
    LIST_LONG = 2000,
    LIST_HUGE = 20000,
    MAP_ENTRIES = 1000,
    EMBEDDING_MAX = 8192 /* Dimensions. */
};
#define COUNT_MAX 9007199254740991.0 /* 2^53 - 1: every program can hold it. */

#define ROW_STRING(name_, format_, flags_, help_)                                        \
    {                                                                                    \
        .name = (name_), .type = PK_TYPE_STRING, .format = (format_), .flags = (flags_), \
        .max = TEXT_WORD, .help = (help_)                                                \
    }
#define ROW_UUID(name_, flags_, help_)  ROW_STRING(name_, PK_FORMAT_UUID, flags_, help_)
#define ROW_NAME(name_, flags_, help_)  ROW_STRING(name_, PK_FORMAT_NAME, flags_, help_)
#define ROW_TRAIT(name_, flags_, help_) ROW_STRING(name_, PK_FORMAT_TRAIT_PATH, flags_, help_)
#define ROW_TEXT(name_, flags_, max_, help_)                                                       \
    {                                                                                              \
        .name = (name_), .type = PK_TYPE_STRING, .flags = (flags_), .max = (max_), .help = (help_) \
    }
#define ROW_ENUM(name_, flags_, allowed_, help_)                                           \
    {                                                                                      \
        .name = (name_), .type = PK_TYPE_STRING, .flags = (flags_), .allowed = (allowed_), \
        .help = (help_)                                                                    \
    }
#define ROW_DETAIL(name_, flags_, help_) \
    ROW_ENUM(name_, (flags_) | PK_FIELD_ANY_CASE, pk_allowed_detail, help_)
#define ROW_BOOL(name_, flags_, help_)                                            \
    {                                                                             \
        .name = (name_), .type = PK_TYPE_BOOL, .flags = (flags_), .help = (help_) \
    }
#define ROW_DATE(name_, flags_, help_)                                            \
    {                                                                             \
        .name = (name_), .type = PK_TYPE_DATE, .flags = (flags_), .help = (help_) \
    }
#define ROW_INT(name_, flags_, min_, max_, help_)                                              \
    {                                                                                          \
        .name = (name_), .type = PK_TYPE_INT, .flags = (flags_), .min = (min_), .max = (max_), \
        .help = (help_)                                                                        \
    }
#define ROW_COUNT(name_, flags_, help_) ROW_INT(name_, flags_, 0, COUNT_MAX, help_)
#define ROW_NUMBER(name_, flags_, min_, max_, help_)                                              \
    {                                                                                             \
        .name = (name_), .type = PK_TYPE_NUMBER, .flags = (flags_), .min = (min_), .max = (max_), \
        .help = (help_)                                                                           \
    }
#define ROW_UNIT(name_, flags_, help_) ROW_NUMBER(name_, flags_, 0, 1, help_)
#define ROW_OBJECT(name_, flags_, of_, help_)                                                    \
    {                                                                                            \
        .name = (name_), .type = PK_TYPE_OBJECT, .flags = (flags_), .of = (of_), .help = (help_) \
    }
#define ROW_ARRAY(name_, flags_, max_, item_, help_)                                               \
    {                                                                                              \
        .name = (name_), .type = PK_TYPE_ARRAY, .flags = (flags_), .max = (max_), .item = (item_), \
        .help = (help_)                                                                            \
    }
#define ROW_MAP(name_, flags_, max_, item_, help_)                                               \
    {                                                                                            \
        .name = (name_), .type = PK_TYPE_MAP, .flags = (flags_), .max = (max_), .item = (item_), \
        .help = (help_)                                                                          \
    }
#define ROW_FREE(name_, flags_, help_)                                            \
    {                                                                             \
        .name = (name_), .type = PK_TYPE_FREE, .flags = (flags_), .help = (help_) \
    }
/* The rows of a schema, counted. */
#define FIELDS(array_) .field = (array_), .count = sizeof(array_) / sizeof((array_)[0])

/* ---- Rows that many tables use (schema_shared.c) ---- */

extern const struct pk_field pk_item_uuid;  /* An id of ours. */
extern const struct pk_field pk_item_obs;   /* An observation's id. */
extern const struct pk_field pk_item_trait; /* A trait's path. */
extern const struct pk_field pk_item_word;
extern const struct pk_field pk_item_line;
extern const struct pk_field pk_item_free;
extern const struct pk_field pk_item_float; /* Of an embedding. */

extern const char *const pk_allowed_detail[];     /* instant, balanced, deep_dive */
extern const char *const pk_allowed_level[];      /* low, medium, high */
extern const char *const pk_allowed_volatility[]; /* low, high */
extern const char *const pk_allowed_lifecycle[];  /* draft, active, deprecated */
extern const char *const pk_allowed_work[];       /* pending, in_progress, done, failed */
extern const char *const pk_allowed_link[];       /* extracted_from, curates, ... */

extern const struct pk_schema pk_schema_span;     /* from, to */
extern const struct pk_schema pk_schema_read_key; /* One thing that a persona read. */
extern const struct pk_schema pk_schema_pipeline; /* What a mapper looks up ... */
extern const struct pk_schema pk_schema_output;   /* ... and makes. */

/* For rules: a field of 'doc' itself, NULL or false when it is absent or of another type. */
const char *pk_rule_text(const bson_t *doc, const char *name);
bool pk_rule_date(const bson_t *doc, const char *name, int64_t *out_ms);
bool pk_rule_has(const bson_t *doc, const char *name);
/* Adds a fault at 'name' below 'path' (which may be ""). */
void pk_rule_fault(struct pk_faults *faults, const char *path, const char *name,
                   const char *expected, const char *got);
/* The fault of an '_id' that must be its parts joined by ':'; no part may be NULL. */
void pk_rule_joined_id(const bson_t *doc, const char *path, const char *const *part, size_t count,
                       struct pk_faults *faults);

/* Parts of an observation that its body shares. */
extern const struct pk_field pk_item_media;
extern const struct pk_schema pk_schema_source;
extern const struct pk_schema pk_schema_content;
extern const struct pk_schema pk_schema_approval;
extern const char *const pk_observation_type[]; /* The built-in ones; 'curation' is the last. */

/* ---- Collections, in the order of the inventory ---- */

extern const struct pk_schema pk_schema_observation;
extern const struct pk_schema pk_schema_mindscape;
extern const struct pk_schema pk_schema_trait_history;
extern const struct pk_schema pk_schema_persona;
extern const struct pk_schema pk_schema_persona_log;
extern const struct pk_schema pk_schema_mapper;
extern const struct pk_schema pk_schema_script;
extern const struct pk_schema pk_schema_narrative;
extern const struct pk_schema pk_schema_trait_link;
extern const struct pk_schema pk_schema_narrative_usage;
extern const struct pk_schema pk_schema_knowledge;
extern const struct pk_schema pk_schema_vector;
extern const struct pk_schema pk_schema_graph_node;
extern const struct pk_schema pk_schema_graph_edge;
extern const struct pk_schema pk_schema_graph_metadata; /* Within a mindscape. */
extern const struct pk_schema pk_schema_review;
extern const struct pk_schema pk_schema_consent;
extern const struct pk_schema pk_schema_person;
extern const struct pk_schema pk_schema_processing;
extern const struct pk_schema pk_schema_feedback;
extern const struct pk_schema pk_schema_actor;
extern const struct pk_schema pk_schema_outbox_task;
extern const struct pk_schema pk_schema_event;
extern const struct pk_schema pk_schema_device;
extern const struct pk_schema pk_schema_sync_item;
extern const struct pk_schema pk_schema_tombstone;
extern const struct pk_schema pk_schema_delivery;
extern const struct pk_schema pk_schema_idempotency;
extern const struct pk_schema pk_schema_model;
extern const struct pk_schema pk_schema_artifact;
extern const struct pk_schema pk_schema_node;
extern const struct pk_schema pk_schema_script_state;
extern const struct pk_schema pk_schema_setting;
extern const struct pk_schema pk_schema_audit;

extern const struct pk_schema pk_schema_configuration; /* Of a mapper. */
extern const struct pk_schema pk_schema_training;
extern const struct pk_schema pk_schema_canary;       /* Of an active mapper. */
extern const struct pk_schema pk_schema_signature;    /* Of a version. */
extern const struct pk_schema pk_schema_capabilities; /* Of an actor. */
extern const struct pk_schema pk_schema_actor_usage;

/* ---- Bodies of requests and answers, spelt as over HTTP ---- */

extern const struct pk_schema pk_schema_map_request;
extern const struct pk_schema pk_schema_map_response;
extern const struct pk_schema pk_schema_feedback_request;
extern const struct pk_schema pk_schema_feedback_response;
extern const struct pk_schema pk_schema_feedback_body;
extern const struct pk_schema pk_schema_sync_request;
extern const struct pk_schema pk_schema_sync_response;
extern const struct pk_schema pk_schema_mapper_update;
extern const struct pk_schema pk_schema_persona_update;
extern const struct pk_schema pk_schema_mindscape_update;

#endif
