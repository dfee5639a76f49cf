/* schema_intake.c - Observations, people and consents: bodies and answers.
 *
 * An observation may come in two spellings: that of the data schema design, and
 * that of v0.2.0, which is brought into the first one (persona/observation_form.c)
 * before it is checked here. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_intake.h"

#include "doc/schema_tables.h"

#include <string.h>

/* ---- Bodies ---- */

static const struct pk_field external_new_field[] = {
    ROW_NAME("source", REQ, "Who gave the id: 'slack'; without ':'."),
    { .name = "id",
      .type = PK_TYPE_STRING,
      .flags = PK_FIELD_REQUIRED,
      .min = 1,
      .max = TEXT_WORD,
      .help = "The id there." },
};

/* The index holds "<source>:<id>", which must say which is which. */
static void check_external(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *source = pk_rule_text(doc, "source");
    if (source && strchr(source, ':')) {
        pk_rule_fault(faults, path, "source", "a name without ':'", source);
    }
}

static const struct pk_schema external_new_schema = {
    .name = "ExternalIdNew",
    FIELDS(external_new_field),
    .rule = check_external,
    .help = "What another system calls the person.",
};

static const struct pk_field content_new_field[] = {
    ROW_TEXT("raw", OPT, TEXT_RAW, "The original."),
    ROW_FREE("structured", OPT, "The same, parsed: what processors read."),
    ROW_ARRAY("mediaAttachments", OPT, LIST_SOME, &pk_item_media, "Files that belong to it."),
};

/* What has no 'raw' has been given one before this is asked. */
static void check_content(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    bson_iter_t iter;
    if (!pk_rule_has(doc, "raw")) {
        pk_rule_fault(faults, path, "raw", "the original, as a string, or an object that says it",
                      "nothing");
    }
    for (bool ok = bson_iter_init(&iter, doc); ok && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "raw") != 0 && strcmp(key, "structured") != 0 &&
            strcmp(key, "mediaAttachments") != 0) {
            pk_rule_fault(faults, path, key, "what belongs to 'raw' under 'structured'",
                          "a field beside 'raw'");
        }
    }
}

static const struct pk_schema content_new_schema = {
    .name = "ObservationContentNew",
    FIELDS(content_new_field),
    .is_open = true,
    .rule = check_content,
    .help = "What was observed. An object without 'raw' is kept as 'structured', and its canonical "
            "JSON as 'raw'.",
};

/* The built-in ones but 'curation', which check_new refuses. */
static const char *const sent_type[] = {
    "chat_log",     "document",   "interview",      "assessment", "api_import",
    "work_session", "user_input", "calendar_event", NULL,
};

static const struct pk_field new_field[] = {
    ROW_UUID("observationId", OPT,
             "Its id; drawn by the server if absent. Sending it again under "
             "the same id does nothing further."),
    ROW_UUID("personId", OPT, "The person it is about; made if not known yet."),
    ROW_OBJECT("externalId", OPT, &external_new_schema,
               "The person by another system's id. Beside 'personId': known by it from now on."),
    { .name = "sourceType",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_NAME,
      .flags = PK_FIELD_REQUIRED | PK_FIELD_OPEN_ENUM,
      .max = TEXT_WORD,
      .allowed = sent_type,
      .help = "What sort of observation it is. Others than these are taken when a processor that "
              "serves accepts them; 'curation' comes of changing a mindscape, never so." },
    ROW_OBJECT("sourceMetadata", REQ, &pk_schema_source, "Where it comes from."),
    ROW_OBJECT("content", REQ, &content_new_schema, "What was observed."),
};

static void check_new(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *type = pk_rule_text(doc, "sourceType");
    if (!pk_rule_has(doc, "personId") && !pk_rule_has(doc, "externalId")) {
        pk_rule_fault(faults, path, "personId", "the person's UUID, or 'externalId'", "nothing");
    }
    if (type && strcmp(type, "curation") == 0) {
        pk_rule_fault(faults, path, "sourceType",
                      "another type: curations come of changing a mindscape", "curation");
    }
}

