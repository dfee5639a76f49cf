/* raw.c - Long lists of the input that stay BSON until somebody looks.
 *
 * A mindscape has hundreds of traits and a script reads a few of them: making
 * tables of all costs more than everything else in the call. So a library can
 * say, as it is loaded, which lists it will read by itself:
 *
 *     host.raw.hold("mindscape", "traits")
 *         input.mindscape.traits comes as a handle instead of a table
 *     wanted = host.raw.wanted({ path, ... })
 *         these ids are slots 1 to n; good for any call of this state
 *     timed = host.raw.fill(list, wanted, v, e, FALSE)
 *         for each element with a wanted id: v[slot] is its 'value' if there is
 *         one (FALSE for false), and e[slot] all of it, if 'e' is a table. Those
 *         with validFrom or expiresAt are left to the library: they come back
 *         as a list { slot, element, ... }, or nil
 *     host.raw.entry(list, id)     one element, or nil
 *     host.raw.all(list)           all of them, as the table it would have been
 *     host.raw.interpret(f)        'f' and all functions in it run without the compiler: what
 * branches with every person's data makes many traces, and they push other things out of the caches
 *
 * An element is a document with its id in 'id' or 'traitName'; of two with the
 * same id the last one counts. Handles point into the call's frame and are good
 * for this call only; nothing of them can be seen, changed or given out. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/walk.h"
#include "script/worker/worker_internal.h"

#include <bson/bson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <luajit.h>

enum { INDEX_MAX = 1 << 16, WANTED_MAX = 1 << 16 };

/* A list of the input: a userdata. */
struct raw_list {
    uint64_t call;       /* worker->calls when it was made. */
    const uint8_t *data; /* The array's document. */
    size_t size;
};

/* Ids and their slots: a userdata, an open hash table and the ids behind it. */
struct wanted {
    uint32_t mask; /* Places but one. */
    uint32_t slots;
    struct wanted_place {
        uint32_t hash;
        uint32_t slot; /* 0: free. */
        uint32_t at;   /* Of the id in the userdata. */
        uint32_t size;
    } place[];
};

/* ---- Walking ---- */

/* One element of a list. */
struct element {
    const uint8_t *data;
    size_t size;
    const char *id;
    size_t id_size;
};

/* The next document of the list that has an id. */
static bool next_element(struct walk_at *at, struct element *element)
{
    while (walk_next(at)) {
        if (at->type == WALK_DOCUMENT) {
            element->data = at->value;
            element->size = at->size;
            if (walk_id(at->value, at->size, &element->id, &element->id_size)) {
                return true;
            }
        }
    }
    return false;
}

static PK_RAISES void push_element(lua_State *lua, const struct metas *metas,
                                   const struct element *element)
{
    decode_document(lua, metas, element->data, element->size);
}

/* ---- Arguments ---- */

static PK_RAISES const struct raw_list *check_list(lua_State *lua, struct worker *worker)
{
    const struct raw_list *list = lua_touserdata(lua, 1);

    if (!list || !lua_getmetatable(lua, 1) ||
        lua_topointer(lua, -1) != worker->call->vm->metas.raw || list->call != worker->calls) {
        (void)luaL_error(lua, "a list of this call's input is expected");
    }
    lua_pop(lua, 1);
    return list;
}

static PK_RAISES const struct wanted *check_wanted(lua_State *lua, struct worker *worker)
{
    const struct wanted *wanted = lua_touserdata(lua, 2);

    if (!wanted || !lua_getmetatable(lua, 2) ||
        lua_topointer(lua, -1) != worker->call->vm->metas.wanted) {
        (void)luaL_error(lua, "what is wanted is expected");
    }
    lua_pop(lua, 1);
    return wanted;
}

/* ---- hold ---- */

static PK_RAISES void check_key(lua_State *lua, int index, char *out)
{
    size_t size = 0;
    const char *key = luaL_checklstring(lua, index, &size);
    luaL_argcheck(lua, size > 0 && size < RAW_KEY_MAX, index, "a short key is expected");
    memcpy(out, key, size + 1);
}

static int raw_hold(lua_State *lua)
{
    struct raw_hold hold = { .count = (size_t)lua_gettop(lua) };

    luaL_argcheck(lua, hold.count >= 2 && hold.count <= 1 + RAW_KEYS_MAX, 1, "too many keys");
    hold.count--;
    check_key(lua, 1, hold.outer);
    for (size_t i = 0; i < hold.count; i++) {
        check_key(lua, (int)i + 2, hold.inner[i]);
    }
    vm_worker(lua)->call->vm->hold = hold;
    return 0;
}

