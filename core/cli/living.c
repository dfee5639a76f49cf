/* living.c - From settings to observations that become mindscapes, and mindscapes personas.
 *
 * What the outbox can do is one table here: the rooms below know their tasks,
 * this file only names them. What the feed says of a person makes all that is
 * remembered of him here old before anybody else hears of it. */
/* SPDX-License-Identifier: MIT */
#include "cli/living.h"

#include "base/config.h"
#include "base/error.h"
#include "cli/scripting.h"
#include "doc/doc.h"
#include "net/hot.h"
#include "persona/access_log.h"
#include "persona/consent.h"
#include "persona/erase.h"
#include "persona/erase_log.h"
#include "persona/feedback.h"
#include "persona/merge.h"
#include "persona/mindscape.h"
#include "persona/people.h"
#include "persona/persona.h"
#include "persona/process.h"
#include "persona/replay.h"
#include "persona/train.h"
#include "persona/trait.h"
#include "store/store.h"

#include <assert.h>
#include <string.h>

static const struct pk_task_type task_table[] = {
    { .name = "process_observation",
      .run = pk_process_run,
      .started = pk_process_started,
      .failed = pk_process_failed,
      .lease_ms = 20000, /* A node that dies holds its people up no longer. */
      .help = "Runs the processors of an observation and changes the mindscape." },
    { .name = "replay_person",
      .run = pk_replay_run,
      .help = "Makes a mindscape again from its observations." },
    { .name = "forget_observation",
      .run = pk_forget_run,
      .help = "Takes an observation away, and what rested on it." },
    { .name = "replay_all",
      .run = pk_replay_all_run,
      .help = "Applies a version of a processor to all people, a few a second." },
    { .name = PK_ERASE_TASK,
      .run = pk_erase_run,
      .lease_ms = 20000,    /* Each of its steps renews it. */
      .attempts_max = 1000, /* An erasure is not given up: days of a disk that is full. */
      .help = "Erases a person, everywhere and for good." },
    { .name = PK_MERGE_TASK,
      .run = pk_merge_run,
      .lease_ms = 20000,
      .attempts_max = 1000, /* What has begun ends, however long the store is away. */
      .help = "Makes two people one." },
    { .name = PK_UNDO_TASK,
      .run = pk_merge_undo_run,
      .lease_ms = 20000,
      .attempts_max = 1000,
      .help = "Undoes a merge: each gets back what was his." },
    { .name = PK_PART_TASK,
      .run = pk_merge_part_run,
      .lease_ms = 20000,
      .attempts_max = 1000,
      .help = "Makes the mindscape of a person who was merged." },
    { .name = PK_RESUME_TASK,
      .run = pk_consent_resume_run,
      .help = "Tries again what has waited for a person's consent." },
    { .name = PK_FEEDBACK_TASK,
      .run = pk_feedback_run,
      .help = "Runs the processors that accept feedback over one." },
    { .name = PK_TRAIN_TASK,
      .run = pk_train_run,
      .failed = pk_train_failed,
      .running_max = 1,
      .lease_ms = 30000, /* Each of its steps renews it. */
      .help = "Makes a draft of a mapper from its feedback." },
};

static void list_tasks(struct pk_living *living)
{
    const size_t count = sizeof(task_table) / sizeof(task_table[0]);
    assert(count < PK_LIVING_TASKS);
    for (size_t i = 0; i < count; i++) {
        living->task[i] = task_table[i];
        living->task[i].context = &living->domain;
    }
}

static void forget_hot(void *context, const char *person)
{
    pk_hot_changed(context, person);
}

bool pk_living_open(struct pk_living *living, const struct pk_living_parts *parts,
                    struct pk_error *err)
{
    const struct pk_config *config = parts->config;
    struct pk_domain *domain = &living->domain;
    size_t count;

    *living = (struct pk_living){
        .domain = { .books = parts->books,
                    .scripts = parts->scripting->scripts,
                    .registry = parts->scripting->registry,
                    .hot = parts->hot,
                    .log = parts->log,
                    .approve_sources = pk_config_list(config, "observations.approve", &count),
                    .data = pk_config_text(config, "data"),
                    .persona_max_bytes = pk_config_bytes(config, "personas.max_bytes"),
                    .persona_ttl_ms = pk_config_ms(config, "personas.ttl"),
                    .persona_log_keep_ms = pk_config_ms(config, "store.retention.persona_log"),
                    .tombstone_keep_ms = pk_config_ms(config, "store.retention.tombstones"),
                    .person_max_bytes = pk_config_bytes(config, "person.max_bytes"),
                    .backup_keep_ms = pk_config_ms(config, "store.retention.backups") },
    };
    living->policies = pk_policies_new(pk_config_list(config, "traits.conflicts", &count), err);
    if (!living->policies) {
        return pk_wrap(err, "read 'traits.conflicts'");
    }
    if (!pk_policies_decay(living->policies, pk_config_list(config, "traits.half_lives", &count),
                           err)) {
        return pk_wrap(err, "read 'traits.half_lives'");
    }
    list_tasks(living);
    living->asks = (struct pk_asks){ .clock = parts->books->clock };
    domain->ask = pk_ask;
    domain->ask_context = &living->asks;
    domain->policies = living->policies;
    domain->people = pk_people_new(parts->books->clock);
    domain->minds = pk_minds_new(parts->hot, 0);
    domain->outbox = pk_outbox_new(&(struct pk_outbox_options){
        .books = parts->books,
        .type = living->task,
        .log = parts->log,
        .ended = forget_hot,
        .context = parts->hot,
        .threads = (unsigned)pk_config_int(config, "outbox.threads"),
        .threads_quiet = (unsigned)pk_config_int(config, "outbox.threads_quiet"),
        .keep_ms = pk_config_ms(config, "store.retention.outbox"),
    });
    domain->personas = pk_personas_new(domain);
    domain->access_log = pk_access_log_new(domain);
    return true;
}

/* What was read, or has only begun. */
static bool changes_nothing(const struct pk_doc *event)
{
    const char *type = pk_doc_text(event, "eventType");
    return strcmp(type, "persona.accessed") == 0 ||
           strcmp(type, "mindscape.processing.started") == 0;
}

void pk_living_hear(void *context, const struct pk_feed_item *item)
{
    struct pk_living *living = context;
    const char *person = item->kind == PK_FEED_EVENT ? pk_doc_text(item->doc, "userId") : NULL;

    if (item->kind == PK_FEED_GAP) {
        pk_hot_gap(living->domain.hot);
    } else if (person && !changes_nothing(item->doc)) {
        pk_hot_changed(living->domain.hot, person);
    }
    pk_people_hear(living->domain.people, item);
    pk_outbox_hear(living->domain.outbox, item);
}

bool pk_living_start(struct pk_living *living, struct pk_error *err)
{
    return pk_erase_log_make(living->domain.data, err) &&
           pk_outbox_start(living->domain.outbox, err) &&
           pk_personas_start(living->domain.personas, err) &&
           pk_access_log_start(living->domain.access_log, err);
}

void pk_living_quiet(struct pk_living *living)
{
    pk_outbox_stop(living->domain.outbox);
}

void pk_living_stop(struct pk_living *living)
{
    pk_living_quiet(living);
    pk_access_log_free(living->domain.access_log);
    pk_personas_free(living->domain.personas);
    pk_outbox_free(living->domain.outbox);
    pk_minds_free(living->domain.minds);
    pk_people_free(living->domain.people);
    pk_policies_free(living->policies);
}