const struct pk_schema pk_schema_observation_new = {
    .name = "ObservationNew",
    FIELDS(new_field),
    .rule = check_new,
    .help = "An observation, as it is sent.",
};

static const struct pk_field short_source_field[] = {
    ROW_TEXT("source", OPT, TEXT_WORD, "Where it comes from; 'api' if absent."),
    ROW_DATE("timestamp", OPT, "When it happened, if the source says so."),
    ROW_TEXT("location", OPT, TEXT_LINE, "Where it happened."),
    ROW_ARRAY("participants", OPT, LIST_LONG, &pk_item_word, "Who took part."),
    ROW_TEXT("documentType", OPT, TEXT_WORD, "For documents: what sort."),
    ROW_TEXT("assessmentType", OPT, TEXT_WORD, "For assessments: 'mbti', 'disc', 'enneagram'."),
};
static const struct pk_schema short_source_schema = {
    .name = "ObservationShortMetadata",
    FIELDS(short_source_field),
    .is_open = true,
    .help = "Where an observation comes from; further fields are kept as they are.",
};

static const struct pk_field short_field[] = {
    ROW_UUID("id", OPT, "The same as 'observationId'."),
    ROW_UUID("person_id", REQ, "The same as 'personId'."),
    ROW_NAME("observation_type", OPT, "The same as 'sourceType'; 'type' is taken, too."),
    ROW_NAME("type", OPT, "The same as 'sourceType'."),
    ROW_OBJECT("content", REQ, &content_new_schema, "What was observed."),
    ROW_OBJECT("metadata", OPT, &short_source_schema, "The same as 'sourceMetadata'."),
};
const struct pk_schema pk_schema_observation_short = {
    .name = "ObservationShort",
    FIELDS(short_field),
    .help = "An observation in the spelling of v0.2.0.",
};

static const struct pk_field batch_item =
    ROW_OBJECT(NULL, OPT, &pk_schema_observation_new, "One of them, in either spelling.");
static const struct pk_field batch_field[] = {
    ROW_ARRAY("observations", REQ, 1000, &batch_item, "At most 1000; one fault refuses one."),
};
const struct pk_schema pk_schema_observation_batch = {
    .name = "ObservationBatch",
    FIELDS(batch_field),
    .help = "Many observations; each is answered for itself.",
};

static const struct pk_field reject_field[] = {
    { .name = "reason",
      .type = PK_TYPE_STRING,
      .flags = REQ,
      .min = 1,
      .max = TEXT_LINE,
      .help = "Why: it is kept with the observation." },
};
const struct pk_schema pk_schema_observation_reject = {
    .name = "ObservationReject",
    FIELDS(reject_field),
    .help = "Why an observation is not let in.",
};

static const char *const consent_status[] = { "granted", "withdrawn", NULL };
static const struct pk_field consent_put_field[] = {
    ROW_ENUM("status", REQ, consent_status, "What the person has said."),
    ROW_DATE("validFrom", OPT, "From when on; at once if absent."),
    ROW_DATE("validUntil", OPT, "Until when; for ever if absent."),
    ROW_TEXT("evidence", OPT, TEXT_LINE, "Where the person said so."),
};

static void check_consent_put(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    int64_t from_ms, until_ms;
    if (pk_rule_date(doc, "validFrom", &from_ms) && pk_rule_date(doc, "validUntil", &until_ms) &&
        until_ms <= from_ms) {
        pk_rule_fault(faults, path, "validUntil", "an instant behind 'validFrom'", "one before it");
    }
}

const struct pk_schema pk_schema_consent_put = {
    .name = "ConsentPut",
    FIELDS(consent_put_field),
    .rule = check_consent_put,
    .help = "What a person's data may be used for, or not.",
};

/* ---- Answers ---- */

