//! Uploads from browsers and curl to `xfer recv --web`: they are stored by the same rules as whatever
//! else is received, whatever happens on the way.

#![cfg(feature = "web")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::*;

/// A receiver with a page.
fn receiver(sandbox: &Sandbox, args: &[&str]) -> (Recv, Page) {
    let args = [&["--web"], args].concat();
    let recv = Recv::start(sandbox.me().recv_command(&sandbox.dst(), &args));
    let page = Page::of(recv.process());
    (recv, page)
}

/// A page's script: it says what it wants on one connection.
struct Script {
    stream: BufReader<TcpStream>,
    host: String,
    token: String,
    client: String,
}

impl Script {
    /// Of a browser that calls itself this.
    fn new(page: &Page, client: &str) -> Self {
        let stream = TcpStream::connect(page.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
            host: page.addr.to_string(),
            token: page.token().to_owned(),
            client: client.repeat(32).chars().take(32).collect(),
        }
    }

    /// Says the head of a request, and a part of its body.
    fn say(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let Self { host, token, .. } = self;
        let mut request = format!(
            "{method} /{token}/{path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
             Sec-Fetch-Site: same-origin\r\n{headers}\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request).unwrap();
    }

    /// Says no more, and waits until the other side has heard that.
    fn close(mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).unwrap();
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// Hears an answer: its status, and what it says.
    fn hear(&mut self) -> (u16, Value) {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = status(&line);
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Value) {
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        self.say(method, path, &headers, body);
        self.hear()
    }

    fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, "", body.to_string().as_bytes())
    }

    fn batch_request(&self, files: u64, bytes: u64, first: &str) -> Value {
        json!({ "client": self.client, "files": files, "bytes": bytes, "first": first })
    }

    /// Begins a batch.
    fn batch(&mut self, files: u64, bytes: u64) -> String {
        let request = self.batch_request(files, bytes, "first");
        let (status, answer) = self.post("batches", &request);
        assert_eq!(status, 201, "{answer}");
        answer["batch"].as_str().unwrap().to_owned()
    }

    fn announce(&mut self, batch: &str, path: &str, size: usize) -> (u16, Value) {
        let client = u64::from(self.client.as_bytes()[0]);
        let mtime = 1_000_000_000_123 + client * 1000;
        let asked = json!({ "batch": batch, "path": path, "size": size, "mtime": mtime });
        self.post("uploads", &asked)
    }

    /// Announces a file that is to come.
    fn upload(&mut self, batch: &str, path: &str, size: usize) -> String {
        let (status, answer) = self.announce(batch, path, size);
        assert_eq!(
            (status, &answer["state"]),
            (201, &json!("receiving")),
            "{answer}"
        );
        answer["upload"].as_str().unwrap().to_owned()
    }

    fn put(&mut self, upload: &str, offset: usize, headers: &str, body: &[u8]) -> (u16, Value) {
        self.ask(
            "PUT",
            &format!("uploads/{upload}?offset={offset}"),
            headers,
            body,
        )
    }

    /// Uploads a whole file.
    fn store(&mut self, batch: &str, path: &str, bytes: &[u8]) -> Value {
        let upload = self.upload(batch, path, bytes.len());
        let (status, answer) = self.put(&upload, 0, "", bytes);
        assert_eq!(
            (status, &answer["state"]),
            (200, &json!("stored")),
            "{answer}"
        );
        answer
    }

    fn end(&mut self, batch: &str) -> Value {
        let (status, answer) = self.ask("POST", &format!("batches/{batch}/end"), "", b"");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn status_of(&mut self, upload: &str) -> Value {
        self.ask("GET", &format!("uploads/{upload}"), "", b"").1
    }
}

/// A header with the digest of these bytes.
fn digest_header(bytes: &[u8]) -> String {
    let digest = xfer::model::digest::sha256(&[bytes]).0;
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in digest.chunks(3) {
        let mut number = [0; 4];
        number[1..=three.len()].copy_from_slice(three);
        let number = u32::from_be_bytes(number);
        for place in 0..=three.len() {
            let digit = (number >> (18 - 6 * place)) & 63;
            text.push(DIGITS[digit as usize].into());
        }
    }
    format!("Content-Digest: sha-256=:{text}=:\r\n")
}

