//! Whoever would run what was not offered to them, or with what was not allowed.

use std::path::PathBuf;

use xfer::model::command::{CommandEnd, OutputStream};
use xfer::model::outcome::{Ability, Decline, Role};
use xfer::net::{Known, Peers};
use xfer::wire::*;

use crate::client::*;
use crate::messages::one_of_each;
use crate::support::*;

/// My receiver, with a command that leaves a mark.
struct Offering {
    sandbox: Sandbox,
    recv: Recv,
    mark: PathBuf,
}

impl Offering {
    fn new(more: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let mark = sandbox.path("mark");
        let settings = format!(
            "[run.mark]\ncommand = [\"touch\", '{}']\narguments = true\noptions = true\n\
             [run.sleep]\ncommand = [\"sh\", \"-c\", \"echo begun; exec sleep 300\"]\n",
            mark.display()
        );
        let dir = sandbox.me().home().join(".config/xfer");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.toml"), settings).unwrap();
        let recv = sandbox.recv_with(more);
        Self {
            sandbox,
            recv,
            mark,
        }
    }

    /// A connection on which both have said hello, and what was answered.
    fn greeted(&self, who: &Who) -> (Line, Message) {
        let mut line = who.dial(self.recv.addr());
        line.say(&who.hello(&line, Role::Sender));
        let answer = line.hear();
        (line, answer)
    }

    #[track_caller]
    fn nothing_ran(&self) {
        assert!(!self.mark.exists());
        still_receives(&self.sandbox, &self.recv);
    }
}

fn all() -> [Message; 2] {
    [Message::ListCommands(()), run_command("mark", &[])]
}

#[test]
fn nobody_runs_anything_who_was_not_let_in_for_it() {
    let offering = Offering::new(&[]);
    for message in all() {
        // Before it is known who is there.
        let who = Who::let_in(&offering.sandbox);
        let mut line = who.dial(offering.recv.addr());
        line.say(&message);
        assert!(line.hear_abort().contains("out of turn"));
        // Somebody whom nobody knows: whatever is said behind it, it has been declined.
        let stranger = Who::stranger();
        let mut line = stranger.dial(offering.recv.addr());
        line.say(&stranger.hello(&line, Role::Sender));
        line.say(&message);
        while let Ok(Frame::Message(heard)) = line.try_hear() {
            let runs = matches!(
                heard,
                Message::Commands(_) | Message::CommandOutput(_) | Message::CommandEnded(_)
            );
            assert!(!runs, "{heard:?}");
        }
    }
    // Somebody who may send files and messages.
    let judas = Who::paired(&offering.sandbox);
    for message in all() {
        let (mut line, _) = offering.greeted(&judas);
        line.say(&message);
        let told = line.hear();
        let expected = Message::Declined(Decline::NotGranted(Ability::Commands));
        assert_eq!(told, expected);
        line.close();
    }
    offering.nothing_ran();
}

#[test]
fn nobody_of_an_open_receiver_runs_anything() {
    let offering = Offering::new(&["--open"]);
    let who = Who::open_stranger();
    for message in all() {
        let (mut line, _) = offering.greeted(&who);
        line.say(&message);
        let told = line.hear();
        let expected = Message::Declined(Decline::NotGranted(Ability::Commands));
        assert_eq!(told, expected);
        line.close();
    }
    assert!(!offering.mark.exists());
}

