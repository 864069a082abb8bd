//! install.sh with a built archive, which here has the program under test in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::*;
use super::{VERSION, copy_of_source, printed};

/// A release as somebody has downloaded it, and a home to install it into.
struct Download {
    sandbox: Sandbox,
    folder: PathBuf,
    archive: String,
}

impl Download {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let folder = sandbox.folder("download");
        fs::copy("install.sh", folder.join("install.sh")).unwrap();
        let archive = format!(
            "xfer-{VERSION}-{}-linux-musl.tar.gz",
            std::env::consts::ARCH
        );
        let this = Self {
            sandbox,
            folder,
            archive,
        };
        let program = this
            .sandbox
            .me()
            .command::<&str>(&[])
            .get_program()
            .to_owned();
        this.make(&this.archive, Path::new(&program));
        this.list(&["--", &this.archive]);
        this
    }

    /// An archive of this program.
    fn make(&self, name: &str, program: &Path) {
        let inner = name.trim_end_matches(".tar.gz");
        let stage = self.sandbox.folder(inner);
        let _ = fs::remove_file(stage.join("xfer"));
        fs::copy(program, stage.join("xfer")).unwrap();
        let tar = ["--use-compress-program=gzip -1", "-cf"];
        let mut command = Command::new("tar");
        command.args(tar).arg(self.folder.join(name)).arg(inner);
        printed(command.current_dir(stage.parent().unwrap()));
    }

    /// Makes SHA256SUMS of these.
    fn list(&self, names: &[&str]) {
        let sums = printed(
            Command::new("sha256sum")
                .args(names)
                .current_dir(&self.folder),
        );
        fs::write(self.folder.join("SHA256SUMS"), sums).unwrap();
    }

    fn install(&self, args: &[&str]) -> Output {
        let mut command = self.sandbox.me().command::<&str>(&[]);
        let env: Vec<_> = command
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("sh");
        command.arg("install.sh").args(args).env_clear().envs(env);
        // What it would build with is not here.
        command
            .env("PATH", "/usr/bin:/bin")
            .env("CC", "false")
            .current_dir(&self.folder);
        Process::spawn(command).wait()
    }

    fn installed(&self) -> PathBuf {
        self.sandbox.me().home().join(".local/bin/xfer")
    }

    #[track_caller]
    fn refuses(&self, args: &[&str], why: &str) {
        let output = self.install(args);
        output.assert_code(1).assert_says(why);
        assert!(!self.installed().exists());
        let bin = self.installed().parent().unwrap().to_path_buf();
        assert!(!bin.exists(), "something is left");
    }
}

#[test]
fn an_archive_is_installed_without_a_compiler() {
    for named in [true, false] {
        let download = Download::new();
        let args = [&*download.archive];
        let output = download.install(if named { &args } else { &[] });
        output.assert_code(0).assert_says("Checked the SHA-256 sum");
        let version = printed(Command::new(download.installed()).arg("--version"));
        assert_eq!(version, format!("xfer {VERSION}\n"));
        let share = download.sandbox.me().home().join(".local/share");
        for file in [
            "bash-completion/completions/xfer",
            "zsh/site-functions/_xfer",
            "fish/vendor_completions.d/xfer.fish",
            "man/man1/xfer.1",
            "man/man1/xfer-send.1",
        ] {
            assert!(fs::metadata(share.join(file)).unwrap().len() > 0, "{file}");
        }
        // Again, over itself.
        download.install(&args).assert_code(0);
    }
}

#[test]
fn an_archive_somewhere_else_has_its_sums_beside_it() {
    let download = Download::new();
    let other = download.sandbox.folder("other");
    let archive = other.join(&download.archive);
    fs::rename(download.folder.join(&download.archive), &archive).unwrap();
    // These say nothing of it.
    fs::write(download.folder.join("SHA256SUMS"), "").unwrap();
    let archive = archive.to_str().unwrap();
    let output = download.install(&[archive]);
    output
        .assert_code(0)
        .assert_says("there is no SHA256SUMS beside");
    assert!(download.installed().exists());
}

#[test]
fn an_archive_that_is_not_the_listed_one_is_refused() {
    let download = Download::new();
    let path = download.folder.join(&download.archive);
    let mut content = fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&path, content).unwrap();
    download.refuses(&[&download.archive], "damaged or not the released one");
    download.refuses(&[], "damaged or not the released one");
}

#[test]
fn an_archive_that_is_not_listed_is_refused() {
    let download = Download::new();
    fs::copy(
        download.folder.join(&download.archive),
        download.folder.join("xfer-other.tar.gz"),
    )
    .unwrap();
    download.refuses(&["xfer-other.tar.gz"], "does not list xfer-other.tar.gz");
    // A name that a pattern would match, or that is the end of another, is not that name.
    for listed in [
        "xfer.other.tar.gz",
        "not-xfer-other.tar.gz",
        "xfer-other.tar.gz.asc",
    ] {
        let line = format!("{} *{listed}\n", "0".repeat(64));
        fs::write(download.folder.join("SHA256SUMS"), line).unwrap();
        download.refuses(&["xfer-other.tar.gz"], "does not list xfer-other.tar.gz");
    }
}

#[test]
fn several_archives_are_for_the_user_to_choose_from() {
    let download = Download::new();
    let second = download.archive.replace(VERSION, "9.9");
    fs::copy(
        download.folder.join(&download.archive),
        download.folder.join(&second),
    )
    .unwrap();
    download.refuses(&[], &format!("./install.sh {second}"));
    download.install(&[&download.archive]).assert_code(0);
}

#[test]
fn a_program_for_another_system_is_not_installed() {
    let download = Download::new();
    let foreign = download.sandbox.path("foreign");
    fs::write(&foreign, "\x7fELF that no machine runs").unwrap();
    set_mode(&foreign, 0o755);
    download.make(&download.archive, &foreign);
    download.list(&[&download.archive]);
    download.refuses(&[], "has no xfer that runs on this machine");
    download.refuses(&["xfer-9.9-x86_64-windows.zip"], "run install.ps1");
    download.refuses(&["film.mkv"], "is not a .tar.gz archive of xfer");
    download.refuses(&["xfer-9.9.tar.gz"], "cannot find xfer-9.9.tar.gz");
}

#[test]
fn without_an_archive_it_builds_or_says_what_is_missing() {
    let download = Download::new();
    fs::remove_file(download.folder.join(&download.archive)).unwrap();
    download.refuses(&[], "no archive for this system");
    download.refuses(&["--build"], "nor is the source of xfer");
    copy_of_source(&download.folder);
    download.refuses(&[], "xfer needs a C compiler, and 'false' does not work");
    // An archive for another machine is none.
    fs::write(download.folder.join("xfer-9.9-mips-linux-musl.tar.gz"), "").unwrap();
    download.refuses(&[], "xfer needs a C compiler, and 'false' does not work");
    let program = download
        .sandbox
        .me()
        .command::<&str>(&[])
        .get_program()
        .to_owned();
    download.make(&download.archive, Path::new(&program));
    download.refuses(
        &["--build"],
        "xfer needs a C compiler, and 'false' does not work",
    );
    for wrong in [&["--fly"][..], &["a.tar.gz", "b.tar.gz"]] {
        download
            .install(wrong)
            .assert_code(2)
            .assert_says("unexpected argument");
    }
}
