/* library.h - The authors' library (lua/personakit) as texts, for the jail's preamble.
 *
 * 'full' checks and compiles when a script is taken in; 'lean' runs it, and
 * brings the program that 'describe' gave; 'lint' looks at a script's text.
 * What is joined how is lua/personakit/bundle.lua's word: this does the same in
 * C, and a test compares. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_LIBRARY_H
#define PK_SCRIPT_LIBRARY_H

#include <stddef.h>

struct pk_buf;

enum pk_library { PK_LIBRARY_FULL, PK_LIBRARY_LEAN, PK_LIBRARY_RESIDENT, PK_LIBRARY_LINT };

/* Appends the text; 'program' (of LEAN and RESIDENT) is NULL for the others. */
void pk_library_text(enum pk_library kind, const char *program, size_t program_size,
                     struct pk_buf *out);

#endif
