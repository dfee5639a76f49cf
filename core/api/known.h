/* known.h - What /mindscape and /traits share: finding the person, and how he is looked at. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_KNOWN_H
#define PK_API_KNOWN_H

#include "api/row.h"
#include "persona/mindscape.h"

/* The mindscape of {person}, merges followed, into call->found; 'is_missing' when there is none. */
pk_subject_fn pk_subject_mindscape;
/* ?min_confidence=, the time, and who asks. */
bool pk_known_view(const struct pk_api_call *call, struct pk_mindscape_view *out,
                   struct pk_error *err);
/* The same without a look at the query. */
void pk_known_now(const struct pk_api_call *call, struct pk_mindscape_view *out);

/* Rows of parameters. */
#define PK_PARAM_PERSON                                                     \
    {                                                                       \
        .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." \
    }
#define PK_PARAM_MIN_CONFIDENCE                                                                \
    {                                                                                          \
        .name = "min_confidence", .type = PK_PARAM_TEXT, .min = 1, .max = 20, .fallback = "0", \
        .pattern = "^(?:0+(?:[.][0-9]*)?|[.][0-9]+|0*1(?:[.]0*)?)$",                           \
        .help = "Only traits that we are at least so sure of now, 0 to 1."                     \
    }

#endif
