/* form.c - Parts of an output that are the same in every call: made once, then only copied.
 *
 * What declared rules say hardly changes from call to call, and making a table,
 * sorting its keys and checking its texts costs more than the rule itself. So a
 * library can keep the bytes:
 *
 *     form = host.raw.form(value)        written wherever it stands in an output
 *     form = host.raw.form(object, key)  object[key] is a text, and written anew:
 *     host.raw.forms({ form, hole, form, hole ... })
 *         a list of forms: with 'false' for one as it is, with a text for one
 *         whose field 'key' is that text, with a number for one whose field is
 *         its own text and the number behind it. In place of a form may stand
 *         any value, with 'false'
 *     reads = host.raw.reads(paths, slots)  what was read of so many paths, 'slots' of them always
 *     host.raw.note(reads, v, more)      slot i counts as known when v[i] is true; 'more', slots
 *         that were read besides, or nil. Gives 'reads', which is written as the list { { keys,
 * kind = "trait", match = "exact" }, { ... "miss" } }, first the keys of 'more', then those of
 * 'slots', each once, without a group that is empty; the group of the first of 'more' is the first
 *
 * All of them are handles: nothing of them can be seen or changed, but they
 * can be given out. encode.c writes them. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/form.h"

#include <string.h>

#include <lauxlib.h>

enum { FORM_MAX_BYTES = 1 << 20, READS_MAX = 1 << 16 };

static PK_RAISES void tag(lua_State *lua, int ref)
{
    lua_rawgeti(lua, LUA_REGISTRYINDEX, ref);
    (void)lua_setmetatable(lua, -2);
}

/* ---- form ---- */

/* Bytes that begin with { value: ... } as a form at the top of the stack. */
static PK_RAISES struct form *new_form(lua_State *lua, const struct metas *metas, size_t size)
{
    struct form *form = lua_newuserdata(lua, sizeof(*form) + size);

    *form = (struct form){ .size = (uint32_t)size };
    tag(lua, metas->form_ref);
    return form;
}

/* Takes the field 'key' out of an object's bytes. */
static PK_RAISES void new_open_form(lua_State *lua, const struct metas *metas,
                                    const struct walk_at *whole, const char *key, unsigned depth)
{
    const size_t inner = whole->size - 5; /* Without length and closing zero. */
    struct form *form = new_form(lua, metas, inner);
    struct walk_at at;

    form->type = WALK_DOCUMENT;
    form->depth = (uint8_t)depth;
    memcpy(form->data, whole->value + 4, inner);
    for (walk_into(&at, whole->value, whole->size); walk_next(&at);) {
        if (walk_is(&at, key, strlen(key)) && at.type == WALK_TEXT) {
            size_t size = 0;
            const char *text = walk_text(&at, &size);
            form->is_open = true;
            form->text_at = (uint32_t)((const uint8_t *)text - whole->value - 4);
            form->text_size = (uint32_t)size;
            form->after_at = (uint32_t)(at.next - whole->value - 4);
            return;
        }
    }
    (void)luaL_error(lua, "the object has no text '%s'", key);
}

static int raw_form(lua_State *lua)
{
    struct worker *worker = vm_worker(lua);
    const struct metas *metas = &worker->call->vm->metas;
    struct bytes *out = &worker->out;
    struct walk_at at;
    unsigned depth = 0;

    lua_settop(lua, 2);
    const char *key = lua_isnil(lua, 2) ? NULL : luaL_checkstring(lua, 2);
    out->size = 0;
    encode_form(lua, worker, 1, FORM_MAX_BYTES, &depth);
    walk_into(&at, out->data, out->size);
    luaL_argcheck(lua, walk_next(&at), 1, "a value is expected");
    if (key) {
        luaL_argcheck(lua, at.type == WALK_DOCUMENT, 1, "an object is expected");
        new_open_form(lua, metas, &at, key, depth);
    } else {
        struct form *form = new_form(lua, metas, at.size);
        form->type = at.type;
        form->depth = (uint8_t)depth;
        memcpy(form->data, at.value, at.size);
    }
    out->size = 0;
    return 1;
}

/* ---- reads ---- */

