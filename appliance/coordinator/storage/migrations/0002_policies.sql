-- The newest policy is in force; an empty text allows everything. Earlier ones are kept to go back to.

CREATE TABLE policies (
    id INTEGER PRIMARY KEY NOT NULL,
    text TEXT NOT NULL,
    created TEXT NOT NULL
);

-- Which router carries a subnet: a restart of the coordinator moves no route.

CREATE TABLE primaries (
    prefix TEXT PRIMARY KEY NOT NULL,
    node_id INTEGER NOT NULL
);
