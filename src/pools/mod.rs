//! Identity pools and what is configured on them.

pub mod pool;
pub mod providers;
pub mod sweep;
pub mod tags;

pub use pool::Pool;
