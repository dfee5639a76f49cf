/* vm.c - One Lua state per script, its memory counted and capped.
 *
 * LuaJIT's own allocator serves each state from an arena of its own, which is
 * given back whole when the state is dropped. Ours stands before it: it counts
 * what a block really takes, refuses above the call's cap, and arms the stop
 * hook as it does so, because a script may catch the error.
 *
 * The collector sleeps during a call and works between two of them, when more
 * than VM_GARBAGE_BYTES lie about: so a call's speed and its memory do not
 * depend on what ran before it. A call that takes more than half of its cap
 * wakes the collector; LuaJIT would not try one before it says 'not enough
 * memory', so it is told to work hard. The cap counts from where the call began;
 * the arena as a whole is capped a little above it (footprint.c).
 *
 * States are dropped when they have been idle for VM_IDLE_MS (the time comes
 * with each call), when there are VMS_MAX and the one least lately used must
 * make room, and when one still holds VM_LEFT_MAX_BYTES after a call, or its
 * arena VM_FOOTPRINT_MAX_BYTES with all holes. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_BYTES = 8, BLOCK_MIN_BYTES = 32 };

/* What the arena takes for a block. */
static size_t block_bytes(size_t size)
{
    size_t block = (size + HEADER_BYTES + 7) & ~(size_t)7;
    return block < BLOCK_MIN_BYTES ? BLOCK_MIN_BYTES : block;
}

static void let_collect(struct vm *vm)
{
    vm->is_collecting = true;
    (void)lua_gc(vm->lua, LUA_GCSETPAUSE, 110);
    (void)lua_gc(vm->lua, LUA_GCSETSTEPMUL, 400);
    (void)lua_gc(vm->lua, LUA_GCRESTART, 0); /* Sets a number; it does not collect here. */
}

static void give_up(struct vm *vm)
{
    vm->is_full = true;
    stop_now(vm->worker, vm->lua);
}

/* Above the cap nothing grows, but for a little so that an error can be raised. */
static bool may_grow(struct vm *vm, size_t now)
{
    if (!vm->cap_bytes || now <= vm->cap_bytes) {
        return true;
    }
    if (!vm->is_full) {
        give_up(vm);
        return false;
    }
    return now <= vm->cap_bytes + STOP_SLACK_BYTES;
}

static void *allocate(void *context, void *memory, size_t old_size, size_t new_size)
{
    struct vm *vm = context;
    size_t old = memory ? block_bytes(old_size) : 0;

    if (new_size == 0) {
        vm->used_bytes -= old;
        return vm->allocate(vm->arena, memory, old_size, 0);
    }
    size_t now = vm->used_bytes - old + block_bytes(new_size);
    if (new_size > old_size && !may_grow(vm, now)) {
        return NULL;
    }
    void *moved = vm->allocate(vm->arena, memory, old_size, new_size);
    if (!moved) { /* Its blocks are within the cap, but their holes are not (footprint.c). */
        if (vm->cap_bytes) {
            give_up(vm);
        }
        return NULL;
    }
    vm->used_bytes = now;
    if (now > vm->peak_bytes) {
        vm->peak_bytes = now;
        if (vm->collect_bytes && now > vm->collect_bytes && !vm->is_collecting) {
            let_collect(vm);
        }
    }
    return moved;
}

struct worker *vm_worker(lua_State *lua)
{
    void *vm = NULL;
    (void)lua_getallocf(lua, &vm);
    return ((struct vm *)vm)->worker;
}

static void make_key(const struct pk_wire_call *wire, uint8_t key[2 * PK_WIRE_HASH + 1])
{
    memcpy(key, wire->script, PK_WIRE_HASH);
    memcpy(key + PK_WIRE_HASH, wire->preamble, PK_WIRE_HASH);
    key[2 * PK_WIRE_HASH] = wire->is_interpreted != 0;
}

struct vm *vm_find(struct worker *worker, const struct pk_wire_call *wire)
{
    uint8_t key[2 * PK_WIRE_HASH + 1];
    struct vm *found = NULL;

