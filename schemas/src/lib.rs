//! What travels between the programs: ids, subjects, samples, views, the codec. Knows neither tokio nor NATS nor a clock.

pub mod alerting;
pub mod audit;
pub mod backtest;
pub mod built_in;
pub mod catalogue;
pub mod codec;
pub mod episode;
pub mod ids;
pub mod journal;
pub mod json_schema;
pub mod metric_docs;
pub mod notice;
pub mod notice_event;
pub mod parked;
pub mod public;
pub mod quantity;
pub mod receiver;
pub mod registry;
pub mod rule;
pub mod sample;
pub mod subjects;
pub mod tick;
pub mod usual_host;
pub mod view;
mod well_known;
mod wire;