#[test]
fn arguments_beyond_their_bounds_are_none() {
    let offering = Offering::new(&[]);
    let who = Who::let_in(&offering.sandbox);
    let long = vec![b'a'; 40_000];
    let longest = vec![b'a'; 65_537];
    let many = vec![&b"a"[..]; 257];
    for arguments in [
        &[&b"a\0b"[..]][..],
        &[b"a", b"\0"],
        &many,
        &[&long, &long],
        &[&longest],
    ] {
        let (mut line, _) = offering.greeted(&who);
        line.say(&run_command("mark", arguments));
        let told = line.hear_abort();
        assert!(told.contains("a bad frame of type 0x62"), "{told}");
        line.close();
    }
    // Longer than a request may be, whatever is in it.
    let (mut line, _) = offering.greeted(&who);
    line.raw(&frame_of(0x62, &vec![0; 200_000]));
    assert!(line.hear_abort().contains("a frame of type 0x62"));
    for name in ["", "MARK", "mark ", "../mark", "touch", "mark\0"] {
        let (mut line, _) = offering.greeted(&who);
        line.say(&run_command(name, &[]));
        assert_eq!(line.hear(), Message::Declined(Decline::NoCommand));
        line.close();
    }
    let (mut line, _) = offering.greeted(&who);
    line.say(&run_command("sleep", &[b"x"]));
    assert_eq!(line.hear(), Message::Declined(Decline::NoArguments));
    offering.nothing_ran();
}

#[test]
fn whoever_says_something_else_while_a_command_runs_ends_it() {
    let offering = Offering::new(&[]);
    let who = Who::let_in(&offering.sandbox);
    let kinds = one_of_each(&who.dial(offering.recv.addr()), &who).len();
    for kind in 0..kinds {
        let (mut line, _) = offering.greeted(&who);
        // Only one runs at once: the last one has ended.
        line.say(&run_command("sleep", &[]));
        let begun = Message::CommandOutput(CommandOutput {
            stream: OutputStream::Output,
            bytes: b"begun\n".to_vec(),
        });
        assert_eq!(line.hear(), begun);
        let message = one_of_each(&line, &who).swap_remove(kind);
        line.say(&Message::Ping(()));
        line.say(&message);
        match message {
            Message::Ping(()) => line.say(&Message::AbortText("enough".into())),
            Message::Abort(_) | Message::AbortText(_) => {}
            message => {
                let told = line.hear_abort();
                let words = format!("a message {} out of turn", message.name());
                assert!(told.contains(&words), "{told}");
            }
        }
        line.close();
        let times = kind + 1;
        offering.recv.process().wait_for("its end", |output| {
            let ends = output.text().matches(": stopped").count();
            (ends == times).then_some(())
        });
    }
    offering.nothing_ran();
}

#[test]
fn what_was_taken_since_the_greeting_is_not_done() {
    let offering = Offering::new(&[]);
    let judas = Who::paired(&offering.sandbox);
    let peers = Peers::in_dir(&offering.sandbox.me().home().join(".local/share/xfer"));
    let let_run = |may| {
        let change = |all: &mut Vec<Known>| {
            let known = all.iter_mut().find(|known| known.name == "judas").unwrap();
            known.may_run = may;
            Ok(())
        };
        peers.update(change).unwrap();
    };
    for message in all() {
        let_run(true);
        let (mut line, _) = offering.greeted(&judas);
        let_run(false);
        line.say(&message);
        let expected = Message::Declined(Decline::NotGranted(Ability::Commands));
        assert_eq!(line.hear(), expected);
        line.close();
    }
    offering.nothing_ran();
}

#[test]
fn whoever_may_run_commands_may_do_nothing_else() {
    let offering = Offering::new(&[]);
    let judas = Who::paired(&offering.sandbox);
    let peers = Peers::in_dir(&offering.sandbox.me().home().join(".local/share/xfer"));
    let change = |all: &mut Vec<Known>| {
        let known = all.iter_mut().find(|known| known.name == "judas").unwrap();
        (known.may_send, known.may_message, known.may_run) = (false, false, true);
        Ok(())
    };
    peers.update(change).unwrap();
    let (mut line, _) = offering.greeted(&judas);
    line.say(&offer());
    let expected = Message::Declined(Decline::NotGranted(Ability::Files));
    assert_eq!(line.hear(), expected);
    line.close();
    let (mut line, _) = offering.greeted(&judas);
    line.say(&run_command("mark", &[]));
    assert_eq!(line.hear(), Message::CommandEnded(CommandEnd::Exited(0)));
    assert!(offering.mark.exists());
}
