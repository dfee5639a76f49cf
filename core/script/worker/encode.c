/* encode.c - Lua values to BSON, or a refusal that names the path.
 *
 * A table is a list when it carries the 'list' metatable or has keys 1 to n
 * and no others; otherwise an object with string keys, written in their order.
 * An empty table without the metatable is an object. Whole numbers up to 2^53
 * are int64, others double. nil writes nothing. What decode.c tags comes back
 * as what it was.
 *
 * Tables are read raw: no metamethod runs here. Refused: functions, threads,
 * tables within themselves, infinities and NaN, texts that are not UTF-8, keys
 * that are neither text nor list positions, more depth or bytes than the call
 * may give out. What form.c made is written as it lies there. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/form.h"
#include "script/worker/worker_internal.h"

#include <bson/bson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

/* One step of the path to the value at hand. */
struct step {
    const char *key;   /* NULL: a list's position. */
    size_t index;      /* 1 for the first. */
    const void *table; /* That holds the value. */
};

struct encoder {
    lua_State *lua;
    struct worker *worker;
    const struct metas *metas;
    size_t start;   /* Of the document in worker->out. */
    size_t max;     /* Bytes of it. */
    unsigned depth; /* Of 'step' in use. */
    unsigned deepest;
    unsigned reached; /* The deepest table so far. */
    struct step step[PK_WIRE_DEPTH_MAX + 1];
};

/* A key of an object, where the table keeps it. */
struct key {
    const char *text;
    size_t size;
    int index; /* Of its value, in a small object: on the stack. */
};

enum { SMALL = 16 }; /* Fields of an object whose values lie on the stack. */

static PK_RAISES void put_value(struct encoder *encoder, const char *key, size_t key_size,
                                int index);

/* ---- Refusing ---- */

static void path_write(const struct encoder *encoder, char *out, size_t out_size)
{
    size_t at = 0;

    out[0] = '\0';
    for (unsigned i = 1; i < encoder->depth && at + 1 < out_size; i++) {
        const struct step *step = &encoder->step[i];
        int n = step->key ? snprintf(out + at, out_size - at, "%s%.60s", at ? "." : "", step->key)
                          : snprintf(out + at, out_size - at, "[%zu]", step->index);
        at += n < 0 ? 0 : (size_t)n;
    }
}

static PK_RAISES void refuse(struct encoder *encoder, const char *what)
{
    struct call *call = encoder->worker->call;
    char path[256];

    path_write(encoder, path, sizeof(path));
    call->reason = PK_WIRE_OUTPUT;
    trace_say(call, "%s%s%s", path, path[0] ? ": " : "", what);
    lua_pushliteral(encoder->lua, "refused");
    (void)lua_error(encoder->lua);
}

static PK_RAISES void refuse_type(struct encoder *encoder, int index)
{
    char what[80];
    const char *name = lua_typename(encoder->lua, lua_type(encoder->lua, index));
    (void)snprintf(what, sizeof(what), "a %s cannot be given out", name ? name : "value");
    refuse(encoder, what);
}

static PK_RAISES void check_room(struct encoder *encoder, size_t size)
{
    char what[80];
    if (encoder->worker->out.size - encoder->start + size + 2 > encoder->max) {
        (void)snprintf(what, sizeof(what), "what is given out is over %zu bytes", encoder->max);
        encoder->depth = 0;
        refuse(encoder, what);
    }
}

/* ---- Bytes ---- */

/* The head of an element, and room for its value behind it, which the caller writes. */
static PK_RAISES uint8_t *put_key(struct encoder *encoder, bson_type_t type, const char *key,
                                  size_t key_size, size_t value_size)
{
    check_room(encoder, key_size + 2 + value_size);
    uint8_t *to = bytes_more(&encoder->worker->out, key_size + 2 + value_size);
    *to++ = (uint8_t)type;
    memcpy(to, key, key_size);
    to[key_size] = 0;
    return to + key_size + 1;
}

static void write_length(uint8_t *to, size_t value)
{
    const uint32_t length = BSON_UINT32_TO_LE((uint32_t)value);
    memcpy(to, &length, sizeof(length));
}

static PK_RAISES void put_int64(struct encoder *encoder, bson_type_t type, const char *key,
                                size_t key_size, int64_t value)
{
    const uint64_t bytes = BSON_UINT64_TO_LE((uint64_t)value);
    memcpy(put_key(encoder, type, key, key_size, sizeof(bytes)), &bytes, sizeof(bytes));
}