#define OBSERVATION_ROWS                                                                        \
    ROW_UUID("observationId", REQ, "Its id."),                                                  \
        ROW_UUID("personId", REQ, "The person it is about."),                                   \
        ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),                 \
        ROW_NAME("sourceType", REQ, "What sort of observation it is."),                         \
        ROW_OBJECT("sourceMetadata", REQ, &pk_schema_source, "Where it comes from."),           \
        ROW_OBJECT("content", REQ, &pk_schema_content, "What was observed."),                   \
        ROW_ENUM("processingStatus", REQ, pk_observation_status, "How far it has got."),        \
        ROW_OBJECT("approvalMetadata", REQ, &pk_schema_approval, "Who let it in, or why not."), \
        ROW_DATE("effectiveAt", REQ, "The instant that all arithmetic with it uses."),          \
        ROW_INT("seq", OPT, 1, COUNT_MAX, "Its place in the person's order, when processed."),  \
        ROW_DATE("createdAt", REQ, "When it was accepted."),                                    \
        ROW_TEXT("createdBy", OPT, TEXT_WORD, "The actor who sent it."),                        \
        ROW_DATE("updatedAt", REQ, "When its status last changed."),                            \
        ROW_COUNT("version", REQ, "Raised with every change of status.")

static const struct pk_field view_field[] = { OBSERVATION_ROWS };
const struct pk_schema pk_schema_observation_view = {
    .name = "ObservationView",
    FIELDS(view_field),
    .help = "A fact about a person, as it came in.",
};

static const struct pk_field sent_field[] = {
    OBSERVATION_ROWS,
    ROW_UUID("taskId", OPT, "The task that processes it; absent when it waits for approval."),
};
const struct pk_schema pk_schema_observation_sent = {
    .name = "ObservationSent",
    FIELDS(sent_field),
    .help = "An observation that was accepted.",
};

static const struct pk_field fault_field[] = {
    ROW_TEXT("field", REQ, TEXT_PAGE, "Where it is."),
    ROW_TEXT("expected", REQ, TEXT_PAGE, "What should be there."),
    ROW_TEXT("got", REQ, TEXT_PAGE, "What is there."),
};
static const struct pk_schema fault_schema = {
    .name = "Fault",
    FIELDS(fault_field),
    .help = "Something wrong with what was sent.",
};
static const struct pk_field fault_item = ROW_OBJECT(NULL, OPT, &fault_schema, "One fault.");

static const struct pk_field result_field[] = {
    ROW_COUNT("index", OPT, "Its place in the list, from 0."),
    ROW_COUNT("line", OPT, "Its line in the body, from 1."),
    ROW_INT("status", REQ, 100, 599, "What it alone would have been answered: 201, or a failure."),
    ROW_UUID("observationId", OPT, "Its id."),
    ROW_UUID("personId", OPT, "The person it is about."),
    ROW_ENUM("processingStatus", OPT, pk_observation_status, "How far it has got."),
    ROW_UUID("taskId", OPT, "The task that processes it."),
    ROW_BOOL("repeated", OPT, "True: it was there already, with this content."),
    ROW_NAME("code", OPT, "Why it was refused, for programs."),
    ROW_TEXT("detail", OPT, TEXT_PAGE, "The same in words."),
    ROW_TEXT("hint", OPT, TEXT_PAGE, "What to do about it."),
    ROW_TEXT("field", OPT, TEXT_PAGE, "The field at fault."),
    ROW_ARRAY("errors", OPT, 100, &fault_item, "Everything that is wrong with it."),
};
static const struct pk_schema result_schema = {
    .name = "ObservationResult",
    FIELDS(result_field),
    .help = "What became of one of many.",
};
static const struct pk_field result_item = ROW_OBJECT(NULL, OPT, &result_schema, "One result.");
static const struct pk_field results_field[] = {
    ROW_ARRAY("results", REQ, LIST_HUGE * 10, &result_item, "In the order they were sent in."),
    ROW_COUNT("accepted", REQ, "How many are there now, repetitions included."),
    ROW_COUNT("refused", REQ, "How many are not."),
};
const struct pk_schema pk_schema_observation_results = {
    .name = "ObservationResults",
    FIELDS(results_field),
    .help = "What became of each of many.",
};

