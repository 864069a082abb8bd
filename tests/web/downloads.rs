//! Downloads: what is shared, file by file, by curl and byte by byte.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::support::*;

/// What is shared, and its page.
pub(super) fn share(sandbox: &Sandbox, args: &[&str]) -> (Recv, Page) {
    let mut command: Command = sandbox.me().command(&["share", "--listen", "127.0.0.1:0"]);
    command.args(args);
    let share = Recv::start(command);
    let page = Page::of(share.process());
    (share, page)
}

/// Names that are hard to write in an address, in markup or in a header.
pub(super) const NAMES: [&[u8]; 14] = [
    b"plain",
    b"two words",
    "\u{fc}ber \u{65e5}\u{672c}.txt".as_bytes(),
    b"a%2Fb%00",
    b"a+b&c#d?e=f;g",
    b"-x",
    b"<script>alert(1)</script>",
    b"quo\"te'",
    b"back\\slash",
    b"new\nline",
    b"..hidden",
    b"...",
    b"{{name}}",
    b"\xff\xfe odd",
];

/// A tree with such names, in folders of such names.
pub(super) fn make_awkward(at: &Path) {
    for (n, name) in (1..).zip(NAMES) {
        let name = std::ffi::OsString::from_vec(name.to_vec());
        make_file(at.join(&name), n, 1000 + n);
        let inner = at.join("in").join(&name);
        make_file(inner.join("deep").join(&name), n + 100, 300_000 + n);
    }
    make_file(at.join("empty"), 0, 0);
    fs::create_dir(at.join("empty folder")).unwrap();
}

/// All addresses in a page that begin with this.
fn links(page: &str, begin: &str) -> Vec<String> {
    let links = page.split("href=\"").skip(1);
    let links = links.filter_map(|rest| rest.split('"').next());
    let links = links.map(|link| link.replace("&amp;", "&"));
    links.filter(|link| link.starts_with(begin)).collect()
}

#[test]
fn each_file_is_found_by_the_links_whatever_its_name_is() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    make_awkward(&sandbox.src());
    let (share, page) = share(&sandbox, &["src"]);
    let base = format!("/{}/", page.token());
    let host = format!("http://{}", page.addr);
    let mut to_do = vec![base.clone()];
    let mut seen = Vec::new();
    let into = sandbox.path("got");
    let mut found = std::collections::BTreeMap::new();
    while let Some(link) = to_do.pop() {
        if seen.contains(&link) {
            continue;
        }
        let html = curl(&[format!("{host}{link}")]).text();
        to_do.extend(links(&html, &format!("{base}list/")));
        seen.push(link);
        for file in links(&html, &format!("{base}files/")) {
            assert_eq!(
                curl_status(&format!("{host}{file}"), &[], &into),
                200,
                "{file}"
            );
            let path = file
                .strip_prefix(&format!("{base}files/"))
                .unwrap()
                .to_owned();
            found.insert(path, fs::read(&into).unwrap());
        }
    }
    let mut there = 0;
    for entry in walkdir::WalkDir::new(sandbox.src()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let below = entry.path().strip_prefix(sandbox.src()).unwrap();
            let path = encoded(&[b"src/", below.as_os_str().as_bytes()].concat());
            assert_eq!(
                found.get(&path),
                Some(&fs::read(entry.path()).unwrap()),
                "{path}"
            );
            there += 1;
        }
    }
    assert_eq!(found.len(), there);
    share
        .interrupt()
        .assert_code(0)
        .assert_says("127.0.0.1 downloaded");
}

