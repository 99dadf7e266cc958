//! Commands.
pub mod dev_postgres;
