//! The page that takes files: what is chosen, dropped and pasted arrives, whatever the network does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::support::browser::Browser;
use super::support::*;
use super::{assert_fits_a_phone, keep};

/// Nothing is under way on the page that takes files.
const IDLE: &str = "document.querySelector('#sum[aria-busy=false]:not([hidden])')";

/// A receiver with a page, and a browser.
struct Uploading {
    browser: Browser,
    page: Page,
    recv: Recv,
    sandbox: Sandbox,
}

impl Uploading {
    fn start(language: &str, args: &[&str]) -> Option<Self> {
        let browser = Browser::start(language)?;
        let sandbox = Sandbox::new();
        let recv = sandbox.recv_with(&[&["--web"], args].concat());
        let page = Page::of(recv.process());
        Some(Self {
            browser,
            page,
            recv,
            sandbox,
        })
    }

    /// The same, with the page open.
    fn open(args: &[&str]) -> Option<Self> {
        let uploading = Self::start("en-US", args)?;
        uploading.browser.open(&uploading.page.url);
        Some(uploading)
    }

    fn src(&self, name: &str) -> PathBuf {
        self.sandbox.src().join(name)
    }

    /// Makes a file to choose, of a time that a browser can tell.
    fn file(&self, name: &str, seed: u64, len: u64) -> PathBuf {
        let path = self.src(name);
        make_file(&path, seed, len);
        set_mtime(
            &path,
            1_700_000_000 + i64::try_from(seed).unwrap(),
            123_000_000,
        );
        path
    }

    /// Waits until so many files are marked as stored, and all is done.
    #[track_caller]
    fn wait_for_stored(&self, count: usize) {
        self.browser.wait_until(&format!(
            "document.querySelectorAll('.row.stored').length === {count} && {IDLE}"
        ));
    }

    /// What the rows say, each in one line.
    fn rows(&self) -> Vec<String> {
        let rows = self.browser.value(
            "[...document.querySelectorAll('.row')]\
             .map(row => row.querySelector('.ends').textContent + ' | ' + row.querySelector('.facts').textContent)",
        );
        let rows = rows.as_array().unwrap().clone();
        rows.iter()
            .map(|row| row.as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything that was chosen is there, and nothing else; the page was well all the time.
    #[track_caller]
    fn check(&self) {
        assert_eq!(files_in(&self.sandbox.dst()), files_in(&self.sandbox.src()));
        no_leftovers(self.sandbox.dst());
        assert_eq!(self.browser.log(), Vec::<String>::new());
    }

    /// The address of the page behind a proxy.
    fn behind(&self, proxy: &Proxy) -> String {
        format!("http://{}/{}/", proxy.target(), self.page.token())
    }
}

/// Digest, size and time of the files below a folder, by their paths there.
fn files_in(root: &Path) -> BTreeMap<String, (String, (i64, i64))> {
    let mut files = BTreeMap::new();
    for (path, node) in Tree::read(root).0 {
        if let Kind::File { len, digest } = node.kind {
            let path = String::from_utf8_lossy(&path).into_owned();
            files.insert(path, (format!("{len} bytes, {digest:02x?}"), node.mtime));
        }
    }
    files
}

#[test]
fn files_that_are_chosen_arrive_with_their_names_and_times() {
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    let evil = "<img src=x onerror=document.title='owned'>.txt";
    let names = [
        "photo 1.jpg",
        "empty",
        "Übung – März.txt",
        "日本語のファイル.txt",
        "ملف.txt",
        "👩‍👩‍👧 party.txt",
        "100% #1 & more?.txt",
        evil,
    ];
    let mut chosen = Vec::new();
    for (seed, name) in (1..).zip(names) {
        let len = if name == "empty" { 0 } else { 10_000 * seed };
        chosen.push(uploading.file(name, seed, len));
    }
    chosen.push(uploading.file("film.mkv", 20, 50_000_000));
    let browser = &uploading.browser;
    browser.choose("#files", &chosen);
    uploading.wait_for_stored(chosen.len());
    uploading.check();
    assert_eq!(
        browser.text("document.getElementById('head').innerText"),
        "9 files sent"
    );
    assert!(browser.text("document.title").starts_with("Send files to "));
    let rows = uploading.rows();
    assert!(
        rows.contains(&format!("{evil} | 80.0\u{a0}kB · sent")),
        "{rows:?}"
    );
    uploading
        .recv
        .interrupt()
        .assert_code(0)
        .assert_says("9 files");
}

#[test]
fn a_folder_arrives_with_what_is_in_it() {
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    for (seed, name) in (1..).zip(["album/1.jpg", "album/2024/2.jpg", "album/2024/more/Ü/3"]) {
        uploading.file(name, seed, 40_000);
    }
    uploading
        .browser
        .choose("#folder", &[uploading.src("album")]);
    uploading.wait_for_stored(3);
    uploading.check();
}

#[test]
fn what_is_dropped_anywhere_arrives() {
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    for (seed, name) in (1..).zip(["album/1.jpg", "album/2024/2.jpg", "note.txt", "album/empty"]) {
        uploading.file(name, seed, if name == "album/empty" { 0 } else { 40_000 });
    }
    let dropped = [uploading.src("album"), uploading.src("note.txt")];
    let data = json!({"items": [], "files": dropped, "dragOperationsMask": 1});
    for kind in ["dragEnter", "dragOver", "drop"] {
        let event = json!({"type": kind, "x": 40, "y": 90, "data": data});
        uploading
            .browser
            .devtools("Input.dispatchDragEvent", &event);
        let dropping = "document.body.classList.contains('dropping')";
        uploading
            .browser
            .wait_until(&format!("{dropping} === {}", kind != "drop"));
    }
    uploading.wait_for_stored(4);
    uploading.check();
}

#[test]
fn pasted_pictures_and_texts_arrive() {
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    let paste = "window.confirm = words => { window.asked = words; return true; };
        const data = new DataTransfer();
        if (arguments[0]) data.setData('text/plain', arguments[0]);
        else data.items.add(new File(['picture'], 'image.png', {type: 'image/png'}));
        dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));";
    uploading.browser.script(paste, &json!(["Grüße\n"]));
    uploading.wait_for_stored(1);
    uploading.browser.script(paste, &json!([]));
    uploading.wait_for_stored(2);
    // A text may be a password that came by mistake: it is asked for.
    let asked = uploading.browser.text("window.asked");
    assert!(asked.starts_with("Send this text to "), "{asked}");
    let there = files_in(&uploading.sandbox.dst());
    let names: Vec<&String> = there.keys().collect();
    assert!(
        names[0].starts_with("Picture 20") && names[0].ends_with(".png"),
        "{names:?}"
    );
    assert!(
        names[1].starts_with("Text 20") && names[1].ends_with(".txt"),
        "{names:?}"
    );
    let text = fs::read(uploading.sandbox.dst().join(names[1])).unwrap();
    assert_eq!(text, "Grüße\n".as_bytes());
}

