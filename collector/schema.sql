-- State of the collector (SQLite, WAL). Times are nanoseconds UTC. Ids are text UUIDs or lower-case hex.
-- Applied as a whole in one transaction when user_version is 0; later versions add numbered steps in store.c.

CREATE TABLE checkpoint (             -- one row: detection has seen everything before pos, and its effects are in this file
    id INTEGER PRIMARY KEY CHECK (id = 1),
    pos INTEGER NOT NULL
) STRICT;

CREATE TABLE streams (                -- highest position stored, as of checkpoint.pos; ingest reads on from there at start
    agent BLOB NOT NULL,
    stream BLOB NOT NULL,
    end INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    PRIMARY KEY (agent, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts (
    id TEXT PRIMARY KEY,              -- sha256 of the cause, first 32 hex digits
    change INTEGER NOT NULL UNIQUE,   -- grows with every insert or update of any alert: the id of the event stream
    rule_id TEXT NOT NULL,
    rule_title TEXT NOT NULL,
    rule_title_vi TEXT,
    rule_json TEXT NOT NULL,          -- the rule as it was then, members that it lacks left out: {"author", "status", "date", "tags": [],
                                      -- "description", "description_vi", "references": [], "falsepositives": [], "file", "line",
                                      -- correlation: "group_by": [], "timespan_s"}
    kind TEXT NOT NULL CHECK (kind IN ('detection', 'correlation')),
    level INTEGER NOT NULL,           -- 0 informational .. 4 critical
    status TEXT NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'acknowledged', 'escalated', 'closed')),
    close_reason TEXT CHECK (close_reason IN ('true_positive', 'false_positive', 'benign', 'duplicate')),
    owner TEXT,                       -- user name
    is_demo INTEGER NOT NULL DEFAULT 0,
    agent TEXT NOT NULL,
    host TEXT NOT NULL,
    user TEXT, source_ip TEXT, destination_ip TEXT,  -- for the list; NULL where the event has none
    group_json TEXT NOT NULL DEFAULT '{}',           -- correlation: field -> value
    event_json TEXT NOT NULL,         -- the decoded event (of a correlation: the one that last led to it)
    matched_json TEXT NOT NULL,       -- [{field, name, value, pattern, selection}]
    count INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,        -- event time
    last_ns INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,      -- when the alert was first committed
    updated_ns INTEGER NOT NULL,
    incident_id TEXT REFERENCES incidents (id)
) STRICT;
-- Everything that lists, facets and groups are made from: the wide rows are then only read for the page that is shown.
CREATE INDEX alerts_last ON alerts (last_ns DESC, id, status, level, rule_id, host, is_demo, first_ns);
CREATE INDEX alerts_incident ON alerts (incident_id) WHERE incident_id IS NOT NULL;

CREATE TABLE alert_events (           -- archive references of the events behind an alert; at most 64 an alert
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    pos INTEGER NOT NULL,
    line INTEGER NOT NULL,
    PRIMARY KEY (alert_id, pos, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,              -- UUID; its STIX id is incident--<id>
    change INTEGER NOT NULL UNIQUE,   -- grows with every insert or update of any incident
    number INTEGER NOT NULL UNIQUE,   -- running number for people
    title TEXT NOT NULL,
    severity INTEGER NOT NULL,        -- as alerts.level
    status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    note TEXT NOT NULL DEFAULT '',
    is_demo INTEGER NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (                 -- what goes to the national centre; a row is kept for ever as the delivery ledger
    id INTEGER PRIMARY KEY,
    change INTEGER NOT NULL UNIQUE,   -- grows with every insert or update of any row
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    bundle_json TEXT NOT NULL,        -- TAXII envelope: {"objects": [...]}
    destination TEXT,                 -- URL of the collection it was last sent to
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'acknowledged', 'rejected')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_ns INTEGER NOT NULL,
    last_error TEXT,
    status_id TEXT,                   -- TAXII status resource at the peer that is still pending
    success_count INTEGER, failure_count INTEGER, pending_count INTEGER,
    response_json TEXT,               -- [{"objects": [ids], "status": the peer's last status resource}], one for each part sent
    created_ns INTEGER NOT NULL,
    sent_ns INTEGER,
    acknowledged_ns INTEGER
) STRICT;
CREATE INDEX outbox_due ON outbox (state, next_try_ns);
CREATE INDEX outbox_incident ON outbox (incident_id);

CREATE TABLE outbox_objects (         -- what the peer said it holds, so that no object of one version is sent twice
    destination TEXT NOT NULL,        -- URL of the collection
    id TEXT NOT NULL,                 -- STIX id
    version TEXT NOT NULL,            -- its `modified`, or empty where the object has none
    outbox_id INTEGER NOT NULL REFERENCES outbox (id),
    at_ns INTEGER NOT NULL,
    PRIMARY KEY (destination, id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    id TEXT PRIMARY KEY,              -- UUID = certificate's common name
    host TEXT NOT NULL,
    enrolled_ns INTEGER NOT NULL,
    revoked_ns INTEGER,               -- not NULL: refused from then on
    serial TEXT NOT NULL,             -- of the newest certificate
    not_after_ns INTEGER NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    last_seen_ns INTEGER,
    silent_since_ns INTEGER,          -- an alarm was raised and it has not come back
    stats_json TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE TABLE sources (                -- what each agent sends, for silence alarms
    agent TEXT NOT NULL,
    source TEXT NOT NULL,
    last_ns INTEGER NOT NULL,         -- when a batch last came
    silent_since_ns INTEGER,
    PRIMARY KEY (agent, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    hash BLOB PRIMARY KEY,            -- sha256 of the secret
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('analyst', 'admin')),
    password TEXT NOT NULL,           -- argon2id, libsodium's string form
    must_change INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    locked_until_ns INTEGER NOT NULL DEFAULT 0,
    created_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE password_history (       -- the passwords a user must not take again: the newest 10, the present one among them
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    at_ns INTEGER NOT NULL,
    password TEXT NOT NULL,
    PRIMARY KEY (user, at_ns)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,            -- sha256 of the cookie's value
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    csrf TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    used_ns INTEGER NOT NULL          -- when a person last asked for something; the stream and background requests do not count
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (                  -- what people did; rows are only ever added
    id INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    user TEXT NOT NULL,               -- name, or 'system', or 'cli:<uid>'
    action TEXT NOT NULL,             -- e.g. alert.acknowledge, alert.close, incident.create, user.login, agent.revoke
    object TEXT NOT NULL,             -- id of what it was done to
    detail_json TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX audit_object ON audit (object, id);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are never deleted'); END;
