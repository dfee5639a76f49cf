/* observation.c - Many observations become lists of writes, and each learns what became of it.
 *
 *     check each ──▶ ranges ──▶ decide ──▶ commit ──▶ learn
 *                                  ▲          │ conflict
 *                                  └──────────┘
 *
 * A range is what goes into one list. The first decision of a range reads as
 * little as can be: people known to this node cost nothing, and whether an id
 * that the client gave is taken shows at the insert. When that conflicts, the
 * list is decided again with a look at everything: what is there already with
 * the same content is a repetition, with another one it is refused, and the
 * rest goes on.
 *
 * What is wrong with one observation never keeps another one from being
 * accepted. A list that the store refuses for what is in it goes again one by
 * one, so that it is refused for that alone. */
/* SPDX-License-Identifier: MIT */
#include "persona/observation_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "script/scripts.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum {
    WRITES_EACH = 8, /* At most, of one observation: itself, task, two news, a person's four. */
    RANGE_MAX = PK_WRITES_MAX / WRITES_EACH,
    RANGE_BYTES = PK_WRITES_MAX_BYTES * 3 / 4, /* Of forms: the rest is what goes with them. */
    SERVER_BYTES = 1024                        /* That the server adds to a form, at most. */
};

/* One of those that were sent. */
struct item {
    struct observation_form form;
    struct pk_accepted *out;
    char id[PK_UUID_TEXT];
    bool is_settled;           /* Nothing more is to be done about it. */
    bool is_allowed;           /* The rules have been asked. */
    size_t hold;               /* Its person's place in the range's. */
    char merged[PK_UUID_TEXT]; /* The id that it came under, when that was merged; else "". */
};

struct intake {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const struct pk_accept_rules *rules;
    struct pk_generation *generation;
    struct item *item;
    size_t count;
    int64_t now_ms;

    /* The range under way. */
    size_t first, end;
    unsigned tries;
    struct people_hold *hold; /* RANGE_MAX of them. */
    size_t hold_count;
};

static bool refuse(struct item *item, const struct pk_error *err)
{
    struct pk_accepted *out = item->out;
    pk_doc_unref(out->doc);
    out->doc = NULL;
    out->task[0] = '\0';
    out->err = *err;
    out->is_ok = out->is_repeat = false;
    item->is_settled = true;
    return false;
}

/* ---- People of a range ---- */

static void drop_holds(struct intake *intake, bool is_committed)
{
    for (size_t i = 0; i < intake->hold_count; i++) {
        if (intake->tries > 0) {
            people_settle(intake->domain, &intake->hold[i], is_committed);
        }
        people_hold_done(&intake->hold[i]);
    }
    intake->hold_count = 0;
}

static bool is_held_as(const struct people_hold *hold, const struct pk_person_ref *ref)
{
    if (ref->id) {
        return strcmp(hold->id, ref->id) == 0;
    }
    return hold->source && strcmp(hold->source, ref->source) == 0 &&
           strcmp(hold->external, ref->external) == 0;
}

static bool may_name(const struct intake *intake, const char *id, struct pk_error *err)
{
    const struct pk_accept_rules *rules = intake->rules;
    return !rules || !rules->may_name || rules->may_name(rules->context, id, err);
}

/* Who it is, for whoever may see the id that is his name here, too: others learn nothing of it. */
static bool find_person(struct intake *intake, const struct pk_person_ref *ref,
                        struct people_hold *out, struct pk_error *err)
{
    if ((ref->id && !may_name(intake, ref->id, err)) ||
        !people_hold(intake->domain, ref, intake->tries > 0, intake->by->deadline_ns, out, err)) {
        return false;
    }
    if (out->way.count > 0 && !may_name(intake, pk_doc_id(out->way.doc[0]), err)) {
        people_hold_done(out);
        return false;
    }
    return true;
}

/* The person's place; two names of one person lead to one place. */
static bool hold_person(struct intake *intake, struct item *item, struct pk_error *err)
{
    const struct pk_person_ref *ref = &item->form.person;
    struct people_hold hold;
    size_t i = 0;
    while (i < intake->hold_count && !is_held_as(&intake->hold[i], ref)) {
        i++;
    }
    item->hold = i;
    item->merged[0] = '\0';
    if (i < intake->hold_count) {
        return true;
    }
    if (!find_person(intake, ref, &hold, err)) {
        return false;
    }
    const char *merged = people_hold_merged(&hold);
    (void)snprintf(item->merged, sizeof(item->merged), "%s", merged ? merged : "");
    for (i = 0; i < intake->hold_count && strcmp(intake->hold[i].id, hold.id) != 0;) {
        i++;
    }
    item->hold = i;
    if (i == intake->hold_count) {
        intake->hold[intake->hold_count++] = hold;
        return true;
    }
    const bool ok = people_hold_join(&intake->hold[i], &hold, err);
    people_hold_done(&hold);
    return ok;
}

