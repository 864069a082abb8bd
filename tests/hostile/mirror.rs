//! What a sender that may mirror says when it is asked what may be removed: nothing goes but by
//! its right answer.

use std::fs;

use xfer::model::outcome::Wish;
use xfer::model::surplus::{Decision, Surplus, SurplusKind};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// Begins a mirror of one folder, to where the sender is asked about what is there.
fn asked(session: &mut Session<'_>) -> Vec<Surplus> {
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

#[test]
fn nothing_goes_without_an_answer() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let mut who = Who::let_in(&sandbox);
    who.wish = Wish {
        update: true,
        mirror: true,
        ..Wish::default()
    };
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
    session
        .control
        .say(&decisions(&[Decision::Remove, Decision::Keep]));
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
