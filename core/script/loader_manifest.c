/* loader_manifest.c - What a script says of itself: from 'describe' to the fields of pk_script.
 *
 * The library brought the manifest into one form; here it is held against the
 * schema of its kind (doc/schema_manifest.c) and against what this server
 * grants. A fault is shown where its key is set: the text is searched for the
 * keys of its path, one behind the other, in both spellings. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/schema_manifest.h"
#include "script/library.h"
#include "script/loader_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const struct pk_schema *schema;
    const char *entry;
} kind_table[PK_SCRIPT_KINDS] = {
    [PK_SCRIPT_MAPPER] = { &pk_schema_mapper_manifest, "map" },
    [PK_SCRIPT_PROCESSOR] = { &pk_schema_processor_manifest, "process" },
    [PK_SCRIPT_CONDITION] = { &pk_schema_condition_manifest, "holds" },
};

enum { ASKS = 64 }; /* Of a call that may ask at all. */

static const char not_ours[] = "the script returns nothing that can serve";
static const char not_ours_hint[] =
    "end the script with 'return pk.mapper { ... }', pk.processor or pk.condition";

/* ---- Keys, escaped and plain ---- */

typedef void key_fn(struct pk_buf *out, const char *key, size_t length);

static void rekey(const bson_t *doc, key_fn *spell, bson_t *out)
{
    bson_iter_t iter;
    if (!bson_iter_init(&iter, doc)) {
        return;
    }
    while (bson_iter_next(&iter)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf key = { 0 };
        const bool is_list = BSON_ITER_HOLDS_ARRAY(&iter);
        const uint8_t *data = NULL;
        uint32_t size = 0;
        bson_t inner, made;

        spell(&key, bson_iter_key(&iter), bson_iter_key_len(&iter));
        const char *name = pk_buf_text(&key);
        if (!is_list && !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            (void)bson_append_iter(out, name, (int)key.size, &iter);
            continue;
        }
        if (is_list) {
            bson_iter_array(&iter, &size, &data);
            (void)bson_append_array_begin(out, name, (int)key.size, &made);
        } else {
            bson_iter_document(&iter, &size, &data);
            (void)bson_append_document_begin(out, name, (int)key.size, &made);
        }
        if (bson_init_static(&inner, data, size)) {
            rekey(&inner, spell, &made);
        }
        (void)(is_list ? bson_append_array_end(out, &made) : bson_append_document_end(out, &made));
    }
}

void loader_escape_keys(const bson_t *doc, bson_t *out)
{
    bson_init(out);
    rekey(doc, pk_key_escape, out);
}

void loader_unescape_keys(const bson_t *doc, bson_t *out)
{
    bson_init(out);
    rekey(doc, pk_key_unescape, out);
}

/* ---- Where a key is set ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "requiredTraits" as it is also written: "required_traits". */
static void snake(const char *name, size_t size, struct pk_buf *out)
{
    for (size_t i = 0; i < size; i++) {
        if (isupper((unsigned char)name[i])) {
            pk_buf_add_char(out, '_');
        }
        pk_buf_add_char(out, (char)tolower((unsigned char)name[i]));
    }
}

/* The next place from 'at' on where 'name' is a key: NAME =, ["NAME"] =, "NAME":. */
static const char *find_key(const char *at, const char *name, size_t size)
{
    const char *from = at;
    while ((at = memmem(at, strlen(at), name, size)) != NULL) {
        const char *end = at + size;
        end += strspn(end, "\"'");
        end += *end == ']';
        end += strspn(end, " \t\r\n");
        const bool is_whole = at == from || !is_word(at[-1]);
        if (is_whole && !is_word(at[size]) &&
            ((*end == '=' && end[1] != '=') || (*end == ':' && at[size] == '"'))) {
            return at;
        }
        at += size;
    }
    return NULL;
}

static const char *find_spelt(const char *at, const char *name, size_t size)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf other = { 0 };
    snake(name, size, &other);
    const char *found = find_key(at, name, size);
    return found ? found : find_key(at, pk_buf_text(&other), other.size);
}

