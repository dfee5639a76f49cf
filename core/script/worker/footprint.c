/* footprint.c - What LuaJIT's arenas really take from the system, and a cap on it.
 *
 * vm.c counts blocks. A script that frees blocks and then asks for larger ones,
 * which do not fit into the holes, takes more from the system than its blocks
 * add up to: with a cap of 8 MiB one was seen to take 13. So the arenas' own
 * calls for memory are counted here, and the compiler's: a library that finds
 * mmap and its kin in the program uses the program's. The C library's malloc
 * does not come this way.
 *
 * One state at a time pays. Nothing of this lies on the way of a block that the
 * arena has room for. Under a sanitizer there is no cap on memory, and its
 * runtime wants these names for itself. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#ifndef WORKER_IS_SANITIZED

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#undef mmap
#undef mmap64

enum { PAGE_BYTES = 4096 };

typedef void *(*map_function)(void *at, size_t size, int access, int flags, int fd, off_t offset);
typedef int (*unmap_function)(void *at, size_t size);
typedef void *(*remap_function)(void *at, size_t old_size, size_t size, int flags, ...);

/* The C library's functions, and who pays: those below get no argument of ours. */
static struct {
    map_function map;
    unmap_function unmap;
    remap_function remap;
    size_t *taken; /* NULL: nobody. */
    size_t most;   /* Of '*taken'; 0: any. */
} the_footprint;

static void find(const char *name, void *out)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(out, &found, sizeof(found));
}

void footprint_init(void)
{
    find("mmap", &the_footprint.map);
    find("munmap", &the_footprint.unmap);
    find("mremap", &the_footprint.remap);
}

void footprint_charge(size_t *taken, size_t most)
{
    the_footprint.taken = taken;
    the_footprint.most = most;
}

static size_t pages(size_t size)
{
    return (size + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

static bool may_take(size_t more)
{
    const size_t most = the_footprint.taken ? the_footprint.most : 0;
    return most == 0 || (*the_footprint.taken <= most && more <= most - *the_footprint.taken);
}

static void count(size_t more, size_t less)
{
    if (the_footprint.taken) {
        *the_footprint.taken += more;
        *the_footprint.taken -= less < *the_footprint.taken ? less : *the_footprint.taken;
    }
}

static void *take(void *at, size_t size, int access, int flags, int fd, off_t offset)
{
    if (!may_take(pages(size))) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapped = the_footprint.map(at, size, access, flags, fd, offset);
    count(mapped == MAP_FAILED ? 0 : pages(size), 0);
    return mapped;
}

/* ---- The names that the library finds; both, for it may be built for either size of files ---- */

#define FOUND_BY_LIBRARIES __attribute__((visibility("default")))

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) FOUND_BY_LIBRARIES;
void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset)
{
    return take(at, size, access, flags, fd, offset);
}

FOUND_BY_LIBRARIES void *mmap64(void *at, size_t size, int access, int flags, int fd,
                                off64_t offset)
{
    return take(at, size, access, flags, fd, offset);
}

FOUND_BY_LIBRARIES int munmap(void *at, size_t size)
{
    const int failed = the_footprint.unmap(at, size);
    count(0, failed ? 0 : pages(size));
    return failed;
}

FOUND_BY_LIBRARIES void *mremap(void *at, size_t old_size, size_t size, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    void *to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
    va_end(args);
    if (size > old_size && !may_take(pages(size) - pages(old_size))) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapped = the_footprint.remap(at, old_size, size, flags, to);
    if (mapped != MAP_FAILED) {
        count(pages(size), pages(old_size));
    }
    return mapped;
}

#else

void footprint_init(void)
{
}

void footprint_charge(size_t *taken, size_t most)
{
    (void)taken;
    (void)most;
}

#endif