#[test]
fn curl_stores_files_under_their_names() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox, &[]);
    let names = [
        "one",
        "Ünï ço/dé ☃.txt",
        "漢字/עברית/العربية",
        "a b%20c",
        "empty",
        "-n",
        "exact",
    ];
    for (seed, name) in (1..).zip(names) {
        let len = match name {
            "empty" => 0,
            "exact" => CHUNK,
            _ => seed * CHUNK / 2 + seed,
        };
        make_file(sandbox.src().join(name), seed, len);
        let encoded = name.bytes().map(|byte| match byte {
            b'/' => "/".to_owned(),
            _ => format!("%{byte:02X}"),
        });
        let encoded: String = encoded.collect();
        let told = sandbox.path("told");
        let file = sandbox.src().join(name);
        let url = page.at(&format!("files/{encoded}"));
        let status = curl_status(&url, &["-T", file.to_str().unwrap()], &told);
        assert_eq!(status, 201, "{name}: {:?}", fs::read_to_string(told));
    }
    let same = |src: &Path, dst: &Path| {
        let of = |tree: &Path| {
            let all = Tree::read(tree).names().into_iter();
            let all = all.map(|name| (fs::read(tree.join(&name)).ok(), name));
            all.collect::<Vec<_>>()
        };
        assert_eq!(of(src), of(dst));
    };
    same(&sandbox.src(), &sandbox.dst());
    // A second one is stored beside it, and says so. A length that nobody knows is none the worse.
    let one = fs::read(sandbox.src().join("one")).unwrap();
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "-T", "-", &page.at("one")]);
    command.stdin(File::open(sandbox.src().join("one")).unwrap());
    Process::spawn(command).wait().assert_says("\"one (2)\"");
    assert_eq!(fs::read(sandbox.dst().join("one (2)")).unwrap(), one);
    assert_eq!(fs::read(sandbox.dst().join("one")).unwrap(), one);
    fs::remove_file(sandbox.dst().join("one (2)")).unwrap();

    // As a form, into an empty folder.
    for name in fs::read_dir(sandbox.dst()).unwrap() {
        let path = name.unwrap().path();
        fs::remove_dir_all(&path)
            .or_else(|_| fs::remove_file(path))
            .unwrap();
    }
    let parts: Vec<String> = names
        .iter()
        .map(|name| {
            let file = sandbox.src().join(name);
            format!("files=@\"{}\";filename=\"{name}\"", file.display())
        })
        .collect();
    let mut args = vec!["-f"];
    args.extend(parts.iter().flat_map(|part| ["-F", part]));
    let form = page.at("form");
    args.extend(["-F", "other=text", &form]);
    curl(&args).assert_code(0).assert_says("\"failed\":0");
    same(&sandbox.src(), &sandbox.dst());
    // A browser gets a page, in its language.
    let accept = ["-H", "Accept: text/html", "-H", "Accept-Language: de"];
    let field = format!(
        "files=@\"{}\";filename=\"<ü>\"",
        sandbox.src().join("one").display()
    );
    let field = ["-F", &field, &form];
    let answer = curl(&[&accept[..], &field].concat());
    answer
        .assert_says("<html lang=\"de\"")
        .assert_says("&lt;ü&gt;");
    no_leftovers(sandbox.dst());
    recv.interrupt().assert_code(0);
}

#[test]
fn names_that_cannot_be_stored_fail_alone() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let outside = Tree::read(sandbox.dst().parent().unwrap()).names();
    let mut script = Script::new(&page, "1");
    let batch = script.batch(20, 20);
    script.store(&batch, "folder/good", b"good");
    let long = "x".repeat(256);
    let deep = "a/".repeat(2000) + "a";
    let names = [
        ("", "name"),
        ("..", "name"),
        ("../x", "name"),
        ("folder/../../x", "name"),
        ("/etc/x", "name"),
        ("folder//x", "name"),
        ("folder/", "name"),
        ("./x", "name"),
        ("nul\0x", "name"),
        (".xfer", "reserved"),
        (".XFER/x", "reserved"),
        ("folder/.xfer/partials/x", "reserved"),
        (&long, "name_too_long"),
        (&deep, "name_too_long"),
        ("folder/good/x", "clash"),
    ];
    for (name, code) in names {
        let (status, answer) = script.announce(&batch, name, 3);
        assert_eq!((status, &answer["error"]), (422, &json!(code)), "{name}");
    }
    script.store(&batch, "folder/last", b"last");
    let ended = script.end(&batch);
    assert_eq!(ended["stored"], 2);
    assert_eq!(ended["failed"], names.len());
    // Whoever asks again gets the same answer, and nothing else comes.
    assert_eq!(script.end(&batch), ended);
    assert_eq!(script.announce(&batch, "x", 3).0, 404);
    let names = ["folder", "folder/good", "folder/last"];
    assert_eq!(Tree::read(sandbox.dst()).names(), names);
    no_leftovers(sandbox.dst());
    assert_eq!(
        page.status_of("PUT", "files/..%2fx", "Content-Length: 0\r\n"),
        422
    );
    assert_eq!(
        page.status_of("PUT", "files/%00", "Content-Length: 0\r\n"),
        422
    );
    assert_eq!(
        page.status_of("PUT", "files/%zz", "Content-Length: 0\r\n"),
        400
    );
    let inside = Tree::read(sandbox.dst().parent().unwrap()).names();
    assert_eq!(inside.len(), outside.len() + names.len(), "{inside:?}");
}