static unsigned line_at(const char *source, const char *at)
{
    unsigned line = 1;
    for (const char *c = source; c < at; c++) {
        line += *c == '\n';
    }
    return line;
}

unsigned loader_line_of(const char *source, const char *path)
{
    const char *at = source, *found = NULL;
    unsigned long repeat = 0; /* "list[2].key": the third 'key' behind 'list'. */

    while (*path) {
        const size_t size = strcspn(path, ".[");
        const char *next = at;
        for (unsigned long i = 0; size > 0 && next && i <= repeat; i++) {
            next = find_spelt(i == 0 ? next : next + 1, path, size);
        }
        if (!next) {
            break;
        }
        if (size > 0) {
            found = at = next;
        }
        path += size;
        repeat = *path == '[' ? strtoul(path + 1, NULL, 10) : 0;
        path += *path == '[' ? strcspn(path, "]") + 1 : 0;
        path += *path == '.';
        repeat = repeat > PK_BUNDLE_FILE_MAX_BYTES ? 0 : repeat;
    }
    return found ? line_at(source, found) : 0;
}

unsigned loader_line_of_example(const char *source, unsigned index)
{
    const char *at = find_key(source, "examples", 8);
    for (unsigned i = 0; at && i < index; i++) {
        at = find_key(at + 1, "expect", 6);
    }
    return at ? line_at(source, at) : 0;
}

/* ---- Faults ---- */

static const char *source_of(const struct work *work)
{
    const struct pk_bundle *bundle = work->made->script.bundle;
    return bundle->file[bundle->main].text;
}

/* What the library says: { message, hint, line }. */
struct said {
    const char *message, *hint;
    unsigned line;
};

static struct said said_of(const bson_iter_t *fault)
{
    struct said said = { .message = "it is wrong" };
    bson_iter_t iter;

    if (bson_iter_recurse(fault, &iter)) {
        while (bson_iter_next(&iter)) {
            const char *key = bson_iter_key(&iter);
            if (strcmp(key, "line") == 0 && BSON_ITER_HOLDS_INT64(&iter)) {
                said.line = (unsigned)bson_iter_int64(&iter);
            } else if (strcmp(key, "message") == 0 && BSON_ITER_HOLDS_UTF8(&iter)) {
                said.message = bson_iter_utf8(&iter, NULL);
            } else if (strcmp(key, "hint") == 0 && BSON_ITER_HOLDS_UTF8(&iter)) {
                said.hint = bson_iter_utf8(&iter, NULL);
            }
        }
    }
    return said;
}

static bool fail_fault(const struct work *work, const bson_iter_t *fault)
{
    const struct said said = said_of(fault);
    return work_fail(work, said.line, said.hint, "%s", said.message);
}

/* What is no fault, and still not what was meant. */
static void add_remarks(const struct work *work, const bson_t *described)
{
    bson_iter_t iter, item;
    if (!bson_iter_init_find(&iter, described, "remarks") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        const struct said said = said_of(&item);
        const struct finding_at at = { .file = work->main, .line = said.line, .hint = said.hint };
        report_add(work->report, work->made->script.bundle, &at, said.message);
    }
}

static bool check_schema(struct work *work, const bson_t *manifest)
{
    struct pk_faults faults = { 0 };
    const bool is_good =
        pk_schema_check(kind_table[work->made->script.kind].schema, manifest, &faults);

    for (size_t i = 0; i < faults.count; i++) {
        const struct pk_fault *fault = &faults.fault[i];
        PK_CLEANUP(pk_freep) char *hint = pk_strdupf("expected %s", fault->expected);
        (void)work_fail(work, loader_line_of(source_of(work), fault->path), hint, "key '%s' is %s",
                        fault->path, fault->got);
    }
    pk_faults_done(&faults);
    return is_good;
}

/* ---- Fields ---- */

