//! Completion, by pressing TAB in real shells which load the scripts from where install.sh puts
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use support::*;
use xfer::net::{Fingerprint, Known, Peers};

const TAB: &str = "\t";
/// Deletes the line.
const CTRL_U: &str = "\x15";
const COLUMNS: u16 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

const KINDS: [Kind; 3] = [Kind::Bash, Kind::Zsh, Kind::Fish];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// Where install.sh puts the script, below its prefix.
    fn place(self) -> &'static str {
        match self {
            Self::Bash => "share/bash-completion/completions/xfer",
            Self::Zsh => "share/zsh/site-functions/_xfer",
            Self::Fish => "share/fish/vendor_completions.d/xfer.fish",
        }
    }
}

/// A shell in a terminal, in which `xfer` is completed.
struct Shell {
    kind: Kind,
    terminal: Terminal,
}

impl Shell {
    /// Of the one whose home this is; none where there is no such shell.
    fn start(kind: Kind, sandbox: &Sandbox, user: &User) -> Option<Self> {
        Self::start_with(kind, sandbox, user, "")
    }

    /// The same, where bash runs this first.
    fn start_with(kind: Kind, sandbox: &Sandbox, user: &User, first: &str) -> Option<Self> {
        let name = kind.name();
        let is_there = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok();
        if !is_there {
            skip(&format!("there is no {name}"));
            return None;
        }
        let installer = fs::read_to_string("install.sh").unwrap();
        assert!(installer.contains(&format!("$share{}", &kind.place()["share".len()..])));
        let script = user.home().join(".local").join(kind.place());
        fs::create_dir_all(script.parent().unwrap()).unwrap();
        fs::write(&script, user.run(&["completions", name]).stdout).unwrap();
        let bin = sandbox.folder("bin");
        let program = user.command::<&str>(&[]).get_program().to_owned();
        let _ = symlink(program, bin.join("xfer"));
        let path = std::env::var("PATH").unwrap();
        let base = user.command::<&str>(&[]);
        let mut command = Command::new(name);
        command
            .current_dir(sandbox.src())
            .env_clear()
            .stdin(Stdio::null());
        for (key, value) in base.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        command
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("TERM", "xterm")
            .env("PS1", "$ ");
        let home = user.home();
        match kind {
            // As bash-completion does it, when xfer is completed for the first time.
            Kind::Bash => {
                let rc = format!(
                    "PS1='$ '\nbind 'set enable-bracketed-paste off'\n{first}\n. {script:?}\n"
                );
                fs::write(home.join(".bashrc"), rc).unwrap();
            }
            Kind::Zsh => {
                let dir = script.parent().unwrap().display();
                let rc = format!(
                    "PS1='$ '\nunsetopt zle_bracketed_paste prompt_sp\nfpath=({dir} $fpath)\n\
                     autoload -U compinit\ncompinit -u\n"
                );
                fs::write(home.join(".zshrc"), rc).unwrap();
            }
            Kind::Fish => {
                let config = home.join(".config/fish");
                fs::create_dir_all(&config).unwrap();
                let text = "function fish_prompt; echo -n '$ '; end\nset -g fish_greeting\n\
                            set -g fish_autosuggestion_enabled 0\n";
                fs::write(config.join("config.fish"), text).unwrap();
            }
        }
        let shell = Self {
            kind,
            terminal: Terminal::spawn_whole(command, COLUMNS),
        };
        shell.wait_for("a prompt", |screen| screen.trim_end().ends_with('$'));
        Some(shell)
    }

    fn screen(&self) -> String {
        let screen = |screen: &vt100::Screen| Some(screen.contents());
        self.terminal.wait_for_emulator(PATIENCE, screen).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, ready: impl Fn(&str) -> bool) {
        let kind = self.kind;
        self.terminal
            .wait_for_emulator(PATIENCE, |screen| ready(&screen.contents()).then_some(()))
            .unwrap_or_else(|| panic!("{kind:?}: no {what} on the screen:\n{}", self.screen()));
    }

    /// Types this and presses TAB: the line becomes that.
    #[track_caller]
    fn becomes(&self, typed: &str, line: &str) {
        self.terminal.type_raw(CTRL_U);
        self.wait_for("empty line", |screen| last_line(screen) == "$");
        self.terminal.type_raw(&format!("{typed}{TAB}"));
        let whole = format!("$ {line}");
        self.wait_for(&format!("{whole:?}"), |screen| {
            last_line(screen) == whole.trim_end()
        });
        // What TAB has left behind it shows by what is typed next.
        self.terminal.type_raw("!");
        self.wait_for(&format!("{whole:?} and !"), |screen| {
            last_line(screen) == format!("{whole}!")
        });
        self.terminal.type_raw("\x7f");
    }

