/* person_all.h - 'personakit person replay --all': the mindscapes of all people. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_PERSON_ALL_H
#define PK_CLI_PERSON_ALL_H

#include "cli/client.h"

/* Starts it, says how far it is (--show), lets it rest or go on (--pause, --resume), as the options
 * of the call say; with --wait it stays until it is done. */
bool pk_person_replay_all(struct pk_client *client, struct pk_error *err);
/* That the options go together; PK_INVALID names what does not. */
bool pk_person_replay_check(const struct pk_call *call, struct pk_error *err);

#endif
