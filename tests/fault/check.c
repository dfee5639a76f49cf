/* check.c - A store against its journal.
 *
 * Every collection is read from end to end; each id names its list (list.h),
 * so a document is marked present on that list, compared byte by byte with
 * what that list wrote, or called alien. Then the journal is gone through
 * list by list: what state it is in says what must be present. */
/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "journal.h"
#include "tap.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const char *const sentence[FAULT_RULE_COUNT] = {
    [FAULT_RULE_DONE] = "every acknowledged list is there, whole",
    [FAULT_RULE_REFUSED] = "every refused list is absent, whole",
    [FAULT_RULE_WHOLE] = "every unknown or interrupted list is there or absent, whole",
    [FAULT_RULE_ALIEN] = "nothing else is there",
    [FAULT_RULE_CONTENT] = "every document says what its list said, once",
    [FAULT_RULE_COUNTER] = "each counter equals the lists present that raised it",
    [FAULT_RULE_INDEX] = "indexes lead to the same documents",
    [FAULT_RULE_FEED] = "the feed delivered everything acknowledged, in order",
    [FAULT_RULE_WORD] = "the store kept its word in front of the writer",
    [FAULT_RULE_READ] = "the store can be read",
};

const char *fault_rule_sentence(enum fault_rule rule)
{
    return sentence[rule];
}

static void look(struct fault_report *report, enum fault_rule rule)
{
    report->rule[rule].checked++;
}

static void broken(struct fault_report *report, enum fault_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void broken(struct fault_report *report, enum fault_rule rule, const char *format, ...)
{
    if (report->rule[rule].broken++ == 0) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(report->rule[rule].first, sizeof(report->rule[rule].first), format, args);
        va_end(args);
    }
}

/* ---- Documents ---- */

static void take_document(struct fault_journal *journal, enum fault_part part, struct pk_doc *doc,
                          struct fault_report *report)
{
    struct fault_name name;
    enum fault_part named;
    const char *id = pk_doc_id(doc);
    look(report, FAULT_RULE_ALIEN);
    if (!id || !fault_id_read(id, journal->seed, &name, &named) || named != part) {
        broken(report, FAULT_RULE_ALIEN, "'%s' in '%s' belongs to no list", id ? id : "(none)",
               fault_collection(part));
        return;
    }
    struct fault_list *list = fault_journal_list(journal, name);
    if (!list) {
        broken(report, FAULT_RULE_ALIEN, "'%s' in '%s': list %u.%u.%u was never tried", id,
               fault_collection(part), name.run, name.thread, name.number);
        return;
    }
    look(report, FAULT_RULE_CONTENT);
    if (list->is_present[part]) {
        broken(report, FAULT_RULE_CONTENT, "'%s' is in '%s' twice", id, fault_collection(part));
    }
    list->is_present[part] = true;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *wanted = fault_doc(journal->seed, name, part);
    if (!pk_doc_same(doc, wanted)) {
        broken(report, FAULT_RULE_CONTENT, "'%s' in '%s' has other contents than list %u.%u.%u", id,
               fault_collection(part), name.run, name.thread, name.number);
    }
}