#[test]
fn an_upload_that_was_cut_off_goes_on_where_it_stood() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "2");
    let batch = script.batch(1, 0);
    let size = 5 * usize::try_from(CHUNK).unwrap() + 4321;
    let bytes = bytes(7, size);
    let upload = script.upload(&batch, "a/film", size);
    // Cut in the middle of a chunk, and again.
    let mut offset = 0;
    for part in [3_333_333, 777, 1 << 20] {
        let mut lost = Script::new(&page, "2");
        let path = format!("uploads/{upload}?offset={offset}");
        let headers = format!("Content-Length: {}\r\n", size - offset);
        lost.say("PUT", &path, &headers, &bytes[offset..offset + part]);
        // What it said before counts, to the last byte.
        lost.close();
        offset += part;
        assert_eq!(script.status_of(&upload)["offset"], offset);
    }
    // Nothing has its name before all is there.
    assert!(!sandbox.dst().join("a/film").exists());
    for wrong in [0, offset - 1, offset + 1, size] {
        let (status, answer) = script.put(&upload, wrong, "", b"");
        assert_eq!(
            (status, &answer["offset"]),
            (409, &json!(offset)),
            "{wrong}"
        );
    }
    let rest = &bytes[offset..];
    let (status, answer) = script.put(&upload, offset, &digest_header(&rest[1..]), rest);
    assert_eq!((status, &answer["error"]), (400, &json!("digest")));
    assert_eq!(script.status_of(&upload)["offset"], offset);
    let longer = [rest, b"x"].concat();
    assert_eq!(script.put(&upload, offset, "", &longer).0, 400);
    assert_eq!(script.status_of(&upload)["offset"], offset);
    let (status, answer) = script.put(&upload, offset, &digest_header(rest), rest);
    assert_eq!(
        (status, &answer["state"]),
        (200, &json!("stored")),
        "{answer}"
    );
    assert_eq!(answer["name"], "film");
    // An answer that was lost is told again.
    assert_eq!(script.status_of(&upload)["state"], "stored");
    assert_eq!(script.put(&upload, offset, "", b"").1["state"], "stored");
    assert_eq!(script.announce(&batch, "a/film", size).1["state"], "stored");
    assert_eq!(script.end(&batch)["stored"], 1);
    let stored = sandbox.dst().join("a/film");
    assert_eq!(fs::read(&stored).unwrap(), bytes);
    let meta = fs::metadata(stored).unwrap();
    assert_eq!(
        (meta.mtime(), meta.mtime_nsec()),
        (1_000_000_050, 123_000_000)
    );
    no_leftovers(sandbox.dst());
}

#[test]
fn a_body_that_is_not_as_long_as_its_file_stores_nothing() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "3");
    let batch = script.batch(2, 20);
    let upload = script.upload(&batch, "short", 10);
    let (_, answer) = script.put(&upload, 0, "", b"12345");
    assert_eq!(
        (&answer["offset"], &answer["state"]),
        (&json!(5), &json!("receiving"))
    );
    // In pieces whose length nobody says.
    let chunked = "Transfer-Encoding: chunked\r\n";
    let path = format!("uploads/{upload}?offset=5");
    script.say("PUT", &path, chunked, b"7\r\n6789abc\r\n0\r\n\r\n");
    let (status, answer) = script.hear();
    assert_eq!(status, 400, "{answer}");
    assert_eq!(script.status_of(&upload)["offset"], 5);
    let other = script.upload(&batch, "other", 4);
    script.say(
        "PUT",
        &format!("uploads/{other}?offset=0"),
        chunked,
        b"4\r\n1234\r\n0\r\n\r\n",
    );
    assert_eq!(script.hear().1["state"], "stored");
    // One that is not wanted any more.
    assert_eq!(
        script
            .ask("DELETE", &format!("uploads/{upload}"), "", b"")
            .0,
        204
    );
    let ended = script.end(&batch);
    assert_eq!((&ended["stored"], &ended["failed"]), (&json!(1), &json!(1)));
    assert_eq!(Tree::read(sandbox.dst()).names(), ["other"]);
    // Nobody goes on with a form or a file of curl that was cut off.
    for (path, head) in [
        ("files/cut", "Content-Length: 3000000\r\n"),
        (
            "form",
            "Content-Length: 3000000\r\nContent-Type: multipart/form-data; boundary=b\r\n",
        ),
    ] {
        let mut lost = Script::new(&page, "3");
        let method = if path == "form" { "POST" } else { "PUT" };
        let part = b"--b\r\nContent-Disposition: form-data; filename=\"cut\"\r\n\r\n";
        lost.say(method, path, head, part);
        let half = bytes(1, 2_000_000);
        lost.stream.get_mut().write_all(&half).unwrap();
        lost.close();
    }
    // The next one settles what those have left.
    let batch = script.batch(1, 1);
    script.end(&batch);
    assert_eq!(Tree::read(sandbox.dst()).names(), ["other"]);
    no_leftovers(sandbox.dst());
}

