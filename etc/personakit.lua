-- personakit.lua - The settings of the server, with their defaults.
--
-- Every setting can also be given as an environment variable (store.group_lists
-- is PERSONAKIT_STORE_GROUP_LISTS) or on the command line (--set
-- store.group_lists=64); those win over this file. `personakit config` prints
-- what is in force and where each value came from.
--
-- This file is Lua, evaluated with nothing in reach: it can calculate, name a
-- value and use it twice, and return a table. A wrong value or name stops the
-- start and says its line. Durations are written "500ms", "10s", "5m", "24h",
-- "7d"; sizes "64KiB", "16MiB".

return {
  -- Where requests are accepted; port 0 takes a free one. Also: --listen
  listen = "127.0.0.1:8077",

  -- The folder of the embedded store, the pepper and the pid file. Also: --data
  data = "var",

  store = {
    -- The MongoDB replica set to keep everything in, as mongodb://... or
    -- mongodb+srv://...; empty: the embedded store, in `data`. Rather put it into
    -- PERSONAKIT_STORE, because it may hold a password. Also: --store
    url = "",

    -- Most write lists that share one durable commit.
    group_lists = 64,

    -- How long documents stay that only serve for a time.
    retention = {
      events = "7d",         -- followers of the feed may be away so long and go on where they were
      persona_log = "90d",   -- the record of each generated persona, for feedback and analytics
      idempotency = "24h",   -- a repeated Idempotency-Key gets the first answer
      deliveries = "30d",    -- webhook deliveries that can be looked at and replayed
      outbox = "7d",         -- finished tasks that can be looked at
      tombstones = "30d",    -- devices may be offline so long and still learn what was erased
      audit = "365d",        -- who did what
    },
  },

  log = {
    level = "info",   -- debug, info, warn, error. Also: --log-level
    format = "auto",  -- text, json, or auto: text on a terminal, json elsewhere. Also: --log-format
  },

  -- A stop says "not ready" for `lead_ms` and still accepts, so that a load
  -- balancer looks away first; then waits up to `limit_ms` for requests that are
  -- under way.
  drain = {
    limit_ms = 25000,
    lead_ms = 0,
  },
}
