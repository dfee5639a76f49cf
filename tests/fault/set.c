/* set.c - tests/support/mongod does the work; here it is asked. */
/* SPDX-License-Identifier: MIT */
#include "set.h"

#include "process.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool fault_set_start(struct fault_set *set, int members)
{
    char owner[16];
    char count[16];
    char url[900];
    (void)snprintf(owner, sizeof(owner), "%d", (int)getpid());
    (void)snprintf(count, sizeof(count), "%d", members);
    (void)snprintf(set->folder, sizeof(set->folder), "%s/set", fault_folder());
    (void)setenv("PK_MONGOD_OWNER", owner, 1);
    /* The driver's statistics lie in /dev/shm, and whoever is killed leaves them there. */
    (void)setenv("MONGOC_DISABLE_SHM", "1", 1);
    const char *argument[] = { fault_source("tests/support/mongod"), "start", count, set->folder,
                               NULL };
    if (!fault_run(argument, url, sizeof(url), NULL, NULL) || strncmp(url, "mongodb://", 10) != 0) {
        return false;
    }
    /* "mongodb://hosts/?options": the database goes before the '?'. */
    char *options = strchr(url, '?');
    size_t head = options ? (size_t)(options - url) : strlen(url);
    (void)snprintf(set->url, sizeof(set->url), "%.*sfault%s", (int)head, url,
                   options ? options : "");
    return true;
}

bool fault_set_do(struct fault_set *set, const char *verb, const char *member, char *out)
{
    const char *argument[] = { fault_source("tests/support/mongod"), verb, set->folder, member,
                               NULL };
    return fault_run(argument, out, 16, set->child, set->journal);
}

bool fault_set_admin(struct fault_set *set, const char *json, char *out, size_t out_size)
{
    const char *argument[] = { fault_source("tests/support/mongod"), "admin", set->folder, json,
                               NULL };
    return fault_run(argument, out, out_size, set->child, set->journal);
}

void fault_set_stop(struct fault_set *set)
{
    (void)fault_set_do(set, "stop", NULL, NULL);
}