#[test]
fn several_browsers_upload_the_same_name_at_once() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let size = 3_000_000;
    let mut scripts: Vec<_> = ["a", "b", "c"].map(|one| Script::new(&page, one)).into();
    let mut uploads = Vec::new();
    for script in &mut scripts {
        let batch = script.batch(2, 0);
        uploads.push((script.upload(&batch, "same/photo.jpg", size), batch));
    }
    let all: Vec<_> = (1..=3).map(|seed| bytes(seed, size)).collect();
    for part in [0..1_000_000, 1_000_000..size] {
        for ((script, (upload, _)), bytes) in scripts.iter_mut().zip(&uploads).zip(&all) {
            let (status, answer) = script.put(upload, part.start, "", &bytes[part.clone()]);
            assert_eq!(status, 200, "{answer}");
        }
    }
    for (script, (_, batch)) in scripts.iter_mut().zip(&uploads) {
        let name = format!("other {}.jpg", script.client);
        script.store(batch, &format!("same/{name}"), b"small");
        assert_eq!(script.end(batch)["stored"], 2);
    }
    let dir = sandbox.dst().join("same");
    let mut stored: Vec<_> = ["photo.jpg", "photo (2).jpg", "photo (3).jpg"]
        .map(|name| fs::read(dir.join(name)).unwrap())
        .into();
    let mut sent = all;
    stored.sort();
    sent.sort();
    assert!(stored == sent);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 6);
    no_leftovers(sandbox.dst());
}

#[test]
fn a_receiver_that_is_killed_leaves_no_damaged_file() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "d");
    let batch = script.batch(2, 0);
    let bytes = bytes(9, 4_000_000);
    script.store(&batch, "whole", &bytes);
    let upload = script.upload(&batch, "part", bytes.len());
    let (_, answer) = script.put(&upload, 0, "", &bytes[..3_000_001]);
    assert_eq!(answer["offset"], 3_000_001);
    recv.kill();
    let whole = || fs::read(sandbox.dst().join("whole")).unwrap();
    assert_eq!(whole(), bytes);
    assert!(!sandbox.dst().join("part").exists());

    // The page begins anew, and goes on with what was acknowledged.
    let (recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "d");
    let batch = script.batch(2, 0);
    let (_, answer) = script.announce(&batch, "whole", bytes.len());
    assert_eq!(answer["state"], "stored", "it is there: {answer}");
    let (_, answer) = script.announce(&batch, "part", bytes.len());
    assert_eq!(answer["offset"], 3_000_001, "{answer}");
    let upload = answer["upload"].as_str().unwrap();
    let (_, answer) = script.put(upload, 3_000_001, "", &bytes[3_000_001..]);
    assert_eq!(answer["state"], "stored", "{answer}");
    let ended = script.end(&batch);
    assert_eq!(
        (&ended["stored"], &ended["have"]),
        (&json!(1), &json!(1)),
        "{ended}"
    );
    assert_eq!(whole(), bytes);
    assert_eq!(fs::read(sandbox.dst().join("part")).unwrap(), bytes);
    assert_eq!(Tree::read(sandbox.dst()).names(), ["part", "whole"]);
    no_leftovers(sandbox.dst());
    recv.interrupt().assert_code(0);
}

#[test]
fn a_page_that_is_loaded_again_takes_its_file_over() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let bytes = bytes(3, 2_500_000);
    let mut old = Script::new(&page, "e");
    let batch = old.batch(1, 0);
    let upload = old.upload(&batch, "file", bytes.len());
    assert_eq!(old.put(&upload, 0, "", &bytes[..2_000_000]).0, 200);
    let mut new = Script::new(&page, "e");
    let batch = new.batch(1, 0);
    let end = std::time::Instant::now() + PATIENCE;
    let upload = loop {
        let (status, answer) = new.announce(&batch, "file", bytes.len());
        match status {
            409 => assert!(std::time::Instant::now() < end, "{answer}"),
            _ => break answer["upload"].as_str().unwrap().to_owned(),
        }
    };
    assert_eq!(new.status_of(&upload)["offset"], 2_000_000);
    let (_, answer) = new.put(&upload, 2_000_000, "", &bytes[2_000_000..]);
    assert_eq!(answer["state"], "stored");
    new.end(&batch);
    assert_eq!(fs::read(sandbox.dst().join("file")).unwrap(), bytes);
}

