/* chance.c - The randomness that LuaJIT wants for each state, without any.
 *
 * LuaJIT seeds every new state with getrandom, by syscall(2) or getentropy,
 * and falls back to /dev/urandom; behind the filter the first says ENOSYS and
 * the second kills. A library that finds these two names in the program uses
 * the program's. Ours give always the same bytes, and that is wanted: the seed
 * decides how strings are hashed, and so where a list with holes ends ('#').
 * With it fixed a script gives the same result in every worker. An author who
 * makes keys that collide slows down his own call, up to its limits. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long (*syscall_function)(long number, ...);

static const unsigned char fixed_byte = 0x5a;

__attribute__((visibility("default"))) int getentropy(void *out, size_t size)
{
    memset(out, fixed_byte, size);
    return 0;
}

__attribute__((visibility("default"))) long syscall(long number, ...)
{
    long a[6];
    va_list args;

    va_start(args, number);
    for (size_t i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    if (number == SYS_getrandom) {
        memset((void *)a[0], fixed_byte,
               (size_t)a[1]); /* NOLINT: an address, as the call has it. */
        return a[1];
    }
    /* Only before the lockdown: libseccomp calls by number. */
    syscall_function real = NULL;
    void *found = dlsym(RTLD_NEXT, "syscall");
    memcpy(&real, &found, sizeof(real));
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
