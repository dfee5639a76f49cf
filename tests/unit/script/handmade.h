/* handmade.h - Scripts for tests of what serves: made by hand, so that their references can be
 * counted. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_HANDMADE_H
#define PK_TEST_HANDMADE_H

#include "jailed.h"
#include "script/loader.h"

/* A script of one text, called without any library: { map = function(input) ... }. The test holds
 * one reference; fields of 'script' may be changed before it is published. */
struct handmade {
    struct pk_script script;
    struct pk_bundle *bundle;
};
/* The hash is over the text, so each version needs another one. */
struct handmade *handmade_new(enum pk_script_kind kind, const char *id, const char *version,
                              const char *source);
/* Fails the case when anybody else still has a reference. */
void handmade_free(struct handmade *handmade);

int64_t handmade_now_ms(void); /* Real time, for deadlines. */

#endif