static PK_RAISES uint32_t check_slot(lua_State *lua, int list, size_t i, uint32_t count)
{
    lua_rawgeti(lua, list, (int)i);
    const double slot = lua_tonumber(lua, -1);
    if (!(slot >= 1 && slot <= count)) {
        (void)luaL_error(lua, "a slot from 1 to %d is expected", (int)count);
    }
    lua_pop(lua, 1);
    return (uint32_t)slot;
}

static int raw_reads(lua_State *lua)
{
    const struct metas *metas = &vm_worker(lua)->call->vm->metas;
    size_t texts = 0, size = 0;

    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_checktype(lua, 2, LUA_TTABLE);
    const size_t count = lua_objlen(lua, 1), always = lua_objlen(lua, 2);
    luaL_argcheck(lua, count < READS_MAX, 1, "too many paths");
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(lua, 1, (int)i);
        const char *text = luaL_checklstring(lua, -1, &size);
        luaL_argcheck(lua, encode_is_utf8(text, size), 1, "paths are UTF-8");
        texts += size + 1;
        lua_pop(lua, 1);
    }
    luaL_argcheck(lua, texts < 64 << 20, 1, "too much");
    const size_t rows = count * sizeof(struct reads_row);
    struct reads *reads = lua_newuserdata(lua, sizeof(*reads) + rows + texts);
    memset(reads, 0, sizeof(*reads) + rows);
    reads->count = (uint32_t)count;
    size_t at = sizeof(*reads) + rows;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, 1, (int)i + 1);
        const char *text = lua_tolstring(lua, -1, &size);
        reads->row[i].at = (uint32_t)at;
        reads->row[i].size = (uint32_t)size;
        memcpy((char *)reads + at, text, size + 1);
        at += size + 1;
        lua_pop(lua, 1);
    }
    for (size_t i = 1; i <= always; i++) {
        reads->row[check_slot(lua, 2, i, reads->count) - 1].is_always = true;
    }
    tag(lua, metas->reads_ref);
    return 1;
}

/* The path of a slot was read, if it is the first time. */
static PK_RAISES void note_slot(lua_State *lua, struct reads *reads, uint32_t slot)
{
    struct reads_row *row = &reads->row[slot - 1];

    if (!row->is_read) {
        lua_rawgeti(lua, 2, (int)slot);
        row->is_read = true;
        row->is_known = lua_toboolean(lua, -1) != 0;
        lua_pop(lua, 1);
        reads->row[reads->read++].order = slot - 1;
        reads->known += row->is_known;
        reads->missed += !row->is_known;
    }
}

static int raw_note(lua_State *lua)
{
    const struct metas *metas = &vm_worker(lua)->call->vm->metas;
    struct reads *reads = lua_touserdata(lua, 1);

    lua_settop(lua, 3);
    if (!reads || !lua_getmetatable(lua, 1) || lua_topointer(lua, -1) != metas->reads) {
        return luaL_error(lua, "what host.raw.reads gave is expected");
    }
    lua_settop(lua, 3);
    luaL_checktype(lua, 2, LUA_TTABLE);
    for (uint32_t i = 0; i < reads->count; i++) {
        reads->row[i].is_read = false;
    }
    reads->read = reads->known = reads->missed = 0;
    for (size_t i = 1, more = lua_istable(lua, 3) ? lua_objlen(lua, 3) : 0; i <= more; i++) {
        note_slot(lua, reads, check_slot(lua, 3, i, reads->count));
    }
    reads->is_miss_first =
        reads->read && reads->missed && !reads->row[reads->row[0].order].is_known;
    for (uint32_t i = 0; i < reads->count; i++) {
        if (reads->row[i].is_always) {
            note_slot(lua, reads, i + 1);
        }
    }
    lua_settop(lua, 1);
    return 1;
}

/* ---- The worker's side ---- */

void form_open(lua_State *lua, struct metas *metas)
{
    static const luaL_Reg function_table[] = {
        { "form", raw_form },
        { "reads", raw_reads },
        { "note", raw_note },
        { NULL, NULL },
    };

    raw_add_tag(lua, "form", &metas->form, &metas->form_ref);
    raw_add_tag(lua, "reads", &metas->reads, &metas->reads_ref);
    raw_add_tag(lua, "list", &metas->forms, &metas->forms_ref);
    for (const luaL_Reg *row = function_table; row->name; row++) {
        lua_pushcfunction(lua, row->func);
        lua_setfield(lua, -2, row->name);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, metas->forms_ref);
    lua_setfield(lua, -2, "forms_meta");
}