/* ---- wanted ---- */

static const struct wanted_place *find_wanted(const struct wanted *wanted, const char *id,
                                              size_t size)
{
    const uint32_t hash = walk_hash(id, size);

    for (uint32_t i = hash & wanted->mask;; i = (i + 1) & wanted->mask) {
        const struct wanted_place *place = &wanted->place[i];
        if (!place->slot || (place->hash == hash && place->size == size &&
                             walk_equal((const char *)wanted + place->at, id, size))) {
            return place;
        }
    }
}

static int raw_wanted(lua_State *lua)
{
    const struct metas *metas = &vm_worker(lua)->call->vm->metas;
    size_t texts = 0, places = 8, size = 0;

    luaL_checktype(lua, 1, LUA_TTABLE);
    const size_t count = lua_objlen(lua, 1);
    luaL_argcheck(lua, count <= WANTED_MAX, 1, "too many ids");
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(lua, 1, (int)i);
        (void)luaL_checklstring(lua, -1, &size);
        texts += size;
        lua_pop(lua, 1);
    }
    while (places < 2 * count) {
        places *= 2;
    }
    size_t at = sizeof(struct wanted) + places * sizeof(struct wanted_place);
    luaL_argcheck(lua, texts < 64 << 20, 1, "too much");
    struct wanted *wanted = lua_newuserdata(lua, at + texts);
    memset(wanted, 0, at);
    wanted->mask = (uint32_t)places - 1;
    wanted->slots = (uint32_t)count;
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(lua, 1, (int)i);
        const char *id = lua_tolstring(lua, -1, &size);
        struct wanted_place *place = (struct wanted_place *)find_wanted(wanted, id, size);
        memcpy((char *)wanted + at, id, size);
        *place =
            (struct wanted_place){ walk_hash(id, size), (uint32_t)i, (uint32_t)at, (uint32_t)size };
        at += size;
        lua_pop(lua, 1);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->wanted_ref);
    (void)lua_setmetatable(lua, -2);
    return 1;
}

/* ---- fill ---- */

/* Of an element: its value, NULL when there is none, and whether time decides about it. */
static bool find_value(const struct element *element, struct walk_at *out_value)
{
    struct walk_at at;
    bool is_timed = false;

    out_value->type = WALK_NULL;
    for (walk_into(&at, element->data, element->size); walk_next(&at);) {
        if (at.key[0] == 'v' ? walk_is(&at, "value", 5) : false) {
            *out_value = at;
        } else if (at.type != WALK_NULL &&
                   (walk_is(&at, "validFrom", 9) || walk_is(&at, "expiresAt", 9))) {
            is_timed = true;
        }
    }
    return is_timed;
}

/* The arguments of fill are list, wanted, v, e, FALSE; the list of timed elements is at 6. */
static PK_RAISES void put_timed(lua_State *lua, const struct metas *metas,
                                const struct element *element, int slot)
{
    if (lua_isnil(lua, 6)) {
        lua_newtable(lua);
        lua_replace(lua, 6);
    }
    const int count = (int)lua_objlen(lua, 6);
    lua_pushinteger(lua, slot);
    lua_rawseti(lua, 6, count + 1);
    push_element(lua, metas, element);
    lua_rawseti(lua, 6, count + 2);
}

static PK_RAISES void put_value(lua_State *lua, const struct metas *metas,
                                const struct walk_at *value, int slot)
{
    if (value->type == WALK_BOOL && !value->value[0]) {
        lua_pushvalue(lua, 5);
    } else {
        decode_at(lua, metas, value, 2);
    }
    lua_rawseti(lua, 3, slot);
}

/* One element with a wanted id. */
static PK_RAISES void fill_slot(lua_State *lua, const struct metas *metas,
                                const struct element *element, int slot)
{
    struct walk_at value;

    if (find_value(element, &value)) {
        put_timed(lua, metas, element, slot);
    } else if (value.type != WALK_NULL) {
        put_value(lua, metas, &value, slot);
        if (lua_istable(lua, 4)) {
            push_element(lua, metas, element);
            lua_rawseti(lua, 4, slot);
        }
    }
}

/* What the server found already, in the order of the list: a slot and a value each, or the whole
 * element where time may decide. */
