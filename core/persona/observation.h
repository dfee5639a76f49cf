/* observation.h - Facts come in: checked, given to a person, approved, and never changed again.
 *
 * Accepting is inserts only: the observation, its task in the outbox, its row
 * of the feed, and at the first one of a person the person. An id that was
 * given by the client makes a repeat harmless: the same content is answered as
 * it was the first time, another one is refused. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_OBSERVATION_H
#define PK_PERSONA_OBSERVATION_H

#include "base/error.h"
#include "base/id.h"
#include "doc/schema.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_page;
struct pk_principal;

enum { PK_OBSERVATIONS_MAX = 1000 }; /* In one call. */

/* One as it was sent: well-formed BSON, as pk_json_read makes it; borrowed. (A bson_t itself cannot
 * lie in allocated memory: it wants to be aligned.) */
struct pk_sent {
    const uint8_t *data;
    size_t size;
};
/* What became of one that was sent. '{ 0 }' before, pk_accepted_done after. */
struct pk_accepted {
    bool is_ok;
    bool is_repeat;          /* It was there already, with this content. */
    struct pk_doc *doc;      /* The observation; a reference; NULL when it was refused. */
    char task[PK_UUID_TEXT]; /* That processes it; "": it waits for approval, or was a repeat. */
    struct pk_error err;     /* Why it was refused; 'field' points into 'faults', or is static. */
    struct pk_faults faults; /* Everything that is wrong with it. */
};
void pk_accepted_done(struct pk_accepted *accepted);

/* Asked once for each observation, when its person is known and before anything is written: false
 * refuses it with 'err'. Who is new may be seen by him who may see everybody. */
struct pk_accept_rules {
    bool (*may)(void *context, const char *person, struct pk_error *err);
    /* Asked before anything is looked at, of the id that was sent; and of the one whose external
     * id was sent, when that one is merged. NULL: nobody asks. */
    bool (*may_name)(void *context, const char *person, struct pk_error *err);
    void *context;
};

/* Takes 'count' observations in HTTP's spelling (seeds/001 §1.1 and 002's short form) and says of
 * each what became of it; 'out' has as many places. Those that are good are committed together, in
 * lists as large as the store takes. 'rules' NULL: about everybody. False: none was looked at
 * ('err'). 'by->complete' is asked only when count is 1, for what is accepted or repeated; by then
 * 'out' says so. */
bool pk_observation_accept(const struct pk_domain *domain, const struct pk_by *by,
                           const struct pk_accept_rules *rules, const struct pk_sent *sent,
                           size_t count, struct pk_accepted *out, struct pk_error *err);

bool pk_observation_get(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                        struct pk_doc **out, struct pk_error *err);
struct pk_observation_filter {
    const char *person;        /* Needed. */
    const char *status, *type; /* NULL: any. */
};
bool pk_observation_list(const struct pk_domain *domain, const struct pk_observation_filter *filter,
                         size_t limit, const char *cursor, struct pk_page *out,
                         struct pk_error *err);

/* Whether it is out of the sight of 'who' (NULL: nothing is): he did not send it, and a trait that
 * is hidden from him rests on it or is named in it, when it is a curation. What waits or has not
 * been processed yet has told of no trait, so it is not. */
bool pk_observation_is_hidden(const struct pk_domain *domain, const struct pk_principal *who,
                              const struct pk_doc *observation, int64_t deadline_ns, bool *out,
                              struct pk_error *err);

/* Of a pending one; the same decision again is fine. 'version': as read (pk_doc_version), or 0.
 * 'out_task' gets the task that processes it; "": it was approved before. */
bool pk_observation_approve(const struct pk_domain *domain, const struct pk_by *by, const char *id,
                            int64_t version, struct pk_doc **out, char out_task[PK_UUID_TEXT],
                            struct pk_error *err);
bool pk_observation_reject(const struct pk_domain *domain, const struct pk_by *by, const char *id,
                           int64_t version, const char *reason, struct pk_doc **out,
                           struct pk_error *err);

/* The domain's own observations (curations): 'content.structured' is given; approved already.
 * Adds it and its task to 'list'. 'task_id' gets the task's id. */
bool pk_observation_add_curation(const struct pk_domain *domain, const struct pk_by *by,
                                 const char *person, const bson_t *structured,
                                 struct pk_writes *list, char out_id[PK_UUID_TEXT],
                                 char task_id[PK_UUID_TEXT], struct pk_error *err);

#endif
