/* wire.h - What the server and a script worker say to each other.
 *
 * One socketpair, one conversation at a time, the server begins:
 *
 *     server                            worker
 *                                       HELLO                 once, after the lockdown
 *     CALL    call, input         -->
 *                                 <--   NEED                  it does not have this script
 *     SOURCE  texts               -->
 *                                 <--   ASK     name, value   any number of times
 *     ANSWER  yes or no, value    -->
 *                                 <--   END     how it went, output or error
 *
 * A frame is a head and 'size' bytes: a fixed struct, then texts or BSON as the
 * struct says. Both ends are built from this header on one machine, so numbers
 * are in its own byte order. The server trusts nothing that comes back: it
 * checks every size against a limit and all BSON before use. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_WORKER_WIRE_H
#define PK_SCRIPT_WORKER_WIRE_H

#include <stdint.h>

enum {
    PK_WIRE_VERSION = 3,
    PK_WIRE_FD = 3,     /* The worker's only descriptor. */
    PK_WIRE_HASH = 32,  /* Bytes of a content hash. */
    PK_WIRE_NAME = 128, /* Of an entry, a question, a file name; with its NUL. */
    PK_WIRE_MESSAGE = 2048,
    PK_WIRE_TRACE = 4096,
    PK_WIRE_DEPTH_MAX = 100, /* Nesting of what crosses, the wrapping document included. */
};

enum pk_wire_kind {
    PK_WIRE_HELLO = 1, /* struct pk_wire_hello */
    PK_WIRE_CALL,      /* struct pk_wire_call, BSON, traits by slot */
    PK_WIRE_NEED,      /* nothing */
    PK_WIRE_SOURCE,    /* struct pk_wire_source, texts */
    PK_WIRE_ASK,       /* struct pk_wire_ask, BSON { value: ... } */
    PK_WIRE_ANSWER,    /* struct pk_wire_answer, BSON { value: ... } or { code, message, hint } */
    PK_WIRE_END,       /* struct pk_wire_end, BSON { value: ... } or texts */
};

struct pk_wire_head {
    uint32_t kind; /* enum pk_wire_kind */
    uint32_t size; /* Bytes that follow. */
};

struct pk_wire_hello {
    uint32_t version;       /* PK_WIRE_VERSION */
    uint32_t is_locked;     /* 1: seccomp is on. */
    char why[PK_WIRE_NAME]; /* Why it is not; text with a NUL. */
};

struct pk_wire_call {
    uint8_t script[PK_WIRE_HASH];   /* Content hash of the script. */
    uint8_t preamble[PK_WIRE_HASH]; /* Of the library chunk; zeros: none. */
    uint64_t seed;                  /* Of math.random. */
    int64_t now_ms;                 /* Some clock that only goes forward; to drop what is idle. */
    uint64_t memory_bytes;          /* What the call may take. */
    uint32_t output_bytes;          /* Of its output, and of each question. */
    uint32_t depth;                 /* Of its output and questions. */
    uint32_t asks;                  /* Questions it may ask. */
    uint32_t is_interpreted;        /* 1: no JIT, every line noted. */
    uint32_t is_cut;                /* 1: the traits that have a slot come behind the input. */
    uint32_t cut_size;              /* Their bytes. */
    char entry[PK_WIRE_NAME];       /* Field of the script's table to call; "": the value itself. */
};

/* A trait that the script's rules name: this, then a value as in BSON. */
struct pk_wire_slot {
    uint32_t slot;     /* From 1. */
    uint16_t type;     /* Of BSON. */
    uint16_t is_whole; /* 1: the value is all of the trait; time may decide whether it counts. */
};

struct pk_wire_source {
    char name[PK_WIRE_NAME]; /* As it shall stand in errors. */
    uint32_t source_size;
    uint32_t preamble_size;        /* 0: none. Its text follows the source. */
    uint32_t is_preamble_resident; /* 1: it is run once, for all calls of this script. */
    uint32_t module_count;         /* Behind the texts: so many heads, each with its text. */
};

struct pk_wire_module {
    char name[PK_WIRE_NAME]; /* As require gets it. */
    char file[PK_WIRE_NAME]; /* As it shall stand in errors. */
    uint32_t size;           /* Of its text, which follows. */
};

struct pk_wire_ask {
    char name[PK_WIRE_NAME];
};

struct pk_wire_answer {
    uint32_t is_ok; /* 0: the script gets nil and the error. */
};

enum pk_wire_reason {
    PK_WIRE_DONE,    /* BSON follows; otherwise message and traceback. */
    PK_WIRE_SYNTAX,  /* The source does not compile. */
    PK_WIRE_ERROR,   /* The script raised an error. */
    PK_WIRE_STOPPED, /* By the stop signal. */
    PK_WIRE_MEMORY,  /* It wanted more than it may have. */
    PK_WIRE_OUTPUT,  /* What it gave or asked cannot be taken. */
    PK_WIRE_REASONS
};

struct pk_wire_end {
    uint32_t reason;       /* enum pk_wire_reason */
    uint32_t line;         /* Of the script, 0: not known. */
    uint32_t message_size; /* Texts without NUL, when not DONE. */
    uint32_t trace_size;
    uint64_t peak_bytes;     /* The most that this call had taken at one time. */
    uint64_t held_bytes;     /* What all scripts of this worker hold now. */
    char file[PK_WIRE_NAME]; /* Where 'line' is. */
};

#endif
