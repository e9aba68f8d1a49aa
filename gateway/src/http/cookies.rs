//! The two cookies of a browser's session: access for every path, refresh for the log-in routes only.

use crate::http::site::Site;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};

/// Where the refresh cookie is sent.
const REFRESH_PATH: &str = "/api/v1/auth";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// Lives as long as an access token.
    Access,
    /// Lives as long as a session.
    Refresh,
}

impl Cookie {
    /// Its name: under TLS one that the browser lets nobody else set.
    #[must_use]
    pub fn name(self, site: &Site) -> &'static str {
        match (self, site.is_secure()) {
            (Self::Access, true) => "__Host-wk_access",
            (Self::Access, false) => "wk_access",
            (Self::Refresh, true) => "__Secure-wk_refresh",
            (Self::Refresh, false) => "wk_refresh",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Access => "/",
            Self::Refresh => REFRESH_PATH,
        }
    }

    /// Its value in a request.
    #[must_use]
    pub fn read<'a>(self, site: &Site, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.name(site);
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, value)| *found == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// Has a browser keep it for so many seconds; none takes it away.
    pub fn write(self, site: &Site, value: &str, life_s: u64, headers: &mut HeaderMap) {
        let secure = if site.is_secure() { "; Secure" } else { "" };
        let (name, path) = (self.name(site), self.path());
        let line =
            format!("{name}={value}; Path={path}; Max-Age={life_s}; HttpOnly; SameSite=Strict{secure}");
        match HeaderValue::try_from(line) {
            Ok(line) => drop(headers.append(SET_COOKIE, line)),
            Err(error) => tracing::error!(%error, name, "a cookie cannot be set"),
        }
    }
}

/// Takes both cookies from a browser.
pub fn clear(site: &Site, headers: &mut HeaderMap) {
    for cookie in [Cookie::Access, Cookie::Refresh] {
        cookie.write(site, "", 0, headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_set_so_that_no_script_and_no_other_site_gets_at_it() {
        let site = Site::new("https://a.example", false).unwrap();
        let mut headers = HeaderMap::new();
        Cookie::Access.write(&site, "x", 600, &mut headers);
        assert_eq!(
            headers[SET_COOKIE],
            "__Host-wk_access=x; Path=/; Max-Age=600; HttpOnly; SameSite=Strict; Secure"
        );
        let local = Site::new("http://127.0.0.1:7171", false).unwrap();
        let mut headers = HeaderMap::new();
        Cookie::Refresh.write(&local, "x", 1, &mut headers);
        assert_eq!(
            headers[SET_COOKIE],
            "wk_refresh=x; Path=/api/v1/auth; Max-Age=1; HttpOnly; SameSite=Strict"
        );
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let site = Site::new("https://a.example", false).unwrap();
        let headers =
            [(COOKIE, HeaderValue::from_static("wk_access=no; x__Host-wk_access=no; __Host-wk_access=yes"))];
        let headers: HeaderMap = headers.into_iter().collect();
        assert_eq!(Cookie::Access.read(&site, &headers), Some("yes"));
        assert_eq!(Cookie::Refresh.read(&site, &headers), None);
    }
}
