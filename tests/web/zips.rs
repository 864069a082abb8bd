//! Archives of what is shared, as other programs read them.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::downloads::{make_awkward, share};
use super::support::*;

/// Whether unzip is installed; says so if not.
fn has_unzip() -> bool {
    let has = Command::new("unzip").arg("-v").output().is_ok();
    if !has {
        skip("unzip is not installed");
    }
    has && has_curl()
}

/// Unpacks each file under the hexadecimal digits of its name, as that is in the archive.
const UNPACK: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as all:
    assert all.testzip() is None
    for one in all.infolist():
        utf8 = one.flag_bits & 0x800
        name = one.orig_filename.encode('utf-8' if utf8 else 'cp437')
        if not name.endswith(b'/'):
            with open(sys.argv[2] + '/' + name.hex()[-200:], 'wb') as out:
                out.write(all.read(one))
"#;

fn unzip(args: &[&str]) -> Output {
    let mut command = Command::new("unzip");
    command.args(args).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    Process::spawn(command).wait()
}

#[test]
fn an_archive_has_every_entry_as_it_is() {
    if !has_unzip() {
        return;
    }
    let sandbox = Sandbox::new();
    let src = sandbox.src();
    make_awkward(&src);
    make_file(src.join("large"), 9, 5 << 20);
    symlink("plain", src.join("link")).unwrap();
    set_mode(src.join("plain"), 0o640);
    for path in ["plain", "large", "in", "empty folder"] {
        set_mtime(src.join(path), 1_000_000_000, 0);
    }
    let (_share, page) = share(&sandbox, &["src"]);
    for (path, below) in [("zip", "src"), ("zip/src/in/", "in")] {
        let zip = sandbox.path("got.zip");
        let zip = zip.to_str().unwrap();
        assert_eq!(curl_status(&page.at(path), &[], zip.as_ref()), 200);
        unzip(&["-tq", zip]).assert_code(0);
        let out = sandbox.folder(&format!("out-{below}"));
        unzip(&["-q", "-^", zip, "-d", out.to_str().unwrap()]).assert_code(0);
        let from = match below {
            "src" => src.clone(),
            inner => src.join(inner),
        };
        let trees = [from, out.join(below)].map(|at| Tree::read(&at));
        let [mut there, got] = trees;
        let all = there.0.clone();
        // It has names of its own for what is not UTF-8.
        there.0.retain(|name, _| std::str::from_utf8(name).is_ok());
        for (name, node) in &there.0 {
            let other = got
                .0
                .get(name)
                .unwrap_or_else(|| panic!("no {name:?}: {:?}", got.0.keys()));
            assert_eq!(node.kind, other.kind, "{name:?}");
            assert_eq!(node.mode, other.mode, "{name:?}");
            if matches!(node.kind, Kind::File { .. }) {
                assert_eq!(node.mtime.0, other.mtime.0, "{name:?}");
            }
        }
        assert_eq!(all.len(), got.0.len());
        let raw = sandbox.folder(&format!("raw-{below}"));
        let mut python = Command::new("python3");
        python.args(["-c", UNPACK, zip, raw.to_str().unwrap()]);
        Process::spawn(python).wait().assert_code(0);
        for (name, node) in &all {
            let name = [below.as_bytes(), b"/", &name[..]].concat();
            let hex: String = name.iter().map(|b| format!("{b:02x}")).collect();
            match &node.kind {
                Kind::File { len, digest } => {
                    // A name of a file can have 255 letters.
                    let got = raw.join(&hex[hex.len().saturating_sub(200)..]);
                    assert_eq!(digest_of(&got), (*digest, *len), "{name:?}");
                }
                _ => continue,
            }
        }
    }
}

#[test]
fn links_that_lead_out_of_an_archive_are_not_in_it() {
    if !has_unzip() {
        return;
    }
    let sandbox = Sandbox::new();
    let src = sandbox.src();
    make_file(src.join("file"), 1, 10);
    make_file(src.join("in/file"), 1, 10);
    symlink("file", src.join("here")).unwrap();
    symlink("/etc/passwd", src.join("absolute")).unwrap();
    symlink("../../hidden", src.join("out")).unwrap();
    symlink("../file", src.join("in/up")).unwrap();
    symlink("../../file", src.join("in/up and out")).unwrap();
    let (_share, page) = share(&sandbox, &["src"]);
    for (path, links) in [
        ("zip", &["src/here", "src/in/up", "src/in/up and out"][..]),
        ("zip/src/in/", &["in/up"]),
    ] {
        let zip = sandbox.path("got.zip");
        assert_eq!(curl_status(&page.at(path), &[], &zip), 200);
        let listed = unzip(&["-Z1", zip.to_str().unwrap()]);
        listed.assert_code(0);
        let text = String::from_utf8(listed.stdout).unwrap();
        let is_link = |name: &&str| !name.ends_with('/') && !name.ends_with("file");
        let mut names: Vec<&str> = text.lines().filter(is_link).collect();
        names.sort_unstable();
        assert_eq!(names, links, "{path}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_in_the_archive() {
    if !has_unzip() {
        return;
    }
    let sandbox = Sandbox::new();
    let src = sandbox.src();
    make_file(src.join("a"), 1, 10);
    make_file(src.join("b"), 2, 10);
    set_mode(src.join("a"), 0);
    let mut command = sandbox
        .me()
        .command(&["share", "--once", "--listen", "127.0.0.1:0", "src"]);
    command = without_privileges(&command);
    let share = Recv::start(command);
    let page = Page::of(share.process());
    let zip = sandbox.path("got.zip");
    assert_eq!(curl_status(&page.at("zip"), &[], &zip), 200);
    let zip = zip.to_str().unwrap();
    unzip(&["-tq", zip]).assert_code(0);
    unzip(&["-p", zip, "NOT INCLUDED.txt"]).assert_says("could not be read:\na\n");
    // That was not everything, so the share goes on.
    assert_eq!(
        curl_status(&page.at("files/src/a"), &[], &sandbox.path("got")),
        403
    );
}

#[test]
fn an_archive_of_very_many_entries_takes_little_memory() {
    if !has_unzip() {
        return;
    }
    let sandbox = Sandbox::in_memory();
    let many = sandbox.folder("many");
    for folder in 0..70 {
        let folder = many.join(format!("folder {folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..1000 {
            fs::write(folder.join(format!("file {file}")), b"x").unwrap();
        }
    }
    let (share, page) = share(&sandbox, &["many"]);
    let zip = sandbox.path("got.zip");
    assert_eq!(curl_status(&page.at("zip"), &[], &zip), 200);
    let tested = unzip(&["-tq", zip.to_str().unwrap()]);
    tested.assert_code(0);
    let listed = unzip(&["-Z", "-1", zip.to_str().unwrap()]);
    assert_eq!(listed.text().lines().count(), 70_071);
    if let Some(memory) = share.process().peak_memory() {
        assert!(memory < 64 << 20, "{memory}");
    }
}

#[test]
fn a_list_of_very_many_files_takes_little_memory() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::in_memory();
    let many = sandbox.folder("many");
    for file in 0..70_000 {
        fs::write(many.join(format!("file {file}")), b"x").unwrap();
    }
    let (share, page) = share(&sandbox, &["many"]);
    let list = sandbox.path("list");
    assert_eq!(curl_status(&page.at("list/many/"), &[], &list), 200);
    let list = fs::read_to_string(list).unwrap();
    assert_eq!(list.matches("/files/many/file%20").count(), 70_000);
    if let Some(memory) = share.process().peak_memory() {
        assert!(memory < 64 << 20, "{memory}");
    }
}
