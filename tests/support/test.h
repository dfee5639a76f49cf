/* test.h - A test is a sentence: TEST(expired_lease_returns_row_to_pending) { ... }
 *
 * Cases register themselves; test.c has the main() that runs them with cmocka
 * and reports in TAP, which tests/run counts:
 *
 *     PROGRAM [--part K/N] [--but PATTERN] [PATTERN]
 *
 * All, or those whose names match the pattern; without those that match --but;
 * of these the K-th of N parts, which can run side by side. Use cmocka's
 * assert_... macros. SKIP("why") ends a case that cannot run here; in CI that
 * is a failure. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_H
#define PK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void pk_test_register(const char *name, void (*function)(void **state));

#define TEST(name) TEST_WHEN(name, true)

/* A case that is only there when 'condition' holds as the program starts. */
#define TEST_WHEN(name, condition)                                 \
    static void test_##name(void **state);                         \
    __attribute__((constructor)) static void register_##name(void) \
    {                                                              \
        if (condition) {                                           \
            pk_test_register(#name, test_##name);                  \
        }                                                          \
    }                                                              \
    static void test_##name(void **state __attribute__((unused)))

/* How long a case waits for what must come, before it says that it never will. A machine may be ten
 * times slower than another, or stand still for seconds: no case judges how fast something was.
 * What must happen before something else is told by order, by counts, or by what is still to come;
 * what must not happen early has a lower bound on a clock that only goes on. */
enum { PK_TEST_PATIENCE_MS = 120 * 1000 };

/* Ends the running case as skipped, and says why. */
#define SKIP(why)                              \
    do {                                       \
        print_message("# skipped: %s\n", why); \
        skip();                                \
    } while (0)

/* A fresh empty folder under TMPDIR that is removed when the program ends. Owned by test.c. */
const char *pk_test_folder(void);

/* Fails the case, saying what 'err' says, unless 'ok'. */
#define assert_ok(ok, err)                                                  \
    do {                                                                    \
        if (!(ok)) {                                                        \
            fail_msg("%s (%s)", (err)->message, pk_code_name((err)->code)); \
        }                                                                   \
    } while (0)

#endif