static const struct pk_field person_external_field[] = {
    ROW_NAME("source", REQ, "Who gave the id."),
    ROW_TEXT("id", REQ, TEXT_WORD, "The id there."),
    ROW_TEXT("key", REQ, 402, "<source>:<id>, as ?external= takes it."),
};
static const struct pk_schema person_external_schema = {
    .name = "PersonExternalId",
    FIELDS(person_external_field),
    .help = "What another system calls the person.",
};
static const struct pk_field person_external_item =
    ROW_OBJECT(NULL, OPT, &person_external_schema, "One id.");
static const char *const person_merge_status[] = { "merging", "merged", "undoing", "undone", NULL };
static const struct pk_field person_merge_field[] = {
    ROW_UUID("mergeId", REQ, "The merge: what undo names."),
    ROW_UUID("personId", REQ, "The other person."),
    ROW_ENUM("status", REQ, person_merge_status, "How far it has got."),
    ROW_TEXT("mergedBy", REQ, TEXT_WORD, "The actor who asked for it."),
    ROW_DATE("mergedAt", REQ, "When it was asked for."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why they are one."),
    ROW_UUID("taskId", REQ, "The task that merges, or undoes it."),
    ROW_TEXT("undoneBy", OPT, TEXT_WORD, "The actor who asked for its end."),
    ROW_DATE("undoneAt", OPT, "When that was asked for."),
    ROW_COUNT("top", OPT, "The greatest place in the common order."),
    ROW_COUNT("version", OPT, "Of the other's mindscape, which the merge took away."),
    ROW_DATE("knownAt", OPT, "When that mindscape was created."),
};
static const struct pk_schema person_merge_schema = {
    .name = "PersonMerge",
    FIELDS(person_merge_field),
    .help = "Another person found to be the same one.",
};
static const struct pk_field person_merge_item =
    ROW_OBJECT(NULL, OPT, &person_merge_schema, "One merge.");
static const struct pk_field person_view_field[] = {
    ROW_UUID("personId", REQ, "The person."),
    ROW_ARRAY("externalIds", OPT, LIST_SOME, &person_external_item,
              "What other systems call the person."),
    ROW_BOOL("isMerged", OPT, "Said of one who was merged into another."),
    ROW_UUID("mergedInto", OPT, "The person whom this one was merged into, if the key may see it."),
    ROW_ARRAY("merges", OPT, LIST_SOME, &person_merge_item,
              "People merged into this one whom the key may see."),
    ROW_COUNT("storedBytes", OPT, "What the person's observations take, but for the latest."),
    ROW_DATE("createdAt", REQ, "When the person became known."),
    ROW_DATE("updatedAt", REQ, "When this last changed."),
};
const struct pk_schema pk_schema_person_view = {
    .name = "PersonView",
    FIELDS(person_view_field),
    .help = "A person, with ids elsewhere.",
};

static const struct pk_field consent_view_field[] = {
    ROW_TEXT("consentId", REQ, 300, "<person>:<purpose>."),
    ROW_UUID("personId", REQ, "The person."),
    ROW_NAME("purpose", REQ, "What the data may be used for."),
    ROW_ENUM("status", REQ, consent_status, "Whether it may."),
    ROW_DATE("validFrom", OPT, "From when on."),
    ROW_DATE("validUntil", OPT, "Until when."),
    ROW_DATE("grantedAt", OPT, "When it was granted."),
    ROW_DATE("withdrawnAt", OPT, "When it was withdrawn."),
    ROW_TEXT("recordedBy", OPT, TEXT_WORD, "The actor who recorded it."),
    ROW_TEXT("evidence", OPT, TEXT_LINE, "Where the person said so."),
    ROW_FREE("own", OPT, "What was recorded of the person alone, before a merge; {}: nothing."),
    ROW_DATE("createdAt", REQ, "When it was first recorded."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
};
const struct pk_schema pk_schema_consent_view = {
    .name = "ConsentView",
    FIELDS(consent_view_field),
    .help = "What a person's data may be used for.",
};