static PK_RAISES void put_number(struct encoder *encoder, const char *key, size_t key_size,
                                 double value)
{
    if (!isfinite(value)) {
        refuse(encoder, isnan(value) ? "a number that is not one (NaN) cannot be given out"
                                     : "an infinite number cannot be given out");
    }
    if (value == floor(value) && fabs(value) <= 9007199254740992.0) {
        put_int64(encoder, BSON_TYPE_INT64, key, key_size, (int64_t)value);
        return;
    }
    int64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_int64(encoder, BSON_TYPE_DOUBLE, key, key_size, bits);
}

/* Most texts are ASCII, which eight bytes at a time can show. What libbson takes for a NUL, C0 80,
 * is no UTF-8: there is no C0 in any. */
bool encode_is_utf8(const char *text, size_t size)
{
    uint64_t word = 0, high = 0;
    size_t at = 0;

    for (; at + 8 <= size; at += 8) {
        memcpy(&word, text + at, 8);
        high |= word;
    }
    for (; at < size; at++) {
        high |= (uint64_t)(unsigned char)text[at];
    }
    return !(high & UINT64_C(0x8080808080808080)) ||
           (bson_utf8_validate(text, size, true) && !memchr(text, 0xC0, size));
}

static PK_RAISES void put_text(struct encoder *encoder, const char *key, size_t key_size, int index)
{
    size_t size = 0;
    const char *text = lua_tolstring(encoder->lua, index, &size);

    if (size > encoder->max) {
        check_room(encoder, size);
    }
    if (!encode_is_utf8(text, size)) {
        refuse(encoder, "the text is not valid UTF-8");
    }
    uint8_t *to = put_key(encoder, BSON_TYPE_UTF8, key, key_size, 4 + size + 1);
    write_length(to, size + 1);
    memcpy(to + 4, text, size + 1); /* A text of Lua ends with a NUL. */
}

/* ---- Tagged values: the table is at the top of the stack ---- */

static PK_RAISES void put_date(struct encoder *encoder, const char *key, size_t key_size)
{
    lua_State *lua = encoder->lua;
    lua_pushliteral(lua, "ms");
    lua_rawget(lua, -2);
    double ms = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : NAN;
    lua_pop(lua, 1);
    if (!(fabs(ms) <= 9007199254740992.0) || ms != floor(ms)) {
        refuse(encoder, "a date must hold whole milliseconds");
    }
    put_int64(encoder, BSON_TYPE_DATE_TIME, key, key_size, (int64_t)ms);
}

static PK_RAISES void put_digits(struct encoder *encoder, const char *key, size_t key_size)
{
    lua_State *lua = encoder->lua;
    char *end = NULL;
    long long value = 0;

    lua_pushliteral(lua, "digits");
    lua_rawget(lua, -2);
    const char *digits = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "";
    value = strtoll(digits, &end, 10);
    if (end == digits || *end) {
        refuse(encoder, "an int64 must hold digits");
    }
    lua_pop(lua, 1);
    put_int64(encoder, BSON_TYPE_INT64, key, key_size, value);
}

static PK_RAISES void put_binary(struct encoder *encoder, const char *key, size_t key_size)
{
    lua_State *lua = encoder->lua;
    size_t size = 0;

    lua_pushliteral(lua, "subtype");
    lua_rawget(lua, -2);
    const double subtype = lua_tonumber(lua, -1);
    lua_pushliteral(lua, "bytes");
    lua_rawget(lua, -3);
    /* Subtype 2 has a length within; nobody has used it for long. */
    if (lua_type(lua, -1) != LUA_TSTRING || !(subtype >= 0 && subtype <= 255) || subtype == 2) {
        refuse(encoder, "a binary must hold bytes and a subtype");
    }
    const char *data = lua_tolstring(lua, -1, &size);
    check_room(encoder, size);
    uint8_t *to = put_key(encoder, BSON_TYPE_BINARY, key, key_size, 4 + 1 + size);
    write_length(to, size);
    to[4] = (uint8_t)subtype;
    memcpy(to + 5, data, size);
    lua_pop(lua, 2);
}

/* ---- Tables ---- */

