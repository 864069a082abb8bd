//! `Multipart`: the parts of a `multipart/form-data` body, as they come.
//!
//! Must not have more in memory than the head of a part, or what came at once. (Known crates hold
//! the head of a part however long it is.)

use std::future::Future;

use hyper::body::Bytes;
use memchr::memmem::Finder;

use super::paths::decoded;
use super::request::{BodyFault, RequestBody};

/// How many bytes the head of a part can have.
const MAX_HEAD: usize = 16 << 10;
/// How many bytes a boundary can have: RFC 2046 says 70.
const MAX_BOUNDARY: usize = 200;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Where the bytes of a body come from.
pub(super) trait BodySource {
    /// The next ones; none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, BodyFault>>;
}

impl BodySource for &mut RequestBody {
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, BodyFault>> {
        RequestBody::next(self)
    }
}

/// A body that consists of parts.
pub(super) struct Multipart<S> {
    source: S,
    finder: Finder<'static>,
    /// What came and is not passed on yet.
    rest: Bytes,
    /// Whether a part is being read.
    in_part: bool,
    ended: bool,
}

/// What the head of a part says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartHead {
    /// The name of its file; none of another field.
    pub(super) file: Option<Vec<u8>>,
}

/// The boundary that the type of a body names.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut all = parameters.split(';').map(str::trim);
    let value = all.find_map(|one| {
        let (name, value) = one.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let value = value.trim_matches('"');
    (1..=MAX_BOUNDARY).contains(&value.len()).then_some(value)
}

impl<S: BodySource> Multipart<S> {
    pub(super) fn new(source: S, boundary: &str) -> Self {
        Self {
            source,
            finder: Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned(),
            // The first boundary may have nothing before it.
            rest: Bytes::from_static(b"\r\n"),
            in_part: true,
            ended: false,
        }
    }

    /// Where the bytes come from, to read what was not.
    pub(super) fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// Gets more bytes behind those that there are.
    async fn more(&mut self) -> Result<(), BodyFault> {
        let next = self.source.next().await?.ok_or(BodyFault::Broken)?;
        self.rest = match self.rest.is_empty() {
            true => next,
            false => [&self.rest[..], &next[..]].concat().into(),
        };
        Ok(())
    }

    /// The next part; none behind the last. What was not read of the one before is skipped.
    pub(super) async fn next_part(&mut self) -> Result<Option<PartHead>, BodyFault> {
        while self.next_bytes().await?.is_some() {}
        if self.ended {
            return Ok(None);
        }
        while self.rest.len() < 2 {
            self.more().await?;
        }
        if self.rest.starts_with(b"--") {
            self.ended = true;
            return Ok(None);
        }
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.rest, HEAD_END) {
                break end;
            }
            if self.rest.len() > MAX_HEAD {
                return Err(BodyFault::TooLong);
            }
            self.more().await?;
        };
        if end > MAX_HEAD {
            return Err(BodyFault::TooLong);
        }
        let head = self.rest.split_to(end + HEAD_END.len());
        self.in_part = true;
        Ok(Some(PartHead::of(&head)))
    }

    /// The next bytes of the part; none at its end.
    pub(super) async fn next_bytes(&mut self) -> Result<Option<Bytes>, BodyFault> {
        while self.in_part {
            match self.finder.find(&self.rest) {
                Some(0) => {
                    let delimiter = self.finder.needle().len();
                    drop(self.rest.split_to(delimiter));
                    self.in_part = false;
                }
                Some(end) => return Ok(Some(self.rest.split_to(end))),
                None => {
                    let sure = self.rest.len() - self.begun();
                    if sure > 0 {
                        return Ok(Some(self.rest.split_to(sure)));
                    }
                    self.more().await?;
                }
            }
        }
        Ok(None)
    }

    /// How many of the last bytes may be the beginning of a boundary.
    fn begun(&self) -> usize {
        let needle = self.finder.needle();
        let most = self.rest.len().min(needle.len() - 1);
        let mut lengths = (1..=most).rev();
        let found = lengths.find(|&length| self.rest.ends_with(&needle[..length]));
        found.unwrap_or(0)
    }
}

impl PartHead {
    fn of(head: &[u8]) -> Self {
        const NAME: &[u8] = b"content-disposition:";
        let lines = head.split(|&byte| byte == b'\n');
        let mut lines = lines.map(<[u8]>::trim_ascii);
        let value = lines.find_map(|line| {
            let (name, value) = line.split_at_checked(NAME.len())?;
            name.eq_ignore_ascii_case(NAME).then_some(value)
        });
        let value = value.unwrap_or_default();
        // The one in RFC 5987's words is better where both are there.
        let extended = parameter(value, b"filename*").and_then(|value| {
            let mut parts = value.splitn(3, |&byte| byte == b'\'');
            let name = parts.nth(2)?;
            decoded(std::str::from_utf8(name).ok()?)
        });
        let plain = || parameter(value, b"filename").map(unescaped);
        Self {
            file: extended.or_else(plain),
        }
    }
}

