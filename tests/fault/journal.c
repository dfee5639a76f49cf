/* journal.c - Lines into lists. */
/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void fault_journal_init(struct fault_journal *journal, uint64_t seed)
{
    *journal = (struct fault_journal){ .seed = seed, .ready_ms = -1 };
}

void fault_journal_done(struct fault_journal *journal)
{
    for (size_t i = 0; i < journal->run_count * FAULT_THREADS_MAX; i++) {
        pk_free(journal->lane[i].list);
    }
    pk_free(journal->lane);
    pk_free(journal->seen_order);
    if (journal->copy) {
        (void)fclose(journal->copy);
    }
    *journal = (struct fault_journal){ 0 };
}

static void note_wrong(struct fault_journal *journal, const char *text)
{
    if (journal->wrongs++ == 0) {
        (void)snprintf(journal->wrong, sizeof(journal->wrong), "%s", text);
    }
}

static struct fault_lane *lane_of(struct fault_journal *journal, struct fault_name name)
{
    if (name.run >= journal->run_capacity) {
        size_t old = journal->run_capacity * FAULT_THREADS_MAX;
        journal->run_capacity = 2 * ((size_t)name.run + 1);
        size_t new = journal->run_capacity *FAULT_THREADS_MAX;
        journal->lane = pk_realloc(journal->lane, new * sizeof(*journal->lane));
        memset(journal->lane + old, 0, (new - old) * sizeof(*journal->lane));
    }
    if (name.run >= journal->run_count) {
        journal->run_count = (size_t)name.run + 1;
    }
    if (name.thread >= journal->thread_count) {
        journal->thread_count = name.thread + 1;
    }
    return &journal->lane[(size_t)name.run * FAULT_THREADS_MAX + name.thread];
}

struct fault_list *fault_journal_list(const struct fault_journal *journal, struct fault_name name)
{
    if (name.run >= journal->run_count || name.thread >= FAULT_THREADS_MAX) {
        return NULL;
    }
    struct fault_lane *lane = &journal->lane[(size_t)name.run * FAULT_THREADS_MAX + name.thread];
    if (name.number >= lane->count || lane->list[name.number].state == FAULT_NEVER) {
        return NULL;
    }
    return &lane->list[name.number];
}

void fault_journal_next_run(struct fault_journal *journal)
{
    journal->ready_ms = -1;
    journal->is_ended = false;
}

/* ---- One function per kind of line ---- */

static void take_try(struct fault_journal *journal, struct fault_name name, const char *rest)
{
    struct fault_lane *lane = lane_of(journal, name);
    if (name.number >= lane->capacity) {
        size_t old = lane->capacity;
        lane->capacity = (size_t)name.number + name.number / 2 + 16;
        lane->list = pk_realloc(lane->list, lane->capacity * sizeof(*lane->list));
        memset(lane->list + old, 0, (lane->capacity - old) * sizeof(*lane->list));
    }
    if (name.number >= lane->count) {
        lane->count = (size_t)name.number + 1;
    }
    struct fault_list *list = &lane->list[name.number];
    journal->tries++;
    journal->unfollowed += journal->position[0] ? 0 : 1;
    if (list->state == FAULT_NEVER) {
        *list = (struct fault_list){ .kind = (enum fault_kind)rest[0],
                                     .state = FAULT_TRIED,
                                     .try_at = journal->line };
    }
}

/* The list that an outcome is about; it must have been tried. */
static struct fault_list *tried(struct fault_journal *journal, struct fault_name name)
{
    struct fault_list *list = fault_journal_list(journal, name);
    if (!list) {
        note_wrong(journal, "an outcome for a list that was never tried");
    }
    return list;
}

static void take_ok(struct fault_journal *journal, struct fault_name name, const char *rest)
{
    struct fault_list *list = tried(journal, name);
    int64_t value = strtoll(rest, NULL, 10);
    journal->oks++;
    if (!list) {
        return;
    }
    if (list->kind == FAULT_TWICE) {
        note_wrong(journal, "a list with an observation that was there already was acknowledged");
    }
    list->state = FAULT_DONE;
    list->done_at = journal->line;
    journal->watch_oks += list->try_at > journal->watch_line ? 1 : 0;
    if (list->kind == FAULT_OWN && value > journal->own_ok[name.thread]) {
        journal->own_ok[name.thread] = value;
    }
}

static void take_unknown(struct fault_journal *journal, struct fault_name name, const char *rest)
{
    struct fault_list *list = tried(journal, name);
    (void)rest;
    journal->unknowns++;
    if (list && list->state != FAULT_DONE) {
        list->state = FAULT_UNKNOWN;
        list->was_unknown = true;
    }
}