#[test]
fn what_was_acknowledged_is_not_sent_again() {
    let sandbox = Sandbox::new();
    let sums = sandbox.path("sums");
    let args = ["--sums", sums.to_str().unwrap()];
    let (recv, page) = receiver(&sandbox, &args);
    let size = 6_000_000;
    let bytes = bytes(4, size);
    let mut script = Script::new(&page, "4");
    let batch = script.batch(2, 0);
    let upload = script.upload(&batch, "film", size);
    assert_eq!(script.put(&upload, 0, "", &bytes[..2_500_000]).0, 200);
    // What does not count is not there for another batch either.
    let (wrong, right) = (vec![7; 3_000_000], &bytes[2_500_000..5_500_000]);
    let (status, _) = script.put(&upload, 2_500_000, &digest_header(right), &wrong);
    assert_eq!(status, 400);
    let other = script.upload(&batch, "other", size);
    assert_eq!(script.put(&other, 0, "", &bytes[..1_500_000]).0, 200);
    // The page was closed.
    let (status, _) = script.ask("POST", &format!("batches/{batch}/end"), "", b"");
    assert_eq!(status, 200);

    let batch = script.batch(2, 0);
    let (_, answer) = script.announce(&batch, "film", size);
    assert_eq!(answer["offset"], 2_500_000, "{answer}");
    let upload = answer["upload"].as_str().unwrap();
    assert_eq!(
        script
            .put(upload, 2_500_000, &digest_header(right), right)
            .0,
        200
    );
    // Another version of the other one is another file.
    let mtime = 1_500_000_000_000_u64;
    let asked = json!({ "batch": batch, "path": "other", "size": size, "mtime": mtime });
    let (_, answer) = script.post("uploads", &asked);
    assert_eq!(answer["offset"], 0, "{answer}");
    recv.interrupt();

    // The first version is there no more, and the second one has nothing yet.
    let (recv, page) = receiver(&sandbox, &args);
    let mut script = Script::new(&page, "4");
    let batch = script.batch(2, 0);
    let (_, answer) = script.announce(&batch, "other", size);
    assert_eq!(answer["offset"], 0, "{answer}");
    let upload = answer["upload"].as_str().unwrap();
    let zeros = vec![0; size];
    assert_eq!(script.put(upload, 0, "", &zeros).1["state"], "stored");
    let (_, answer) = script.announce(&batch, "film", size);
    assert_eq!(answer["offset"], 5_500_000, "{answer}");
    let upload = answer["upload"].as_str().unwrap();
    let (_, answer) = script.put(upload, 5_500_000, "", &bytes[5_500_000..]);
    assert_eq!(answer["state"], "stored", "{answer}");
    let ended = script.end(&batch);
    assert_eq!((&ended["stored"], &ended["failed"]), (&json!(2), &json!(0)));
    assert!(fs::read(sandbox.dst().join("film")).unwrap() == bytes);
    assert!(fs::read(sandbox.dst().join("other")).unwrap() == zeros);
    let checked = Command::new("sha256sum")
        .arg("--check")
        .arg(&sums)
        .current_dir(sandbox.dst())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    no_leftovers(sandbox.dst());
    recv.interrupt().assert_code(0);
}

#[test]
fn a_rejected_piece_leaves_nothing_in_its_file() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let chunk = usize::try_from(CHUNK).unwrap();
    let mut right = vec![0; 4 * chunk];
    right[..10].fill(1);
    let wrong = vec![7; 3 * chunk + 10];
    let mut script = Script::new(&page, "5");
    let batch = script.batch(1, 0);
    let upload = script.upload(&batch, "file", right.len());
    let (status, answer) = script.put(&upload, 0, &digest_header(b"other"), &wrong);
    assert_eq!((status, &answer["error"]), (400, &json!("digest")));
    // Cut off, and so without a digest to be seen.
    let mut lost = Script::new(&page, "5");
    let path = format!("uploads/{upload}?offset=0");
    let headers = format!(
        "{}Content-Length: {}\r\n",
        digest_header(&right),
        right.len()
    );
    lost.say("PUT", &path, &headers, &wrong);
    lost.close();
    assert_eq!(script.status_of(&upload)["offset"], 0);
    for part in [0..chunk, chunk..right.len()] {
        let piece = &right[part.clone()];
        let (status, answer) = script.put(&upload, part.start, &digest_header(piece), piece);
        assert_eq!(status, 200, "{answer}");
    }
    script.end(&batch);
    assert!(fs::read(sandbox.dst().join("file")).unwrap() == right);
}

#[test]
fn a_form_that_comes_to_nothing_is_answered_by_a_page_for_people() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let answer = |accept: &str| {
        let (token, addr) = (page.token(), page.addr);
        page.raw(
            format!(
                "POST /{token}/form HTTP/1.1\r\nHost: {addr}\r\n{accept}Content-Length: 4\r\n\
                 Content-Type: multipart/form-data; boundary=b\r\n\r\njunk"
            )
            .as_bytes(),
        )
    };
    let page = answer("Accept: text/html\r\n");
    assert!(
        page.starts_with("HTTP/1.1 400") && page.contains("</html>"),
        "{page}"
    );
    let told = answer("");
    assert!(
        told.starts_with("HTTP/1.1 400") && told.contains("\"error\":"),
        "{told}"
    );
}

