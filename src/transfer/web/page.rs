//! What a browser shows: lists of what is shared, the page for uploads, results and errors, in the
//! reader's language.
//!
//! Must not know HTTP, nor where anything comes from: arguments in, a text out. Whatever the
//! arguments hold, nothing of it becomes markup: every value goes through `escape`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use super::language::Language;
use super::markup::{Html, date, escape, join, shown};

const PAGE: &str = include_str!("page.html");
/// How a part of [`PAGE`] begins; its name follows.
const PART: &str = "<!--part:";
/// What every page needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageView<'a> {
    pub(crate) language: Language,
    /// What the policy of this answer allows a style and a script by; new for each.
    pub(crate) nonce: &'a str,
    /// Where everything is: `/TOKEN/`.
    pub(crate) base: &'a str,
    /// The name of this machine.
    pub(crate) machine: &'a str,
    /// Whether the connection is encrypted.
    pub(crate) encrypted: bool,
}

/// The Content-Security-Policy of a page with this nonce.
pub(crate) fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// A folder that is shared; the top of all that is shared has an empty path.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SharedFolder<'a> {
    /// Its path, as bytes with '/' between them.
    pub(crate) path: &'a [u8],
    /// How many files and folders are right in it.
    pub(crate) files: u64,
    pub(crate) folders: u64,
    /// How much all of that is, where that is known.
    pub(crate) bytes: Option<u64>,
}

/// One thing in a shared folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedItem<'a> {
    /// Any bytes.
    pub(crate) name: &'a [u8],
    /// None for a folder.
    pub(crate) size: Option<u64>,
    /// Seconds since 1970 UTC.
    pub(crate) modified: Option<i64>,
}

/// What came of one file of an upload without a script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormResult<'a> {
    /// What its sender called it.
    pub(crate) name: &'a [u8],
    pub(crate) size: u64,
    /// The name that it got here, where it was stored.
    pub(crate) stored: Option<&'a [u8]>,
    /// Why it was not: a code of the texts.
    pub(crate) error: Option<&'a str>,
}

/// Why there is no other page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageError {
    NotFound,
    Unreadable,
    Pin,
    PinLocked,
    Declined,
    Crowded,
    BadRequest,
    Internal,
}

impl PageError {
    fn key(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unreadable => "unreadable",
            Self::Pin => "pin",
            Self::PinLocked => "pin_locked",
            Self::Declined => "declined",
            Self::Crowded => "busy",
            Self::BadRequest => "bad_request",
            Self::Internal => "internal",
        }
    }
}

/// The beginning of the page of a shared folder, which is sent in parts.
pub(crate) fn listing_head(view: &PageView<'_>, folder: &SharedFolder<'_>) -> String {
    listing_halves(view, folder).0
}

/// One thing in it.
pub(crate) fn listing_row(
    view: &PageView<'_>,
    folder: &SharedFolder<'_>,
    item: &SharedItem<'_>,
) -> String {
    let mut path = folder.path.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(item.name);
    let mut facts = match item.size {
        Some(size) => vec![escape(&view.language.size(size))],
        None => vec![view.text("list.folder", &[])],
    };
    facts.extend(item.modified.and_then(|seconds| time(view, seconds)));
    let (part, href) = match item.size {
        Some(_) => ("file", view.link("files/", &path, "")),
        None => ("folder", view.link("list/", &path, "/")),
    };
    let values = [
        ("href", escape(&href)),
        ("name", escape(&shown(item.name))),
        ("facts", join(&facts, " · ")),
    ];
    view.fill(part, &values).0
}

/// The end of it.
pub(crate) fn listing_foot(view: &PageView<'_>, folder: &SharedFolder<'_>) -> String {
    listing_halves(view, folder).1
}