static bool check_size(const struct intake *intake, const struct item *item, int64_t size,
                       struct pk_error *err)
{
    const struct people_hold *hold = &intake->hold[item->hold];
    const int64_t limit = intake->domain->person_max_bytes;
    if (limit > 0 && hold->stored_bytes + hold->bytes + size > limit) {
        return pk_fail_field(err, PK_FULL, "personId", "raise person.max_bytes, or forget some",
                             "the person's observations would take more than %lld bytes",
                             (long long)limit);
    }
    return true;
}

/* ---- One observation ---- */

static bool is_waiting(const struct pk_domain *domain, const char *source)
{
    for (size_t i = 0; domain->approve_sources && domain->approve_sources[i]; i++) {
        if (strcmp(domain->approve_sources[i], "*") == 0 ||
            strcmp(domain->approve_sources[i], source) == 0) {
            return true;
        }
    }
    return false;
}

static struct pk_doc *make(const struct intake *intake, const struct item *item)
{
    const struct observation_stamp stamp = {
        .id = item->id,
        .person = intake->hold[item->hold].id,
        .merged_from = item->merged[0] ? item->merged : NULL,
        .actor = intake->by->actor_id,
        .is_waiting = is_waiting(intake->domain, item->form.source),
        .now_ms = intake->now_ms,
    };
    return observation_doc_new(&item->form, &stamp);
}

static bool complete(const struct intake *intake, struct item *item, struct pk_writes *list,
                     struct pk_error *err)
{
    const struct pk_by *by = intake->by;
    return intake->count != 1 || !by->complete ||
           by->complete(by->context, list, item->out->doc, err);
}

/* What is there under its id already: '*out_is_there' ends the matter, as a repetition or refused.
 */
