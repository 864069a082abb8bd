//! Raw bytes where a receiver has a page: requests that no browser would make, and connections that
//! say nothing. Whatever comes, peers are served beside it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::*;

/// A receiver with a page.
fn receiver(sandbox: &Sandbox) -> (Recv, Page) {
    let recv = sandbox.recv_with(&["--web"]);
    let page = Page::of(recv.process());
    (recv, page)
}

/// Fails unless a file still arrives, and the page is still there.
#[track_caller]
fn serves(sandbox: &Sandbox, recv: &Recv, page: &Page) {
    let file = sandbox.src().join("honest");
    make_file(&file, 1, 2_000_000);
    sandbox.send(&[&file], &recv.target()).assert_code(0);
    assert_eq!(page.status_of("GET", "", ""), 200);
}

/// How many answers there are.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

#[test]
fn requests_that_two_programs_would_read_differently_are_not_answered() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox);
    let (token, host) = (page.token().to_owned(), page.addr);
    let hidden = format!("GET /{token}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST /{token}/x HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}")
    };
    let len = hidden.len();
    for request in [
        post(
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            &format!("0\r\n\r\n{hidden}"),
        ),
        post(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            &format!("0\r\n\r\n{hidden}"),
        ),
        post(
            &format!("Content-Length: 0\r\nContent-Length: {len}\r\n"),
            &hidden,
        ),
        post("Content-Length: +0\r\n", &hidden),
        post("Content-Length: -1\r\n", &hidden),
        post("Content-Length: 0x0\r\n", &hidden),
        post("Content-Length: 0, 0\r\n", &hidden),
        post("Content-Length: 99999999999999999999999\r\n", &hidden),
        post("Transfer-Encoding: xchunked\r\n", &hidden),
        post("Transfer-Encoding: chunked, identity\r\n", &hidden),
        post(
            "Transfer-Encoding : chunked\r\n",
            &format!("0\r\n\r\n{hidden}"),
        ),
        post("X: a\r\n b: c\r\nContent-Length: 0\r\n", &hidden),
        post("X\0: a\r\nContent-Length: 0\r\n", &hidden),
        post("X: a\rContent-Length: 0\r\n", &hidden),
        post(": a\r\nContent-Length: 0\r\n", &hidden),
        format!(
            "POST /{token}/x HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("GET http://{host}/{token}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET //{host}/{token}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("TRACE /{token}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET /{token}/ HTTP/2.0\r\nHost: {host}\r\n\r\n"),
        format!("GET /{token}/\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = page.raw(request.as_bytes());
        assert!(answers(&answer) <= 1, "{request}\n{answer}");
        assert!(!answer.starts_with("HTTP/1.1 2"), "{request}\n{answer}");
    }
    serves(&sandbox, &recv, &page);
}

#[test]
fn who_does_not_know_the_secret_keeps_nobody_out() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox);
    let open = |token: &str| {
        let mut stream = TcpStream::connect(page.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let get = format!("GET /{token}/ HTTP/1.1\r\nHost: {}\r\n\r\n", page.addr);
        stream.write_all(get.as_bytes()).unwrap();
        stream
    };
    let wrong: Vec<_> = (0..80).map(|_| open("wrong")).collect();
    // Six phones behind one address, each with six connections.
    let mut right: Vec<_> = (0..36).map(|_| open(page.token())).collect();
    for stream in &mut right {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    serves(&sandbox, &recv, &page);
    drop((wrong, right));
}

#[test]
fn a_body_that_is_packed_is_not_taken_for_a_file() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox);
    for coding in ["gzip, chunked", "gzip,chunked"] {
        let headers = format!("Transfer-Encoding: {coding}\r\n");
        assert_eq!(page.status_of("PUT", "file", &headers), 501, "{coding}");
    }
    serves(&sandbox, &recv, &page);
}

#[test]
fn floods_and_lengths_that_lie_end_a_connection_and_nothing_else() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox);
    let (token, host) = (page.token().to_owned(), page.addr);
    let get = |path: &str, headers: &str| {
        format!(
            "GET /{token}/{path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"
        )
    };
    for (request, expected) in [
        (get("", &"A: b\r\n".repeat(200)), &[431][..]),
        (get("", &format!("A: {}\r\n", "b".repeat(200_000))), &[431]),
        (get("", &format!("{}: b\r\n", "a".repeat(200_000))), &[431]),
        (get(&"a/".repeat(25_000), ""), &[404, 414]),
        (get(&"a".repeat(200_000), ""), &[414, 431]),
        (get("%00%ff%", ""), &[404]),
        (get("../../etc/passwd", ""), &[404]),
        (get("?a=b#c", ""), &[200, 400]),
    ] {
        let got = status(&page.raw(request.as_bytes()));
        // Where it has had enough before all is said, the answer can be lost.
        let is_cut = got == 0 && request.len() > 100_000;
        assert!(
            expected.contains(&got) || is_cut,
            "{}: {got}",
            &request[..60]
        );
    }
    let post = |len: usize, body: &str| {
        let head =
            format!("POST /{token}/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n");
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(!post(100, "short").starts_with("HTTP/1.1 2"));
    // What is too much is a request of its own, which this is none.
    assert!(!post(3, "too long").contains("HTTP/1.1 2"));
    let two = format!(
        "{}{}",
        get("", "").replace("Connection: close\r\n", ""),
        get("", "")
    );
    assert_eq!(
        answers(&page.raw(two.as_bytes())),
        2,
        "one behind the other"
    );
    serves(&sandbox, &recv, &page);
}

#[test]
fn connections_of_browsers_that_say_nothing_hinder_no_peer_and_end() {
    let sandbox = Sandbox::new();
    let (recv, page) = receiver(&sandbox);
    let begun = Instant::now();
    let mut silent: Vec<_> = (0..150)
        .map(|n| {
            let mut stream = TcpStream::connect(page.addr).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = match n % 3 {
                0 => Ok(()),
                1 => stream.write_all(b"GET / HTTP/1.1\r\nHost: "),
                _ => stream.write_all(b"G"),
            };
            stream
        })
        .collect();
    let file = sandbox.src().join("honest");
    make_file(&file, 1, 20_000_000);
    sandbox.send(&[&file], &recv.target()).assert_code(0);
    // Another address has places of its own.
    if has_curl() {
        let into = sandbox.path("page");
        let from = ["--interface", "127.0.0.2"];
        assert_eq!(curl_status(&page.url, &from, &into), 200);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    for stream in &mut silent {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    serves(&sandbox, &recv, &page);
}
