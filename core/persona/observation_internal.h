/* observation_internal.h - What the files of the intake share; nobody else includes it.
 *
 *     observation_form.c    from what was sent to what the schema says: both spellings, all faults
 *     observation_doc.c     the stored document, and what goes with it into a list
 *     observation.c         many at once: people, lists, conflicts, repetitions
 *     observation_move.c    approved, rejected; curations
 *     observation_find.c    read */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_OBSERVATION_INTERNAL_H
#define PK_PERSONA_OBSERVATION_INTERNAL_H

#include "persona/observation.h"
#include "persona/people_internal.h"

struct pk_generation;

/* One that was sent, checked. Texts lie in 'data'. */
struct observation_form {
    uint8_t *data;  /* BSON of libbson's: HTTP's first spelling, values in their stored form. */
    size_t size;    /* Bytes of it. */
    const char *id; /* That the client gave; or NULL. */
    struct pk_person_ref person;
    const char *type;
    const char *source;
    bool has_timestamp;
    int64_t timestamp_ms; /* When it happened, as the source says. */
};
/* 'generation' says which further types are accepted; NULL: none. */
bool observation_form_read(const struct pk_sent *sent, const struct pk_generation *generation,
                           struct observation_form *out, struct pk_faults *faults,
                           struct pk_error *err);
void observation_form_done(struct observation_form *form);

/* What the server adds. */
struct observation_stamp {
    const char *id;
    const char *person;
    const char *merged_from; /* The id that it came under, if that was merged; or NULL. */
    const char *actor;
    bool is_waiting; /* For somebody's approval. */
    int64_t now_ms;
};
/* The document as it is stored. */
struct pk_doc *observation_doc_new(const struct observation_form *form,
                                   const struct observation_stamp *stamp);
/* The same observation, as sent: whatever the server has added since. */
bool observation_is_same(const struct pk_doc *a, const struct pk_doc *b);

/* Adds the feed's row of 'what' has happened, and the task that processes it; 'out' gets its id. */
void observation_add_task(const struct pk_domain *domain, const struct pk_by *by, const char *what,
                          const char *id, const char *person, struct pk_writes *list,
                          char out[PK_UUID_TEXT]);
/* Adds the feed's row alone; 'task' "" or NULL: nothing is to be done. */
void observation_add_news(const struct pk_domain *domain, const char *what, const char *id,
                          const char *person, const char *task, struct pk_writes *list);

#endif