/* Whether 'key' comes before 'other': bytes, then length. */
static bool is_before(const struct key *key, const struct key *other)
{
    const size_t size = key->size < other->size ? key->size : other->size;
    const int order = memcmp(key->text, other->text, size);
    return order ? order < 0 : key->size < other->size;
}

static void sift_down(struct key *key, size_t at, size_t count)
{
    const struct key sunk = key[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(&key[child], &key[child + 1])) {
            child++;
        }
        if (!is_before(&sunk, &key[child])) {
            break;
        }
        key[at] = key[child];
        at = child;
    }
    key[at] = sunk;
}

/* Not qsort: it asks the system how much memory there is, and the filter kills for that. */
static void sort_keys(struct key *key, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(key, i, count);
    }
    for (size_t last = count; last-- > 1;) {
        const struct key top = key[0];
        key[0] = key[last];
        key[last] = top;
        sift_down(key, 0, last);
    }
}

static PK_RAISES void refuse_key(struct encoder *encoder, int index)
{
    char what[80];
    (void)snprintf(what, sizeof(what), "a key that is a %s cannot be given out",
                   luaL_typename(encoder->lua, index));
    refuse(encoder, what);
}

/* How many string keys the table at the top has, and how many list positions. */
static PK_RAISES void count_keys(struct encoder *encoder, size_t *out_texts, size_t *out_positions)
{
    lua_State *lua = encoder->lua;
    const double length = (double)lua_objlen(lua, -1);

    *out_texts = *out_positions = 0;
    for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1)) {
        if (lua_type(lua, -2) == LUA_TSTRING) {
            ++*out_texts;
        } else if (lua_type(lua, -2) == LUA_TNUMBER) {
            const double at = lua_tonumber(lua, -2);
            if (at < 1 || at != floor(at) || at > length) {
                refuse(encoder, "a table with number keys must be a list without holes");
            }
            ++*out_positions;
        } else {
            refuse_key(encoder, -2);
        }
    }
    if (*out_positions != 0 && *out_texts != 0) {
        refuse(encoder, "the table has list positions and named fields; give one of both");
    }
    if (*out_positions != (*out_positions ? (size_t)length : 0)) {
        refuse(encoder, "a table with number keys must be a list without holes");
    }
}

/* A list's position as a key, at the end of 'out'; returns where it begins. */
static const char *write_position(size_t position, char out[24], size_t *out_size)
{
    char *at = out + 24;

    do {
        *--at = (char)('0' + position % 10);
        position /= 10;
    } while (position);
    *out_size = (size_t)(out + 24 - at);
    return at;
}

static PK_RAISES void put_list(struct encoder *encoder, struct step *step, size_t count)
{
    char digits[24];
    size_t size = 0;

    step->key = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *key = write_position(i, digits, &size);
        step->index = i + 1;
        lua_rawgeti(encoder->lua, -1, (int)i + 1);
        put_value(encoder, key, size, -1);
        lua_pop(encoder->lua, 1);
    }
}

static PK_RAISES void check_key(struct encoder *encoder, const struct key *key)
{
    if (memchr(key->text, '\0', key->size) || !encode_is_utf8(key->text, key->size)) {
        refuse(encoder, "a key must be UTF-8 without NUL");
    }
}

static PK_RAISES void put_object(struct encoder *encoder, struct step *step, size_t count)
{
    lua_State *lua = encoder->lua;
    size_t at = 0;

    check_room(encoder, count * 3); /* So that 'key' is no larger than what may be given out. */
    struct key *key = lua_newuserdata(lua, (count ? count : 1) * sizeof(*key));
    lua_insert(lua, -2);
    for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1), at++) {
        key[at].text = lua_tolstring(lua, -2, &key[at].size);
    }
    sort_keys(key, count);
    for (size_t i = 0; i < count; i++) {
        step->key = key[i].text;
        check_key(encoder, &key[i]);
        lua_pushlstring(lua, key[i].text, key[i].size);
        lua_rawget(lua, -2);
        put_value(encoder, key[i].text, key[i].size, -1);
        lua_pop(lua, 1);
    }
    lua_remove(lua, -2);
}

/* Collects a small object's keys in order, their values above the table on the stack. False: it is
 * none, and the stack is as before. */