#[test]
fn a_file_of_a_name_that_is_taken_is_stored_beside_it_and_the_page_says_so() {
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    let note = uploading.file("note.txt", 1, 1000);
    fs::write(uploading.sandbox.dst().join("note.txt"), "another").unwrap();
    uploading
        .browser
        .choose("#files", std::slice::from_ref(&note));
    uploading.wait_for_stored(1);
    assert_eq!(uploading.rows(), ["note.txt | Saved as note (2).txt"]);
    let dst = uploading.sandbox.dst();
    assert_eq!(fs::read(dst.join("note.txt")).unwrap(), b"another");
    assert_eq!(
        fs::read(dst.join("note (2).txt")).unwrap(),
        fs::read(note).unwrap()
    );

    // Several of one name in one go, as phones have them.
    let same = "const data = new DataTransfer();
        for (const text of ['one', 'two']) data.items.add(new File([text], 'image.jpg'));
        const input = document.getElementById('files');
        input.files = data.files;
        input.dispatchEvent(new Event('change'));";
    uploading.browser.script(same, &json!([]));
    uploading.wait_for_stored(3);
    assert_eq!(fs::read(dst.join("image.jpg")).unwrap(), b"one");
    assert_eq!(fs::read(dst.join("image (2).jpg")).unwrap(), b"two");
}

#[test]
fn an_upload_goes_on_where_a_lost_connection_ended_it() {
    const SIZE: u64 = 60_000_000;
    let Some(uploading) = Uploading::start("en-US", &[]) else {
        return;
    };
    let film = uploading.file("film.mkv", 1, SIZE);
    let proxy = Proxy::new(uploading.recv.addr());
    proxy.hold_at(SIZE / 2);
    uploading.browser.open(&uploading.behind(&proxy));
    uploading.browser.choose("#files", &[film]);
    proxy.wait_for_up(SIZE / 2);
    proxy.cut_all();
    proxy.release();
    uploading.wait_for_stored(1);
    assert_eq!(
        files_in(&uploading.sandbox.dst()),
        files_in(&uploading.sandbox.src())
    );
    no_leftovers(uploading.sandbox.dst());
    let (up, _) = proxy.passed();
    assert!(up < SIZE + SIZE / 4, "{up} bytes went up for {SIZE}");
}

