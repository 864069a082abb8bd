//! The recipes about browsers, and about fetching. What a browser does is done by curl: tests/browser
//! has a real one.

use std::fs;
use std::process::Command;

use xfer::net::{Identity, Known, Peers};

use super::scene::{Person, Running, Scene};
use super::support::*;
use super::text::Part;

fn peers(person: &Person) -> Peers {
    Peers::in_dir(&person.home(".local/share/xfer"))
}

fn know(who: &Person, other: &Person, change: impl FnOnce(&mut Known)) {
    let identity = Identity::load_or_create(&other.home(".config/xfer")).unwrap();
    let mut known = Known::new(other.name, identity.fingerprint());
    change(&mut known);
    let add = |all: &mut Vec<Known>| {
        all.push(known);
        Ok(())
    };
    peers(who).update(add).unwrap();
}

/// What a page below this address answers, without the slash at its end.
fn loaded(address: &str) -> String {
    let page = curl(&["--fail", &format!("{address}/")]);
    page.assert_code(0);
    page.text()
}

fn address(process: &Process) -> String {
    Page::of(process).url.trim_end_matches('/').to_owned()
}

/// Runs a line with the address that xfer has printed.
fn run_with(scene: &Scene, who: &Person, line: &str, address: &str) {
    let mut command = scene.command(who, line);
    command.env("ADDRESS", address);
    scene.spawn_command(command).end().assert_code(0);
}

pub(crate) fn to_a_browser(scene: &Scene) {
    let [share] = scene.lines();
    let share = scene.spawn(&scene.desktop, &share);
    let page = loaded(&address(&share));
    assert!(
        page.contains("photos") && page.contains("film.mkv"),
        "{page}"
    );
    share.stop().assert_code(0);
}

pub(crate) fn from_a_browser(scene: &Scene) {
    let [receive] = scene.lines();
    let receiver: Running<Process> = scene.receive(&scene.laptop, &receive);
    let address = address(&receiver);
    assert!(loaded(&address).contains("<form"));
    let file = format!("files=@{}", scene.desktop.home("film.mkv").display());
    let sent = curl(&["--fail", "-F", &file, &format!("{address}/form")]);
    sent.assert_code(0);
    receiver.stop().assert_code(0);
    scene.assert_received(&["film.mkv"], &scene.laptop.downloads());
}

pub(crate) fn by_a_script(scene: &Scene) {
    let [download, upload] = scene.lines();
    let of = |title: &str| Part::of(title).lines.remove(0);
    let share = scene.spawn(
        &scene.desktop,
        &of("To a phone, or anything with a browser"),
    );
    run_with(scene, &scene.laptop, &download, &address(&share));
    share.stop();
    let downloads = scene.laptop.downloads();
    scene.assert_received(&["film.mkv"], &downloads);
    fs::remove_file(downloads.join("film.mkv")).unwrap();
    let receiver = scene.receive(
        &scene.laptop,
        &of("From a phone, or anything with a browser"),
    );
    run_with(scene, &scene.desktop, &upload, &address(&receiver));
    receiver.stop();
    scene.assert_received(&["film.mkv"], &downloads);
}

pub(crate) fn who_else_may(scene: &Scene) {
    let [ask, pin, certificate] = scene.lines();
    let receiver = scene.receive_in_terminal(&scene.laptop, &ask);
    let address = address(receiver.process());
    let file = format!("files=@{}", scene.desktop.home("film.mkv").display());
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--fail", "-F", &file]);
    command.arg(format!("{address}/form"));
    let sender = Process::spawn(command);
    receiver.wait_for("[y", 1);
    receiver.type_line("y");
    sender.wait().assert_code(0);
    receiver.stop();
    scene.assert_received(&["film.mkv"], &scene.laptop.downloads());

    let share = scene.spawn(&scene.desktop, &pin);
    let url = format!("{}/", Page::of(&share).url.trim_end_matches('/'));
    let into = scene.sandbox.path("answer");
    assert_eq!(curl_status(&url, &[], &into), 401);
    share.stop();

    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args([
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=xfer",
        ])
        .args(["-days", "2", "-out", "cert.pem", "-keyout", "key.pem"])
        .current_dir(&scene.desktop.cwd)
        .output();
    assert!(made.unwrap().status.success());
    let share = scene.spawn(&scene.desktop, &certificate);
    let url = Page::of(&share).url;
    assert!(url.starts_with("https://"), "{url}");
    assert_eq!(curl_status(&url, &["--insecure"], &into), 200);
    share.stop();
}

pub(crate) fn fetching(scene: &Scene) {
    let [share, all, some, list, update] = scene.lines();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    know(desktop, laptop, |known| known.may_fetch = true);
    fs::create_dir(laptop.home("Pictures")).unwrap();
    let share = scene.spawn(desktop, &share);
    let addr = share.wait_for("'Listening on'", |output| {
        let text = output.text();
        let rest = text.split_once("Listening on ")?.1;
        let addr: std::net::SocketAddr = rest.split_once(", sharing ")?.0.parse().ok()?;
        Some(addr)
    });
    let ip = match addr.ip().is_unspecified() {
        true => std::net::IpAddr::from(super::network::LAPTOP),
        false => addr.ip(),
    };
    let addr = std::net::SocketAddr::new(ip, addr.port());
    know(laptop, desktop, |known| {
        known.shares = true;
        known.address = Some(addr.into());
    });
    let get = |line: &str| {
        let got = scene.run(laptop, line);
        got.assert_code(0);
        got
    };
    get(&all);
    scene.assert_received(&["photos", "film.mkv"], &laptop.downloads());
    get(&some);
    let below = "photos/2024";
    assert_same_tree(desktop.home(below), laptop.home("Pictures").join(below));
    get(&list).assert_says("film.mkv");
    make_file(desktop.home("film.mkv"), 9, 100);
    get(&update);
    scene.assert_received(&["photos", "film.mkv"], &laptop.downloads());
    share.stop().assert_code(0);
}
