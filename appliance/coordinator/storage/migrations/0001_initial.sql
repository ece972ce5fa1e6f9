-- Times are UTC in ISO 8601; lists and the host information are JSON; keys are their text forms.

CREATE TABLE users (
    id INTEGER PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    created TEXT NOT NULL
);

CREATE TABLE preauth_keys (
    id TEXT PRIMARY KEY NOT NULL,
    secret_hash BLOB NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    created TEXT NOT NULL,
    expires TEXT,
    reusable INTEGER NOT NULL,
    ephemeral INTEGER NOT NULL,
    tags TEXT NOT NULL,
    used TEXT,
    revoked INTEGER NOT NULL
);

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY NOT NULL,
    machine_key TEXT NOT NULL,
    node_key TEXT NOT NULL UNIQUE,
    user_id INTEGER REFERENCES users (id),
    name TEXT NOT NULL UNIQUE,
    name_fixed INTEGER NOT NULL,
    ipv4 TEXT NOT NULL UNIQUE,
    ipv6 TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    tags TEXT NOT NULL,
    ephemeral INTEGER NOT NULL,
    preauth_key_id TEXT NOT NULL,
    key_expiry TEXT,
    approved_routes TEXT NOT NULL,
    published TEXT NOT NULL,
    hostinfo TEXT NOT NULL,
    disco_key TEXT,
    endpoints TEXT NOT NULL,
    home_derp INTEGER NOT NULL,
    cap_version INTEGER NOT NULL,
    online INTEGER NOT NULL,
    last_seen TEXT
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
);
