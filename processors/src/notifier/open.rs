//! Keeps the open episodes as ALERTS has them.

use super::episodes::Episodes;
use async_nats::jetstream::Context;
use tokio::sync::watch;
use watchkeeper_schemas::episode::AlertEvent;
use watchkeeper_streams::tail::{self, News};
use watchkeeper_streams::topology::ALERTS;

/// Keeps `open` equal to ALERTS; nothing before it was read for the first time. Runs until it is dropped.
pub async fn follow(context: Context, connects: watch::Receiver<u64>, open: watch::Sender<Option<Episodes>>) {
    let mut first = Some(Episodes::default());
    tail::follow(context, ALERTS, connects, |news| match news {
        News::Event(event) => match (serde_json::from_slice::<AlertEvent>(&event.payload), &mut first) {
            (Ok(event), Some(first)) => first.apply(event),
            (Ok(event), None) => {
                open.send_modify(|open| open.iter_mut().for_each(|open| open.apply(event.clone())));
            }
            (Err(error), _) => {
                tracing::error!(sequence = event.sequence, %error, "a transition in ALERTS cannot be used");
            }
        },
        News::Current => {
            if let Some(first) = first.take() {
                open.send_replace(Some(first));
            }
        }
    })
    .await;
}