/// The page before the rows, and after them.
fn listing_halves(view: &PageView<'_>, folder: &SharedFolder<'_>) -> (String, String) {
    let machine = ("machine", escape(view.machine));
    let name = folder
        .path
        .rsplit(|&b| b == b'/')
        .next()
        .unwrap_or_default();
    let title = view.text("list.heading", std::slice::from_ref(&machine));
    let (heading, title) = match name {
        b"" => (title.clone(), title),
        name => {
            let name = escape(&shown(name));
            let title = join(&[name.clone(), title], " – ");
            (name, title)
        }
    };
    let mut counts = Vec::new();
    if folder.folders > 0 {
        counts.push(view.count("list.folders", folder.folders));
    }
    if folder.files > 0 || folder.folders == 0 {
        counts.push(view.count("list.files", folder.files));
    }
    counts.extend(folder.bytes.map(|bytes| escape(&view.language.size(bytes))));
    let zip = match folder.files + folder.folders {
        0 => Html::default(),
        // There is a link to it already.
        1 if folder.folders == 0 => Html::default(),
        _ => {
            let href = match folder.path {
                b"" => format!("{}zip", view.base),
                path => view.link("zip/", path, "/"),
            };
            view.fill("zip", &[("href", escape(&href))])
        }
    };
    let values = [
        ("path", path_of(view, folder.path)),
        ("heading", heading),
        ("counts", join(&counts, " · ")),
        ("zip", zip),
    ];
    let head = view.fill("listing", &values);
    let mut end = view.fill("end", &[]);
    if folder.files + folder.folders == 0 {
        end = join(&[view.fill("empty", &[]), end], "\n");
    }
    // Nothing that is shown has a NUL.
    let page = view.page(title, join(&[head, end], "\n\0"), &[], Html::default());
    match page.split_once('\0') {
        Some((head, foot)) => (head.to_owned(), foot.to_owned()),
        None => (page, String::new()),
    }
}

/// The folders above one, each a link; nothing at the top.
fn path_of(view: &PageView<'_>, path: &[u8]) -> Html {
    if path.is_empty() {
        return Html::default();
    }
    let step = |href: String, name: &str| {
        view.fill("step", &[("href", escape(&href)), ("name", escape(name))])
    };
    let mut steps = vec![step(view.base.to_owned(), view.machine)];
    let mut ends: Vec<usize> = (0..path.len()).filter(|&n| path[n] == b'/').collect();
    ends.push(path.len());
    let mut from = 0;
    for end in ends {
        let name = shown(&path[from..end]);
        steps.push(match end == path.len() {
            true => view.fill("here", &[("name", escape(&name))]),
            false => step(view.link("list/", &path[..end], "/"), &name),
        });
        from = end + 1;
    }
    view.fill("path", &[("steps", join(&steps, ""))])
}

/// The page that takes files.
pub(crate) fn upload(view: &PageView<'_>) -> String {
    let machine = ("machine", escape(view.machine));
    let title = view.text("upload.heading", std::slice::from_ref(&machine));
    let action = ("action", escape(&format!("{}form", view.base)));
    let body = view.fill("upload", &[machine, action]);
    let for_script =
        |key: &str| key.starts_with("js.") || key.starts_with("err.") || key == "units";
    let all = view.language.texts().iter();
    let texts: HashMap<_, _> = all.filter(|(key, _)| for_script(key)).collect();
    let data = serde_json::json!({
        "base": view.base,
        "machine": shown(view.machine.as_bytes()),
        "texts": texts,
    });
    // No markup ends or begins within a script then.
    let data = Html(data.to_string().replace('<', "\\u003c"));
    let data = view.fill("data", &[("json", data)]);
    view.page(title, body, &["unchecked_note"], data)
}

/// What came of an upload without a script.
pub(crate) fn results(view: &PageView<'_>, results: &[FormResult<'_>]) -> String {
    let machine = [("machine", escape(view.machine))];
    let row = |result: &FormResult<'_>| {
        let size = escape(&view.language.size(result.size));
        let (part, facts) = match (result.error, result.stored) {
            (Some(code), _) => {
                let key = format!("err.{code}");
                let known = view.language.texts().contains_key(key.as_str());
                let words = match known {
                    true => view.text(&key, &machine),
                    false => view.text("js.failed", &[("code", escape(code))]),
                };
                ("result_failed", words)
            }
            (None, Some(name)) if name != result.name => {
                let name = [("name", escape(&shown(name)))];
                (
                    "result",
                    join(&[size, view.text("js.stored_as", &name)], " · "),
                )
            }
            (None, _) => ("result", join(&[size, view.text("js.stored", &[])], " · ")),
        };
        view.fill(
            part,
            &[("name", escape(&shown(result.name))), ("facts", facts)],
        )
    };
    let rows: Vec<Html> = results.iter().map(row).collect();
    let failed = results
        .iter()
        .filter(|result| result.error.is_some())
        .count() as u64;
    let stored = results.len() as u64 - failed;
    let mut counts = match stored {
        0 => vec![view.text("js.none_sent", &[])],
        _ => vec![view.count("js.sent", stored)],
    };
    if failed > 0 {
        counts.push(view.count("js.failed_files", failed));
    }
    let values = [
        ("counts", join(&counts, " · ")),
        ("rows", join(&rows, "\n")),
        ("href", escape(view.base)),
    ];
    let body = view.fill("results", &values);
    view.page(view.text("result.heading", &[]), body, &[], Html::default())
}

