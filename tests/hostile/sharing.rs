//! A machine that shares, and has gone bad: it sends what nobody asked for, and would have more
//! removed than the one who fetches agreed to.

use std::net::TcpListener;

use xfer::model::outcome::Role;
use xfer::model::surplus::Decision;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// What somebody fetches from a machine that has gone bad, once both have agreed on it.
fn fetched(sandbox: &Sandbox, args: &[&str]) -> (Process, Line, Line) {
    let who = Who::let_in(sandbox);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let dir = sandbox.dst();
    let (first, more) = args.split_first().unwrap();
    let args = [&["get", first, "--lanes", "1", "--dir"][..]].concat();
    let mut command = sandbox.me().command(&args);
    command.arg(dir).arg(&target).args(more);
    let process = Process::spawn(command);
    let mut line = who.accept(&listener);
    line.hear();
    line.say(&who.hello(&line, Role::Sender));
    let wish = match line.hear() {
        Message::Fetch(fetch) => fetch.wish,
        other => panic!("{other:?}"),
    };
    line.say(&offer_of(wish, 1));
    assert!(matches!(line.hear(), Message::Accept(_)));
    line.pings = true;
    let mut lane = who.accept(&listener);
    lane.hear();
    lane.say(&Message::Joined(lane.channel.preambles));
    (process, line, lane)
}

#[test]
fn nothing_is_stored_that_was_not_asked_for() {
    for entries in [
        vec![file(0, ".bashrc", 0)],
        vec![dir(0, ".ssh"), file(1, ".ssh/authorized_keys", 0)],
        vec![file(0, "photos", 0)],
        // A folder on the way, as if all of it had been asked for.
        vec![dir(0, "photos"), file(1, "photos/b.jpg", 0)],
    ] {
        let sandbox = Sandbox::new();
        let args = ["--update", "photos/2024/a", "film.mkv"];
        let (process, mut line, _lane) = fetched(&sandbox, &args);
        line.say_as(ENTRIES, &entries);
        let told = line.hear_abort();
        assert!(told.contains("not asked for"), "{told}: {entries:?}");
        line.close();
        process.wait().assert_code(1);
        let there = std::fs::read_dir(sandbox.dst()).unwrap();
        let there: Vec<_> = there.map(|entry| entry.unwrap().file_name()).collect();
        let ours = |name: &std::ffi::OsString| name != ".xfer";
        assert!(!there.iter().any(ours), "{there:?}: {entries:?}");
    }
}

#[test]
fn how_much_a_mirror_removes_the_sharing_side_is_not_asked() {
    let sandbox = Sandbox::new();
    for n in 0..20 {
        make_file(sandbox.dst().join(format!("top/{n}")), n, 10);
    }
    let (process, mut line, mut lane) = fetched(&sandbox, &["--mirror"]);
    let entries = vec![dir(0, "top")];
    line.say_as(ENTRIES, &entries);
    line.say(&dir_end(0));
    lane.say(&Message::LaneEnd(()));
    let mut asked = 0;
    loop {
        match line.hear() {
            Message::MayRemove(surplus) => {
                asked += 1;
                let all = vec![Decision::Remove; surplus.0.len()];
                line.say(&Message::Decisions(Decisions(all)));
            }
            Message::Outcomes(_) => {
                line.say(&Message::Scanned(Scanned {
                    entries: 1,
                    bytes: 0,
                    complete: true,
                }));
                line.say(&Message::End(End {
                    entries: 1,
                    unannounced: 0,
                }));
            }
            Message::RemovalQuestion(question) => panic!("it asks: {question:?}"),
            Message::Summary(_) => break,
            _ => {}
        }
    }
    assert!(asked > 0);
    line.close();
    let ended = process.wait();
    ended.assert_code(3);
    ended.assert_says("nobody said yes");
    for n in 0..20 {
        assert!(sandbox.dst().join(format!("top/{n}")).exists(), "{n}");
    }
}

#[test]
fn what_a_share_leaves_out_no_file_takes_back() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    for name in ["a", "deploy.key", "sub/deploy.key", "sub/b", "sub/c.log"] {
        make_file(top.join(name), 1, 10);
    }
    std::fs::write(top.join(".xferignore"), "*.key\n").unwrap();
    std::fs::write(top.join("sub/.gitignore"), "!deploy.key\n*.log\n").unwrap();
    let mut command = sandbox.me().command(&["share", "--listen", "127.0.0.1:0"]);
    command.arg(&top);
    let share = Recv::start(command);
    for (args, log) in [(&["--gitignore"][..], false), (&[], true)] {
        let dir = tempfile::tempdir_in(sandbox.path("")).unwrap();
        let target = share.target();
        let mut command = sandbox.me().command(&["get", "--dir"]);
        command.arg(dir.path()).arg(&target).args(args);
        Process::spawn(command).wait().assert_code(0);
        let there = |name: &str| dir.path().join("top").join(name).exists();
        assert!(there("a") && there("sub/b") && there("sub/.gitignore"));
        assert!(!there("deploy.key") && !there("sub/deploy.key"), "{args:?}");
        assert_eq!(there("sub/c.log"), log, "{args:?}");
    }
}