static PK_RAISES void fill_cut(lua_State *lua, const struct call *call, uint32_t slots)
{
    const struct metas *metas = &call->vm->metas;
    const uint8_t *at = call->cut, *end = call->cut + call->cut_size;
    struct pk_wire_slot head;

    while ((size_t)(end - at) >= sizeof(head)) {
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        struct walk_at value = { .type = (uint8_t)head.type, .value = at };
        value.size = walk_size(value.type, at, (size_t)(end - at));
        if (value.size > (size_t)(end - at) || head.slot < 1 || head.slot > slots) {
            _exit(5);
        }
        if (head.is_whole) {
            const struct element element = { .data = value.value, .size = value.size };
            fill_slot(lua, metas, &element, (int)head.slot);
        } else {
            put_value(lua, metas, &value, (int)head.slot);
        }
        at += value.size;
    }
}

static int raw_fill(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    const struct metas *metas = &worker->call->vm->metas;
    struct element element;
    struct walk_at at;

    lua_settop(lua, 6);
    const struct raw_list *list = check_list(lua, worker);
    const struct wanted *wanted = check_wanted(lua, worker);
    luaL_checktype(lua, 3, LUA_TTABLE);
    if (worker->call->cut) {
        fill_cut(lua, worker->call, wanted->slots);
    } else {
        for (walk_into(&at, list->data, list->size); next_element(&at, &element);) {
            const struct wanted_place *place = find_wanted(wanted, element.id, element.id_size);
            if (place->slot) {
                fill_slot(lua, metas, &element, (int)place->slot);
            }
        }
    }
    lua_settop(lua, 6);
    return 1;
}

/* ---- entry and all ---- */

/* Room for 'count' elements, all free. False: there are too many for an index. */
static bool reset_index(struct raw_index *index, size_t count)
{
    size_t capacity = 64;

    if (count > INDEX_MAX) {
        return false;
    }
    while (capacity < 2 * count) {
        capacity *= 2;
    }
    if (capacity > index->capacity) {
        free(index->place);
        index->place = malloc(capacity * sizeof(*index->place));
        if (!index->place) {
            _exit(4);
        }
    }
    index->capacity = capacity;
    memset(index->place, 0, capacity * sizeof(*index->place));
    return true;
}

static struct raw_place *find_place(const struct raw_index *index, const uint8_t *list,
                                    const char *id, size_t size)
{
    const uint32_t hash = walk_hash(id, size);

    for (size_t i = hash & (index->capacity - 1);; i = (i + 1) & (index->capacity - 1)) {
        struct raw_place *place = &index->place[i];
        if (!place->offset) {
            place->hash = hash;
            return place;
        }
        if (place->hash == hash) {
            const uint8_t *data = list + place->offset;
            const char *found = NULL;
            size_t found_size = 0;
            if (walk_id(data, walk_number(data), &found, &found_size) && found_size == size &&
                memcmp(found, id, size) == 0) {
                return place;
            }
        }
    }
}

static size_t count_elements(const struct raw_list *list)
{
    struct walk_at at;
    size_t count = 0;

    for (walk_into(&at, list->data, list->size); walk_next(&at);) {
        count++;
    }
    return count;
}

static bool make_index(struct raw_index *index, const struct raw_list *list)
{
    struct element element;
    struct walk_at at;

    if (index->list == list->data) {
        return true;
    }
    index->list = NULL;
    if (!reset_index(index, count_elements(list))) {
        return false;
    }
    for (walk_into(&at, list->data, list->size); next_element(&at, &element);) {
        find_place(index, list->data, element.id, element.id_size)->offset =
            (uint32_t)(element.data - list->data);
    }
    index->list = list->data;
    return true;
}

/* Without an index: from the first to the last. */
static bool scan_for(const struct raw_list *list, const char *id, size_t size, struct element *out)
{
    struct element element;
    struct walk_at at;
    bool is_found = false;

    for (walk_into(&at, list->data, list->size); next_element(&at, &element);) {
        if (element.id_size == size && memcmp(element.id, id, size) == 0) {
            *out = element;
            is_found = true;
        }
    }
    return is_found;
}

static int raw_entry(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    const struct raw_list *list = check_list(lua, worker);
    size_t size = 0;
    const char *id = luaL_checklstring(lua, 2, &size);
    struct element element = { 0 };
    bool is_found;

    if (make_index(&worker->index, list)) {
        const uint32_t offset = find_place(&worker->index, list->data, id, size)->offset;
        is_found = offset != 0;
        element.data = list->data + offset;
        element.size = walk_number(element.data);
    } else {
        is_found = scan_for(list, id, size, &element);
    }
    if (is_found) {
        push_element(lua, &worker->call->vm->metas, &element);
    } else {
        lua_pushnil(lua);
    }
    return 1;
}