    /// Types this and presses TAB: all of these are offered, and none of those.
    #[track_caller]
    fn offers(&self, typed: &str, these: &[&str], not: &[&str]) {
        self.terminal.type_raw(CTRL_U);
        self.wait_for("empty line", |screen| last_line(screen) == "$");
        self.terminal.type_raw(&format!("\x0c{typed}{TAB}"));
        if self.kind == Kind::Bash {
            self.terminal.type_raw(TAB);
        }
        let is_there = |screen: &str, word: &str| {
            let mut lines = screen.lines().filter(|line| !line.starts_with("$ "));
            lines.any(|line| line.contains(word))
        };
        self.wait_for(&format!("{these:?} behind {typed:?}"), |screen| {
            these.iter().all(|word| is_there(screen, word))
        });
        let screen = self.screen();
        for word in not {
            assert!(
                !is_there(&screen, word),
                "{:?}: {word} behind {typed:?}:\n{screen}",
                self.kind
            );
        }
        // What lists them there takes keys itself.
        if self.kind == Kind::Fish {
            self.terminal.type_raw("\x03");
        }
    }
}

fn last_line(screen: &str) -> &str {
    screen
        .lines()
        .rev()
        .find(|line| line.starts_with('$'))
        .unwrap_or_default()
        .trim_end()
}