#[test]
fn a_download_goes_on_where_it_ended_and_only_in_the_same_version() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let file = sandbox.src().join("film");
    make_file(&file, 7, 3_000_000);
    let whole = fs::read(&file).unwrap();
    let (share, page) = share(&sandbox, &["src/film"]);
    let (url, into) = (page.at("files/film"), sandbox.path("got"));
    fs::write(&into, &whole[..1_234_567]).unwrap();
    let path = into.to_str().unwrap();
    curl(&["-C", "-", "-o", path, &url]).assert_code(0);
    assert!(fs::read(&into).unwrap() == whole);

    for (range, status, part) in [
        ("0-0", 206, &whole[..1]),
        ("0-99", 206, &whole[..100]),
        ("2999999-", 206, &whole[2_999_999..]),
        ("2999990-99999999", 206, &whole[2_999_990..]),
        ("-5", 206, &whole[2_999_995..]),
        ("0-1,5-6", 200, &whole[..]),
        ("3000000-", 416, &[]),
    ] {
        let header = format!("Range: bytes={range}");
        let got = curl_status(&url, &["-H", &header], &into);
        assert_eq!(got, status, "{range}");
        assert!(fs::read(&into).unwrap() == part, "{range}");
    }

    let head = curl(&["-I", &url]).text().to_ascii_lowercase();
    for line in [
        "http/1.1 200",
        "content-length: 3000000",
        "accept-ranges: bytes",
        "content-type: application/octet-stream",
        "content-disposition: attachment; filename=\"film\"; filename*=utf-8''film",
        "last-modified: ",
        "sandbox",
    ] {
        assert!(head.contains(line), "no {line}:\n{head}");
    }
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let tag = format!("If-Range: {}", tag.trim());
    let get = |tag: &str| curl_status(&url, &["-H", "Range: bytes=5-9", "-H", tag], &into);
    let same = tag.replace("If-Range", "If-Match");
    assert_eq!(get(&same), 206);
    assert_eq!(get(&same.replace(": ", ": \"a\", ")), 206);
    assert_eq!(get("If-Match: *"), 206);
    assert_eq!(get("If-Match: \"other\""), 412);
    assert_eq!(
        get("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"),
        412
    );
    assert_eq!(
        get("If-Unmodified-Since: Thu, 01 Jan 2970 00:00:00 GMT"),
        206
    );
    let head = curl(&["-I", "-H", "Range: bytes=5-9", &url]).text();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(get(&tag), 206);
    assert_eq!(get("If-Range: \"other\""), 200);
    assert_eq!(get("If-Range: Thu, 01 Jan 1970 00:00:00 GMT"), 200);
    // Neither size nor time shows this change.
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .write_all(b"!")
        .unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(before)
        .unwrap();
    assert_eq!(get(&same), 412);
    assert_eq!(get(&tag), 200);
    assert_eq!(fs::metadata(&into).unwrap().len(), 3_000_000);
    // Players fetch many parts: only what reaches the end is told.
    share
        .interrupt()
        .assert_says("127.0.0.1 downloaded film (3.00 MB")
        .assert_does_not_say("(100 B in")
        .assert_does_not_say("a part of");
}

#[test]
fn a_file_that_changes_under_way_never_comes_to_its_end() {
    let sandbox = Sandbox::new();
    let file = sandbox.src().join("film");
    make_file(&file, 7, 64 << 20);
    let (share, page) = share(&sandbox, &["src"]);
    for (path, shrink) in [
        ("files/src/film", false),
        ("zip", false),
        ("files/src/film", true),
    ] {
        let mut stream = TcpStream::connect(page.addr).unwrap();
        let token = page.token();
        let request = format!(
            "GET /{token}/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            page.addr
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 4096];
        assert!(stream.read(&mut first).unwrap() > 0);
        let mut changed = fs::OpenOptions::new().append(true).open(&file).unwrap();
        match shrink {
            true => changed.set_len(1 << 20).unwrap(),
            false => changed.write_all(b"more").unwrap(),
        }
        let mut all = Vec::new();
        // The connection may be reset.
        let _ = stream.read_to_end(&mut all);
        assert!(all.len() < 64 << 20, "{path}: {}", all.len());
        assert!(!all.ends_with(b"0\r\n\r\n"), "{path}");
    }
    share.process().wait_for_text("changed while it was sent");
}

