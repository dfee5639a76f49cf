/* asking.h - Asking for personas in tests: shorter words for pk_persona_map. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_ASKING_H
#define PK_TEST_PERSONA_ASKING_H

#include "persona/persona.h"
#include "sketch.h"

struct pk_map_request request_of(const struct sketch *sketch, const char *mapper);
void ask(struct kit *kit, const struct pk_map_request *request, struct pk_mapped *out);
/* Its cache status; the persona is '*out' when that is not NULL. */
enum pk_cache_status map(struct sketch *sketch, const char *mapper, struct pk_doc **out);
void refuse(struct sketch *sketch, const struct pk_map_request *request, enum pk_code code,
            const char *words);
/* How often the mapper that serves was called. */
uint64_t calls_of(struct kit *kit, const char *mapper);
/* "greeter": its core says the trait 'tone' (24 h), its overlay m.now.mood (2 h). */
void put_greeter(struct kit *kit);

#endif
