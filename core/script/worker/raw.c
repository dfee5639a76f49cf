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
 *
 * An element is a document with its id in 'id' or 'traitName'; of two with the
 * same id the last one counts. Handles point into the call's frame and are good
 * for this call only; nothing of them can be seen, changed or given out. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/worker_internal.h"

#include <bson/bson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

enum { INDEX_MAX = 1 << 16, WANTED_MAX = 1 << 16 };

/* A list of the input: a userdata. */
struct raw_list {
    uint64_t call;       /* worker->calls when it was made. */
    const uint8_t *data; /* The array's document. */
    uint32_t size;
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

static uint32_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ size;
    uint64_t word;

    for (; size >= 8; text += 8, size -= 8) {
        memcpy(&word, text, 8);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, size);
    hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(hash ^ hash >> 32);
}

/* ---- Walking ---- */

/* One element of a list. */
struct element {
    const uint8_t *data;
    uint32_t size;
    const char *id;
    uint32_t id_size;
};

/* The id of a document, which stands first, mostly. */
static bool find_id(struct element *element)
{
    static const char first[] = "\x02id"; /* A text 'id' as the first field; with its NUL. */
    const size_t head = 4 + sizeof(first) + 4;
    bson_iter_t iter;
    uint32_t length;

    if (element->size > head && memcmp(element->data + 4, first, sizeof(first)) == 0) {
        memcpy(&length, element->data + head - 4, sizeof(length));
        element->id = (const char *)element->data + head;
        element->id_size = BSON_UINT32_FROM_LE(length) - 1;
        return element->id_size < element->size - head;
    }
    if (!bson_iter_init_from_data(&iter, element->data, element->size)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        if ((strcmp(key, "id") == 0 || strcmp(key, "traitName") == 0) &&
            BSON_ITER_HOLDS_UTF8(&iter)) {
            element->id = bson_iter_utf8(&iter, &element->id_size);
            return true;
        }
    }
    return false;
}

