/* script.c - A script that may serve: kinds, references, and what belongs to it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "script/loader_internal.h"

#include <string.h>

static const char *const kind_table[PK_SCRIPT_KINDS] = {
    [PK_SCRIPT_ANY] = "script",
    [PK_SCRIPT_MAPPER] = "mapper",
    [PK_SCRIPT_PROCESSOR] = "processor",
    [PK_SCRIPT_CONDITION] = "condition",
};

const char *pk_script_kind_name(enum pk_script_kind kind)
{
    return kind_table[kind];
}

enum pk_script_kind pk_script_kind_find(const char *name)
{
    for (enum pk_script_kind kind = PK_SCRIPT_MAPPER; kind < PK_SCRIPT_KINDS; kind++) {
        if (strcmp(kind_table[kind], name) == 0) {
            return kind;
        }
    }
    return PK_SCRIPT_ANY;
}

/* ---- Shared texts ---- */

struct loader_text *loader_text_new(const struct pk_buf *text)
{
    struct loader_text *made = pk_alloc(sizeof(*made) + text->size + 1);
    made->refs = 1;
    made->size = text->size;
    memcpy(made->data, pk_buf_text(text), text->size + 1);
    pk_hash(made->hash, made->data, made->size, NULL, 0);
    return made;
}

struct loader_text *loader_text_ref(struct loader_text *text)
{
    (void)__atomic_add_fetch(&text->refs, 1, __ATOMIC_RELAXED);
    return text;
}

void loader_text_unref(struct loader_text *text)
{
    if (text && __atomic_sub_fetch(&text->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        pk_free(text);
    }
}

/* ---- Scripts ---- */

/* All files but the main one, by their names without '.lua'. */
static void add_modules(struct made *made, const struct pk_bundle *bundle)
{
    made->module = pk_calloc(bundle->count, sizeof(*made->module));
    for (size_t i = 0; i < bundle->count; i++) {
        const struct pk_bundle_file *file = &bundle->file[i];
        if (i != bundle->main && file != bundle->tuning) {
            made->module[made->module_count++] = (struct pk_jail_module){
                .name = pk_strndup(file->name, strcspn(file->name, ".")),
                .file = file->name,
                .text = file->text,
                .size = file->size,
            };
        }
    }
}

struct made *made_new(struct pk_bundle *bundle, struct loader_text *full)
{
    struct made *made = pk_calloc(1, sizeof(*made));
    made->script.refs = 1;
    made->script.bundle = pk_bundle_ref(bundle);
    made->full = loader_text_ref(full);
    add_modules(made, bundle);
    bson_init(&made->script.manifest);
    bson_init(&made->script.rules);
    bson_init(&made->configuration);
    bson_init(&made->tuning);
    bson_init(&made->reads);
    bson_init(&made->names);
    bson_init(&made->given);
    return made;
}

struct pk_script *pk_script_ref(struct pk_script *script)
{
    (void)__atomic_add_fetch(&script->refs, 1, __ATOMIC_RELAXED);
    return script;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++) {
        pk_free(list[i]);
    }
    pk_free(list);
}

void pk_script_unref(struct pk_script *script)
{
    if (!script || __atomic_sub_fetch(&script->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    struct made *made = (struct made *)script; /* Its first field. */
    free_list(script->accepts);
    free_list(script->grant);
    bson_destroy(&script->manifest);
    bson_destroy(&script->rules);
    bson_destroy(&made->configuration);
    bson_destroy(&made->tuning);
    bson_destroy(&made->reads);
    bson_destroy(&made->names);
    bson_destroy(&made->given);
    for (size_t i = 0; i < made->module_count; i++) {
        pk_free((char *)(uintptr_t)made->module[i].name);
    }
    pk_free(made->module);
    pk_bundle_unref((struct pk_bundle *)(uintptr_t)script->bundle);
    loader_text_unref(made->full);
    loader_text_unref(made->lean);
    pk_jail_cut_free(made->cut);
    pk_free(made);
}

void pk_script_check_input(const struct pk_script *script, bson_t *input)
{
    const struct made *made = (const struct made *)script;
    const struct pk_bundle *bundle = script->bundle;
    const struct pk_bundle_file *main = &bundle->file[bundle->main];

    (void)bson_append_utf8(input, "source", -1, main->text, (int)main->size);
    if (bundle->format == PK_BUNDLE_RULES) {
        (void)bson_append_document(input, "configuration", -1, &made->configuration);
    }
    if (bundle->tuning) {
        (void)bson_append_document(input, "tuning", -1, &made->tuning);
    }
}
