/* fuzz_config.c - Any text as the configuration file: a verdict, and nothing else happens. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/config_internal.h"
#include "base/error.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct givens givens = { 0 };
    struct pk_buf text = { 0 };
    struct faults faults = { .all = &text };
    int again = 0;

    config_lua_read((const char *)data, size, "fuzz.lua", &givens, &faults);
    for (size_t i = 0; i < givens.count; i++) {
        struct setting_value value = { 0 };
        assert(givens.row[i].name && givens.row[i].text);
        for (size_t j = 0; j < pk_setting_count; j++) {
            if (setting_read(&pk_setting_table[j], givens.row[i].text, &value)) {
                setting_value_done(&value);
            }
        }
        setting_show(&pk_setting_table[2], givens.row[i].text, &text);
    }
    (void)config_line_of((const char *)data, size, "store.url", &again);
    givens_done(&givens);
    pk_buf_done(&faults.first);
    pk_buf_done(&text);
    return 0;
}