/* Calls 'each' for every document of a collection. */
static bool scan(struct pk_store *store, const struct pk_query *wanted, void *context,
                 void (*each)(void *context, struct pk_doc *doc), struct fault_report *report)
{
    struct pk_query query = *wanted;
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    query.limit = PK_PAGE_MAX;
    do {
        struct pk_error err = { 0 };
        struct pk_page page = { 0 };
        look(report, FAULT_RULE_READ);
        query.cursor = cursor;
        if (!pk_store_find(store, &query, 0, &page, &err)) {
            broken(report, FAULT_RULE_READ, "'%s' by '%s': %s", query.collection, query.index,
                   err.message);
            return false;
        }
        for (size_t i = 0; i < page.count; i++) {
            each(context, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
        pk_page_done(&page);
    } while (cursor);
    return true;
}

struct part_scan {
    struct fault_journal *journal;
    enum fault_part part;
    struct fault_report *report;
};

static void each_document(void *context, struct pk_doc *doc)
{
    struct part_scan *scan = context;
    take_document(scan->journal, scan->part, doc, scan->report);
}

/* ---- Lists ---- */

static void forget_present(struct fault_lane *lane)
{
    for (size_t i = 0; i < lane->count; i++) {
        memset(lane->list[i].is_present, 0, sizeof(lane->list[i].is_present));
    }
}

static void judge(struct fault_list *list, struct fault_name name, struct fault_report *report)
{
    static const enum fault_rule rule[] = {
        [FAULT_NEVER] = FAULT_RULE_ALIEN,   [FAULT_TRIED] = FAULT_RULE_WHOLE,
        [FAULT_UNKNOWN] = FAULT_RULE_WHOLE, [FAULT_REFUSED] = FAULT_RULE_REFUSED,
        [FAULT_DONE] = FAULT_RULE_DONE,
    };
    int parts = 0;
    for (int part = 0; part < FAULT_PART_COUNT; part++) {
        parts += list->is_present[part] ? 1 : 0;
    }
    bool is_whole = parts == FAULT_PART_COUNT;
    bool is_absent = parts == 0;
    bool is_right = list->state == FAULT_DONE      ? is_whole
                    : list->state == FAULT_REFUSED ? is_absent
                                                   : is_whole || is_absent;
    if (list->state == FAULT_NEVER) {
        return;
    }
    look(report, rule[list->state]);
    report->present += is_whole ? 1 : 0;
    if (!is_right) {
        broken(report, rule[list->state],
               "list %u.%u.%u (kind %c): %d of its %d documents are there%s%s%s%s", name.run,
               name.thread, name.number, list->kind, parts, FAULT_PART_COUNT,
               list->is_present[FAULT_OBSERVATION] ? " observation" : "",
               list->is_present[FAULT_TASK] ? " task" : "",
               list->is_present[FAULT_EVENT] ? " event" : "",
               list->is_present[FAULT_KEY] ? " key" : "");
    }
}

static void judge_run(struct fault_journal *journal, uint32_t run, struct fault_report *report)
{
    for (uint32_t thread = 0; thread < journal->thread_count; thread++) {
        struct fault_lane *lane = &journal->lane[(size_t)run * FAULT_THREADS_MAX + thread];
        for (size_t i = 0; i < lane->count; i++) {
            judge(&lane->list[i],
                  (struct fault_name){ .run = run, .thread = thread, .number = (uint32_t)i },
                  report);
        }
    }
}

/* ---- Counters ---- */

struct counters {
    int64_t own[FAULT_THREADS_MAX]; /* Lists present that raised it. */
    int64_t shared[FAULT_SHARED_COUNT];
};

static void count_raisers(struct fault_journal *journal, struct counters *out)
{
    *out = (struct counters){ 0 };
    for (size_t lane = 0; lane < journal->run_count * FAULT_THREADS_MAX; lane++) {
        for (size_t i = 0; i < journal->lane[lane].count; i++) {
            const struct fault_list *list = &journal->lane[lane].list[i];
            if (!list->is_present[FAULT_KEY]) {
                continue;
            }
            out->own[lane % FAULT_THREADS_MAX] += list->kind == FAULT_OWN ? 1 : 0;
            out->shared[i / 16 % FAULT_SHARED_COUNT] += list->kind == FAULT_SHARED ? 1 : 0;
        }
    }
}

static void check_counter(struct pk_store *store, const char *id, int64_t wanted, int64_t least,
                          struct fault_report *report)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *counter = NULL;
    look(report, FAULT_RULE_COUNTER);
    if (!pk_store_get(store, "counters", id, 0, &counter, &err)) {
        broken(report, FAULT_RULE_READ, "counter '%s': %s", id, err.message);
        return;
    }
    int64_t value = fault_counter_value(counter);
    if (value != wanted || value < least) {
        broken(report, FAULT_RULE_COUNTER,
               "'%s' says %" PRId64 ", %" PRId64 " lists raised it, %" PRId64 " was acknowledged",
               id, value, wanted, least);
    }
}

static void check_counters(struct pk_store *store, struct fault_journal *journal,
                           struct fault_report *report)
{
    struct counters counted;
    char id[32];
    count_raisers(journal, &counted);
    for (uint32_t thread = 0; thread < journal->thread_count; thread++) {
        fault_own_id(id, thread);
        check_counter(store, id, counted.own[thread], journal->own_ok[thread], report);
    }
    for (uint32_t i = 0; i < FAULT_SHARED_COUNT; i++) {
        fault_shared_id(id, (struct fault_name){ .number = i * 16 });
        check_counter(store, id, counted.shared[i], 0, report);
    }
}

/* ---- Indexes ---- */

static void each_counted(void *context, struct pk_doc *doc)
{
    (void)doc;
    (*(uint64_t *)context)++;
}

static void check_index(struct pk_store *store, const char *collection, const char *index,
                        const char *equal, uint64_t wanted, struct fault_report *report)
{
    uint64_t found = 0;
    struct pk_query query = {
        .collection = collection, .index = index, .equal = { PK_TEXT(equal) }, .equal_count = 1
    };
    look(report, FAULT_RULE_INDEX);
    if (scan(store, &query, &found, each_counted, report) && found != wanted) {
        broken(report, FAULT_RULE_INDEX, "'%s' leads to %" PRIu64 " of %" PRIu64 " documents",
               index, found, wanted);
    }
}

static uint64_t count_present(struct fault_journal *journal, uint32_t thread, enum fault_part part)
{
    uint64_t count = 0;
    for (size_t run = 0; run < journal->run_count; run++) {
        const struct fault_lane *lane = &journal->lane[run * FAULT_THREADS_MAX + thread];
        for (size_t i = 0; i < lane->count; i++) {
            count += lane->list[i].is_present[part] ? 1 : 0;
        }
    }
    return count;
}

static void check_indexes(struct pk_store *store, struct fault_journal *journal,
                          struct fault_report *report)
{
    uint64_t observations = 0;
    uint64_t tasks = 0;
    uint64_t keys = 0;
    for (uint32_t thread = 0; thread < journal->thread_count; thread++) {
        char person[PK_UUID_TEXT];
        uint64_t of_person = count_present(journal, thread, FAULT_OBSERVATION);
        fault_person(person, journal->seed, thread);
        check_index(store, "observations", "by_user_created", person, of_person, report);
        observations += of_person;
        tasks += count_present(journal, thread, FAULT_TASK);
        keys += count_present(journal, thread, FAULT_KEY);
    }
    check_index(store, "observations", "by_tag", "all", observations, report);
    check_index(store, "outbox", "by_state_due", "pending", tasks, report);
    check_index(store, "idempotency", "by_actor_key", "fault", keys, report);
}

/* ---- The feed ---- */

/* If A was acknowledged before B was begun, A comes first. Gone through from the end, it is enough
 * to remember the earliest acknowledgement met: no list that comes before it in the feed may have
 * begun after it. */
static void check_order(struct fault_journal *journal, struct fault_report *report)
{
    uint64_t earliest = UINT64_MAX;
    for (uint64_t i = journal->first_seen; i-- > 0;) {
        struct fault_name name = journal->seen_order[i];
        const struct fault_list *list = fault_journal_list(journal, name);
        look(report, FAULT_RULE_FEED);
        if (list->try_at > earliest) {
            broken(report, FAULT_RULE_FEED,
                   "the event of list %u.%u.%u comes before one acknowledged before it began",
                   name.run, name.thread, name.number);
        }
        if (list->state == FAULT_DONE && list->done_at < earliest) {
            earliest = list->done_at;
        }
    }
}

static void check_delivered(struct fault_journal *journal, struct fault_report *report)
{
    for (size_t lane = 0; lane < journal->run_count * FAULT_THREADS_MAX; lane++) {
        for (size_t i = 0; i < journal->lane[lane].count; i++) {
            const struct fault_list *list = &journal->lane[lane].list[i];
            unsigned run = (unsigned)(lane / FAULT_THREADS_MAX);
            unsigned thread = (unsigned)(lane % FAULT_THREADS_MAX);
            look(report, FAULT_RULE_FEED);
            if (list->is_present[FAULT_EVENT] && list->seen == 0) {
                broken(report, FAULT_RULE_FEED, "the event of list %u.%u.%zu was not delivered",
                       run, thread, i);
            }
            if (!list->is_present[FAULT_EVENT] && list->seen > 0) {
                broken(report, FAULT_RULE_FEED, "the event of list %u.%u.%zu was never committed",
                       run, thread, i);
            }
        }
    }
    if (journal->unfollowed > 0) {
        broken(report, FAULT_RULE_FEED,
               "%" PRIu64 " lists were tried before it was said where the feed begins",
               journal->unfollowed);
    }
    if (journal->gaps > 0) {
        broken(report, FAULT_RULE_FEED, "the feed had %" PRIu64 " gaps", journal->gaps);
    }
}

/* ---- All of it ---- */

static void check_word(struct fault_journal *journal, struct fault_report *report)
{
    look(report, FAULT_RULE_WORD);
    if (journal->wrongs > 0) {
        broken(report, FAULT_RULE_WORD, "%s", journal->wrong);
        report->rule[FAULT_RULE_WORD].broken = journal->wrongs;
    }
}

void fault_check(struct pk_store *store, struct fault_journal *journal, bool is_followed,
                 struct fault_report *out)
{
    *out = (struct fault_report){ 0 };
    for (size_t lane = 0; lane < journal->run_count * FAULT_THREADS_MAX; lane++) {
        forget_present(&journal->lane[lane]);
    }
    for (int part = 0; part < FAULT_PART_COUNT; part++) {
        struct part_scan context = { journal, (enum fault_part)part, out };
        struct pk_query all = { .collection = fault_collection(context.part), .index = "_id" };
        if (!scan(store, &all, &context, each_document, out)) {
            return;
        }
    }
    for (size_t run = 0; run < journal->run_count; run++) {
        judge_run(journal, (uint32_t)run, out);
    }
    check_counters(store, journal, out);
    check_indexes(store, journal, out);
    check_order(journal, out);
    if (is_followed) {
        check_delivered(journal, out);
    }
    check_word(journal, out);
}

void fault_check_run(struct pk_store *store, struct fault_journal *journal, uint32_t run,
                     struct fault_report *out)
{
    *out = (struct fault_report){ 0 };
    check_word(journal, out);
    for (uint32_t thread = 0; run < journal->run_count && thread < journal->thread_count;
         thread++) {
        struct fault_lane *lane = &journal->lane[(size_t)run * FAULT_THREADS_MAX + thread];
        forget_present(lane);
        for (size_t i = 0; i < lane->count; i++) {
            for (int part = 0; part < FAULT_PART_COUNT; part++) {
                struct fault_name name = { run, thread, (uint32_t)i };
                struct pk_error err = { 0 };
                char id[PK_UUID_TEXT];
                PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
                fault_id(id, journal->seed, name, (enum fault_part)part);
                look(out, FAULT_RULE_READ);
                if (!pk_store_get(store, fault_collection((enum fault_part)part), id, 0, &doc,
                                  &err)) {
                    broken(out, FAULT_RULE_READ, "get '%s': %s", id, err.message);
                } else if (doc) {
                    take_document(journal, (enum fault_part)part, doc, out);
                }
            }
        }
    }
    if (run < journal->run_count) {
        judge_run(journal, run, out);
    }
}

bool fault_report_ok(const struct fault_report *report)
{
    for (int i = 0; i < FAULT_RULE_COUNT; i++) {
        if (report->rule[i].broken > 0) {
            return false;
        }
    }
    return true;
}

void fault_report_add(struct fault_report *report, const struct fault_report *more)
{
    report->present += more->present;
    for (int i = 0; i < FAULT_RULE_COUNT; i++) {
        if (report->rule[i].broken == 0) {
            memcpy(report->rule[i].first, more->rule[i].first, sizeof(more->rule[i].first));
        }
        report->rule[i].checked += more->rule[i].checked;
        report->rule[i].broken += more->rule[i].broken;
    }
}

void fault_report_tap(const struct fault_report *report, const char *where)
{
    for (int i = 0; i < FAULT_RULE_COUNT; i++) {
        uint64_t bad = report->rule[i].broken;
        if (report->rule[i].checked == 0 && bad == 0) {
            continue;
        }
        if (!tap_is(bad == 0, "%s%s (%" PRIu64 " looked at)", sentence[i], where,
                    report->rule[i].checked)) {
            tap_note("%" PRIu64 " broken; the first: %s", bad, report->rule[i].first);
        }
    }
}