static bool look_for_repeat(struct intake *intake, struct item *item, bool *out_is_there,
                            struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    *out_is_there = false;
    if (intake->tries == 0 || !item->form.id) {
        return true;
    }
    if (!pk_store_get(intake->domain->books->store, "observations", item->id,
                      intake->by->deadline_ns, &stored, err)) {
        return pk_wrap(err, "look for the observation");
    }
    if (!stored) {
        return true;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = make(intake, item);
    *out_is_there = true;
    if (!observation_is_same(stored, doc)) {
        struct pk_error own;
        (void)pk_fail_field(&own, PK_CONFLICT, "observationId",
                            "observations never change: send it under a new id",
                            "another observation has this id");
        (void)refuse(item, &own);
        return true;
    }
    item->out->is_ok = item->out->is_repeat = true;
    item->out->task[0] = '\0';
    pk_doc_unref(item->out->doc);
    item->out->doc = pk_doc_ref(stored);
    return true;
}

static bool check_allowed(struct intake *intake, struct item *item, struct pk_error *err)
{
    const struct pk_accept_rules *rules = intake->rules;
    if (!item->is_allowed && rules && rules->may &&
        !rules->may(rules->context, intake->hold[item->hold].id, err)) {
        return false;
    }
    item->is_allowed = true;
    return true;
}

static void add(struct intake *intake, struct item *item, struct pk_doc *doc,
                struct pk_writes *list)
{
    struct pk_accepted *out = item->out;
    struct people_hold *hold = &intake->hold[item->hold];
    const size_t at = list->count;
    bson_t view;

    pk_doc_view(doc, &view);
    pk_writes_insert(list, "observations", doc);
    out->is_ok = true;
    out->is_repeat = false;
    out->task[0] = '\0';
    pk_doc_unref(out->doc);
    out->doc = pk_doc_new_versioned(&view, pk_writes_version(list, at));
    if (!is_waiting(intake->domain, item->form.source)) {
        observation_add_task(intake->domain, intake->by, "observation.created", item->id, hold->id,
                             list, out->task);
    } else {
        observation_add_news(intake->domain, "observation.created", item->id, hold->id, NULL, list);
    }
    hold->bytes += (int64_t)pk_doc_size(doc);
}

/* False: nothing of the range can be decided now. What is wrong with this one alone settles it. */
static bool decide_one(struct intake *intake, struct item *item, struct pk_writes *list,
                       struct pk_error *err)
{
    struct pk_error own = { 0 };
    bool is_there = false;
    if (!hold_person(intake, item, &own) || !check_allowed(intake, item, &own)) {
        if (own.code == PK_UNAVAILABLE || own.code == PK_BUSY || own.code == PK_TIMEOUT) {
            *err = own;
            return false;
        }
        (void)refuse(item, &own);
        return true;
    }
    if (!look_for_repeat(intake, item, &is_there, err)) {
        return false;
    }
    if (is_there) {
        return item->is_settled || complete(intake, item, list, err);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = make(intake, item);
    if (!check_size(intake, item, (int64_t)pk_doc_size(doc), &own)) {
        (void)refuse(item, &own);
        return true;
    }
    add(intake, item, doc, list);
    return complete(intake, item, list, err);
}

/* ---- A range ---- */

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct intake *intake = context;
    drop_holds(intake, false);
    for (size_t i = intake->first; i < intake->end; i++) {
        struct item *item = &intake->item[i];
        if (!item->is_settled && !decide_one(intake, item, list, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < intake->hold_count; i++) {
        if (intake->hold[i].bytes > 0) { /* Else all that he was held for is refused. */
            people_write(intake->domain, &intake->hold[i], list);
        }
    }
    intake->tries++;
    return true;
}

static void tell_all(struct intake *intake, const struct pk_error *err)
{
    for (size_t i = intake->first; i < intake->end; i++) {
        struct item *item = &intake->item[i];
        if (!item->is_settled) {
            (void)refuse(item, err);
        }
    }
}

static void commit_range(struct intake *intake, size_t first, size_t end)
{
    struct pk_error err = { 0 };

    intake->first = first;
    intake->end = end;
    intake->tries = 0;
    const bool ok = pk_by_decide(intake->by, intake->domain->books, decide, intake, &err);
    drop_holds(intake, ok);
    if (!ok && end - first > 1 && (err.code == PK_INVALID || err.code == PK_TOO_LARGE)) {
        for (size_t i = first; i < end; i++) {
            commit_range(intake, i, i + 1);
        }
    } else if (!ok) {
        tell_all(intake, &err);
    }
}

/* It gives its person a further name: that goes alone. */
static bool is_naming(const struct item *item)
{
    return item->form.person.id && item->form.person.source;
}

/* Whether an item must not go with those from 'first' on. */
static bool is_apart(const struct intake *intake, size_t first, size_t last, size_t at)
{
    const struct item *item = &intake->item[at];
    if (is_naming(item) || is_naming(&intake->item[last])) {
        return true;
    }
    for (size_t i = first; item->form.id && i < at; i++) {
        if (!intake->item[i].is_settled && strcmp(intake->item[i].id, item->id) == 0) {
            return true;
        }
    }
    return false;
}

static void commit_all(struct intake *intake)
{
    size_t first = 0, last = 0, bytes = 0, good = 0;
    for (size_t i = 0; i < intake->count; i++) {
        const struct item *item = &intake->item[i];
        const size_t size = item->is_settled ? 0 : item->form.size + SERVER_BYTES;
        if (!item->is_settled && good > 0 &&
            (good == RANGE_MAX || bytes + size > RANGE_BYTES || is_apart(intake, first, last, i))) {
            commit_range(intake, first, i);
            first = i;
            bytes = good = 0;
        }
        bytes += size;
        good += !item->is_settled;
        last = item->is_settled ? last : i;
    }
    if (good > 0) {
        commit_range(intake, first, intake->count);
    }
}

/* ---- All of them ---- */

static void check(struct intake *intake, struct item *item, const struct pk_sent *sent)
{
    struct pk_error err = { 0 };
    if (!observation_form_read(sent, intake->generation, &item->form, &item->out->faults, &err)) {
        (void)refuse(item, &err);
        return;
    }
    if (item->form.size + SERVER_BYTES > PK_DOC_MAX_BYTES) {
        (void)pk_fail_field(&err, PK_TOO_LARGE, "content", "send less, or a reference to a file",
                            "the observation would take more than %d bytes", PK_DOC_MAX_BYTES);
        (void)refuse(item, &err);
        return;
    }
    if (item->form.id) {
        (void)snprintf(item->id, sizeof(item->id), "%s", item->form.id);
    } else {
        pk_uuid_ordered(intake->now_ms, item->id);
    }
}

static void intake_done(struct intake *intake)
{
    for (size_t i = 0; i < intake->count; i++) {
        observation_form_done(&intake->item[i].form);
    }
    if (intake->generation) {
        pk_generation_unpin(intake->generation);
    }
    pk_free(intake->item);
    pk_free(intake->hold);
}

bool pk_observation_accept(const struct pk_domain *domain, const struct pk_by *by,
                           const struct pk_accept_rules *rules, const struct pk_sent *sent,
                           size_t count, struct pk_accepted *out, struct pk_error *err)
{
    if (count > PK_OBSERVATIONS_MAX) {
        return pk_fail_field(err, PK_TOO_LARGE, "observations", "send them in several requests",
                             "more than %d observations at once", PK_OBSERVATIONS_MAX);
    }
    PK_CLEANUP(intake_done)
    struct intake intake = {
        .domain = domain,
        .by = by,
        .rules = rules,
        .generation = domain->scripts ? pk_scripts_pin(domain->scripts) : NULL,
        .item = pk_calloc(count ? count : 1, sizeof(struct item)),
        .count = count,
        .now_ms = pk_clock_wall_ms(domain->books->clock),
        .hold = pk_calloc(count < RANGE_MAX ? count + 1 : RANGE_MAX, sizeof(struct people_hold)),
    };
    for (size_t i = 0; i < count; i++) {
        intake.item[i].out = &out[i];
        check(&intake, &intake.item[i], &sent[i]);
    }
    commit_all(&intake);
    return true;
}

void pk_accepted_done(struct pk_accepted *accepted)
{
    pk_doc_unref(accepted->doc);
    pk_faults_done(&accepted->faults);
    *accepted = (struct pk_accepted){ .is_ok = false };
}
