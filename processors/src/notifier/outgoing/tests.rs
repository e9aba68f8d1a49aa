//! What the guard lets out, and how it takes what comes back.

use super::*;

fn place(url: &str) -> Result<(String, u16, bool), String> {
    Place::of(url).map(|it| (it.host, it.port, it.is_https)).map_err(|reply| reply.detail)
}

#[test]
fn a_url_names_a_host_and_a_port_or_is_refused() {
    assert_eq!(place("https://example.org/a?b#c"), Ok(("example.org".to_owned(), 443, true)));
    assert_eq!(place("http://[::1]:8080"), Ok(("::1".to_owned(), 8080, false)));
    for wrong in [
        "",
        "example.org",
        "/path",
        "ftp://example.org",
        "file:///etc/passwd",
        "gopher://127.0.0.1",
        "https://",
        "https://user:pass@example.org",
        "https://user@example.org",
        "https://example.org:0",
        "https://example.org:65536",
        "https://example.org:x",
        "https://exämple.org",
        "https://example.org/a b",
        "https://example.org/\r\nHost: a",
        "https://[fe80::1%25eth0]/",
        "https:///path",
    ] {
        assert!(place(wrong).is_err(), "{wrong:?}");
    }
    assert!(place(&format!("https://example.org/{}", "a".repeat(URL_BYTES_MAX))).is_err());
}

#[test]
fn whoever_asks_for_patience_is_heard_for_a_day() {
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let asked = |text| retry_after_of(text, now).map(|it| it.as_secs());
    assert_eq!(asked("120"), Some(120));
    assert_eq!(asked(" 0 "), Some(0));
    assert_eq!(asked("Sat, 21 Nov 2026 12:01:30 GMT"), Some(90));
    assert_eq!(asked("Sat, 21 Nov 2026 11:00:00 GMT"), Some(0));
    assert_eq!(asked("99999999999"), Some(86_400));
    assert_eq!((asked("soon"), asked("-1"), asked("99999999999999999999999")), (None, None, None));
}
