//! The border with HTTP: what is read from a request, who asks, how a refusal reads, how bytes leave.

pub mod ask;
pub mod body;
pub mod cookies;
pub mod guard;
pub mod patience;
pub mod principal;
pub mod problem;
pub mod serve;
pub mod site;
pub mod tls;
