/* form.h - How form.c lays out what encode.c writes. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_WORKER_FORM_H
#define PK_SCRIPT_WORKER_FORM_H

#include "script/worker/walk.h"
#include "script/worker/worker_internal.h"

/* A value's bytes; of one with a hole, the elements of its object. */
struct form {
    uint32_t size;               /* Of 'data'. */
    uint8_t type;                /* Of BSON. */
    uint8_t depth;               /* Tables within each other: 1 for a list of texts. */
    bool is_open;                /* One field is written anew; in 'data' lie: */
    uint32_t text_at, text_size; /* ... its own text, */
    uint32_t after_at;           /* ... what is behind it. */
    uint8_t data[];
};

/* Which paths were read, and which were known. */
struct reads {
    uint32_t count;
    uint32_t read;          /* Of 'order' in use. */
    uint32_t known, missed; /* Of those that were read. */
    bool is_miss_first;     /* The first that was read was not known. */
    struct reads_row {
        uint32_t at; /* Of the path in the userdata; a NUL is behind it. */
        uint32_t size;
        uint32_t order; /* The row that was read so many-th, not this one. */
        bool is_always, is_read, is_known;
    } row[];
};

#endif
