/* row.h - Everything about a route, said once.
 *
 *     static const struct pk_api_row row[] = {
 *         { PK_ROW(GET, "/v1/actors/{actor}", ACTOR_READ), .lane = PK_LANE_STORE,
 *           .answer = &pk_view_actor, .run = show, .subject = PK_SUBJECT_OWNER, ... .help = "..."
 * },
 *
 * A row without an action does not compile (PK_ROW wants three), and action 0
 * is refused to everybody. What a row does not say, a request may not bring:
 * an undeclared query parameter or body field is an error that names it.
 *
 * If you add a resource: its file with a table like this and one line in the
 * list of tables in api.c. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_ROW_H
#define PK_API_ROW_H

#include "access/access.h"
#include "access/idempotency.h"
#include "api/api.h"
#include "doc/schema.h"
#include "net/net.h"
#include "store/store.h"

#include <bson/bson.h>

struct pk_doc;

/* ---- The row ---- */

enum {
    PK_PARAMS_MAX = 16,        /* Of one row. */
    PK_PARAM_TEXT_MAX = 2000,  /* Bytes of a text whose row has no 'max'. */
    PK_PARAM_CURSOR_MAX = 4096 /* Bytes of ?cursor=. */
};

enum pk_param_type {
    PK_PARAM_TEXT, /* min, max: bytes. */
    PK_PARAM_INT,  /* min, max: value. */
    PK_PARAM_BOOL, /* "true", "false". */
    PK_PARAM_TIME, /* ISO 8601 with a zone; read as milliseconds. */
    PK_PARAM_UUID, /* Folded to lower case. */
    PK_PARAM_WORD  /* One of 'allowed'. */
};
/* A parameter of query or path. */
struct pk_param {
    const char *name;
    enum pk_param_type type;
    int64_t min, max;
    const char *const *allowed; /* NULL-terminated. */
    const char *pattern;        /* Of a text, in ECMA 262, for OpenAPI: what the handler checks. */
    const char *fallback;       /* What a missing one means, for people; NULL: nothing. */
    const char *help;
};

/* One of several forms that a body may come in; the handler reads it (call->request->body). */
struct pk_body_form {
    const char *type;               /* Media type; NULL ends a list. */
    const struct pk_schema *schema; /* Of the whole, or of a line where the type has lines. */
};

struct pk_api_call;
/* Does the work: reads, decides, writes, answers. False: 'err' becomes the answer. */
typedef bool pk_run_fn(struct pk_api_call *call, struct pk_error *err);
/* Fills the answer from the document that 'run' has read or made; see pk_call_show. */
typedef bool pk_show_fn(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err);
/* Fills what the action is done to, from path, query and body (pk_access_check is asked with it
 * before 'run'); NULL: nothing. May read the store: what it finds it may keep in call->found. */
typedef bool pk_subject_fn(struct pk_api_call *call, struct pk_object *object,
                           struct pk_error *err);

enum pk_row_flags {
    PK_ROW_ONCE = 1 << 0,   /* Takes Idempotency-Key; on other rows the header is ignored. */
    PK_ROW_MATCH = 1 << 1,  /* Takes If-Match; on other rows that write it is refused. */
    PK_ROW_AFTER = 1 << 2,  /* Takes ?after=<cursor>: waits until this node has seen it. */
    PK_ROW_LIST = 1 << 3,   /* Answers {"items": [answer...], "next": cursor or null}; takes
                             * ?limit= and ?cursor=. */
    PK_ROW_WRITES = 1 << 4, /* Changes something: needs the feed to be fresh. */
    PK_ROW_SECRET = 1 << 5, /* Its answer shows a secret. */
    PK_ROW_EVENTS = 1 << 6, /* Answers text/event-stream. */
    PK_ROW_DOOR = 1 << 7,   /* Open to all on the operations listener; all else is not there. */
    PK_ROW_MANY = 1 << 8,   /* Done to many things, or to what the body says: 'run' asks
                             * pk_access_check for each; before it only whether who asks may at
                             * all. */
    PK_ROW_WAIT = 1 << 9,   /* A write that takes ?wait=processed: see pk_call_wait_tasks. */
    PK_ROW_READS = 1 << 10  /* Shows what is known of the subject's person: who read it is kept
                             * (access_log.h). Personas and exports see to that themselves. */
};

