//! The gateway: what the log says, for browsers and programs over HTTP. It reads buckets, streams and history only.
//!
//! Read `app.rs` first (what is shared), then `api/table.rs` (what is offered), `fleet.rs` (what is known of hosts), `alerting.rs` (rules and episodes), `receivers.rs` (who is told),
//! `live/cursor.rs` (what one client of the live stream gets), `history.rs` (what is asked of QuestDB).

pub mod alerting;
pub mod api;
pub mod app;
pub mod audit;
pub mod command;
pub mod config;
pub mod first_team;
pub mod fleet;
pub mod health;
pub mod history;
pub mod hosting;
pub mod http;
pub mod identity;
pub mod live;
pub mod machine;
pub mod metrics;
pub mod nats_folder;
pub mod receivers;
pub mod run;
pub mod shutdown;
pub mod system;
