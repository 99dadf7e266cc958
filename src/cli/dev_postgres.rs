//! The private Postgres of dev mode.