#[test]
fn files_of_one_name_in_one_form_are_all_stored() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "6");
    let part = |name: &str, text: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n{text}\r\n"
        )
    };
    let parts = [
        ("x.txt", "one"),
        ("x.txt", "two"),
        ("..", "bad"),
        ("x.txt", "six"),
    ];
    let parts: String = parts.iter().map(|(name, text)| part(name, text)).collect();
    let form = format!("{parts}--b--\r\n");
    let kind = "Content-Type: multipart/form-data; boundary=b\r\n";
    let (_, answer) = script.ask("POST", "form", kind, form.as_bytes());
    let stored: Vec<_> = answer["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["stored"].as_str())
        .collect();
    let names = [Some("x.txt"), Some("x (2).txt"), None, Some("x (3).txt")];
    assert_eq!(stored, names, "{answer}");
    for (name, text) in [("x.txt", "one"), ("x (2).txt", "two"), ("x (3).txt", "six")] {
        assert_eq!(fs::read_to_string(sandbox.dst().join(name)).unwrap(), text);
    }
}

#[test]
fn a_page_that_was_closed_leaves_a_batch_that_ends() {
    let sandbox = Sandbox::new();
    let list = sandbox.path("list");
    let on_done = format!("cat > '{}'", list.display());
    let args = ["--on-done", &on_done, "--max-sessions", "1"];
    let (recv, page) = receiver(&sandbox, &args);
    let bytes = bytes(5, 3_000_000);
    let mut script = Script::new(&page, "8");
    let batch = script.batch(9, 0);
    script.store(&batch, "whole", &bytes);
    let upload = script.upload(&batch, "part", bytes.len());
    assert_eq!(script.put(&upload, 0, "", &bytes[..2_000_000]).0, 200);
    // What a page says last.
    let ended = script.end(&batch);
    assert_eq!((&ended["stored"], &ended["failed"]), (&json!(1), &json!(1)));
    recv.process().wait_for("command that ran", |_| {
        let said = fs::read_to_string(&list).ok()?;
        said.contains("whole").then_some(())
    });
    // It is told as what it is, and there is room for another one.
    recv.process().wait_for_text("lost the connection");
    let batch = script.batch(1, 0);
    let (_, answer) = script.announce(&batch, "part", bytes.len());
    assert_eq!(answer["offset"], 2_000_000, "{answer}");
    script.end(&batch);
}

#[test]
fn numbers_that_no_file_has_are_refused() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "0");
    for (files, bytes) in [(1, u64::MAX - 1), (u64::MAX - 1, 1), (u64::MAX, u64::MAX)] {
        let request = script.batch_request(files, bytes, "x");
        assert_eq!(script.post("batches", &request).0, 400);
    }
    let (most, most_files) = (u64::MAX >> 1, 100_000_000);
    let request = script.batch_request(most_files + 1, 1, "x");
    assert_eq!(script.post("batches", &request).0, 400);
    let request = script.batch_request(most_files, most, "x");
    let (_, answer) = script.post("batches", &request);
    let batch = answer["batch"].as_str().unwrap();
    for size in [u64::MAX, u64::MAX - 1, most + 1] {
        let asked = json!({ "batch": batch, "path": "x", "size": size, "mtime": 0 });
        assert_eq!(script.post("uploads", &asked).0, 400, "{size}");
    }
    script.store(batch, "folder/x", b"x");
    assert_eq!(script.end(batch)["stored"], 1);
}

#[test]
fn a_folder_is_asked_about_by_its_name() {
    let sandbox = Sandbox::new();
    let args = ["--web", "--ask", "--no-qr", "--max-sessions", "1"];
    let terminal = Terminal::spawn(sandbox.me().recv_command(&sandbox.dst(), &args));
    let page = Page::of(terminal.process());
    let mut script = Script::new(&page, "f");
    let mut request = script.batch_request(2, 3_000_000, "photos/2024/1.jpg");
    request["named"] = json!(1);
    let text = request.to_string();
    let headers = format!("Content-Length: {}\r\n", text.len());
    script.say("POST", "batches", &headers, text.as_bytes());
    terminal.wait_for("Accept? [y]es, [n]o, [a]lways:", 1);
    // The only place is taken, and so nobody is asked about another one.
    let mut other = Script::new(&page, "e");
    let (status, answer) = other.post("batches", &request);
    assert_eq!((status, &answer["error"]), (503, &json!("busy")));
    terminal.type_line("y");
    let (status, answer) = script.hear();
    assert_eq!(status, 201, "{answer}");
    let screen = unfolded(&terminal.screen());
    assert!(screen.contains("2 files, 3.00 MB: 'photos'"), "{screen}");
    let batch = answer["batch"].as_str().unwrap();
    // A file counts once, however often it fails and is tried again.
    make_file(sandbox.dst().join("photos/taken"), 1, 5);
    for _ in 0..3 {
        let (_, answer) = script.announce(batch, "photos/taken/1.jpg", 1_000_000);
        assert_eq!(answer["error"], "clash", "{answer}");
        let upload = script.upload(batch, "photos/1.jpg", 2_000_000);
        let path = format!("uploads/{upload}");
        assert_eq!(script.ask("DELETE", &path, "", b"").0, 204);
    }
    script.store(batch, "photos/1.jpg", &[1; 2_000_000]);
    script.store(batch, "photos/2.jpg", &[2; 1_000_000]);
    let (_, answer) = script.announce(batch, "photos/3.jpg", 0);
    assert_eq!(answer["error"], "too_much");
    script.end(batch);

    // Nobody has counted the files of a form.
    let form = "--b\r\nContent-Disposition: form-data; filename=\"a.jpg\"\r\n\r\na\r\n--b--\r\n";
    let headers = format!(
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n",
        form.len()
    );
    script.say("POST", "form", &headers, form.as_bytes());
    // Whoever sends one is not known again.
    terminal.wait_for("Accept? [y]es, [n]o:", 1);
    let screen = unfolded(&terminal.screen());
    let asked = format!(
        "(127.0.0.1) wants to send some files, {} B: 'a.jpg' and maybe more",
        form.len()
    );
    assert!(screen.contains(&asked), "{screen}");
    terminal.type_line("y");
    assert_eq!(script.hear().0, 200);
}