static bool take_kind(struct work *work, const char *name)
{
    struct pk_script *script = &work->made->script;
    script->kind = name ? pk_script_kind_find(name) : PK_SCRIPT_ANY;
    if (script->kind == PK_SCRIPT_ANY) {
        return work_fail(work, 0, not_ours_hint, "%s", not_ours);
    }
    script->entry = kind_table[script->kind].entry;
    if (work->kind != PK_SCRIPT_ANY && work->kind != script->kind) {
        PK_CLEANUP(pk_freep) char *call = pk_strdupf("pk.%s", name);
        const char *at = strstr(source_of(work), call);
        return work_fail(work, at ? line_at(source_of(work), at) : 0,
                         "hand it in as what it is, or put it into the folder of its kind",
                         "it is a %s, not a %s", name, pk_script_kind_name(work->kind));
    }
    return true;
}

static bool take_name(struct work *work, const char *key, char *out, size_t max)
{
    bson_iter_t iter;
    uint32_t size = 0;
    if (!bson_iter_init_find(&iter, &work->made->script.manifest, key) ||
        !BSON_ITER_HOLDS_UTF8(&iter)) {
        return work_fail(work, 1, NULL, "key '%s' is missing", key);
    }
    const char *text = bson_iter_utf8(&iter, &size);
    if (size >= max) {
        return work_fail(work, loader_line_of(source_of(work), key), "shorten it",
                         "key '%s' is longer than %zu bytes", key, max - 1);
    }
    memcpy(out, text, size + 1);
    return true;
}

static char **take_list(const bson_t *manifest, const char *key)
{
    bson_iter_t iter, item;
    char **list = pk_calloc(1, sizeof(*list));
    size_t count = 0;

    if (bson_iter_init_find(&iter, manifest, key) && bson_iter_recurse(&iter, &item)) {
        while (bson_iter_next(&item)) {
            list = pk_realloc(list, (count + 2) * sizeof(*list));
            list[count++] = pk_strdup(bson_iter_utf8(&item, NULL));
            list[count] = NULL;
        }
    }
    return list;
}

/* The manifest's number, or the usual one, within what this server grants. */
static bool take_limit(struct work *work, const char *name, int64_t usual, int64_t max,
                       int64_t *out)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("limits.%s", name);
    const struct pk_script *script = &work->made->script;
    struct pk_doc *manifest = pk_doc_new(&script->manifest);

    *out = pk_doc_int(manifest, path, 0);
    pk_doc_unref(manifest);
    if (*out > max) {
        return work_fail(work, loader_line_of(source_of(work), path),
                         "ask for less, or let an operator raise 'scripts.limits'",
                         "key '%s' is %lld; this server grants at most %lld", path, (long long)*out,
                         (long long)max);
    }
    if (*out == 0) {
        *out = usual < max ? usual : max;
    }
    return true;
}

static bool take_limits(struct work *work)
{
    const struct pk_jail_limits *max = &work->loader->limits_max;
    struct pk_jail_limits *limits = &work->made->script.limits;
    int64_t memory = 0, output = 0;
    /* The usual ones are the jail's own (jail.h). */
    if (!take_limit(work, "soft_ms", 100, max->soft_ms, &limits->soft_ms) ||
        !take_limit(work, "hard_ms", 500, max->hard_ms, &limits->hard_ms) ||
        !take_limit(work, "memory_bytes", 16 << 20, (int64_t)max->memory_bytes, &memory) ||
        !take_limit(work, "output_bytes", 256 << 10, max->output_bytes, &output)) {
        return false;
    }
    if (limits->hard_ms < limits->soft_ms) {
        limits->hard_ms = limits->soft_ms; /* Only one of them was given. */
    }
    limits->memory_bytes = (size_t)memory;
    limits->output_bytes = (uint32_t)output;
    limits->asks = work->made->script.grant[0] ? ASKS : 0;
    return true;
}

static void copy_list(const bson_t *described, const char *name, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    bson_t view;

    if (bson_iter_init_find(&iter, described, name) && BSON_ITER_HOLDS_ARRAY(&iter)) {
        bson_iter_array(&iter, &size, &data);
        if (bson_init_static(&view, data, size)) {
            bson_destroy(out);
            bson_copy_to(&view, out);
        }
    }
}

