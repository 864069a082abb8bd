//! What a sender that may mirror says when it is asked what may be removed: nothing goes but by
//! its right answer.

use std::fs;

use xfer::model::outcome::Wish;
use xfer::model::surplus::{
    Decision, RemovalAnswer, RemovalCount, RemovalQuestion, Surplus, SurplusKind,
};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// Begins a mirror of one folder, to where the sender is asked about what is there.
pub(crate) fn asked(session: &mut Session<'_>) -> Vec<Surplus> {
    session.announce(&[dir(0, "folder")]);
    session.control.say(&dir_end(0));
    session.outcome(0);
    session.control.say(&scanned());
    session.control.say(&Message::End(End {
        entries: 1,
        unannounced: 0,
    }));
    loop {
        match session.control.hear() {
            Message::MayRemove(list) => return list.0,
            Message::Ping(()) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn decisions(list: &[Decision]) -> Message {
    Message::Decisions(Decisions(list.to_vec()))
}

fn removal_question(session: &mut Session<'_>) -> RemovalCount {
    match session.control.hear() {
        Message::RemovalQuestion(RemovalQuestion { count, .. }) => count,
        other => panic!("{other:?}"),
    }
}

fn mirrors(sandbox: &Sandbox) -> Who {
    let mut who = Who::let_in(sandbox);
    who.wish = Wish {
        update: true,
        mirror: true,
        ..Wish::default()
    };
    who
}

#[test]
fn nothing_goes_without_an_answer() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let who = mirrors(&sandbox);
    let folder = sandbox.dst().join("folder");
    for name in ["a", "b/c", "b/d"] {
        make_file(folder.join(name), 1, 10);
    }
    let before = Tree::read(&folder);
    let mut attacks = Attacks::new(&who, &recv);
    for answer in [&[][..], &[Decision::Remove], &[Decision::Remove; 3]] {
        attacks.end_with("an answer to something else", |session| {
            assert_eq!(asked(session).len(), 2);
            session.control.say(&decisions(answer));
            vec![]
        });
    }
    // One that was not asked for.
    attacks.end_with("a message behind the end", |session| {
        asked(session);
        session
            .control
            .say(&decisions(&[Decision::Keep, Decision::AskInside]));
        // It is asked about what is in the folder, once.
        session.control.say(&decisions(&[Decision::Keep; 2]));
        session.control.say(&decisions(&[Decision::Remove; 2]));
        vec![]
    });
    // None at all.
    let mut session = Session::begin(&who, recv.addr());
    asked(&mut session);
    session.control.close();
    attacks.all_told();
    assert_eq!(Tree::read(&folder), before);

    let mut session = Session::begin(&who, recv.addr());
    let question = asked(&mut session);
    let about = |name: &str, kind| (name.to_owned(), kind);
    let told = |list: &[Surplus]| -> Vec<_> {
        let name = |one: &Surplus| one.path.as_path().display().to_string();
        list.iter().map(|one| (name(one), one.kind)).collect()
    };
    let file = SurplusKind::File(10);
    let all = [about("folder/a", file), about("folder/b", SurplusKind::Dir)];
    assert_eq!(told(&question), all);
    session
        .control
        .say(&decisions(&[Decision::Keep, Decision::AskInside]));
    let question = match session.control.hear() {
        Message::MayRemove(list) => list.0,
        other => panic!("{other:?}"),
    };
    let all = [about("folder/b/c", file), about("folder/b/d", file)];
    assert_eq!(told(&question), all);
    let only_c = decisions(&[Decision::Remove, Decision::Keep]);
    session.control.say(&only_c);
    // Once it is known how much would go, it is asked again.
    let count = RemovalCount {
        would_go: 1,
        there: 4,
    };
    assert_eq!(removal_question(&mut session), count);
    let yes = RemovalAnswer::AtMost(1);
    session.control.say(&Message::RemovalAnswer(yes));
    assert!(matches!(session.control.hear(), Message::MayRemove(list) if list.0 == question));
    session.control.say(&only_c);
    loop {
        match session.control.hear() {
            Message::Summary(summary) => break assert_eq!(summary.removed, 1),
            Message::Removed(_) | Message::Ping(()) => {}
            other => panic!("{other:?}"),
        }
    }
    session.control.close();
    assert!(folder.join("a").exists() && folder.join("b/d").exists());
    assert!(!folder.join("b/c").exists());
    fs::remove_dir_all(&folder).unwrap();
    still_receives(&sandbox, &recv);
}

/// The end of a session in which nothing more is asked, and what was told to be removed.
fn end(session: &mut Session<'_>) -> (u64, Vec<String>) {
    let mut failed = Vec::new();
    loop {
        match session.control.hear() {
            Message::Summary(summary) => return (summary.removed, failed),
            Message::FolderFailed(folder) => failed.push(folder.why.to_string()),
            Message::Removed(_) | Message::Ping(()) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_yes_of_a_sender_passes_the_limit_of_the_receiver() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--allow-mirror", "--max-delete", "3"]);
    let who = mirrors(&sandbox);
    let folder = sandbox.dst().join("folder");
    for n in 0..20 {
        make_file(folder.join(format!("sub/{n:02}")), 1, 10);
    }
    let before = Tree::read(folder.join("sub"));
    // It is not even asked.
    let mut session = Session::begin(&who, recv.addr());
    asked(&mut session);
    session.control.say(&decisions(&[Decision::Remove]));
    let (removed, failed) = end(&mut session);
    assert_eq!((removed, failed.len()), (0, 1));
    assert!(failed[0].contains("21 of 21 would go"), "{failed:?}");
    session.control.close();
    assert_eq!(Tree::read(folder.join("sub")), before);

    // One that says that less goes than it lets go afterwards.
    let mut session = Session::begin(&who, recv.addr());
    asked(&mut session);
    session.control.say(&decisions(&[Decision::AskInside]));
    let hear_inside = |session: &mut Session<'_>| match session.control.hear() {
        Message::MayRemove(list) => assert_eq!(list.0.len(), 20),
        other => panic!("{other:?}"),
    };
    hear_inside(&mut session);
    let mut few = [Decision::Keep; 20];
    few[..2].fill(Decision::Remove);
    session.control.say(&decisions(&few));
    let count = RemovalCount {
        would_go: 2,
        there: 21,
    };
    assert_eq!(removal_question(&mut session), count);
    let yes = Message::RemovalAnswer(RemovalAnswer::AtMost(u64::MAX));
    session.control.say(&yes);
    hear_inside(&mut session);
    session.control.say(&decisions(&[Decision::Remove; 20]));
    let (removed, failed) = end(&mut session);
    assert_eq!((removed, failed.len()), (3, 1), "{failed:?}");
    session.control.close();
    assert_eq!(fs::read_dir(folder.join("sub")).unwrap().count(), 17);
    fs::remove_dir_all(&folder).unwrap();
    still_receives(&sandbox, &recv);
}

#[test]
fn an_answer_about_how_much_is_one_to_that_question() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let who = mirrors(&sandbox);
    let folder = sandbox.dst().join("folder");
    make_file(folder.join("a"), 1, 10);
    let mut attacks = Attacks::new(&who, &recv);
    attacks.end_with("an answer to something else", |session| {
        asked(session);
        let yes = Message::RemovalAnswer(RemovalAnswer::AtMost(1));
        session.control.say(&yes);
        vec![]
    });
    attacks.end_with("an answer to something else", |session| {
        asked(session);
        session.control.say(&decisions(&[Decision::Remove]));
        removal_question(session);
        session.control.say(&decisions(&[Decision::Remove]));
        vec![]
    });
    attacks.all_told();
    assert!(folder.join("a").exists());
}
