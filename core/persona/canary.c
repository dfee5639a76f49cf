/* canary.c - A person's place between 0 and 1, and whether a share reaches it.
 *
 *     SipHash("<subject> <version> <person>")   one number of 64 bits, the same everywhere
 *     place = its upper 53 bits / 2^53          from 0 to just below 1, all alike
 *     in    = place < share
 *
 * The place does not depend on the share, so a share that grows only adds
 * people. It depends on the version, so that it is not always the same people
 * on whom things are tried; and a canary that was ended and begins again has
 * those it had. The key is no secret: everybody may know who is in. */
/* SPDX-License-Identifier: MIT */
#include "persona/canary.h"

#include "base/crypto.h"
#include "script/scripts.h"

#include <endian.h>
#include <stdint.h>
#include <stdio.h>

enum { NAME = 320 }; /* The three with their spaces; each has a limit of its own. */

bool pk_canary_share_is_valid(double share)
{
    return share > 0 && share <= 1;
}

bool pk_canary_takes(const char *subject, const char *version, const char *person, double share)
{
    static const uint8_t key[PK_SHORT_KEY_BYTES] = { 'c', 'a', 'n', 'a', 'r', 'y' };
    char name[NAME];
    uint64_t hash[2];
    const int size = snprintf(name, sizeof(name), "%s %s %s", subject, version, person);
    pk_hash_short(hash, name, size < NAME ? (size_t)size : NAME - 1, key);
    return (double)(le64toh(hash[0]) >> 11) * 0x1p-53 < share;
}

const struct pk_script *pk_canary_mapper(const struct pk_generation *generation, const char *mapper,
                                         const char *person, bool *out_is_canary)
{
    double share = 0;
    const struct pk_script *canary =
        pk_generation_canary(generation, PK_SCRIPT_MAPPER, mapper, &share);
    const bool is_canary = canary && pk_canary_takes(mapper, canary->version, person, share);
    if (out_is_canary) {
        *out_is_canary = is_canary;
    }
    return is_canary ? canary : pk_generation_find(generation, PK_SCRIPT_MAPPER, mapper);
}
