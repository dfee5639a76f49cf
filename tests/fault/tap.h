/* tap.h - Results for tests/run, from programs that have arguments of their own. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_TAP_H
#define PK_FAULT_TAP_H

#include <stdbool.h>

/* One program prints one list of results: "ok 1 - sentence". Returns 'ok'. */
bool tap_is(bool ok, const char *sentence, ...) __attribute__((format(printf, 2, 3)));
/* The case cannot run here. In CI (the variable CI is set) that is a failure. */
void tap_skip(const char *sentence, const char *why);
/* A line for people: "# ...". */
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the plan and returns main's exit status: 0 when nothing failed. */
int tap_end(void);
/* Nothing more can be tested: prints why, and ends the program as failed. */
void tap_bail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
