//! The pages of what is shared: shown as it is, and downloaded by a click.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::support::browser::Browser;
use super::support::*;
use super::{assert_fits_a_phone, keep};

/// A browser, and the page of what is shared: all that is in the folder `src`.
struct Sharing {
    browser: Browser,
    page: Page,
    sandbox: Sandbox,
    // It ends last.
    _share: Recv,
}

impl Sharing {
    fn start(make: impl FnOnce(&Sandbox)) -> Option<Self> {
        let browser = Browser::start("en-US")?;
        let sandbox = Sandbox::new();
        make(&sandbox);
        let mut command = sandbox.me().command(&["share", "--listen", "127.0.0.1:0"]);
        let all = fs::read_dir(sandbox.src()).unwrap();
        let mut all: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
        all.sort();
        command.args(all);
        let share = Recv::start(command);
        let page = Page::of(share.process());
        Some(Self {
            browser,
            page,
            sandbox,
            _share: share,
        })
    }

    /// The names that the page shows.
    fn names(&self) -> Vec<String> {
        let names = self
            .browser
            .value("[...document.querySelectorAll('.name')].map(name => name.textContent)");
        let names = names.as_array().unwrap().clone();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }
}

/// A link of the list whose name is this.
fn link(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('.files a')].find(link => link.querySelector('.name').textContent === {name:?})"
    )
}

#[test]
fn files_folders_and_archives_are_opened_and_downloaded_by_clicks() {
    let Some(sharing) = Sharing::start(|sandbox| {
        make_file(sandbox.src().join("film.mkv"), 1, 5_000_000);
        make_file(sandbox.src().join("album/2024/1 & 2.jpg"), 2, 100_000);
        make_file(sandbox.src().join("album/note.txt"), 3, 1000);
    }) else {
        return;
    };
    let browser = &sharing.browser;
    let src = sharing.sandbox.src();
    browser.open(&sharing.page.url);
    assert_eq!(sharing.names(), ["album", "film.mkv"]);
    browser.click("a.file");
    let film = browser.downloaded("film.mkv");
    assert_eq!(digest_of(&film), digest_of(&src.join("film.mkv")));

    browser.click("a.folder");
    assert_eq!(
        browser.text("document.querySelector('h1').innerText"),
        "album"
    );
    assert_eq!(sharing.names(), ["2024", "note.txt"]);
    browser.click("a.folder");
    assert_eq!(sharing.names(), ["1 & 2.jpg"]);
    browser.click("a.file");
    let picture = browser.downloaded("1 & 2.jpg");
    assert_eq!(
        digest_of(&picture),
        digest_of(&src.join("album/2024/1 & 2.jpg"))
    );

    // Up again, and all of it.
    browser.click(".path a");
    assert_eq!(sharing.names(), ["album", "film.mkv"]);
    browser.click(".bar .button");
    let archive = browser.downloaded("xfer.zip");
    let out = sharing.sandbox.folder("out");
    let unzip = Command::new("unzip")
        .arg("-q")
        .arg(archive)
        .arg("-d")
        .arg(&out)
        .status();
    assert!(unzip.unwrap().success());
    let digests = |root| -> Vec<_> {
        let all = Tree::read(root).0.into_iter();
        all.map(|(path, node)| (path, node.kind)).collect()
    };
    assert_eq!(digests(out), digests(src));
    assert_eq!(browser.log(), Vec::<String>::new());
}