static PK_RAISES bool take_small(struct encoder *encoder, struct key key[SMALL], size_t *out_count)
{
    lua_State *lua = encoder->lua;
    const int table = lua_gettop(lua);
    size_t count = 0;

    luaL_checkstack(lua, 2 * SMALL + 4, "nested too deep");
    for (lua_pushnil(lua); lua_next(lua, table); lua_pushvalue(lua, -2), count++) {
        struct key found = { .index = lua_gettop(lua) };
        size_t at = count;
        if (count == SMALL || lua_type(lua, -2) != LUA_TSTRING) {
            lua_settop(lua, table);
            return false;
        }
        found.text = lua_tolstring(lua, -2, &found.size);
        for (; at > 0 && is_before(&found, &key[at - 1]); at--) {
            key[at] = key[at - 1];
        }
        key[at] = found;
    }
    *out_count = count;
    return true;
}

/* The same as put_object for what take_small took; leaves the table at the top. */
static PK_RAISES void put_small(struct encoder *encoder, struct step *step, int table,
                                const struct key *key, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        step->key = key[i].text;
        check_key(encoder, &key[i]);
        lua_pushvalue(encoder->lua, key[i].index);
        put_value(encoder, key[i].text, key[i].size, -1);
        lua_pop(encoder->lua, 1);
    }
    lua_settop(encoder->lua, table);
}

/* Begins an array or document of the parent; returns where its length is to be written. */
static PK_RAISES size_t begin_inner(struct encoder *encoder, bson_type_t type, const char *key,
                                    size_t key_size)
{
    (void)put_key(encoder, type, key, key_size, 4);
    return encoder->worker->out.size - 4;
}

static void end_inner(struct encoder *encoder, size_t start)
{
    struct bytes *out = &encoder->worker->out;
    *bytes_more(out, 1) = 0;
    write_length(out->data + start, out->size - start);
}

/* One more table, 'more' deeper than the one that holds it. */
static PK_RAISES void check_depth(struct encoder *encoder, unsigned more)
{
    if (encoder->depth + more > encoder->deepest) {
        refuse(encoder, "the tables are nested too deep");
    }
    if (encoder->depth + more > encoder->reached) {
        encoder->reached = encoder->depth + more;
    }
}

/* The table at the top, as an element of its parent. */
static PK_RAISES void put_table(struct encoder *encoder, const char *key, size_t key_size,
                                bool is_list)
{
    const void *table = lua_topointer(encoder->lua, -1);
    const int index = lua_gettop(encoder->lua);
    size_t texts = 0, positions = 0;
    struct key small[SMALL];

    for (unsigned i = 0; i < encoder->depth; i++) {
        if (encoder->step[i].table == table) {
            refuse(encoder, "the table contains itself");
        }
    }
    check_depth(encoder, 0);
    luaL_checkstack(encoder->lua, 8, "nested too deep");
    struct step *step = &encoder->step[encoder->depth];
    *step = (struct step){ .table = table };
    /* Until the keys are known to be good, the path ends at the table. */
    const bool is_small = !is_list && take_small(encoder, small, &texts);
    if (!is_small) {
        count_keys(encoder, &texts, &positions);
    }
    encoder->depth++;
    if (is_list && texts) {
        refuse(encoder, "a list cannot have named fields");
    }
    is_list = is_list || positions;
    const size_t start =
        begin_inner(encoder, is_list ? BSON_TYPE_ARRAY : BSON_TYPE_DOCUMENT, key, key_size);
    if (is_list) {
        put_list(encoder, step, positions);
    } else if (is_small) {
        put_small(encoder, step, index, small, texts);
    } else {
        put_object(encoder, step, texts);
    }
    end_inner(encoder, start);
    encoder->depth--;
}

/* ---- What form.c made ---- */

static const void *meta_of(lua_State *lua, int index)
{
    const void *meta = NULL;
    if (lua_getmetatable(lua, index)) {
        meta = lua_topointer(lua, -1);
        lua_pop(lua, 1);
    }
    return meta;
}

static PK_RAISES void put_form(struct encoder *encoder, const char *key, size_t key_size,
                               const struct form *form)
{
    if (form->depth) {
        check_depth(encoder, form->depth - 1U);
    }
    const size_t more = form->is_open ? 5 : 0;
    uint8_t *to = put_key(encoder, (bson_type_t)form->type, key, key_size, form->size + more);
    if (form->is_open) { /* As it was made. */
        write_length(to, form->size + more);
        to += 4;
        to[form->size] = 0;
    }
    memcpy(to, form->data, form->size);
}

