/* versions.h - What routes of mappers, processors and conditions have in common: their versions.
 *
 * The first parameter of such a row is the script's id; a row of one version
 * has {version}, too. Which kind it is says the row's path. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_VERSIONS_H
#define PK_API_VERSIONS_H

#include "api/row.h"

enum { PK_VERSIONS_BODY = 9 << 20 };  /* Bytes of an upload: the files, escaped. */
#define PK_VERSIONS_TEXT "text/x-lua" /* The other type of one: a single file, as it is. */

/* Finds the version, or the active or newest one, into call->found. */
pk_subject_fn pk_versions_find;
/* The script may be new. */
pk_subject_fn pk_versions_name;
pk_show_fn pk_versions_show;

pk_run_fn pk_versions_list; /* One of each id. */
pk_run_fn pk_versions_list_of;
pk_run_fn pk_versions_show_found;
pk_run_fn pk_versions_put;
pk_run_fn pk_versions_activate;
pk_run_fn pk_versions_rollback;
pk_run_fn pk_versions_deprecate;
pk_run_fn pk_versions_canary; /* Of mappers. */
pk_run_fn pk_versions_canary_end;

extern const enum pk_code pk_versions_conflict[];
extern const enum pk_code pk_versions_refused[];

#define PK_PARAM_SCRIPT(NAME)                                                         \
    {                                                                                 \
        .name = (NAME), .type = PK_PARAM_TEXT, .min = 1, .max = 64, .help = "Its id." \
    }
#define PK_PARAM_VERSION                                               \
    {                                                                  \
        .name = "version", .type = PK_PARAM_TEXT, .min = 1, .max = 95, \
        .help = "The version: '1.2.0'."                                \
    }
#define PK_PARAM_ACTIVATE                                               \
    {                                                                   \
        .name = "activate", .type = PK_PARAM_BOOL, .fallback = "false", \
        .help = "Whether it shall become the active version at once."   \
    }

#endif
