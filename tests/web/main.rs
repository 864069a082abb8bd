//! Pages for browsers, by curl: who is let in, what every answer says, and what is beside them.

#![cfg(feature = "web")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod downloads;
mod zips;

use std::time::{Duration, Instant};

use support::*;

/// A receiver with a page.
fn receiver(sandbox: &Sandbox, args: &[&str]) -> (Recv, Page) {
    let args = [&["--web"], args].concat();
    let recv = Recv::start(sandbox.me().recv_command(&sandbox.dst(), &args));
    let page = Page::of(recv.process());
    (recv, page)
}

#[test]
fn only_who_knows_the_address_is_told_anything() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox, &[]);
    let head = curl(&["-i", &page.url]);
    let said = head.text().to_ascii_lowercase();
    for line in [
        "http/1.1 200",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
        "content-security-policy: default-src 'none'",
    ] {
        assert!(said.contains(line), "no {line}:\n{said}");
    }
    // Browsers complain of this one where nothing is encrypted.
    assert!(!said.contains("cross-origin-opener-policy"), "{said}");
    assert!(
        !said.contains("set-cookie") && !said.contains("\nserver:"),
        "{said}"
    );
    assert_eq!(page.token().len(), 26);

    // Nothing else is any different from what is not there, and each time it takes longer.
    let token = page.token();
    let other: String = token.chars().rev().collect();
    let mut before = Duration::ZERO;
    for path in ["", &other, &token[1..], "../etc/passwd"] {
        let began = Instant::now();
        let url = format!("http://{}/{path}", page.addr);
        let answer = curl(&["-i", "--path-as-is", &url]).text();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, "Nothing here. Is the address complete?\n");
        let took = began.elapsed();
        assert!(took > before + Duration::from_millis(500), "{took:?}");
        before = took;
    }
    // Browsers ask for these by themselves: that is no guess, and keeps nobody waiting.
    for path in ["favicon.ico", "apple-touch-icon-120x120-precomposed.png"] {
        let began = Instant::now();
        let url = format!("http://{}/{path}", page.addr);
        let answer = curl(&["-i", &url]).text();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(began.elapsed() < before, "{:?}", began.elapsed());
    }
    // Nor is it told by which names this machine goes.
    let other = format!("http://{}/x/", page.addr);
    let answer = curl(&["-i", "-H", "Host: evil.example", &other]).text();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let without_slash = page.url.trim_end_matches('/');
    let moved = curl(&["-i", without_slash]).text();
    assert!(moved.starts_with("HTTP/1.1 308"), "{moved}");

    // Whoever sends with xfer does so at the same port.
    make_file(sandbox.src().join("a"), 1, 100_000);
    sandbox
        .send(&[&sandbox.src().join("a")], &recv.target())
        .assert_code(0);
    recv.interrupt().assert_code(0);
}

#[test]
fn other_names_and_other_pages_are_refused() {
    let sandbox = Sandbox::new();
    let (_recv, page) = receiver(&sandbox, &[]);
    let ip = page.addr;
    for (headers, answer) in [
        ("Host: evil.example\r\n".to_owned(), 421),
        (format!("Host: {ip}.evil.example\r\n"), 400),
        ("Host: localhost\r\n".to_owned(), 200),
        ("Host: a\r\nHost: a\r\n".to_owned(), 400),
        (format!("Host: {ip}\r\nOrigin: http://{ip}\r\n"), 200),
        (
            format!("Host: {ip}\r\nOrigin: http://evil.example\r\n"),
            403,
        ),
        (format!("Host: {ip}\r\nOrigin: null\r\n"), 403),
        (format!("Host: {ip}\r\nSec-Fetch-Site: cross-site\r\n"), 200),
    ] {
        let got = page.status_of("GET", "", &headers);
        // What has no port at its end is not looked at in any case.
        let same = got == answer || answer == 400 && got == 421;
        assert!(same, "{headers}: {got}");
    }
    for (method, answer) in [
        ("POST", 403),
        ("OPTIONS", 405),
        ("TRACE", 405),
        ("DELETE", 403),
    ] {
        let headers = "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n";
        assert_eq!(page.status_of(method, "", headers), answer, "{method}");
    }
    let head = format!(
        "GET /{}/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        page.token()
    );
    let said = page.raw(head.as_bytes());
    assert!(
        said.ends_with("\r\n\r\nNothing here. Is the address complete?\n"),
        "{said}"
    );
    let head = format!("TRACE /{}/ HTTP/1.1\r\nHost: {ip}\r\n\r\n", page.token());
    let said = page.raw(head.as_bytes()).to_ascii_lowercase();
    assert!(
        said.contains("\r\nallow: get, head, post, put, delete\r\n"),
        "{said}"
    );
}

#[test]
fn a_page_is_told_with_its_code_only_where_that_can_be_seen() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox, &[]);
    let said = recv.interrupt();
    said.assert_says("Or open this page in a browser:")
        .assert_says(&page.url)
        .assert_does_not_say("█");
    let shown = |args: &[&str], columns| {
        let all = ["--web"];
        let command = sandbox
            .me()
            .recv_command(&sandbox.dst(), &[&all, args].concat());
        let screen = Screen::new(command, columns, 50);
        screen.wait_for("Press Ctrl-C to stop.").text()
    };
    let too_narrow = |text: &str| text.contains("too narrow");
    let text = shown(&[], 80);
    assert!(text.contains('█') && !too_narrow(&text), "{text}");
    let text = shown(&["--no-qr"], 80);
    assert!(!text.contains('█') && !too_narrow(&text), "{text}");
    let text = shown(&[], 36);
    assert!(!text.contains('█') && too_narrow(&text), "{text}");
}

#[test]
fn a_quiet_page_can_be_opened() {
    let sandbox = Sandbox::new();
    let recv = Process::spawn(
        sandbox
            .me()
            .recv_command(&sandbox.dst(), &["--web", "--pin", "-q"]),
    );
    recv.wait_for_text("PIN: ");
    let printed = recv.printed();
    let text = printed.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(lines[0].starts_with("http://127.0.0.1:"), "{printed}");
    // From here on Ctrl-C is how it ends.
    assert_eq!(Page::of(&recv).status_of("GET", "", ""), 401);
    recv.interrupt();
    recv.wait().assert_code(0);
}
