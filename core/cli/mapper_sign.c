/* mapper_sign.c - 'personakit mapper keygen' and 'sign': who vouches for a script.
 *
 * A signing key is a file that only its owner may read; its public half is
 * what servers are told to trust. A signature is a file beside the script. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/cli.h"
#include "script/sign.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_FILE_MAX = 4096 };

/* ---- keygen ---- */

static enum pk_exit run_keygen(struct pk_call *call, struct pk_error *err)
{
    const char *path = call->argument[0];
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_sign_pair pair;
    char key[PK_SIGN_KEY_TEXT];
    struct stat info;

    if (lstat(path, &info) == 0) {
        (void)pk_fail(err, PK_CONFLICT, "name a new file; a key that is lost cannot be made again",
                      "'%.160s' is there already", path);
        return PK_EXIT_FAILED;
    }
    pk_sign_pair_new(&pair, &text);
    pk_sign_key_text(pair.key, key);
    pk_sign_pair_done(&pair);
    const bool is_ok = pk_file_write(path, text.data, text.size, 0600, err);
    pk_secret_wipe(text.data, text.size);
    if (!is_ok) {
        return PK_EXIT_FAILED;
    }
    if (call->is_json) {
        (void)printf("{\"key\":\"%s\"}\n", key);
    } else {
        (void)printf("key %s\n", key);
        (void)fprintf(stderr,
                      "'%s' holds its secret: keep it to yourself. A server trusts what it\n"
                      "signs when scripts.keys has the key above\n",
                      path);
    }
    return PK_EXIT_OK;
}

/* ---- sign ---- */

static bool read_pair(const char *path, struct pk_sign_pair *pair, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct stat info;
    if (!pk_file_read(&text, path, KEY_FILE_MAX, err)) {
        return false;
    }
    if (stat(path, &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        pk_secret_wipe(text.data, text.size);
        return pk_fail(err, PK_FORBIDDEN, "take the right away: chmod go-rwx",
                       "the signing key '%.160s' may be read by others", path);
    }
    const bool is_ok = pk_sign_pair_read(pair, pk_buf_text(&text), path, err);
    pk_secret_wipe(text.data, text.size);
    return is_ok;
}

static char *signature_path(const char *path)
{
    struct stat info;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode)
               ? pk_strdupf("%.*s/bundle.sig", (int)size, path)
               : pk_strdupf("%s.sig", path);
}

static bool sign(struct pk_call *call, const char *path, const struct pk_sign_pair *pair,
                 struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *to = signature_path(path);
    struct pk_bundle *bundle = NULL;
    char key[PK_SIGN_KEY_TEXT];

    if (!pk_bundle_read(path, &bundle, err)) {
        return pk_wrap(err, "sign it");
    }
    pk_sign_bundle(bundle, pair);
    pk_sign_put(&bundle->signature, &text);
    pk_sign_key_text(pair->key, key);
    const bool is_ok = pk_file_write(to, text.data, text.size, 0644, err);
    if (is_ok && !call->is_json) {
        (void)printf("signed %s with key %s\n", path, key);
    } else if (is_ok) {
        (void)printf("{\"contentHash\":\"%s\",\"key\":\"%s\"}\n", bundle->hash_text, key);
    }
    pk_bundle_unref(bundle);
    return is_ok;
}

static enum pk_exit run_sign(struct pk_call *call, struct pk_error *err)
{
    const char *file = pk_call_option(call, "--key");
    struct pk_sign_pair pair;
    bool is_ok = true;

    if (!file) {
        (void)pk_fail(err, PK_INVALID, "'personakit mapper keygen FILE' makes one",
                      "name the signing key with --key FILE");
        return PK_EXIT_USAGE;
    }
    if (!read_pair(file, &pair, err)) {
        return PK_EXIT_FAILED;
    }
    for (size_t i = 0; i < call->argument_count && is_ok; i++) {
        is_ok = sign(call, call->argument[i], &pair, err);
    }
    pk_sign_pair_done(&pair);
    return is_ok ? PK_EXIT_OK : PK_EXIT_FAILED;
}

/* ---- The commands ---- */

static const struct pk_cli_option sign_option[] = {
    { "--key", "FILE", "The signing key that 'mapper keygen' made." },
};

const struct pk_command pk_command_mapper_keygen = {
    .noun = "mapper",
    .verb = "keygen",
    .summary = "make a key that scripts are signed with",
    .text =
        "FILE will hold the secret, for its owner's eyes alone. The public key that is printed\n"
        "goes into scripts.keys of the servers that shall trust it.\n",
    .example = "personakit mapper keygen ~/personakit.key",
    .argument = { "FILE" },
    .run = run_keygen,
};

#define SIGN(name_, path_)                                                                      \
    const struct pk_command pk_command_##name_##_sign = {                                       \
        .noun = #name_,                                                                         \
        .verb = "sign",                                                                         \
        .summary = "vouch for scripts: write their signature beside them",                      \
        .text = "The signature covers names and texts of all files of a script, and lies in\n"  \
                "PATH.sig, or in the folder's bundle.sig. Servers that set\n"                   \
                "scripts.require_signature take only what a key of scripts.keys has signed.\n", \
        .example = "personakit " #name_ " sign " path_ " --key ~/personakit.key",               \
        .argument = { "PATH" },                                                                 \
        .takes_many = true,                                                                     \
        .option = sign_option,                                                                  \
        .option_count = PK_COUNT(sign_option),                                                  \
        .run = run_sign,                                                                        \
    }

SIGN(mapper, "mappers/daily-work-optimizer.lua");
SIGN(processor, "plugins/processors/work_session.lua");
SIGN(condition, "conditions/calm.lua");