#[test]
fn the_user_decides_about_each_batch() {
    let sandbox = Sandbox::new();
    let args = ["--web", "--ask", "--no-qr"];
    let terminal = Terminal::spawn(sandbox.me().recv_command(&sandbox.dst(), &args));
    let page = Page::of(terminal.process());
    let mut script = Script::new(&page, "f");
    let mut decide = |asked: usize, answer: &str, first: &str| {
        let request = script.batch_request(2, 2000, first).to_string();
        let headers = format!("Content-Length: {}\r\n", request.len());
        script.say("POST", "batches", &headers, request.as_bytes());
        terminal.wait_for("Accept? [y]es, [n]o, [a]lways:", asked);
        terminal.type_line(answer);
        script.hear()
    };
    let (status, answer) = decide(1, "n", "holiday.jpg");
    assert_eq!((status, &answer["error"]), (403, &json!("declined")));
    assert_eq!(answer["message"], "The other machine declined.");
    let (status, answer) = decide(2, "y", "a.jpg");
    assert_eq!(status, 201, "{answer}");
    let screen = unfolded(&terminal.screen());
    assert!(
        screen.contains("(127.0.0.1) wants to send 2 files, 2.00 kB: 'holiday.jpg'"),
        "{screen}"
    );
    let batch = answer["batch"].as_str().unwrap();
    script.store(batch, "a.jpg", &[1; 1500]);
    // No more than that.
    let (_, answer) = script.announce(batch, "folder/large", 501);
    assert_eq!(answer["error"], "too_much");
    script.store(batch, "folder/b.jpg", &[2; 500]);
    let (_, answer) = script.announce(batch, "third", 0);
    assert_eq!(answer["error"], "too_much");
    script.end(batch);
    assert_eq!(
        Tree::read(sandbox.dst()).names(),
        ["a.jpg", "folder", "folder/b.jpg"]
    );

    // Whoever asks again with the same key is told what was decided, and the user is not asked.
    let key = "0123456789abcdef0123456789abcdef";
    let mut request = script.batch_request(1, 1, "c");
    request["key"] = json!(key);
    let request = request.to_string();
    let headers = format!("Content-Length: {}\r\n", request.len());
    let mut gone = Script::new(&page, "f");
    gone.say("POST", "batches", &headers, request.as_bytes());
    terminal.wait_for("Accept? [y]es, [n]o, [a]lways:", 3);
    drop(gone);
    script.say("POST", "batches", &headers, request.as_bytes());
    terminal.type_line("y");
    let (status, first) = script.hear();
    assert_eq!(status, 201, "{first}");
    script.say("POST", "batches", &headers, request.as_bytes());
    assert_eq!(script.hear(), (201, first));

    // curl waits as well.
    if has_curl() {
        let file = sandbox.src().join("by curl");
        make_file(&file, 1, 3_000_000);
        let mut command = Command::new("curl");
        let field = format!("f=@{}", file.display());
        command.args(["-sS", "--noproxy", "*", "-F", &field, &page.at("form")]);
        let sent = Process::spawn(command);
        terminal.wait_for("Accept? [y]es, [n]o:", 1);
        terminal.type_line("y");
        sent.wait().assert_code(0).assert_says("\"failed\":0");
        assert_eq!(
            fs::read(file).unwrap(),
            fs::read(sandbox.dst().join("by curl")).unwrap()
        );
    }
}

#[test]
fn nobody_is_asked_about_what_nobody_waits_for() {
    let sandbox = Sandbox::new();
    let args = ["--web", "--ask", "--no-qr"];
    let terminal = Terminal::spawn(sandbox.me().recv_command(&sandbox.dst(), &args));
    let page = Page::of(terminal.process());
    for n in 1..=3 {
        // It leaves with a part of its file on the way, which is not read before it may come.
        let mut gone = Script::new(&page, "f");
        gone.say("PUT", "files/gone", "Content-Length: 3000\r\n", &[1; 1000]);
        terminal.wait_for("Accept? [y]es, [n]o:", n);
    }
    let mut script = Script::new(&page, "f");
    script.say("PUT", "files/file", "Content-Length: 1000\r\n", &[1; 1000]);
    terminal.wait_for("Accept? [y]es, [n]o:", 4);
    terminal.type_line("y");
    assert_eq!(script.hear().0, 201);
    let screen = terminal.screen();
    assert!(
        !screen.contains("[a]lways") && !screen.contains("Failed"),
        "{screen}"
    );
    assert_eq!(Tree::read(sandbox.dst()).names(), ["file"]);
}

