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
  -- Where requests are accepted, without TLS: an address and a port (0 takes a
  -- free one), "unix:/path", or a list of them. Also: --listen
  listen = "127.0.0.1:8077",

  -- Where they are accepted with TLS, and with which certificate (PEM files). A
  -- SIGHUP reads the files anew.
  tls = {
    listen = "",
    certificate = "",
    key = "",
  },

  -- Where /healthz, /readyz with its reasons, /metrics and /openapi.json are given
  -- without a key. Empty: nowhere; /metrics then wants a key that may operate.
  operations = {
    listen = "",
  },

  -- Who stands in front: X-Forwarded-For and the PROXY header (version 2) of these
  -- are believed, as "10.0.0.0/8", "::1" or "unix". With `protocol` every
  -- connection begins with such a header.
  proxy = {
    trusted = {},
    protocol = false,
  },

  -- Whose pages may call the API from a browser: "https://app.example.org", or "*".
  cors = {
    origins = {},
  },

  net = {
    loops = 0,                        -- threads that move bytes; 0: one for each core
    connections = 16384,              -- at the same time
    connections_per_address = 1024,   -- of these, from one address that is no trusted proxy
    bodies_bytes = "512MiB",          -- of bodies that are read whole, all together; beyond it 503
    head_ms = 10000,                  -- for the head of a request
    body_ms = 10000,                  -- a body must bring rate_min bytes a second in each such span
    rate_min = 1024,
    idle_ms = 60000,                  -- between two requests
    write_ms = 30000,                 -- for a client to take an answer
  },

  -- Threads that handlers run on, and requests that may wait for one.
  lanes = {
    store = { threads = 64, queue = 4096 },
    script = { threads = 16, queue = 1024 },
    slow = { threads = 8, queue = 256 },
  },

  -- Mappers and processors: Lua from outside, run in processes that can only compute.
  scripts = {
    jail = "strict",            -- or "unsafe": start also where the kernel cannot lock them down
    watch = false,              -- saving a file in these folders uploads and activates it
    folders = { "mappers", "plugins/processors" },
    require_signature = false,  -- only what one of `keys` has signed may serve
    keys = {},                  -- public keys, as `personakit mapper keygen` prints them
    workers = 16,               -- processes, at most
    memory_total = "1GiB",      -- of all of them

    -- What a script may ask for at most, in its manifest.
    limits = {
      soft_ms = 1000,           -- then it is told to stop
      hard_ms = 5000,           -- then it is killed
      memory = "64MiB",
      output = "4MiB",
    },
  },

  observations = {
    approve = {},   -- sources whose observations wait for somebody's approval, as in { "slack" }
  },

  traits = {
    -- What decides when sources disagree, as in { "work.*=review" }: latest, strongest,
    -- keep_all or review; the first that fits, else strongest.
    conflicts = {},
    -- After how long half of the confidence is left, where it is not low=365d, medium=90d, high=14d,
    -- times assessment=2, interview=1.5, user_input=1.5, chat_log=0.5; as in { "high=7d", "chat_log=0.25" }.
    half_lives = {},
  },

  personas = {
    ttl = "24h",          -- when a mapper says nothing
    max_bytes = "1MiB",   -- a larger one is refused
  },

  person = {
    max_bytes = "1GiB",   -- what the observations of one person may take
  },

  outbox = {
    threads = 16,       -- tasks that run at the same time
    threads_quiet = 48, -- the same while no new ones come in, on the embedded store
  },

  access = {
    -- How long keys stay good for reading when the store is silent. More than 2 s
    -- keeps readers going for longer, and delays the effect of a revocation.
    stale_keys_ms = 2000,
  },

  -- How many requests in a window, on each node; what was used up comes back evenly. 0: any number.
  rates = {
    key = { limit = 60000, window_ms = 60000 },
    address = { limit = 120000, window_ms = 60000 },
    person = { limit = 6000, window_ms = 60000 },   -- writes about one person
  },

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
      backups = "30d",       -- you delete backups that are older: receipts of erasures say so
      audit = "365d",        -- who did what
    },
  },

  log = {
    level = "info",   -- debug, info, warn, error. Also: --log-level
    format = "auto",  -- text, json, or auto: text on a terminal, json elsewhere. Also: --log-format
    access = false,   -- every request
    slow_ms = 1000,   -- requests that take longer, with where the time went; 0: none
  },

  -- A stop says "not ready" for `lead_ms` and still accepts, so that a load
  -- balancer looks away first; then waits up to `limit_ms` for requests that are
  -- under way.
  drain = {
    limit_ms = 25000,
    lead_ms = 0,
  },
}
