//! The names that this gateway answers to, and whether a request comes from one of its own pages.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{Extensions, HeaderMap, Uri};
use std::net::{IpAddr, Ipv4Addr};

/// How this gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `https://host[:port]`, or plain http on loopback.
    origin: String,
    secure: bool,
    behind_proxy: bool,
}

/// The address at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Where a request comes from, as its browser tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A page of ours.
    OwnPage,
    /// A page of somebody else.
    ForeignPage,
    /// It was not told: no browser of these years.
    Unknown,
}

impl Site {
    /// Reached at this URL; whether the headers of a proxy before it are believed.
    ///
    /// # Errors
    /// What is expected of such a URL.
    pub fn new(url: &str, behind_proxy: bool) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "https://host, https://host:port, or http:// and a name of this machine; without a path";
        let uri: Uri = url.parse().map_err(|_| EXPECTED)?;
        let host = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or(EXPECTED)?.as_str();
        let secure = uri.scheme_str() == Some("https");
        let known = secure || uri.scheme_str() == Some("http") && is_this_machine(host);
        if !known || uri.path() != "/" || uri.query().is_some() {
            return Err(EXPECTED);
        }
        let default_port = if secure { ":443" } else { ":80" };
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        let scheme = if secure { "https" } else { "http" };
        Ok(Self { origin: format!("{scheme}://{host}"), secure, behind_proxy })
    }

    /// What stands before a path in a link to this gateway.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether browsers reach it by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether a `Host` header is one of its names: its own, or one of this machine that nobody else can have.
    #[must_use]
    pub fn answers_to(&self, host: &str) -> bool {
        is_this_machine(host) || self.named(host) == self.origin
    }

    /// The origin that a `Host` header makes.
    fn named(&self, host: &str) -> String {
        let host = host.to_ascii_lowercase();
        let (scheme, port) = if self.secure { ("https", ":443") } else { ("http", ":80") };
        format!("{scheme}://{}", host.strip_suffix(port).unwrap_or(&host))
    }

    /// Whose page made the browser send this.
    #[must_use]
    pub fn from(&self, headers: &HeaderMap) -> From {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
            (Some("same-origin" | "none"), _) => From::OwnPage,
            (Some(_), _) => From::ForeignPage,
            (None, Some(origin)) => {
                let here = self.named(text(HOST.as_str()).unwrap_or_default());
                if origin == self.origin || origin == here { From::OwnPage } else { From::ForeignPage }
            }
            (None, None) => From::Unknown,
        }
    }

    /// Who asks: the other end of the connection, or whom the proxy saw.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, extensions: &Extensions) -> IpAddr {
        let peer = extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        if !self.behind_proxy {
            return peer;
        }
        // A proxy adds what it saw behind what it was told: only the last word is its own.
        let seen =
            headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
        let last = seen.and_then(|seen| seen.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
        last.unwrap_or(peer)
    }
}

/// Whether a `Host` header names this machine by an address or name that nobody else can own.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_that_nobody_else_can_own_are_this_machine() {
        for good in
            ["127.0.0.1:7171", "127.9.9.9", "[::1]:7171", "localhost", "LOCALHOST:1", "wk.localhost:7171"]
        {
            assert!(is_this_machine(good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "10.0.0.1:7171",
            "[::2]",
            "notlocalhost",
        ] {
            assert!(!is_this_machine(bad), "{bad}");
        }
    }

    #[test]
    fn a_site_is_https_or_this_machine() {
        for bad in [
            "http://example.org",
            "example.org",
            "https://example.org/x",
            "https://a@b",
            "ftp://localhost",
            "https://",
        ] {
            assert!(Site::new(bad, false).is_err(), "{bad}");
        }
        let site = Site::new("https://Watch.example.org:443/", false).unwrap();
        assert_eq!(site.origin(), "https://watch.example.org");
        assert!(site.answers_to("watch.example.org") && site.answers_to("WATCH.example.org:443"));
        assert!(site.answers_to("127.0.0.1:7171"));
        assert!(!site.answers_to("watch.example.org:8443") && !site.answers_to("evil.example"));
    }

    #[test]
    fn a_browser_tells_whose_page_it_shows() {
        let site = Site::new("https://watch.example.org", false).unwrap();
        let from = |pairs: &[_]| site.from(&headers(pairs));
        assert_eq!(from(&[("sec-fetch-site", "same-origin")]), From::OwnPage);
        assert_eq!(from(&[("sec-fetch-site", "same-site")]), From::ForeignPage);
        assert_eq!(
            from(&[("sec-fetch-site", "cross-site"), ("origin", "https://watch.example.org")]),
            From::ForeignPage
        );
        assert_eq!(from(&[("origin", "https://watch.example.org")]), From::OwnPage);
        assert_eq!(from(&[("origin", "http://watch.example.org")]), From::ForeignPage);
        assert_eq!(from(&[("origin", "null")]), From::ForeignPage);
        assert_eq!(from(&[]), From::Unknown);
        let local = Site::new("http://127.0.0.1:7171", false).unwrap();
        let page = headers(&[("host", "localhost:7171"), ("origin", "http://localhost:7171")]);
        assert_eq!(local.from(&page), From::OwnPage);
        let neighbour = headers(&[("host", "localhost:7171"), ("origin", "http://localhost:3000")]);
        assert_eq!(local.from(&neighbour), From::ForeignPage);
    }

    #[test]
    fn only_a_proxy_of_ours_is_believed_and_only_its_own_word() {
        let mut extensions = Extensions::new();
        extensions.insert(Peer("10.0.0.1".parse().unwrap()));
        let told = headers(&[("x-forwarded-for", "203.0.113.9, 192.0.2.7")]);
        let client =
            |behind| Site::new("https://a.example", behind).unwrap().client(&told, &extensions).to_string();
        assert_eq!(client(false), "10.0.0.1");
        assert_eq!(client(true), "192.0.2.7");
    }
}