struct pk_api_row {
    enum pk_method method;
    const char *path;
    enum pk_action action;
    enum pk_lane_name lane;
    unsigned flags;                  /* PK_ROW_... */
    int status;                      /* Of success; 0: 200. */
    size_t body_max_bytes;           /* 0: 64 KiB when there is a body. */
    const struct pk_schema *body;    /* In the spelling of HTTP; NULL: none. */
    const char *text_type;           /* Beside JSON, a body of this type is taken as it is, as
                                      * call->text; NULL: JSON alone. */
    const struct pk_body_form *form; /* Instead of 'body': several forms. */
    const struct pk_schema *answer;  /* The same; NULL: none, or not JSON. */
    const struct pk_schema *many;    /* Answered with 207 to who sends many at once; or NULL. */
    const char *answer_type;         /* NULL: application/json. */
    const char *text_answer;         /* Beside it, this type, for people: call->wants_text says
                                      * that it is asked for; NULL: none. */
    const struct pk_param *param;    /* Of path and query; ended by a NULL name; or NULL. */
    pk_subject_fn *subject;
    pk_show_fn *show;          /* Rows with PK_ROW_ONCE need one, unless PK_ROW_SECRET. */
    pk_run_fn *run;            /* On 'lane'; NULL: 'hot' does it all. */
    pk_handler_fn *hot;        /* On the loop, before 'run'; it must not wait. See hot_lane.h. */
    const char *id;            /* "listActors": operationId. */
    const char *tag;           /* "actors" */
    const char *help;          /* One sentence. */
    const char *others;        /* Why the path has no further methods; or NULL. */
    const enum pk_code *fails; /* Codes beyond those that every such row has; ended by PK_OK. */
};
#define PK_ROW(METHOD, PATH, ACTION) \
    .method = PK_METHOD_##METHOD, .path = (PATH), .action = PK_ACT_##ACTION

struct pk_api_table {
    const struct pk_api_row *row;
    size_t count;
};
/* The same as pk_api_new with other tables, for tests and benches. */
struct pk_api *pk_api_new_of(const struct pk_api_parts *parts,
                             const struct pk_api_table *const *table, size_t table_count);
/* Every row there is, in order. 'call->row' and the OpenAPI document come from here. */
size_t pk_api_row_count(void);
const struct pk_api_row *pk_api_row_at(size_t i);

/* ---- A request on its way through run.c ---- */

struct pk_api_call {
    const struct pk_api_parts *parts;
    const struct pk_api_row *row;
    struct pk_request *request;
    struct pk_answer *answer;
    const struct pk_principal *who;   /* NULL: nobody was asked for a key. */
    struct pk_by by;                  /* The same, for those who write: takes the row of an
                                       * Idempotency-Key into the list, and brings the cursor. */
    int64_t deadline_ns;              /* For the store. */
    const bson_t *body;               /* Checked against row->body, in its spelling; NULL: none. */
    const char *text;                 /* Instead, of row->text_type: the bytes as they came. */
    size_t text_size;                 /* Bytes of it. */
    int64_t match_version;            /* From If-Match; 0: any will do. */
    struct pk_object object;          /* What 'subject' has filled. */
    struct pk_doc *found;             /* What it has read; a reference, or NULL. */
    const char *value[PK_PARAMS_MAX]; /* Parameters by their row in row->param; NULL: not given. */
    int64_t number[PK_PARAMS_MAX];    /* The same for INT, BOOL and TIME. */
    const char *findings;             /* JSON array for a problem's member of that name; or NULL. */
    bool wants_text;                  /* row->text_answer rather than JSON. */
    size_t limit;                     /* PK_ROW_LIST: ?limit=, or 100. */
    const char *cursor;               /* PK_ROW_LIST: ?cursor=, or NULL. */
    void *own;                        /* The handler's, for its 'show'. */