/// Somebody who is paired with some machines, in a folder with some files.
fn scene() -> (Sandbox, User) {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    for (n, (name, receives)) in [
        ("laptop", true),
        ("Anna's computer", true),
        ("lab", true),
        ("sender", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut known = Known::new(name, Fingerprint([u8::try_from(n).unwrap(); 32]));
        known.may_receive = receives;
        known.may_send = !receives;
        know(&me, known);
    }
    let src = sandbox.src();
    fs::write(src.join("film.mkv"), "film").unwrap();
    fs::write(src.join("two words.txt"), "words").unwrap();
    fs::write(src.join("lava.txt"), "lava").unwrap();
    fs::create_dir(src.join("photos")).unwrap();
    fs::write(src.join("photos/one.jpg"), "one").unwrap();
    (sandbox, me)
}

/// Adds a machine to those that this user is paired with.
fn know(me: &User, known: Known) {
    let peers = Peers::in_dir(&me.home().join(".local/share/xfer"));
    let added = peers.update(|all| {
        all.push(known);
        Ok(())
    });
    added.unwrap();
}

#[test]
fn tab_completes_files_machines_and_values() {
    let (sandbox, me) = scene();
    for kind in KINDS {
        let Some(shell) = Shell::start(kind, &sandbox, &me) else {
            continue;
        };
        let tail = |text: &str| format!("{text} ");
        // Files where files belong, by the shell itself.
        shell.becomes("xfer send fi", &tail("xfer send film.mkv"));
        shell.becomes("xfer send ph", "xfer send photos/");
        shell.becomes("xfer send photos/o", &tail("xfer send photos/one.jpg"));
        shell.becomes("xfer send two", &tail("xfer send two\\ words.txt"));
        shell.becomes("xfer recv --dir ph", "xfer recv --dir photos/");
        shell.becomes("xfer recv --dir=ph", "xfer recv --dir=photos/");
        // Machines where a target belongs.
        shell.becomes(
            "xfer send film.mkv lapt",
            &tail("xfer send film.mkv laptop"),
        );
        shell.becomes(
            "xfer send film.mkv --to lapt",
            &tail("xfer send film.mkv --to laptop"),
        );
        shell.becomes(
            "xfer send film.mkv --to=lapt",
            &tail("xfer send film.mkv --to=laptop"),
        );
        shell.becomes(
            "xfer send --to lab fi",
            &tail("xfer send --to lab film.mkv"),
        );
        shell.becomes("xfer say lapt", &tail("xfer say laptop"));
        shell.becomes("xfer run lapt", &tail("xfer run laptop"));
        shell.becomes("xfer chat lapt", &tail("xfer chat laptop"));
        shell.becomes("xfer pair lapt", &tail("xfer pair laptop"));
        shell.becomes("xfer unpair sen", &tail("xfer unpair sender"));
        shell.becomes(
            "xfer peers --allow run sen",
            &tail("xfer peers --allow run sender"),
        );
        shell.becomes("xfer say An", &tail("xfer say Anna\\'s\\ computer"));
        shell.becomes(
            "xfer send film.mkv An",
            &tail("xfer send film.mkv Anna\\'s\\ computer"),
        );
        // Values and options.
        shell.becomes("xfer send --hash bl", &tail("xfer send --hash blake3"));
        shell.becomes("xfer send --upd", &tail("xfer send --update"));
        shell.becomes("xfer unp", &tail("xfer unpair"));
        // Both where both can be.
        shell.offers(
            "xfer send film.mkv la",
            &["lab", "laptop", "lava.txt"],
            &["sender"],
        );
        shell.offers(
            "xfer send ",
            &["film.mkv", "photos"],
            &["laptop", "--update"],
        );
        shell.offers(
            "xfer say ",
            &["laptop", "lab", "Anna"],
            &["film.mkv", "sender"],
        );
        shell.offers(
            "xfer peers --allow ",
            &["files", "messages", "run"],
            &["film.mkv"],
        );
        shell.offers("xfer ", &["send", "recv", "peers"], &["man ", "__complete"]);
    }
}

#[test]
fn a_quote_that_is_open_stays_open_until_the_word_ends() {
    let (sandbox, me) = scene();
    for kind in KINDS {
        let Some(shell) = Shell::start(kind, &sandbox, &me) else {
            continue;
        };
        shell.becomes("xfer send \"two", "xfer send \"two words.txt\" ");
        shell.becomes("xfer say \"Ann", "xfer say \"Anna's computer\" ");
    }
}

/// Other machines choose their names, and bash 3.2, as macOS has it, quotes nothing itself.
#[test]
fn no_name_of_a_machine_is_a_command_in_a_bash_without_compopt() {
    let (sandbox, me) = scene();
    let mut known = Known::new("zoe;$(a)|`b`&>c", Fingerprint([9; 32]));
    known.may_receive = true;
    know(&me, known);
    let Some(shell) = Shell::start_with(Kind::Bash, &sandbox, &me, "enable -n compopt") else {
        return;
    };
    let name = "zoe\\;\\$\\(a\\)\\|\\`b\\`\\&\\>c ";
    shell.becomes(
        "xfer send film.mkv z",
        &format!("xfer send film.mkv {name}"),
    );
    shell.becomes("xfer say z", &format!("xfer say {name}"));
    shell.becomes(
        "xfer send film.mkv \"z",
        "xfer send film.mkv \"zoe;\\$(a)|\\`b\\`&>c\" ",
    );
    shell.becomes("xfer send two", "xfer send two\\ words.txt ");
    shell.becomes(
        "xfer send film.mkv two",
        "xfer send film.mkv two\\ words.txt ",
    );
}

#[test]
fn completion_makes_nothing_and_says_nothing_wrong() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let home = |user: &User| {
        let mut all = Vec::new();
        let mut folders = vec![user.home().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                all.push(path);
            }
        }
        all
    };
    let ask = |shell: &str, line: &[&str]| {
        let mut command = me.command(&["__complete", shell]);
        command
            .args(line)
            .env("XFER_LANES", "many")
            .env("XFER_DIR", "")
            .env("XFER_NAME", "");
        let output = Process::spawn(command).wait();
        output.assert_code(0);
        assert_eq!(output.stderr, b"");
        output.stdout
    };
    let all = |wanted: &str| {
        for (shell, line) in [
            ("bash", &["xfer send film.mkv l", " =:"][..]),
            ("zsh", &["xfer", "send", "film.mkv", "l"]),
            ("fish", &["xfer", "send", "film.mkv", "l"]),
        ] {
            let found = String::from_utf8(ask(shell, line)).unwrap();
            assert!(found.starts_with("files\n"), "{shell}: {found}");
            assert_eq!(
                found.contains("laptop"),
                !wanted.is_empty(),
                "{shell}: {found}"
            );
        }
    };
    all("");
    assert_eq!(home(&me), Vec::<std::path::PathBuf>::new());
    // What nobody could have meant.
    for line in [
        &[][..],
        &["x"],
        &["xfer nonsense -", ""],
        &["xfer send --nonsense", ""],
    ] {
        ask("bash", line);
        ask("zsh", line);
        ask("fish", line);
        ask("tcsh", line);
    }
    // Settings that are wrong, and a list that is damaged.
    let config = me.home().join(".config/xfer/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "lanes = = 2").unwrap();
    all("");
    let mut known = Known::new("laptop", Fingerprint([1; 32]));
    known.may_receive = true;
    let dir = me.home().join(".local/share/xfer");
    let peers = Peers::in_dir(&dir);
    let add = |list: &mut Vec<Known>| {
        list.push(known);
        Ok(())
    };
    peers.update(add).unwrap();
    all("laptop");
    damage(&peers.path());
    all("");
}

fn damage(path: &Path) {
    fs::write(path, "version = ").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