#[test]
fn a_batch_is_the_session_that_is_waited_for() {
    let sandbox = Sandbox::new();
    let (list, sums) = (sandbox.path("list"), sandbox.path("sums"));
    let on_done = format!("cat > '{}'", list.display());
    let args = [
        "--once",
        "--on-done",
        &on_done,
        "--sums",
        sums.to_str().unwrap(),
        "--json",
    ];
    let args = [&["--web"], &args[..]].concat();
    let recv = Process::spawn(sandbox.me().recv_command(&sandbox.dst(), &args));
    let url = recv.wait_for("address of a page", |said| {
        let text = said.text();
        let first = serde_json::from_str::<Value>(text.lines().next()?).ok()?;
        first["url"].as_str().map(str::to_owned)
    });
    let addr = url.split('/').nth(2).unwrap().parse().unwrap();
    let page = Page { url, addr };
    let mut script = Script::new(&page, "9");
    let batch = script.batch(3, 0);
    make_file(sandbox.dst().join("taken"), 1, 5);
    let (large, small) = (bytes(1, 2_000_000), bytes(2, 20));
    script.store(&batch, "a/large", &large);
    assert_eq!(script.store(&batch, "taken", &small)["name"], "taken (2)");
    script.store(&batch, "empty", b"");
    assert_eq!(script.announce(&batch, "..", 1).0, 422);
    assert_eq!(script.end(&batch)["renamed"], 1);
    // Not all was stored.
    let said = recv.wait();
    said.assert_code(3);
    let events: Vec<Value> = said
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let of = |kind: &str| events.iter().find(|event| event["event"] == kind).unwrap();
    assert_eq!(of("start")["trust"], "link");
    let finished = of("finished");
    assert_eq!(
        (
            &finished["files"],
            &finished["failed"],
            &finished["renamed"]
        ),
        (&json!(3), &json!(1), &json!(1))
    );
    let list = fs::read_to_string(list).unwrap();
    let mut listed: Vec<_> = list
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| {
            line["stored_as"]
                .as_str()
                .or(line["path"].as_str())
                .unwrap()
                .to_owned()
        })
        .collect();
    listed.sort();
    assert_eq!(listed, ["a", "a/large", "empty", "taken (2)"]);
    let checked = Command::new("sha256sum")
        .arg("--check")
        .arg(&sums)
        .current_dir(sandbox.dst())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(fs::read_to_string(sums).unwrap().lines().count(), 3);
}

#[test]
fn twenty_thousand_small_files() {
    let sandbox = Sandbox::in_memory();
    let (_recv, page) = receiver(&sandbox, &[]);
    let mut script = Script::new(&page, "7");
    let batch = script.batch(20_000, 0);
    for n in 0..20_000 {
        let path = format!("folder {}/file {n}", n % 100);
        script.store(&batch, &path, path.as_bytes());
    }
    assert_eq!(script.end(&batch)["stored"], 20_000);
    for n in [0, 1, 9_999, 19_999] {
        let path = format!("folder {}/file {n}", n % 100);
        assert_eq!(fs::read_to_string(sandbox.dst().join(&path)).unwrap(), path);
    }
    assert_eq!(Tree::read(sandbox.dst()).names().len(), 20_100);
    no_leftovers(sandbox.dst());
}

#[test]
fn five_gibibytes() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox, &[]);
    let file = sandbox.src().join("large");
    make_file(&file, 1, 5_000_000);
    let size = (5 << 30) + 12_345;
    let end = bytes(2, 1_000_000);
    let open = File::options().write(true).open(&file).unwrap();
    open.write_all_at(&end, size - end.len() as u64).unwrap();
    curl(&["-f", "-T", file.to_str().unwrap(), &page.url]).assert_code(0);
    let stored = sandbox.dst().join("large");
    let meta = fs::metadata(&stored).unwrap();
    assert_eq!(meta.len(), size);
    assert!(meta.blocks() * 512 < 50 << 20, "holes take space");
    let read = |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        let stored = File::open(&stored).unwrap();
        stored.read_exact_at(&mut bytes, at).unwrap();
        let mut sent = vec![0; len];
        File::open(&file)
            .unwrap()
            .read_exact_at(&mut sent, at)
            .unwrap();
        assert!(bytes == sent, "{at}");
    };
    read(0, 6_000_000);
    read(size - 3_000_000, 3_000_000);
    if let Some(peak) = recv.process().peak_memory() {
        assert!(peak < 64 << 20, "{peak} bytes");
    }
    no_leftovers(sandbox.dst());
}