/* The next document of the list that has an id. */
static bool next_element(bson_iter_t *iter, struct element *element)
{
    while (bson_iter_next(iter)) {
        if (BSON_ITER_HOLDS_DOCUMENT(iter)) {
            bson_iter_document(iter, &element->size, &element->data);
            if (find_id(element)) {
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
    const uint32_t hash = hash_of(id, size);

    for (uint32_t i = hash & wanted->mask;; i = (i + 1) & wanted->mask) {
        const struct wanted_place *place = &wanted->place[i];
        if (!place->slot || (place->hash == hash && place->size == size &&
                             memcmp((const char *)wanted + place->at, id, size) == 0)) {
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
            (struct wanted_place){ hash_of(id, size), (uint32_t)i, (uint32_t)at, (uint32_t)size };
        at += size;
        lua_pop(lua, 1);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->wanted_ref);
    (void)lua_setmetatable(lua, -2);
    return 1;
}

/* ---- fill ---- */

/* Of an element: where its value is, and whether time decides about it. */
static bool find_value(const struct element *element, bson_iter_t *out_value, bool *out_is_timed)
{
    bson_iter_t iter;
    bool has_value = false;

    *out_is_timed = false;
    if (!bson_iter_init_from_data(&iter, element->data, element->size)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        if (key[0] != 'v' && key[0] != 'e') {
            continue;
        }
        if (strcmp(key, "value") == 0) {
            *out_value = iter;
            has_value = !BSON_ITER_HOLDS_NULL(&iter);
        } else if (strcmp(key, "validFrom") == 0 || strcmp(key, "expiresAt") == 0) {
            *out_is_timed = *out_is_timed || !BSON_ITER_HOLDS_NULL(&iter);
        }
    }
    return has_value;
}

/* list, wanted, v, e, FALSE: one element with a wanted id; the list of timed ones is at 6. */
static PK_RAISES void fill_slot(lua_State *lua, const struct metas *metas,
                                const struct element *element, int slot)
{
    bson_iter_t value;
    bool is_timed = false;
    const bool has_value = find_value(element, &value, &is_timed);

    if (is_timed) {
        if (lua_isnil(lua, 6)) {
            lua_newtable(lua);
            lua_replace(lua, 6);
        }
        const int count = (int)lua_objlen(lua, 6);
        lua_pushinteger(lua, slot);
        lua_rawseti(lua, 6, count + 1);
        push_element(lua, metas, element);
        lua_rawseti(lua, 6, count + 2);
    } else if (has_value) {
        if (BSON_ITER_HOLDS_BOOL(&value) && !bson_iter_bool(&value)) {
            lua_pushvalue(lua, 5);
        } else {
            decode_element(lua, metas, &value, 2);
        }
        lua_rawseti(lua, 3, slot);
        if (lua_istable(lua, 4)) {
            push_element(lua, metas, element);
            lua_rawseti(lua, 4, slot);
        }
    }
}

static int raw_fill(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    const struct metas *metas = &worker->call->vm->metas;
    struct element element;
    bson_iter_t iter;

    lua_settop(lua, 6);
    const struct raw_list *list = check_list(lua, worker);
    const struct wanted *wanted = check_wanted(lua, worker);
    luaL_checktype(lua, 3, LUA_TTABLE);
    if (bson_iter_init_from_data(&iter, list->data, list->size)) {
        while (next_element(&iter, &element)) {
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
    const uint32_t hash = hash_of(id, size);

    for (size_t i = hash & (index->capacity - 1);; i = (i + 1) & (index->capacity - 1)) {
        struct raw_place *place = &index->place[i];
        if (!place->offset) {
            place->hash = hash;
            return place;
        }
        if (place->hash == hash) {
            struct element element = { .data = list + place->offset };
            uint32_t length;
            memcpy(&length, element.data, sizeof(length));
            element.size = BSON_UINT32_FROM_LE(length);
            if (find_id(&element) && element.id_size == size && memcmp(element.id, id, size) == 0) {
                return place;
            }
        }
    }
}

static size_t count_elements(const struct raw_list *list)
{
    bson_iter_t iter;
    size_t count = 0;

    for (bool is_ok = bson_iter_init_from_data(&iter, list->data, list->size);
         is_ok && bson_iter_next(&iter);) {
        count++;
    }
    return count;
}

static bool make_index(struct raw_index *index, const struct raw_list *list)
{
    struct element element;
    bson_iter_t iter;

    if (index->list == list->data) {
        return true;
    }
    index->list = NULL;
    if (!reset_index(index, count_elements(list)) ||
        !bson_iter_init_from_data(&iter, list->data, list->size)) {
        return false;
    }
    while (next_element(&iter, &element)) {
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
    bson_iter_t iter;
    bool is_found = false;

    for (bool is_ok = bson_iter_init_from_data(&iter, list->data, list->size);
         is_ok && next_element(&iter, &element);) {
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
        uint32_t length = 0;
        is_found = offset != 0;
        element.data = list->data + offset;
        memcpy(&length, element.data, sizeof(length));
        element.size = BSON_UINT32_FROM_LE(length);
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
    bson_iter_t iter;
    int count = 0;

    lua_createtable(lua, (int)count_elements(list), 0);
    for (bool is_ok = bson_iter_init_from_data(&iter, list->data, list->size);
         is_ok && bson_iter_next(&iter);) {
        decode_element(lua, metas, &iter, 2);
        lua_rawseti(lua, -2, ++count);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->list_ref);
    (void)lua_setmetatable(lua, -2);
    return 1;
}

/* ---- The worker's side ---- */

static PK_RAISES void add_tag(lua_State *lua, const char *name, const void **out, int *out_ref)
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
        { "entry", raw_entry }, { "all", raw_all },       { NULL, NULL },
    };

    add_tag(lua, "raw", &metas->raw, &metas->raw_ref);
    add_tag(lua, "wanted", &metas->wanted, &metas->wanted_ref);
    lua_newtable(lua);
    for (const luaL_Reg *row = function_table; row->name; row++) {
        lua_pushcfunction(lua, row->func);
        lua_setfield(lua, -2, row->name);
    }
    lua_setfield(lua, -2, "raw");
}

static PK_RAISES void push_list(lua_State *lua, const struct worker *worker,
                                const bson_iter_t *iter)
{
    struct raw_list *list = lua_newuserdata(lua, sizeof(*list));
    *list = (struct raw_list){ .call = worker->calls };
    bson_iter_array(iter, &list->size, &list->data);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, worker->call->vm->metas.raw_ref);
    (void)lua_setmetatable(lua, -2);
}

static bool is_held(const struct raw_hold *hold, const bson_iter_t *iter)
{
    for (size_t i = 0; i < hold->count && BSON_ITER_HOLDS_ARRAY(iter); i++) {
        if (strcmp(bson_iter_key(iter), hold->inner[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The fields of a document into the table at the top, but for those at 'depth' that are held. */
static PK_RAISES void push_fields(lua_State *lua, const struct worker *worker, bson_iter_t *iter,
                                  unsigned depth)
{
    const struct vm *vm = worker->call->vm;
    bson_iter_t child;

    while (bson_iter_next(iter)) {
        if (BSON_ITER_HOLDS_NULL(iter)) {
            continue;
        }
        lua_pushlstring(lua, bson_iter_key(iter), bson_iter_key_len(iter));
        if (depth == 2 && is_held(&vm->hold, iter)) {
            push_list(lua, worker, iter);
        } else if (depth == 1 && BSON_ITER_HOLDS_DOCUMENT(iter) &&
                   strcmp(bson_iter_key(iter), vm->hold.outer) == 0 &&
                   bson_iter_recurse(iter, &child)) {
            lua_newtable(lua);
            push_fields(lua, worker, &child, 2);
        } else {
            decode_element(lua, &vm->metas, iter, depth);
        }
        lua_rawset(lua, -3);
    }
}

void raw_push_input(lua_State *lua, struct worker *worker)
{
    const struct call *call = worker->call;
    bson_iter_t iter;

    if (!call->vm->hold.count) {
        decode_document(lua, &call->vm->metas, call->input, call->input_size);
        return;
    }
    if (!bson_iter_init_from_data(&iter, call->input, call->input_size)) {
        (void)luaL_error(lua, "the input is no document");
    }
    lua_newtable(lua);
    push_fields(lua, worker, &iter, 1);
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