static int raw_all(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    const struct raw_list *list = check_list(lua, worker);
    const struct metas *metas = &worker->call->vm->metas;
    const struct walk_at whole = { .type = WALK_ARRAY, .value = list->data, .size = list->size };

    decode_at(lua, metas, &whole, 1);
    return 1;
}

/* ---- interpret ---- */

static int raw_interpret(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TFUNCTION);
    (void)luaJIT_setmode(lua, 1, LUAJIT_MODE_ALLFUNC | LUAJIT_MODE_OFF);
    return 0;
}

/* ---- The worker's side ---- */

void raw_add_tag(lua_State *lua, const char *name, const void **out, int *out_ref)
{
    lua_createtable(lua, 0, 1);
    lua_pushstring(lua, name);
    lua_setfield(lua, -2, "__metatable");
    *out = lua_topointer(lua, -1);
    *out_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
}

void raw_open(lua_State *lua, struct metas *metas)
{
    static const luaL_Reg function_table[] = {
        { "hold", raw_hold },   { "wanted", raw_wanted }, { "fill", raw_fill },
        { "entry", raw_entry }, { "all", raw_all },       { "interpret", raw_interpret },
        { NULL, NULL },
    };

    raw_add_tag(lua, "raw", &metas->raw, &metas->raw_ref);
    raw_add_tag(lua, "wanted", &metas->wanted, &metas->wanted_ref);
    lua_newtable(lua);
    for (const luaL_Reg *row = function_table; row->name; row++) {
        lua_pushcfunction(lua, row->func);
        lua_setfield(lua, -2, row->name);
    }
    form_open(lua, metas);
    lua_setfield(lua, -2, "raw");
}

static PK_RAISES void push_list(lua_State *lua, const struct worker *worker,
                                const struct walk_at *at)
{
    struct raw_list *list = lua_newuserdata(lua, sizeof(*list));
    *list = (struct raw_list){ .call = worker->calls, .data = at->value, .size = at->size };
    lua_rawgeti(lua, LUA_REGISTRYINDEX, worker->call->vm->metas.raw_ref);
    (void)lua_setmetatable(lua, -2);
}

static bool is_held(const struct raw_hold *hold, const struct walk_at *at)
{
    for (size_t i = 0; i < hold->count && at->type == WALK_ARRAY; i++) {
        if (strcmp(at->key, hold->inner[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The fields of a document as a new table, but for those at 'depth' that are held. */
static PK_RAISES void push_fields(lua_State *lua, const struct worker *worker,
                                  const struct walk_at *whole, unsigned depth)
{
    const struct vm *vm = worker->call->vm;
    struct walk_at at;

    lua_newtable(lua);
    for (walk_into(&at, whole->value, whole->size); walk_next(&at);) {
        if (at.type == WALK_NULL) {
            continue;
        }
        lua_pushlstring(lua, at.key, at.key_size);
        if (depth == 2 && is_held(&vm->hold, &at)) {
            push_list(lua, worker, &at);
        } else if (depth == 1 && at.type == WALK_DOCUMENT && strcmp(at.key, vm->hold.outer) == 0) {
            push_fields(lua, worker, &at, 2);
        } else {
            decode_at(lua, &vm->metas, &at, depth);
        }
        lua_rawset(lua, -3);
    }
    if (at.start != at.end) {
        decode_at(lua, &vm->metas, &at, depth); /* Refuses it by its name. */
    }
}

void raw_push_input(lua_State *lua, struct worker *worker)
{
    const struct call *call = worker->call;
    const struct walk_at whole = { .type = WALK_DOCUMENT,
                                   .value = call->input,
                                   .size = call->input_size };

    if (!call->vm->hold.count) {
        decode_document(lua, &call->vm->metas, call->input, call->input_size);
        return;
    }
    if (call->input_size < 5 || walk_number(call->input) != call->input_size) {
        (void)luaL_error(lua, "the input is no document");
    }
    push_fields(lua, worker, &whole, 1);
}

void raw_end_call(struct worker *worker)
{
    worker->calls++;
    worker->index.list = NULL;
    if (worker->index.capacity * sizeof(*worker->index.place) > BUFFER_KEEP_BYTES) {
        free(worker->index.place);
        worker->index = (struct raw_index){ 0 };
    }
}