static void take_refused(struct fault_journal *journal, struct fault_name name, const char *rest)
{
    struct fault_list *list = tried(journal, name);
    unsigned long code = strtoul(rest, NULL, 10);
    journal->refusals++;
    if (code < PK_COUNT(journal->refused_by)) {
        journal->refused_by[code]++;
    }
    if (list && list->state != FAULT_DONE && !list->was_unknown) {
        list->state = FAULT_REFUSED;
    }
}

static void take_seen(struct fault_journal *journal, struct fault_name name, const char *rest)
{
    struct fault_list *list = fault_journal_list(journal, name);
    (void)snprintf(journal->position, sizeof(journal->position), "%s", rest);
    if (!list) {
        note_wrong(journal, "the feed delivered an event that nobody tried to write");
        return;
    }
    if (list->seen++ > 0) {
        journal->repeats++;
        return;
    }
    if (journal->first_seen == journal->seen_capacity) {
        journal->seen_capacity = journal->seen_capacity ? 2 * journal->seen_capacity : 1024;
        journal->seen_order =
            pk_realloc(journal->seen_order, journal->seen_capacity * sizeof(*journal->seen_order));
    }
    journal->seen_order[journal->first_seen] = name;
    list->seen_at = ++journal->first_seen;
}

static const struct {
    const char *word;
    void (*take)(struct fault_journal *journal, struct fault_name name, const char *rest);
} about_list[] = {
    { "try", take_try },         { "ok", take_ok },     { "unknown", take_unknown },
    { "refused", take_refused }, { "seen", take_seen },
};

static bool take_about_list(struct fault_journal *journal, const char *line)
{
    char word[16];
    struct fault_name name;
    int length = 0;
    if (sscanf(line, "%15s %u %u %u %n", word, &name.run, &name.thread, &name.number, &length) <
            4 ||
        name.run >= FAULT_RUNS_MAX || name.thread >= FAULT_THREADS_MAX) {
        return false;
    }
    for (size_t i = 0; i < PK_COUNT(about_list); i++) {
        if (strcmp(word, about_list[i].word) == 0) {
            about_list[i].take(journal, name, line + length);
            return true;
        }
    }
    return false;
}

static bool take_about_run(struct fault_journal *journal, const char *line)
{
    unsigned run;
    char word[16];
    int length = 0;
    if (sscanf(line, "%15s %n", word, &length) < 1) {
        return false;
    }
    if (strcmp(word, "ready") == 0) {
        return sscanf(line + length, "%u %" SCNd64, &run, &journal->ready_ms) == 2;
    }
    if (strcmp(word, "from") == 0 || strcmp(word, "gap") == 0) {
        journal->gaps += word[0] == 'g' ? 1 : 0;
        (void)snprintf(journal->position, sizeof(journal->position), "%s", line + length);
        return true;
    }
    if (strcmp(word, "wrong") == 0) {
        note_wrong(journal, line + length);
        return true;
    }
    if (strcmp(word, "end") == 0) {
        journal->is_ended = true;
        return true;
    }
    return strcmp(word, "seed") == 0;
}

void fault_journal_line(struct fault_journal *journal, const char *line)
{
    journal->line++;
    if (journal->copy) {
        (void)fprintf(journal->copy, "%s\n", line);
    }
    if (!take_about_list(journal, line) && !take_about_run(journal, line)) {
        note_wrong(journal, line);
    }
}

bool fault_journal_load(struct fault_journal *journal, const char *path)
{
    char line[1024];
    uint64_t seed;
    FILE *file = fopen(path, "re");
    if (!file || !fgets(line, sizeof(line), file) || sscanf(line, "seed %" SCNu64, &seed) != 1) {
        if (file) {
            (void)fclose(file);
        }
        return false;
    }
    fault_journal_init(journal, seed);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        fault_journal_line(journal, line);
    }
    (void)fclose(file);
    return true;
}

void fault_journal_print(const struct fault_journal *journal)
{
    printf("# tried %" PRIu64 ", acknowledged %" PRIu64 ", unknown %" PRIu64 ", refused %" PRIu64,
           journal->tries, journal->oks, journal->unknowns, journal->refusals);
    for (size_t code = 0; code < PK_CODE_COUNT; code++) {
        if (journal->refused_by[code]) {
            printf(" %s=%" PRIu64, pk_code_name((enum pk_code)code), journal->refused_by[code]);
        }
    }
    printf("; feed delivered %" PRIu64 ", repeats %" PRIu64 ", gaps %" PRIu64 "\n",
           journal->first_seen, journal->repeats, journal->gaps);
}
