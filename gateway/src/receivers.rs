//! Who is told of alerts: receivers, their channels' secrets, links of chats, the team's bot.
//!
//! Read `form.rs` (what people may say, pure), `secrets.rs` (how what must not be read is kept), `desk.rs` (how it is
//! recorded).

pub mod desk;
pub mod form;
pub mod naming;
pub mod secrets;
