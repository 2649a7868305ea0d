//! Administration as seen over HTTP: `/healthz`, `/readyz` and `/metrics`, for those who watch a node.
//!
//! What operators ask and order goes over gRPC (`vesta_wire::administration`); the REST interface and the console are to come here.

pub mod health;
pub mod http;

pub use health::{Check, Health};
pub use http::serve;