/* An open form with the text at 'hole', or its own and the number there behind it. */
static PK_RAISES void put_filled(struct encoder *encoder, const char *key, size_t key_size,
                                 const struct form *form, int hole)
{
    char digits[24];
    const uint8_t *own = form->data + form->text_at;
    size_t own_size = 0, size = 0;
    const char *text;

    check_depth(encoder, form->depth - 1U);
    if (lua_type(encoder->lua, hole) == LUA_TNUMBER) {
        const double number = lua_tonumber(encoder->lua, hole);
        text = write_position(number >= 0 && number < 1e9 ? (size_t)number : 0, digits, &size);
        own_size = form->text_size;
    } else {
        text = lua_tolstring(encoder->lua, hole, &size);
        if (size > encoder->max) {
            check_room(encoder, size);
        }
        if (!encode_is_utf8(text, size)) {
            refuse(encoder, "the text is not valid UTF-8");
        }
    }
    const size_t head = form->text_at - 4; /* Up to the text's length. */
    const size_t behind = form->size - form->after_at;
    const size_t whole = 4 + head + 4 + own_size + size + 1 + behind + 1;
    uint8_t *to = put_key(encoder, BSON_TYPE_DOCUMENT, key, key_size, whole);
    write_length(to, whole);
    memcpy(to + 4, form->data, head);
    write_length(to + 4 + head, own_size + size + 1);
    to += 4 + head + 4;
    memcpy(to, own, own_size);
    memcpy(to + own_size, text, size);
    to += own_size + size;
    *to++ = 0;
    memcpy(to, form->data + form->after_at, behind);
    to[behind] = 0;
}

/* A list of pairs at the top. */
static PK_RAISES void put_forms(struct encoder *encoder, const char *key, size_t key_size)
{
    lua_State *lua = encoder->lua;
    const size_t count = lua_objlen(lua, -1);
    char digits[24];
    size_t size = 0;

    check_depth(encoder, 0);
    luaL_checkstack(lua, 8, "nested too deep");
    struct step *step = &encoder->step[encoder->depth++];
    *step = (struct step){ .table = lua_topointer(lua, -1) };
    const size_t start = begin_inner(encoder, BSON_TYPE_ARRAY, key, key_size);
    for (size_t i = 0; i < count / 2; i++) {
        const char *position = write_position(i, digits, &size);
        step->index = i + 1;
        lua_rawgeti(lua, -1, (int)(2 * i) + 2);
        lua_rawgeti(lua, -2, (int)(2 * i) + 1);
        const struct form *form = lua_touserdata(lua, -1);
        if (form && lua_toboolean(lua, -2) && meta_of(lua, -1) == encoder->metas->form &&
            form->is_open &&
            (lua_type(lua, -2) == LUA_TNUMBER || lua_type(lua, -2) == LUA_TSTRING)) {
            put_filled(encoder, position, size, form, -2);
        } else {
            put_value(encoder, position, size, -1);
        }
        lua_pop(lua, 2);
    }
    end_inner(encoder, start);
    encoder->depth--;
}

/* { keys, kind = "trait", match } of those that were known, or that were not. */
static PK_RAISES void put_group(struct encoder *encoder, const struct reads *reads, bool is_known,
                                uint32_t position)
{
    char digits[24];
    size_t size = 0, count = 0;

    const char *at = write_position(position, digits, &size);
    const size_t group = begin_inner(encoder, BSON_TYPE_DOCUMENT, at, size);
    const size_t keys = begin_inner(encoder, BSON_TYPE_ARRAY, "keys", 4);
    for (uint32_t i = 0; i < reads->read; i++) {
        const struct reads_row *row = &reads->row[reads->row[i].order];
        if (row->is_known == is_known) {
            at = write_position(count++, digits, &size);
            uint8_t *to = put_key(encoder, BSON_TYPE_UTF8, at, size, 4 + row->size + 1);
            write_length(to, row->size + 1);
            memcpy(to + 4, (const char *)reads + row->at, row->size + 1);
        }
    }
    end_inner(encoder, keys);
    memcpy(put_key(encoder, BSON_TYPE_UTF8, "kind", 4, 10), "\6\0\0\0trait", 10);
    const char *match = is_known ? "\6\0\0\0exact" : "\5\0\0\0miss";
    memcpy(put_key(encoder, BSON_TYPE_UTF8, "match", 5, is_known ? 10 : 9), match,
           is_known ? 10 : 9);
    end_inner(encoder, group);
}