/// A parameter behind the first `;`, without its quotes.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    loop {
        let at = rest.iter().position(|&byte| byte == b';')?;
        rest = rest[at + 1..].trim_ascii_start();
        let equals = rest.iter().position(|&byte| byte == b'=')?;
        let (found, after) = (rest[..equals].trim_ascii_end(), &rest[equals + 1..]);
        let (this, behind) = match after.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = quoted.iter().position(|&byte| byte == b'"')?;
                quoted.split_at(end)
            }
            None => {
                let end = after.iter().position(|&byte| byte == b';');
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(this);
        }
        rest = behind;
    }
}

/// A file's name as it is. Browsers and curl write three characters otherwise, and no more.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match rest.get(..3).map(<[u8]>::to_ascii_uppercase).as_deref() {
            Some(b"%22") => Some(b'"'),
            Some(b"%0D") => Some(b'\r'),
            Some(b"%0A") => Some(b'\n'),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = match escaped {
            Some(_) => &rest[3..],
            None => after,
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that comes in pieces of so many bytes.
    struct Pieces(Bytes, usize);

    impl BodySource for Pieces {
        async fn next(&mut self) -> Result<Option<Bytes>, BodyFault> {
            let most = self.1.min(self.0.len());
            Ok((most > 0).then(|| self.0.split_to(most)))
        }
    }

    type Parts = Result<Vec<(PartHead, Vec<u8>)>, BodyFault>;

    fn parts(body: &[u8], piece: usize) -> Parts {
        let all = async {
            let pieces = Pieces(Bytes::copy_from_slice(body), piece);
            let mut parts = Multipart::new(pieces, "b");
            let mut all = Vec::new();
            while let Some(head) = parts.next_part().await? {
                let mut bytes = Vec::new();
                while let Some(more) = parts.next_bytes().await? {
                    bytes.extend_from_slice(&more);
                }
                all.push((head, bytes));
            }
            Ok(all)
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        { runtime }.build().unwrap().block_on(all)
    }

    #[test]
    fn parts_are_the_same_however_they_come() {
        let body = b"before\r\n--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a;%22\xc3\xa9.txt\"\r\n\
            Content-Type: x\r\n\r\none\r\n--\r\n\r\r\n-\r\n--b\r\n\r\n\r\n--b  \r\ncontent-disposition:form-data;filename=x\r\n\r\n\
            \r\n--b\r\nContent-Disposition: form-data; filename=\"y\"; filename*=utf-8''%e2%82%ac\r\n\r\n\r\n\r\n--b--\r\nbehind";
        for piece in 1..body.len() + 1 {
            let parts = parts(body, piece).unwrap();
            let found = parts.iter().map(|(head, bytes)| {
                let name = head.file.as_deref().map(String::from_utf8_lossy);
                (name.map(String::from), &bytes[..])
            });
            let found: Vec<_> = found.collect();
            let name = |name: &str| Some(name.to_owned());
            let expected = [
                (name("a;\"é.txt"), &b"one\r\n--\r\n\r\r\n-"[..]),
                (None, b""),
                (name("x"), b""),
                (name("€"), b"\r\n"),
            ];
            assert_eq!(found, expected, "{piece}");
        }
    }

    #[test]
    fn what_has_no_end_is_no_form() {
        for body in [
            &b""[..],
            b"--b",
            b"--b\r\n\r\nx",
            b"--b\r\n\r\nx\r\n--",
            b"--c\r\n\r\nx\r\n--c--",
        ] {
            assert_eq!(parts(body, 3), Err(BodyFault::Broken), "{body:?}");
        }
        let long = [b"--b\r\n".to_vec(), vec![b'x'; MAX_HEAD * 2]].concat();
        assert_eq!(parts(&long, 100), Err(BodyFault::TooLong));
        assert_eq!(parts(&long, long.len()), Err(BodyFault::TooLong));
    }

    #[test]
    fn a_boundary_is_what_the_type_says() {
        for (kind, found) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "Multipart/Form-Data;charset=x; Boundary=\"a b\"",
                Some("a b"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("text/plain; boundary=x", None),
        ] {
            assert_eq!(boundary(kind), found);
        }
    }
}