#[test]
fn any_name_is_shown_as_it_is_and_runs_nothing() {
    let names = [
        "<img src=x onerror=document.title='owned'>.txt",
        "</a><script>document.title='owned'</script>",
        "javascript:document.title='owned'",
        "two  blanks & 100%",
        "\"quoted\" 'twice'",
        "日本語 ملف Übung",
    ];
    let Some(sharing) = Sharing::start(|sandbox| {
        let folder = sandbox.folder("src/all");
        for (seed, name) in (1..).zip(names) {
            make_file(folder.join(name.replace('/', "∕")), seed, 10);
        }
        make_file(folder.join("gpj.\u{202e}exe"), 9, 10);
    }) else {
        return;
    };
    let browser = &sharing.browser;
    browser.open(&sharing.page.url);
    browser.click("a.folder");
    let mut shown: Vec<String> = names.iter().map(|name| name.replace('/', "∕")).collect();
    shown.push("gpj.\\u{202e}exe".to_owned());
    shown.sort();
    let mut there = sharing.names();
    there.sort();
    assert_eq!(there, shown);
    for name in &shown[..shown.len() - 1] {
        let href = browser.text(&format!("{}.href", link(name)));
        assert!(href.starts_with(&sharing.page.url), "{href}");
    }
    assert!(browser.text("document.title").starts_with("all – "));
    assert_eq!(browser.log(), Vec::<String>::new());
    let nothing_else = browser.value("document.querySelectorAll('main img, main script').length");
    assert_eq!(nothing_else, json!(0));
}

#[test]
fn without_scripts_all_is_there_as_well() {
    let Some(sharing) = Sharing::start(|sandbox| {
        make_file(sandbox.src().join("album/note.txt"), 3, 1000);
        set_mtime(sandbox.src().join("album/note.txt"), 1_700_000_000, 0);
    }) else {
        return;
    };
    let browser = &sharing.browser;
    browser.without_scripts();
    browser.open(&sharing.page.url);
    browser.click("a.folder");
    let facts = browser.text("document.querySelector('.files .facts').textContent");
    assert_eq!(facts, "1.00\u{a0}kB · 2023-11-14 22:13 UTC");
    browser.click("a.file");
    let note = browser.downloaded("note.txt");
    assert_eq!(
        digest_of(&note),
        digest_of(&sharing.sandbox.src().join("album/note.txt"))
    );
}

#[test]
fn lists_are_in_the_language_of_their_reader_and_fit_a_phone() {
    let Some(sharing) = Sharing::start(|sandbox| {
        let src = sandbox.src();
        for (seed, name) in (1..).zip([
            "Holiday photos/1.jpg",
            "Music/1.flac",
            "Budget 2026.xlsx",
            "Summer in the mountains, the whole film with everybody in it.mkv",
            "Recipe – Grandma’s apple pie.pdf",
        ]) {
            make_file(src.join(name), seed, 40_000 * seed * seed);
            set_mtime(
                src.join(name),
                1_790_000_000 + 90_000 * i64::try_from(seed).unwrap(),
                0,
            );
        }
    }) else {
        return;
    };
    let browser = &sharing.browser;
    browser.devtools("Network.enable", &json!({}));
    for (language, words) in [
        ("es-MX", "Descargar todo en ZIP"),
        ("zh-CN", "全部下载为 ZIP"),
        ("de", "Alles als ZIP herunterladen"),
        ("fr-CH, de;q=0.5", "Tout télécharger en ZIP"),
        ("en-GB", "Download all as ZIP"),
    ] {
        let headers = json!({"headers": {"Accept-Language": language}});
        browser.devtools("Network.setExtraHTTPHeaders", &headers);
        let mut grounds = Vec::new();
        for (width, dark) in [(320, false), (390, true), (390, false)] {
            browser.be_a_phone(width, 844, dark);
            browser.open(&sharing.page.url);
            let page = browser.text("document.body.innerText");
            assert!(page.contains(words), "{language}: {page}");
            assert_fits_a_phone(browser);
            grounds.push(browser.text("getComputedStyle(document.body).backgroundColor"));
            if language == "en-GB" {
                keep(browser, &format!("share-{width}-{dark}"));
            }
        }
        assert_ne!(grounds[0], grounds[1], "light and dark are the same");
    }
    assert_eq!(browser.log(), Vec::<String>::new());
}