/// A page that says why there is no other.
pub(crate) fn error(view: &PageView<'_>, error: PageError) -> String {
    let machine = [("machine", escape(view.machine))];
    let heading = view.text(&format!("error.{}.heading", error.key()), &[]);
    let words = view.text(&format!("error.{}.words", error.key()), &machine);
    let part = match error {
        PageError::Pin | PageError::PinLocked => "error_alone",
        _ => "error",
    };
    let values = [
        ("heading", heading.clone()),
        ("words", words),
        ("href", escape(view.base)),
    ];
    view.page(heading, view.fill(part, &values), &[], Html::default())
}

/// The time for every reader; a script writes it as this one does.
fn time(view: &PageView<'_>, seconds: i64) -> Option<Html> {
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(day)?;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let date = format!("{year:04}-{month:02}-{day:02}");
    let values = [
        (
            "iso",
            escape(&format!("{date}T{hour:02}:{minute:02}:{second:02}Z")),
        ),
        (
            "plain",
            escape(&format!("{date} {hour:02}:{minute:02} UTC")),
        ),
    ];
    Some(view.fill("time", &values))
}

impl PageView<'_> {
    /// A whole page, with its notes.
    fn page(&self, title: Html, body: Html, notes: &[&str], data: Html) -> String {
        let plain = (!self.encrypted).then_some(&"plain_note");
        let notes: Vec<Html> = plain
            .into_iter()
            .chain(notes)
            .map(|note| self.fill(note, &[]))
            .collect();
        let tag = match self.language {
            Language::Chinese => "zh-Hans",
            language => language.code(),
        };
        let values = [
            ("lang", escape(tag)),
            ("nonce", escape(self.nonce)),
            ("title", title),
            ("body", body),
            ("notes", join(&notes, "\n")),
            ("data", data),
        ];
        self.fill("page", &values).0
    }

    /// A part of the page, with its texts and these values.
    fn fill(&self, part: &str, values: &[(&str, Html)]) -> Html {
        let mut rest = parts().get(part).copied().unwrap_or_default();
        let mut html = String::with_capacity(rest.len());
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            html.push_str(before);
            match name.strip_prefix("t ") {
                Some(key) => html.push_str(&self.text(key, values).0),
                None => html.push_str(value(values, name)),
            }
            rest = after;
        }
        html.push_str(rest);
        Html(html)
    }

    /// A text in this language, with these values.
    fn text(&self, key: &str, values: &[(&str, Html)]) -> Html {
        let text = self.language.texts().get(key).copied().unwrap_or(key);
        let mut rest = escape(text).0;
        let mut html = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            html.push_str(before);
            html.push_str(value(values, name));
            rest = after.to_owned();
        }
        Html(html + &rest)
    }

    fn count(&self, key: &str, n: u64) -> Html {
        let form = if self.language.is_one(n) {
            "one"
        } else {
            "other"
        };
        self.text(
            &format!("{key}.{form}"),
            &[("n", escape(&self.language.number(n)))],
        )
    }

    /// Where something of this path is.
    fn link(&self, kind: &str, path: &[u8], end: &str) -> String {
        let mut link = format!("{}{kind}", self.base);
        for &byte in path {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    link.push(char::from(byte));
                }
                _ => {
                    let _ = write!(link, "%{byte:02X}");
                }
            }
        }
        link + end
    }
}

fn value<'a>(values: &'a [(&str, Html)], name: &str) -> &'a str {
    let found = values.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, value)| &value.0)
}