    /* run.c's own. */
    const char *after;               /* PK_ROW_AFTER: ?after=, or NULL. */
    bool is_wait_asked;              /* ?wait=processed. */
    int round;                       /* 1: it has been parked for 'after'; 2: for effects. */
    bool is_over;                    /* It is parked, or answered: no further step. */
    bool is_shown;                   /* 'answer' has been filled by row->show. */
    const char *wrote;               /* The cursor to be sent, or NULL. */
    char position[PK_POSITION_TEXT]; /* Where pk_by puts it. */
    struct pk_principal *renewed;    /* 'who', when he was read anew; a reference. */
    struct pk_once once;             /* Begun when a key came; else empty. */
    struct pk_replay replay;         /* The first answer, when there was one. */
    int decisions;                   /* Lists decided so far; see once.c. */
    const int64_t *match;            /* If-Match as it came, when it is a list. */
    size_t match_count;
    bson_t accepted;         /* What 'body' points to. */
    struct pk_faults faults; /* Of the body. */
};

/* A parameter by name; NULL when it was not given. An undeclared name is a bug (assert). */
const char *pk_call_value(const struct pk_api_call *call, const char *name);
int64_t pk_call_number(const struct pk_api_call *call, const char *name, int64_t fallback);
/* A text of the body by dot path; NULL: it has none there, or there is no body. */
const char *pk_call_text(const struct pk_api_call *call, const char *path);
bool pk_call_is(const struct pk_api_call *call, const char *path); /* It says true there. */

/* Answers with a document in HTTP's spelling, its version as ETag (0: without one). */
bool pk_call_answer(struct pk_api_call *call, const bson_t *doc, int64_t version,
                    struct pk_error *err);
/* The same with a stored document, spelt as its collection is over HTTP. */
bool pk_call_answer_doc(struct pk_api_call *call, const char *collection, const struct pk_doc *doc,
                        struct pk_error *err);
/* Makes 'out', on success only, which the caller ends: a stored document as HTTP spells it, without
 * what is out of the key's sight (persona/sight.h). Every stored document that is shown comes
 * through here. */
bool pk_call_spell(const struct pk_api_call *call, const char *collection, const bson_t *stored,
                   bson_t *out, struct pk_error *err);
/* Has row->show answer with what was read or made, unless it has done so already: for the row of
 * an Idempotency-Key the answer is made before the commit. */
bool pk_call_show(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err);
/* Adds the members "status", "code", "detail", "hint", "field" and "errors" of a failure to an open
 * object: for one of many. */
void pk_call_put_failure(struct pk_buf *out, const struct pk_error *err,
                         const struct pk_faults *faults);
/* 204. */
void pk_call_answer_nothing(struct pk_api_call *call);
/* Adds the header Location. */
bool pk_call_made(struct pk_api_call *call, struct pk_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* After a write that 'call->by' was not handed to: PersonaKit-Cursor. */
void pk_call_wrote(struct pk_api_call *call, const char *cursor);

/* On a row with PK_ROW_WAIT, when the answer was made and ?wait=processed has come (else it does
 * nothing): the answer goes out when these tasks have ended, or PK_AFTER_MAX_MS later; no thread
 * waits. It says "PersonaKit-Processed: true" (and 200 where the row says 202); "failed" when a
 * task has failed; or "false" and 202 instead of 200 or 201: what was written is written, and is
 * still to be processed. 'finish' (may be NULL) makes the answer anew, with 'own' (in the request's
 * arena) as call->own; if it fails, the answer that was made goes out. One task, or a few: of many
 * a client sends the cursor to the read that follows. */
void pk_call_wait_tasks(struct pk_api_call *call, const char *const *task, size_t count,
                        pk_run_fn *finish, void *own);

/* The same for tasks of which each is made by the one before it, or not at all: they are waited for
 * one after the other. */
void pk_call_wait_in_turn(struct pk_api_call *call, const char *const *task, size_t count);

/* A page: begin, add each item in HTTP's spelling, end. 'next' NULL: it was the last. */
void pk_call_list_begin(struct pk_api_call *call);
bool pk_call_list_add(struct pk_api_call *call, const bson_t *item, struct pk_error *err);
bool pk_call_list_add_doc(struct pk_api_call *call, const char *collection,
                          const struct pk_doc *doc, struct pk_error *err);
void pk_call_list_end(struct pk_api_call *call, const char *next);

#endif
