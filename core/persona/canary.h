/* canary.h - Who gets the version that is tried on a share of people.
 *
 * A person is in or not by a hash of what is tried, its version, and himself:
 * the same on every node, at every time. Whoever is in at 5 % is in at 20 %;
 * who tries one thing does not thereby try another, nor its next version.
 * Nothing is kept of it, so nothing must be erased.
 *
 * 'subject' is the id of whatever has versions, a mapper or a model. Pure; any
 * thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_CANARY_H
#define PK_PERSONA_CANARY_H

#include <stdbool.h>

struct pk_generation;
struct pk_script;

/* Above 0, at most 1. */
bool pk_canary_share_is_valid(double share);
bool pk_canary_takes(const char *subject, const char *version, const char *person, double share);

/* The version of a mapper that serves a person in a generation: its canary, or the active one.
 * NULL: none serves. '*out_is_canary' (or NULL) says which it is. Lives with the pin. */
const struct pk_script *pk_canary_mapper(const struct pk_generation *generation, const char *mapper,
                                         const char *person, bool *out_is_canary);

#endif