static PK_RAISES void put_reads(struct encoder *encoder, const char *key, size_t key_size,
                                const struct reads *reads)
{
    uint32_t groups = 0;

    check_depth(encoder, 2);
    const size_t start = begin_inner(encoder, BSON_TYPE_ARRAY, key, key_size);
    for (int i = 0; i < 2; i++) {
        const bool is_known = (i == 0) != reads->is_miss_first;
        if (is_known ? reads->known : reads->missed) {
            put_group(encoder, reads, is_known, groups++);
        }
    }
    end_inner(encoder, start);
}

static PK_RAISES void put_handle(struct encoder *encoder, const char *key, size_t key_size,
                                 int index)
{
    const void *meta = meta_of(encoder->lua, index);

    if (meta && meta == encoder->metas->form) {
        put_form(encoder, key, key_size, lua_touserdata(encoder->lua, index));
    } else if (meta && meta == encoder->metas->reads) {
        put_reads(encoder, key, key_size, lua_touserdata(encoder->lua, index));
    } else {
        refuse_type(encoder, index);
    }
}

static PK_RAISES void put_tagged(struct encoder *encoder, const char *key, size_t key_size)
{
    const struct metas *metas = encoder->metas;
    const void *meta = meta_of(encoder->lua, -1);

    if (meta && meta == metas->date) {
        put_date(encoder, key, key_size);
    } else if (meta && meta == metas->int64) {
        put_digits(encoder, key, key_size);
    } else if (meta && meta == metas->binary) {
        put_binary(encoder, key, key_size);
    } else if (meta && meta == metas->forms) {
        put_forms(encoder, key, key_size);
    } else {
        put_table(encoder, key, key_size, meta && meta == metas->list);
    }
}

static PK_RAISES void put_value(struct encoder *encoder, const char *key, size_t key_size,
                                int index)
{
    lua_State *lua = encoder->lua;

    switch (lua_type(lua, index)) {
    case LUA_TNIL:
        return;
    case LUA_TBOOLEAN:
        *put_key(encoder, BSON_TYPE_BOOL, key, key_size, 1) = lua_toboolean(lua, index) != 0;
        return;
    case LUA_TNUMBER:
        put_number(encoder, key, key_size, lua_tonumber(lua, index));
        return;
    case LUA_TSTRING:
        put_text(encoder, key, key_size, index);
        return;
    case LUA_TLIGHTUSERDATA:
        (void)put_key(encoder, BSON_TYPE_NULL, key, key_size, 0);
        return;
    case LUA_TTABLE:
        put_tagged(encoder, key, key_size);
        return;
    case LUA_TUSERDATA:
        put_handle(encoder, key, key_size, index);
        return;
    default:
        refuse_type(encoder, index);
    }
}

static PK_RAISES void encode(struct encoder *encoder, int index)
{
    struct bytes *out = &encoder->worker->out;

    encoder->start = out->size;
    encoder->depth = 1;
    encoder->metas = &encoder->worker->call->vm->metas;
    lua_pushvalue(encoder->lua, index);
    bytes_add(out, "\0\0\0\0", 4);
    put_value(encoder, "value", 5, -1);
    bytes_add(out, "", 1);
    lua_pop(encoder->lua, 1);
    write_length(out->data + encoder->start, out->size - encoder->start);
}

void encode_value(lua_State *lua, struct worker *worker, int index)
{
    const struct call *call = worker->call;
    const uint32_t depth = call->wire->depth;
    struct encoder encoder;

    encoder.lua = lua;
    encoder.worker = worker;
    encoder.max = call->wire->output_bytes;
    encoder.deepest = depth < PK_WIRE_DEPTH_MAX - 1 ? depth : PK_WIRE_DEPTH_MAX - 1;
    encoder.reached = 0;
    encoder.step[0].table = NULL;
    encode(&encoder, index);
}

void encode_form(lua_State *lua, struct worker *worker, int index, size_t max, unsigned *out_depth)
{
    struct encoder encoder;

    encoder.lua = lua;
    encoder.worker = worker;
    encoder.max = max;
    encoder.deepest = PK_WIRE_DEPTH_MAX - 1;
    encoder.reached = 0;
    encoder.step[0].table = NULL;
    encode(&encoder, index);
    *out_depth = encoder.reached;
}