    make_key(wire, key);
    for (size_t i = 0; i < worker->vm_count;) {
        struct vm *vm = worker->vm[i];
        if (memcmp(vm->key, key, sizeof(key)) == 0) {
            found = vm;
            vm->used_ms = wire->now_ms;
        } else if (wire->now_ms - vm->used_ms > VM_IDLE_MS) {
            vm_drop(worker, vm);
            continue;
        }
        i++;
    }
    return found;
}

static void drop_least_lately_used(struct worker *worker)
{
    struct vm *oldest = worker->vm[0];
    for (size_t i = 1; i < worker->vm_count; i++) {
        if (worker->vm[i]->used_ms < oldest->used_ms) {
            oldest = worker->vm[i];
        }
    }
    vm_drop(worker, oldest);
}

static int on_panic(lua_State *lua)
{
    (void)lua; /* An error outside of every protected call: ours, and no state to trust. */
    _exit(3);
}

struct vm *vm_new(struct worker *worker, const struct pk_wire_call *wire)
{
    if (worker->vm_count == VMS_MAX) {
        drop_least_lately_used(worker);
    }
    struct vm *vm = calloc(1, sizeof(*vm));
    footprint_charge(vm ? &vm->footprint_bytes : NULL, 0);
    lua_State *lua = vm ? luaL_newstate() : NULL;
    if (!lua) {
        footprint_charge(NULL, 0);
        free(vm);
        return NULL;
    }
    vm->worker = worker;
    vm->lua = lua;
    vm->used_ms = wire->now_ms;
    vm->main_ref = vm->preamble_ref = vm->resident_ref = vm->modules_ref = vm->declared_ref =
        LUA_NOREF;
    make_key(wire, vm->key);
    (void)lua_atpanic(lua, on_panic);
    vm->allocate = lua_getallocf(lua, &vm->arena);
    vm->used_bytes = (size_t)lua_gc(lua, LUA_GCCOUNT, 0) * 1024;
    lua_setallocf(lua, allocate, vm);
    if (wire->is_interpreted) {
        (void)luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    }
    worker->vm[worker->vm_count++] = vm;
    return vm;
}

void vm_drop(struct worker *worker, struct vm *vm)
{
    for (size_t i = 0; i < worker->vm_count; i++) {
        if (worker->vm[i] == vm) {
            worker->vm[i] = worker->vm[--worker->vm_count];
            break;
        }
    }
    lua_setallocf(vm->lua, vm->allocate, vm->arena); /* So that the arena goes as a whole. */
    footprint_charge(&vm->footprint_bytes, 0);
    lua_close(vm->lua);
    footprint_charge(NULL, 0);
    free(vm->module_file);
    free(vm);
}

void vm_begin_call(struct vm *vm, size_t memory_bytes)
{
    vm->start_bytes = vm->peak_bytes = vm->used_bytes;
    vm->is_full = vm->is_collecting = false;
    (void)lua_gc(vm->lua, LUA_GCSTOP, 0);
    vm->cap_bytes = vm->start_bytes + memory_bytes;
    vm->collect_bytes = vm->start_bytes + memory_bytes / 2;
    footprint_charge(&vm->footprint_bytes,
                     vm->footprint_bytes + memory_bytes + FOOTPRINT_SLACK_BYTES);
}

void vm_end_call(struct vm *vm)
{
    vm->cap_bytes = vm->collect_bytes = 0;
    footprint_charge(&vm->footprint_bytes, 0);
}

bool vm_tidy(struct vm *vm)
{
    if (vm->used_bytes > vm->clean_bytes + VM_GARBAGE_BYTES) {
        (void)lua_gc(vm->lua, LUA_GCCOLLECT, 0);
        (void)lua_gc(vm->lua, LUA_GCSTOP, 0);
        vm->clean_bytes = vm->used_bytes;
    }
    return vm->used_bytes <= VM_LEFT_MAX_BYTES && vm->footprint_bytes <= VM_FOOTPRINT_MAX_BYTES;
}

size_t vm_held_bytes(const struct worker *worker)
{
    size_t held = 0;
    for (size_t i = 0; i < worker->vm_count; i++) {
        const struct vm *vm = worker->vm[i];
        held += vm->used_bytes > vm->footprint_bytes ? vm->used_bytes : vm->footprint_bytes;
    }
    return held;
}
