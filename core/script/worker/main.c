/* main.c - A script worker: a process that computes and can do nothing else.
 *
 * Started by the server (core/script/jail_worker.c) with one descriptor and no
 * environment. Locks itself down, says so, and then serves one call after the
 * other until the pipe ends or the server kills it. With the argument 'unsafe'
 * it goes on when the kernel refuses the lockdown, and says that. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct worker worker = { .fd = PK_WIRE_FD };
    struct pk_wire_hello hello = { .version = PK_WIRE_VERSION };
    const bool is_unsafe = argc == 2 && strcmp(argv[1], "unsafe") == 0;

    stop_init(&worker);
    footprint_init();
    worker.is_locked = lockdown(hello.why, sizeof(hello.why));
    hello.is_locked = worker.is_locked;
    pipe_begin(&worker, PK_WIRE_HELLO);
    bytes_add(&worker.out, &hello, sizeof(hello));
    pipe_send(&worker);
    if (!worker.is_locked && !is_unsafe) {
        _exit(2);
    }
    for (;;) {
        if (pipe_read(&worker, &worker.in) != PK_WIRE_CALL) {
            _exit(5);
        }
        call_run(&worker);
    }
}