#[test]
fn a_file_that_is_cancelled_or_cannot_be_read_fails_alone() {
    let Some(uploading) = Uploading::start("en-US", &[]) else {
        return;
    };
    let proxy = Proxy::new(uploading.recv.addr());
    uploading.browser.open(&uploading.behind(&proxy));
    let film = uploading.file("film.mkv", 1, 40_000_000);
    let gone = uploading.file("gone.txt", 2, 1000);
    let note = uploading.file("note.txt", 3, 1000);
    // It is gone between being chosen and being read.
    let wait = "document.getElementById('files').onchange = null;";
    uploading.browser.script(wait, &json!([]));
    uploading
        .browser
        .choose("#files", &[film.clone(), gone.clone(), note]);
    fs::remove_file(&gone).unwrap();
    proxy.hold_at(proxy.passed().0 + 20_000_000);
    let go = "const data = document.getElementById('files').files;
        const event = new DataTransfer();
        for (const file of data) event.items.add(file);
        dispatchEvent(new DragEvent('drop', {dataTransfer: event}));";
    uploading.browser.script(go, &json!([]));
    uploading.browser.wait_until(
        "document.querySelectorAll('.row.stored').length === 1 \
         && document.querySelectorAll('.row.failed').length === 1",
    );
    uploading.browser.click(".row.sending button");
    proxy.release();
    uploading.browser.wait_until(&format!(
        "{IDLE} && document.querySelector('.row.cancelled')"
    ));
    let rows = uploading.rows();
    assert_eq!(rows[0], "film.mkv | Cancelled");
    assert!(
        rows[1].starts_with("gone.txt | ") && !rows[1].contains("Failed ("),
        "{rows:?}"
    );
    let there: Vec<String> = files_in(&uploading.sandbox.dst()).into_keys().collect();
    assert_eq!(there, ["note.txt"]);

    // Tried again, it arrives.
    uploading.browser.click(".row.cancelled button");
    uploading.wait_for_stored(2);
    let stored = digest_of(&uploading.sandbox.dst().join("film.mkv"));
    assert_eq!(stored, digest_of(&film));
    no_leftovers(uploading.sandbox.dst());
}

#[test]
fn many_files_arrive_and_only_few_have_a_row() {
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    let add = "const data = new DataTransfer();
        for (let n = 0; n < 1500; n += 1) data.items.add(new File([`${n}`], `${n}.txt`));
        const input = document.getElementById('files');
        input.files = data.files;
        input.dispatchEvent(new Event('change'));
        input.value = '';
        window.most = 0;
        new MutationObserver(() => { most = Math.max(most, document.querySelectorAll('.row').length); })
            .observe(document, {subtree: true, childList: true});";
    uploading.browser.script(add, &json!([]));
    uploading.browser.wait_until(&format!(
        "{IDLE} && document.getElementById('head').innerText === '1,500 files sent'"
    ));
    let most = uploading.browser.value("most").as_u64().unwrap();
    assert!((1..100).contains(&most), "{most}");
    assert_eq!(files_in(&uploading.sandbox.dst()).len(), 1500);
    for n in [0, 777, 1499] {
        let path = uploading.sandbox.dst().join(format!("{n}.txt"));
        assert_eq!(fs::read_to_string(path).unwrap(), n.to_string());
    }
}

#[test]
fn without_scripts_a_form_takes_files() {
    let Some(uploading) = Uploading::start("fr-FR", &[]) else {
        return;
    };
    uploading.browser.without_scripts();
    uploading.browser.open(&uploading.page.url);
    let chosen = [
        uploading.file("note.txt", 1, 1000),
        uploading.file("日本語.bin", 2, 5_000_000),
        uploading.file("empty", 3, 0),
    ];
    uploading.browser.choose("#plain", &chosen);
    uploading.browser.click("#form button");
    let page = uploading.browser.text("document.body.innerText");
    assert!(
        page.contains("3 fichiers envoyés") && page.contains("日本語.bin"),
        "{page}"
    );
    // A form does not say how old a file is.
    let digests = |root: PathBuf| -> BTreeMap<String, String> {
        files_in(&root)
            .into_iter()
            .map(|(path, (digest, _))| (path, digest))
            .collect()
    };
    assert_eq!(
        digests(uploading.sandbox.dst()),
        digests(uploading.sandbox.src())
    );
    no_leftovers(uploading.sandbox.dst());
    assert_eq!(uploading.browser.log(), Vec::<String>::new());
}

#[test]
fn where_the_browser_has_no_checksums_the_page_says_so_and_sends() {
    let Some(uploading) = Uploading::start("en-US", &[]) else {
        return;
    };
    let browser = &uploading.browser;
    let unchecked = "getComputedStyle(document.getElementById('unchecked')).display !== 'none'";
    browser.open(&uploading.page.url);
    assert_eq!(browser.value(unchecked), json!(false));
    let hide = "Object.defineProperty(crypto, 'subtle', {value: undefined})";
    browser.devtools(
        "Page.addScriptToEvaluateOnNewDocument",
        &json!({"source": hide}),
    );
    browser.open(&uploading.page.url);
    assert_eq!(browser.value(unchecked), json!(true));
    let film = uploading.file("film.mkv", 1, 60_000_000);
    browser.choose("#files", &[film]);
    uploading.wait_for_stored(1);
    uploading.check();
}