/// The parts of the page, by name.
fn parts() -> &'static HashMap<&'static str, &'static str> {
    static PARTS: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    PARTS.get_or_init(|| {
        let parts = PAGE.split(PART).skip(1);
        let named = parts.filter_map(|part| part.split_once("-->"));
        named.map(|(name, part)| (name, part.trim())).collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The page of a shared folder.
    fn listing(view: &PageView<'_>, folder: &SharedFolder<'_>, items: &[SharedItem<'_>]) -> String {
        let mut page = listing_head(view, folder);
        for item in items {
            page += &listing_row(view, folder, item);
        }
        page + &listing_foot(view, folder)
    }

    const VIEW: PageView<'_> = PageView {
        language: Language::English,
        nonce: "n0nce",
        base: "/token/",
        machine: "lap",
        encrypted: false,
    };

    fn item(name: &[u8]) -> SharedItem<'_> {
        SharedItem {
            name,
            size: Some(1234),
            modified: Some(1_700_000_000),
        }
    }

    #[test]
    fn every_text_that_the_page_names_is_there_and_every_one_there_is_named() {
        let rust = concat!(include_str!("page.rs"), include_str!("language.rs"));
        let all = Language::English.texts();
        for (part, html) in parts() {
            for name in html.split("{{t ").skip(1) {
                let name = name.split("}}").next().unwrap();
                assert!(all.contains_key(name), "{part}: {name}");
            }
        }
        let script = parts()["page"];
        for name in script.split("'js.").skip(1) {
            let name = format!("js.{}", name.split('\'').next().unwrap());
            let there = all.contains_key(&*name) || all.contains_key(&*format!("{name}.one"));
            assert!(there, "{name}");
        }
        for key in all.keys() {
            let name = key.trim_end_matches(".one").trim_end_matches(".other");
            let named = PAGE.contains(name) || rust.contains(name);
            assert!(
                named || key.starts_with("err.") || key.starts_with("error."),
                "{key}"
            );
        }
        for error in [
            PageError::NotFound,
            PageError::Unreadable,
            PageError::Pin,
            PageError::PinLocked,
            PageError::Declined,
            PageError::Crowded,
            PageError::BadRequest,
            PageError::Internal,
        ] {
            for end in ["heading", "words"] {
                let key = format!("error.{}.{end}", error.key());
                assert!(all.contains_key(&*key), "{key}");
            }
        }
    }

    #[test]
    fn no_name_becomes_markup() {
        let evil = b"<img src=x onerror=alert(1)>\"'&.txt";
        let folder = SharedFolder {
            path: b"a/<b>\xff",
            files: 1,
            folders: 1,
            bytes: None,
        };
        let page = listing(&VIEW, &folder, &[item(evil)]);
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;.txt"));
        assert!(page.contains(
            "href=\"/token/files/a/%3Cb%3E%FF/%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%22%27%26.txt\""
        ));
        assert!(page.contains("&lt;b&gt;\\xff"));

        let machine = PageView {
            machine: "</script><b>{n}{{t x}}",
            ..VIEW
        };
        let page = upload(&machine);
        assert!(!page.contains("<b>"), "{page}");
        assert_eq!(page.matches("</script>").count(), 2);
        let result = FormResult {
            name: evil,
            size: 5,
            stored: None,
            error: Some("<b>"),
        };
        let page = results(&machine, &[result]);
        assert!(!page.contains("<b>") && !page.contains("<img"), "{page}");
    }

    #[test]
    fn a_page_in_parts_is_the_whole_page() {
        let folder = SharedFolder {
            path: b"photos/2024",
            files: 2,
            folders: 0,
            bytes: Some(2468),
        };
        let items = [item(b"1.jpg"), item(b"2.jpg")];
        let whole = listing(&VIEW, &folder, &items);
        assert!(whole.contains("2 files · 2.47\u{a0}kB"), "{whole}");
        assert!(whole.contains("href=\"/token/zip/photos/2024/\""));
        assert!(whole.contains("href=\"/token/list/photos/\""));
        assert!(whole.contains("datetime=\"2023-11-14T22:13:20Z\">2023-11-14 22:13 UTC<"));
        assert!(whole.ends_with("</html>"), "{whole}");
        let none = listing(&VIEW, &SharedFolder::default(), &[]);
        assert!(none.contains("This folder is empty.") && !none.contains("/token/zip"));
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let of = |language| PageView { language, ..VIEW };
        for view in Language::ALL.map(of) {
            let mut pages = vec![
                upload(&view),
                results(&view, &[]),
                listing(&view, &SharedFolder::default(), &[]),
            ];
            pages.push(error(&view, PageError::NotFound));
            pages.push(error(&view, PageError::Pin));
            for page in pages {
                let body = page.split("<body>").nth(1).unwrap();
                let body = body.split("<script").next().unwrap();
                assert!(!body.contains('{') && !body.contains('}'), "{body}");
                assert!(page.contains("<style nonce=\"n0nce\">"));
                assert!(page.contains("<script nonce=\"n0nce\">"));
                assert!(
                    !page.contains("http://") || !page.contains("src=\"http"),
                    "a third party"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_name_is_text_and_a_link(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let row = listing_row(&VIEW, &SharedFolder::default(), &item(&bytes));
            let empty = listing_row(&VIEW, &SharedFolder::default(), &item(b""));
            for sign in ['<', '>', '"', '\''] {
                prop_assert_eq!(row.matches(sign).count(), empty.matches(sign).count());
            }
            let visible = shown(&bytes);
            prop_assert!(!visible.chars().any(char::is_control));
        }
    }
}
