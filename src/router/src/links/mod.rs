//! The links that others make to this router, and those that it makes.

pub mod attach;
pub mod forward;
pub mod managers;
