/* fuzz_id.c - The parsers of ids, versions and times, and what must hold of what they take. */
/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct pk_semver version;
    struct pk_semver other;
    struct pk_buf buf = { 0 };
    int64_t wall_ms = 0;
    size_t half = size / 2;

    (void)pk_uuid_is_v4(text, size);
    (void)pk_script_id_is_valid(text, size);
    (void)pk_trait_path_is_valid(text, size);
    (void)pk_model_version_is_valid(text, size);
    if (pk_semver_parse(text, size, &version)) {
        assert(pk_semver_compare(&version, &version) == 0);
    }
    if (size > 0 && pk_semver_parse(text, half, &version) &&
        pk_semver_parse(text + half, size - half, &other)) {
        int order = pk_semver_compare(&version, &other);
        int back = pk_semver_compare(&other, &version);
        assert((order < 0) == (back > 0) && (order == 0) == (back == 0));
    }
    if (pk_time_parse(text, size, &wall_ms, NULL)) {
        char written[PK_TIME_TEXT];
        int64_t again = 0;
        pk_time_format(wall_ms, written);
        assert(pk_time_parse(written, strlen(written), &again, NULL) && again == wall_ms);
    }
    pk_text_mask(&buf, text, size);
    pk_text_json(&buf, text, size);
    pk_text_escape(&buf, text, size, true);
    pk_text_clean(&buf, text, size);
    pk_buf_done(&buf);
    return 0;
}
