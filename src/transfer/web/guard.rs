//! `Guard`: which requests are looked at at all: those that a page of this machine, or a person, can
//! have made.
//!
//! Must not look at what is asked for, nor know the secret.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, ORIGIN, TRANSFER_ENCODING};
use hyper::{Method, Request, StatusCode, Version};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a browser says which page made a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Whether that says nothing about this machine.
    pub(super) is_of_form: bool,
}

impl Refusal {
    // Each is why something is refused.
    #[allow(clippy::unnecessary_wraps)]
    fn of_form(status: StatusCode) -> Option<Self> {
        let is_of_form = true;
        Some(Self { status, is_of_form })
    }

    #[allow(clippy::unnecessary_wraps)]
    fn of_origin(status: StatusCode) -> Option<Self> {
        let is_of_form = false;
        Some(Self { status, is_of_form })
    }
}

/// Knows by which names this machine is reached.
#[derive(Debug)]
pub(super) struct Guard {
    /// In small letters.
    names: Vec<String>,
    /// Whether a certificate says who this machine is: then no other name leads to it.
    is_certified: bool,
}

impl Guard {
    /// For a machine with this host name.
    pub(super) fn new(host_name: &str, is_certified: bool) -> Self {
        let name = host_name.trim_end_matches('.').to_ascii_lowercase();
        let first = name.split('.').next().unwrap_or_default().to_owned();
        let mut names = vec!["localhost".to_owned()];
        if !first.is_empty() {
            names.push(format!("{first}.local"));
            names.push(first);
            names.push(name);
        }
        Self {
            names,
            is_certified,
        }
    }

    /// Why a request is not looked at, if it is not.
    pub(super) fn refusal<B>(&self, request: &Request<B>) -> Option<Refusal> {
        let headers = request.headers();
        if !matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE
        ) {
            return Refusal::of_form(StatusCode::METHOD_NOT_ALLOWED);
        }
        // Only proxies are asked for a whole address.
        let is_path = request.uri().authority().is_none() && request.uri().scheme().is_none();
        if !is_path || !request.uri().path().starts_with('/') || is_ambiguous(request) {
            return Refusal::of_form(StatusCode::BAD_REQUEST);
        }
        // What is packed in another way would be stored packed.
        if headers
            .get(TRANSFER_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Refusal::of_form(StatusCode::NOT_IMPLEMENTED);
        }
        let Ok(Some(host)) = only(headers, &HOST) else {
            return Refusal::of_form(StatusCode::BAD_REQUEST);
        };
        // A name that somebody else made lead here (DNS rebinding) would make their page ours.
        if !self.is_own(host) {
            return Refusal::of_origin(StatusCode::MISDIRECTED_REQUEST);
        }
        let is_of_ours = match only(headers, &ORIGIN) {
            Ok(None) => true,
            Ok(Some(origin)) => is_origin_of(origin, host),
            Err(()) => false,
        };
        let site = only(headers, &SEC_FETCH_SITE);
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let is_from_ours = match site {
            Ok(Some(site)) => !changes || matches!(site, "same-origin" | "none"),
            Ok(None) => true,
            Err(()) => false,
        };
        match is_of_ours && is_from_ours {
            true => None,
            false => Refusal::of_origin(StatusCode::FORBIDDEN),
        }
    }

    /// Whether this machine is meant.
    fn is_own(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        is_address(&name) || self.is_certified || self.names.contains(&name)
    }
}

/// Whether two programs could differ about where the body of a request ends. Of a length beside an
/// encoding nothing is seen here: hyper drops it, and ends the connection after the answer.
fn is_ambiguous<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let count = |name| headers.get_all(name).iter().count();
    let (lengths, encodings) = (count(CONTENT_LENGTH), count(TRANSFER_ENCODING));
    lengths + encodings > 1 || encodings > 0 && request.version() < Version::HTTP_11
}

/// The one value of a header; none where it is not there. Fails where there are several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        _ => Err(()),
    }
}

/// The name in `name:port`; none where that is not what it is.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']')?;
            (
                name,
                after
                    .strip_prefix(':')
                    .or(after.is_empty().then_some("0"))?,
            )
        }
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    let is_port = port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    (is_port && !name.is_empty()).then_some(name)
}

fn is_address(name: &str) -> bool {
    // A link-local one names its interface, for the browser alone.
    let bare = name.split('%').next().unwrap_or(name);
    name.parse::<Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok()
}

/// Whether a page from this host says that it made the request.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let place = origin.strip_prefix("http://");
    let place = place.or_else(|| origin.strip_prefix("https://"));
    place.is_some_and(|place| place.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(method: &str, target: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let guard = Guard::new("Desk.example.org", false);
        guard
            .refusal(&request.body(()).unwrap())
            .map(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in [
            "10.0.0.1",
            "10.0.0.1:9090",
            "[fd77::1]:9090",
            "[::1]",
            "[fe80::1%25eth0]:1",
            "localhost:9090",
            "desk",
            "DESK.local:9090",
            "desk.example.org.",
        ] {
            assert_eq!(refusal("GET", "/x/", &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "desk.evil.example",
            "10.0.0.1.evil.example",
            "localhost.evil.example",
            "[::1",
            "[::1]x",
            "desk:x",
            "desk:",
            ":9090",
            "",
            "0x7f000001",
            "[evil]",
        ] {
            assert_eq!(
                refusal("GET", "/x/", &[("host", host)]),
                Some(421),
                "{host}"
            );
        }
        assert_eq!(refusal("GET", "/x/", &[]), Some(400));
        let two = [("host", "desk"), ("host", "desk")];
        assert_eq!(refusal("GET", "/x/", &two), Some(400));
        assert!(Guard::new("", false).is_own("localhost"));
        assert!(Guard::new("", true).is_own("files.example.org"));
    }

    #[test]
    fn another_page_asks_for_nothing() {
        let post = |name, value| refusal("POST", "/x/", &[("host", "desk:1"), (name, value)]);
        for (origin, answer) in [
            ("http://desk:1", None),
            ("https://DESK:1", None),
            ("http://desk", Some(403)),
            ("http://desk:10", Some(403)),
            ("http://evil.example", Some(403)),
            ("null", Some(403)),
            ("file://desk:1", Some(403)),
        ] {
            assert_eq!(post("origin", origin), answer, "{origin}");
        }
        for (site, answer) in [
            ("same-origin", None),
            ("none", None),
            ("same-site", Some(403)),
            ("cross-site", Some(403)),
            ("", Some(403)),
        ] {
            assert_eq!(post("sec-fetch-site", site), answer, "{site}");
        }
        // As when somebody has sent a link.
        let from_elsewhere = [("host", "desk"), ("sec-fetch-site", "cross-site")];
        assert_eq!(refusal("GET", "/x/", &from_elsewhere), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let host = ("host", "desk");
        for (method, target) in [
            ("CONNECT", "desk:1"),
            ("TRACE", "/x/"),
            ("OPTIONS", "*"),
            ("OPTIONS", "/x/"),
            ("PATCH", "/x/"),
            ("GETT", "/x/"),
        ] {
            assert_eq!(refusal(method, target, &[host]), Some(405), "{method}");
        }
        assert_eq!(refusal("GET", "http://desk/x/", &[host]), Some(400));
        for twice in [
            [("content-length", "1"), ("content-length", "1")],
            [("content-length", "1"), ("transfer-encoding", "chunked")],
            [
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ] {
            let headers = [host, twice[0], twice[1]];
            assert_eq!(refusal("POST", "/x/", &headers), Some(400), "{twice:?}");
        }
    }
}