#[cfg(target_os = "linux")]
#[test]
fn a_filter_is_not_passed_by_another_spelling_of_a_name() {
    use super::support::fuse::{Fuse, Names};
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let at = sandbox.src().join("t");
    fs::create_dir_all(&at).unwrap();
    let Some(fuse) = Fuse::mount(&sandbox.path("real"), &at) else {
        return;
    };
    make_file(at.join("secret.key"), 1, 10);
    make_file(at.join("sub/file"), 2, 10);
    fuse.set(|s| s.names = Names::FoldCase);
    assert!(at.join("SECRET.KEY").exists());
    let (share, page) = share(&sandbox, &["--exclude", "*.key", "src/t"]);
    let into = sandbox.path("got");
    for (path, status) in [
        ("files/t/secret.key", 404),
        ("files/t/SECRET.KEY", 404),
        ("zip/t/Secret.key", 404),
        ("files/t/sub/file", 200),
        ("files/t/SUB/file", 404),
        ("list/t/SUB/", 404),
    ] {
        assert_eq!(curl_status(&page.at(path), &[], &into), status, "{path}");
    }
    share.interrupt().assert_code(0);
}

#[test]
fn nothing_is_shown_but_what_is_shared() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let src = sandbox.src();
    make_file(src.join("t/a/x"), 1, 10);
    make_file(src.join("t/notes.tmp"), 2, 10);
    make_file(src.join("t/b/secret.o"), 3, 10);
    make_file(src.join("t/.xfer/state"), 4, 10);
    fs::write(src.join("t/b/.xferignore"), "*.o\n").unwrap();
    make_file(src.join("hidden/x"), 5, 10);
    symlink("../hidden", src.join("t/link")).unwrap();
    symlink("/etc/passwd", src.join("t/passwd")).unwrap();
    let (_share, page) = share(&sandbox, &["--exclude", "*.tmp", "src/t"]);
    let into = sandbox.path("got");
    let get = |path: &str| curl_status(&page.at(path), &["--path-as-is"], &into);
    for (path, status) in [
        ("", 200),
        ("list/t/", 200),
        ("list/t/a/", 200),
        ("files/t/a/x", 200),
        ("list/t/a/x/", 404),
        ("files/t/a", 404),
        ("files/t/notes.tmp", 404),
        ("zip/t/notes.tmp", 404),
        ("files/t/b/secret.o", 404),
        ("files/t/.xfer/state", 404),
        ("files/t/link/x", 404),
        ("list/t/link/", 404),
        ("files/t/passwd", 404),
        ("files/hidden/x", 404),
        ("files/t/../hidden/x", 404),
        ("files/t/%2e%2e/hidden/x", 404),
        ("files/t/%2E%2E%2Fhidden%2Fx", 404),
        ("files/t/..%2fhidden/x", 404),
        ("files/%2fetc/passwd", 404),
        ("files//etc/passwd", 404),
        ("files/t%00", 404),
        ("files/t/%", 404),
        ("files", 404),
        ("nothing", 404),
    ] {
        assert_eq!(get(path), status, "{path}");
    }
    // What is swapped in while it runs leads nowhere either.
    fs::rename(src.join("t/a"), src.join("t/before")).unwrap();
    symlink("../hidden", src.join("t/a")).unwrap();
    assert_eq!(get("files/t/a/x"), 404);
    let list = curl(&[page.at("list/t/")]).text();
    assert!(
        !list.contains("notes.tmp") && !list.contains("passwd"),
        "{list}"
    );
    let sent = page.status_of("POST", "files/t/before/x", "Content-Length: 0\r\n");
    assert_eq!(sent, 405);
}

#[test]
fn numbers_in_names_are_sorted_as_numbers() {
    let sandbox = Sandbox::new();
    for name in ["file10", "file9", "file100", "9 folder/a", "10 folder/a"] {
        make_file(sandbox.src().join(name), 1, 1);
    }
    let (_share, page) = share(&sandbox, &["src"]);
    let head = format!(
        "GET /{}/list/src/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        page.token(),
        page.addr
    );
    let html = page.raw(head.as_bytes());
    let order = ["9 folder", "10 folder", "file9", "file10", "file100"];
    let at = order.map(|name| html.find(&format!(">{name}<")));
    assert!(
        at.iter().all(Option::is_some) && at.is_sorted(),
        "{at:?} {html}"
    );
}
