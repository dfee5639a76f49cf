/* bundle_internal.h - What bundle.c and bundle_read.c share. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_BUNDLE_INTERNAL_H
#define PK_SCRIPT_BUNDLE_INTERNAL_H

#include "script/bundle.h"

/* An empty bundle, to be filled with bundle_add and ended with bundle_finish or pk_bundle_unref. */
struct pk_bundle *bundle_new(void);
/* Adds a file; copies the text. False: its name or its text cannot be a script's. */
bool bundle_add(struct pk_bundle *bundle, const char *name, const char *text, size_t size,
                struct pk_error *err);
/* Puts the files in order, finds the script among them, and hashes. */
bool bundle_finish(struct pk_bundle *bundle, struct pk_error *err);
void bundle_unrefp(struct pk_bundle **bundle);

/* True when a file of a folder belongs to its bundle: '*.lua' but for tests and hidden files. */
bool bundle_is_module(const char *name);
/* True for the name of what training has changed. */
bool bundle_is_tuning(const char *name);

#endif
