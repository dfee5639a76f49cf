/* trying.c - Canaries in tests: begun, ended, seen. */
/* SPDX-License-Identifier: MIT */
#include "trying.h"

#include <stdio.h>

bool begin_canary(struct bed *bed, struct node *node, const char *version, double share,
                  struct pk_doc **out)
{
    struct pk_report report = { 0 };
    bed->err = (struct pk_error){ 0 };
    const bool ok = pk_registry_canary(node->registry, &bed->by, "daily", version, share, NULL, out,
                                       &report, &bed->err);
    pk_report_done(&report);
    return ok;
}

bool end_canary(struct bed *bed, struct node *node, const char *version)
{
    bed->err = (struct pk_error){ 0 };
    return pk_registry_canary_end(node->registry, &bed->by, "daily", version, NULL, NULL, NULL,
                                  &bed->err);
}

const char *tried(struct node *node, double *out_share)
{
    static char version[PK_SCRIPT_VERSION];
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    const struct pk_script *canary =
        pk_generation_canary(pinned, PK_SCRIPT_MAPPER, "daily", out_share);
    (void)snprintf(version, sizeof(version), "%s", canary ? canary->version : "");
    pk_generation_unpin(pinned);
    return version;
}
