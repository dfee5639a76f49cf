/* pepper.h - The secrets of this installation that hashes of keys and people are made with.
 *
 * They lie in DIR/pepper, outside the store: who steals the store alone can
 * neither check a guessed key nor tell whose audit rows he holds. The file has
 * several, each with an id: new keys use the newest, older keys name theirs.
 * Nodes that share one store share one file.
 *
 * A loaded set is immutable, for any thread; its secrets are wiped when it is
 * freed. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_PEPPER_H
#define PK_ACCESS_PEPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;
struct pk_peppers; /* Opaque. */
struct pk_store;

enum {
    PK_PEPPER_BYTES = 32,
    PK_PEPPER_ID_TEXT = 9, /* 8 characters of base32 and a NUL. */
    PK_PEPPERS_MAX = 16    /* In one file. */
};

struct pk_pepper {
    char id[PK_PEPPER_ID_TEXT];
    uint8_t secret[PK_PEPPER_BYTES];
};

/* Reads FOLDER/pepper, or makes it when there is none and no actor of 'store' has a key. Refused,
 * each with a sentence: a file that others may read, a damaged one, a missing one while there are
 * keys (they could never be checked again), one that fits none of the keys. 'is_loss_accepted'
 * makes a new file in the last two cases: all keys are void then ('key reset' asks for that). */
bool pk_peppers_open(struct pk_peppers **out, const char *folder, struct pk_store *store,
                     bool is_loss_accepted, struct pk_error *err);
void pk_peppers_free(struct pk_peppers *peppers); /* NULL is fine. */
void pk_peppers_freep(struct pk_peppers **peppers);

/* Writes the file anew with one pepper more, the new newest. What is loaded stays as it is: open
 * again to use it. */
bool pk_peppers_rotate(const char *folder, struct pk_error *err);
/* Writes the file anew without one: keys that were made with it are void. Neither the newest nor
 * the first can be taken out; people in audit rows are hashed with the first. */
bool pk_peppers_retire(const char *folder, const char *id, struct pk_error *err);

const struct pk_pepper *pk_peppers_newest(const struct pk_peppers *peppers);
/* The first, with all others behind it: the one that people are hashed with. */
const struct pk_pepper *pk_peppers_first(const struct pk_peppers *peppers);
/* NULL when there is none of that id; 'id' may be NULL. */
const struct pk_pepper *pk_peppers_find(const struct pk_peppers *peppers, const char *id);
size_t pk_peppers_count(const struct pk_peppers *peppers);

#endif