#[test]
fn a_page_speaks_the_language_of_its_reader() {
    let Some(uploading) = Uploading::start("de-AT", &[]) else {
        return;
    };
    let browser = &uploading.browser;
    browser.open(&uploading.page.url);
    assert_eq!(browser.text("document.documentElement.lang"), "de");
    let heading = browser.text("document.querySelector('h1').innerText");
    assert!(
        heading.starts_with("Dateien an ") && heading.ends_with(" senden"),
        "{heading}"
    );
    let note = browser.text("document.querySelector('footer').innerText");
    assert!(note.contains("nicht verschlüsselt"), "{note}");
    let file = uploading.file("note.txt", 1, 1_234_000);
    browser.choose("#files", &[file]);
    uploading.wait_for_stored(1);
    assert_eq!(uploading.rows(), ["note.txt | 1,23\u{a0}MB · gesendet"]);
    uploading.check();
}

#[test]
fn the_page_fits_a_phone_in_light_and_dark_and_has_words_for_everything() {
    let Some(uploading) = Uploading::start("en-US", &[]) else {
        return;
    };
    let browser = &uploading.browser;
    let long = format!(
        "{} of a summer in the mountains.mkv",
        "a long film ".repeat(12).trim()
    );
    let chosen = [
        uploading.file(&long, 1, 3_000_000),
        uploading.file("note.txt", 2, 1000),
    ];
    let mut grounds = Vec::new();
    for (width, dark) in [(390, false), (390, true), (320, false)] {
        browser.be_a_phone(width, 844, dark);
        browser.open(&uploading.page.url);
        browser.choose("#files", &chosen);
        uploading.wait_for_stored(2);
        assert_fits_a_phone(browser);
        grounds.push(browser.text("getComputedStyle(document.body).backgroundColor"));
        keep(browser, &format!("recv-{width}-{dark}"));
    }
    assert_ne!(grounds[0], grounds[1], "light and dark are the same");
    let nameless = browser.value(
        "[...document.querySelectorAll('button, progress, input')].filter(node => node.offsetParent
         && !(node.textContent.trim() || node.getAttribute('aria-label') || node.labels?.length))
         .map(node => node.outerHTML)",
    );
    assert_eq!(nameless, json!([]));
    // A screen reader is told of the end, once.
    assert_eq!(
        browser.text("document.getElementById('told').textContent"),
        "2 files sent. 3.00\u{a0}MB"
    );
    // All that can be done can be done with keys: the focus comes to it, and shows.
    browser.script("document.getElementById('pick-files').focus()", &json!([]));
    assert_eq!(browser.text("document.activeElement.id"), "pick-files");
}

#[test]
fn five_gigabytes_arrive_through_the_page() {
    const SIZE: u64 = 5 << 30;
    let Some(uploading) = Uploading::open(&[]) else {
        return;
    };
    // Nothing but holes takes no room here.
    let path = uploading.src("large.img");
    File::create(&path).unwrap().set_len(SIZE).unwrap();
    uploading.browser.choose("#files", &[path]);
    uploading.browser.wait_until(&format!(
        "document.querySelector('.row.stored, .row.failed') && {IDLE}"
    ));
    let stored = uploading.sandbox.dst().join("large.img");
    assert_eq!(
        stored.metadata().unwrap().size(),
        SIZE,
        "{:?}",
        uploading.rows()
    );
    no_leftovers(uploading.sandbox.dst());
}

#[test]
fn a_page_that_is_loaded_again_goes_on_with_the_same_file() {
    const SIZE: u64 = 60_000_000;
    let Some(uploading) = Uploading::start("en-US", &[]) else {
        return;
    };
    let film = uploading.file("film.mkv", 1, SIZE);
    let proxy = Proxy::new(uploading.recv.addr());
    proxy.hold_at(SIZE / 2);
    let url = uploading.behind(&proxy);
    uploading.browser.open(&url);
    uploading
        .browser
        .choose("#files", std::slice::from_ref(&film));
    proxy.wait_for_up(SIZE / 2);
    proxy.cut_all();
    proxy.release();
    uploading.browser.open("about:blank");
    uploading.browser.open(&url);
    uploading.browser.choose("#files", &[film]);
    uploading.wait_for_stored(1);
    assert_eq!(
        files_in(&uploading.sandbox.dst()),
        files_in(&uploading.sandbox.src())
    );
    let (up, _) = proxy.passed();
    assert!(up < SIZE + SIZE / 2, "{up} bytes went up for {SIZE}");
}
