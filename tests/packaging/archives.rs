//! Archives and packages, made by `dist/pack.sh` of a program that is none: it is only carried.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::*;
use super::{VERSION, copy_of_source, has, printed};

const WHEN: &str = "1700000000";

/// The pages of the manual that this xfer writes.
fn pages(sandbox: &Sandbox) -> Vec<String> {
    let folder = sandbox.folder("pages");
    sandbox
        .me()
        .run(&["man", folder.to_str().unwrap()])
        .assert_code(0);
    let mut pages: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert!(pages.len() > 5);
    pages
}

/// Packs in a folder of this name, by a user of that umask; what came out, by name.
fn pack(sandbox: &Sandbox, name: &str, umask: &str, target: &str) -> BTreeMap<String, PathBuf> {
    let source = sandbox.folder(name);
    copy_of_source(&source);
    let program = source.join("program");
    fs::write(&program, "#!/bin/sh\necho carried\n").unwrap();
    // As cargo leaves it, for this user.
    set_mode(&program, 0o777 & !u32::from_str_radix(umask, 8).unwrap());
    let me = sandbox.user(name);
    let host = me.command::<&str>(&[]).get_program().to_owned();
    let script = format!("umask {umask}; exec dist/pack.sh \"$@\"");
    let mut command = Command::new("bash");
    command
        .args(["-c", &script, "pack", target])
        .args([&program, Path::new(&host), Path::new("out")])
        .current_dir(&source)
        .env("SOURCE_DATE_EPOCH", WHEN)
        .env("XFER_DIR", source.join("elsewhere"))
        .env("HOME", me.home());
    printed(&mut command);
    fs::read_dir(source.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect()
}

#[track_caller]
fn packs_the_same(target: &str, names: &[String]) {
    if !["zip", "dpkg-deb", "rpmbuild"].into_iter().all(has) {
        return;
    }
    let sandbox = Sandbox::new();
    let one = pack(&sandbox, "one", "022", target);
    let other = pack(&sandbox, "quite another", "077", target);
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
    for (name, path) in &one {
        assert!(
            fs::read(path).unwrap() == fs::read(&other[name]).unwrap(),
            "{name} depends on where and by whom it is made"
        );
    }
}

#[test]
fn the_same_program_gives_the_same_bytes() {
    for (name, deb, rpm) in [
        ("x86_64", "amd64", "x86_64"),
        ("aarch64", "arm64", "aarch64"),
    ] {
        let names = [
            format!("xfer-{VERSION}-1.{rpm}.rpm"),
            format!("xfer-{VERSION}-{name}-linux-musl.tar.gz"),
            format!("xfer_{VERSION}-1_{deb}.deb"),
        ];
        packs_the_same(&format!("{name}-unknown-linux-musl"), &names);
    }
    let names = [format!("xfer-{VERSION}-x86_64-windows.zip")];
    packs_the_same("x86_64-pc-windows-gnu", &names);
}

#[test]
fn an_archive_is_one_folder_with_all_that_a_user_gets() {
    if !["zip", "unzip"].into_iter().all(has) {
        return;
    }
    let sandbox = Sandbox::new();
    let pages = pages(&sandbox);
    for (target, name, more) in [
        (
            "x86_64-unknown-linux-musl",
            format!("xfer-{VERSION}-x86_64-linux-musl.tar.gz"),
            &["xfer", "assets", "assets/xfer.service"][..],
        ),
        (
            "x86_64-pc-windows-gnu",
            format!("xfer-{VERSION}-x86_64-windows.zip"),
            &["xfer.exe", "completions/xfer.ps1"],
        ),
    ] {
        let archive = &pack(&sandbox, target, "022", target)[&name];
        let to = sandbox.folder(&format!("unpacked {target}"));
        let mut command = if name.ends_with(".zip") {
            let mut unzip = Command::new("unzip");
            unzip.arg("-q").arg(archive).arg("-d").arg(&to);
            unzip
        } else {
            let mut tar = Command::new("tar");
            tar.arg("-xpzf").arg(archive).arg("-C").arg(&to);
            tar
        };
        printed(&mut command);
        let folder = name.trim_end_matches(".zip").trim_end_matches(".tar.gz");
        let mut expected: Vec<_> = ["LICENSE", "README.md", "completions", "man"]
            .into_iter()
            .chain([
                "completions/_xfer",
                "completions/xfer.bash",
                "completions/xfer.fish",
            ])
            .chain(more.iter().copied())
            .map(str::to_owned)
            .chain(pages.iter().map(|page| format!("man/{page}")))
            .map(|path| format!("{folder}/{path}"))
            .chain([folder.to_owned()])
            .collect();
        expected.sort();
        let mut found: Vec<_> = walkdir::WalkDir::new(&to)
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap())
            .inspect(|entry| {
                let meta = entry.metadata().unwrap();
                let name = entry.file_name();
                let runs = meta.is_dir() || name == "xfer" || name == "xfer.exe";
                let mode = if runs { 0o755 } else { 0o644 };
                assert_eq!(meta.permissions().mode() & 0o777, mode, "{entry:?}");
                assert!(meta.is_dir() || meta.len() > 0, "{entry:?}");
            })
            .map(|entry| {
                entry
                    .path()
                    .strip_prefix(&to)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

/// The files of a package, as its tool lists them, without `.` before.
fn files(listing: &str) -> Vec<String> {
    let mut files: Vec<_> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(|path| path.trim_start_matches('.').to_owned())
        .filter(|path| !path.ends_with('/'))
        .collect();
    files.sort();
    files
}

#[test]
fn packages_put_everything_where_the_system_looks_for_it() {
    if !["dpkg-deb", "rpm", "rpmbuild"].into_iter().all(has) {
        return;
    }
    let sandbox = Sandbox::new();
    let packed = pack(&sandbox, "source", "022", "x86_64-unknown-linux-musl");
    let common = [
        "/usr/bin/xfer",
        "/usr/lib/systemd/user/xfer.service",
        "/usr/share/bash-completion/completions/xfer",
        "/usr/share/fish/vendor_completions.d/xfer.fish",
    ];
    let common: Vec<_> = common
        .into_iter()
        .map(str::to_owned)
        .chain(
            pages(&sandbox)
                .iter()
                .map(|page| format!("/usr/share/man/man1/{page}.gz")),
        )
        .collect();
    let with = |more: &[&str]| {
        let mut all = common.clone();
        all.extend(more.iter().map(|path| (*path).to_owned()));
        all.sort();
        all
    };

    let deb = &packed[&format!("xfer_{VERSION}-1_amd64.deb")];
    let listed = printed(Command::new("dpkg-deb").arg("-c").arg(deb));
    assert!(
        !listed.lines().any(|line| !line.contains(" root/root ")),
        "{listed}"
    );
    let own = [
        "/usr/share/doc/xfer/changelog.Debian.gz",
        "/usr/share/doc/xfer/copyright",
        "/usr/share/lintian/overrides/xfer",
        "/usr/share/zsh/vendor-completions/_xfer",
    ];
    assert_eq!(files(&listed), with(&own));
    let control = printed(Command::new("dpkg-deb").arg("-f").arg(deb));
    assert!(
        control.contains(&format!("Version: {VERSION}-1\n")),
        "{control}"
    );
    // It needs nothing that could be missing, and does nothing when it is installed.
    assert!(!control.contains("Depends"), "{control}");
    let scripts = printed(Command::new("dpkg-deb").args(["--ctrl-tarfile"]).arg(deb));
    assert!(!scripts.contains("postinst") && !scripts.contains("prerm"));
    let unpacked = sandbox.folder("unpacked");
    printed(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&unpacked));
    let licence = fs::read_to_string(unpacked.join("usr/share/doc/xfer/copyright")).unwrap();
    assert!(licence.contains("\nLicense: Expat\n") && licence.contains("THE SOFTWARE IS PROVIDED"));
    let unit = fs::read_to_string(unpacked.join("usr/lib/systemd/user/xfer.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/xfer recv\n"), "{unit}");
    assert!(
        !unit.contains(".local/bin") && !unit.contains("#     cp "),
        "{unit}"
    );

    let rpm = &packed[&format!("xfer-{VERSION}-1.x86_64.rpm")];
    let listed = printed(Command::new("rpm").args(["-qlp"]).arg(rpm));
    let own = [
        "/usr/share/doc/xfer/README.md",
        "/usr/share/licenses/xfer/LICENSE",
        "/usr/share/zsh/site-functions/_xfer",
    ];
    assert_eq!(files(&listed), with(&own));
    let format = "%{NAME} %{VERSION} %{LICENSE} %{ARCH} %{BUILDTIME} %{BUILDHOST}";
    let said = printed(Command::new("rpm").args(["-qp", "--qf", format]).arg(rpm));
    let licence = env!("CARGO_PKG_LICENSE");
    assert_eq!(
        said,
        format!("xfer {VERSION} {licence} x86_64 {WHEN} localhost")
    );
    let needs = printed(Command::new("rpm").args(["-qp", "--requires"]).arg(rpm));
    assert!(
        needs.lines().all(|need| need.starts_with("rpmlib(")),
        "{needs}"
    );
}
