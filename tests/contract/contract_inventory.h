/* contract_inventory.h - Collections that have every kind of index there is. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CONTRACT_INVENTORY_H
#define PK_CONTRACT_INVENTORY_H

#include "doc/inventory.h"

/* things: every kind of index; mortals: TTL and a unique key; guards: expect_absent;
 * typed: a schema; events: the feed. Schema version 1. */
const struct pk_inventory *contract_inventory(void);
/* The same, as a later program has it: schema version 2. */
const struct pk_inventory *contract_inventory_later(void);
/* The same version, but one index is declared otherwise. */
const struct pk_inventory *contract_inventory_other_index(void);

#endif
