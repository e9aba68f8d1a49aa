//! A client of the live stream, as a browser is one.

use crate::stand::{DEADLINE, Stand};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    /// The host of a `host` event with its sequence.
    pub(crate) fn host(&self) -> (String, u64) {
        host(&self.data)
    }

    /// The hosts of a `snapshot` with their sequences.
    pub(crate) fn hosts(&self) -> Vec<(String, u64)> {
        self.data["hosts"].as_array().unwrap().iter().map(host).collect()
    }
}

fn host(value: &Value) -> (String, u64) {
    (value["host"].as_str().unwrap().to_owned(), value["sequence"].as_u64().unwrap())
}

/// A client at work.
pub(crate) struct Listener {
    response: reqwest::Response,
    text: String,
}

impl Listener {
    /// Opens the stream, behind the event `last` where given.
    pub(crate) async fn open(stand: &Stand, query: &str, last: Option<&str>) -> Self {
        let mut request = stand.http.get(stand.url(&format!("/api/v1/live{query}")));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        Self::of(request.send().await.unwrap())
    }

    /// A stream that was opened.
    pub(crate) fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let part =
                timeout_at(deadline, self.response.chunk()).await.expect("an event in time").unwrap()?;
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    /// The next event about hosts: those about lag, alerts and notices come when they like.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            let event = self.event().await.expect("the stream goes on");
            if !["lag", "alerts", "alert", "notices", "notice", "receivers"].contains(&event.name.as_str()) {
                return event;
            }
        }
    }
}

impl Listener {
    /// The next event of this name.
    pub(crate) async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.event().await.expect("the stream goes on");
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let data = serde_json::from_str(&field("data: ")?).unwrap();
    Some(Event { name: field("event: ").unwrap(), id: field("id: "), data })
}