/* The texts of described.cut's list of that name, which live as long as 'described'. */
static const char **cut_list(const bson_t *described, const char *path, size_t *out_count)
{
    const char **list = NULL;
    bson_iter_t iter, found, item;

    *out_count = 0;
    if (bson_iter_init(&iter, described) && bson_iter_find_descendant(&iter, path, &found) &&
        BSON_ITER_HOLDS_ARRAY(&found) && bson_iter_recurse(&found, &item)) {
        while (bson_iter_next(&item)) {
            list = pk_realloc(list, (*out_count + 1) * sizeof(*list));
            list[(*out_count)++] = BSON_ITER_HOLDS_UTF8(&item) ? bson_iter_utf8(&item, NULL) : "";
        }
    }
    return list;
}

static bool flag_of(const bson_t *described, const char *path)
{
    bson_iter_t iter, found;
    return bson_iter_init(&iter, described) && bson_iter_find_descendant(&iter, path, &found) &&
           bson_iter_as_bool(&found);
}

/* What the calls of the script read: without rules' own words for it they are sent everything. */
static void take_cut(struct made *made, const bson_t *described)
{
    struct pk_jail_reads reads = { 0 };
    bson_iter_t iter;

    made->has_code = !bson_iter_init_find(&iter, described, "has_code") || bson_iter_as_bool(&iter);
    reads.has_code = made->has_code;
    reads.is_timed = flag_of(described, "cut.timed");
    const char **path = cut_list(described, "cut.paths", &reads.paths);
    const char **prefix = cut_list(described, "cut.prefixes", &reads.prefixes);
    reads.path = path;
    reads.prefix = prefix;
    made->cut = pk_jail_cut_new(&reads);
    pk_free(path);
    pk_free(prefix);
}

bool work_take_program(struct work *work, const bson_t *described)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t iter;
    uint32_t size = 0;

    if (!bson_iter_init_find(&iter, described, "program") || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return work_fail(work, 0, not_ours_hint, "%s", not_ours);
    }
    const char *program = bson_iter_utf8(&iter, &size);
    pk_library_text(PK_LIBRARY_RESIDENT, program, size, &text);
    work->made->lean = loader_text_new(&text);
    take_cut(work->made, described);
    return true;
}

static bool take_plain(struct work *work, const bson_t *described)
{
    struct pk_script *script = &work->made->script;
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    bson_t view;

    if (!bson_iter_init_find(&iter, described, "manifest") || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return work_fail(work, 0, not_ours_hint, "%s", not_ours);
    }
    bson_iter_document(&iter, &size, &data);
    if (bson_init_static(&view, data, size)) {
        bson_destroy(&script->manifest);
        loader_escape_keys(&view, &script->manifest);
    }
    if (bson_iter_init_find(&iter, described, "examples") && BSON_ITER_HOLDS_INT64(&iter)) {
        script->examples = (unsigned)bson_iter_int64(&iter);
    }
    copy_list(described, "rules", &script->rules);
    copy_list(described, "reads", &work->made->reads);
    copy_list(described, "names", &work->made->names);
    copy_list(described, "given", &work->made->given);
    return true;
}

bool work_take_manifest(struct work *work, const bson_t *described)
{
    struct pk_script *script = &work->made->script;
    bson_iter_t iter;

    if (bson_iter_init_find(&iter, described, "fault")) {
        return fail_fault(work, &iter);
    }
    const char *kind = bson_iter_init_find(&iter, described, "kind") && BSON_ITER_HOLDS_UTF8(&iter)
                           ? bson_iter_utf8(&iter, NULL)
                           : NULL;
    add_remarks(work, described);
    if (!take_kind(work, kind) || !take_plain(work, described) ||
        !check_schema(work, &script->manifest) ||
        !take_name(work, "id", script->id, sizeof(script->id)) ||
        !take_name(work, "version", script->version, sizeof(script->version))) {
        return false;
    }
    script->accepts = take_list(&script->manifest, "accepts");
    script->grant = take_list(&script->manifest, "capabilities");
    return take_limits(work);
}
