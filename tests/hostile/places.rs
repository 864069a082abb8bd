//! Places for sessions: who may take how many, who loses one, and that whoever may not send any
//! more has none.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xfer::model::outcome::{Decline, Wish};
use xfer::model::progress::{Progress, Silent};
use xfer::model::prompt::Nobody;
use xfer::net::{Identity, Known, Peers};
use xfer::transfer::{Cancel, Device, ReceiveOptions, Receiver};
use xfer::wire::Message;

use crate::client::*;
use crate::support::*;

/// How long a receiver may take to notice that somebody may not send any more.
const NOTICED: Duration = Duration::from_secs(10);
/// The size of a chunk, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

fn peers(sandbox: &Sandbox) -> Peers {
    Peers::in_dir(&sandbox.me().home().join(".local/share/xfer"))
}

/// Changes what is known of the one that is paired.
fn change(sandbox: &Sandbox, change: impl FnOnce(&mut Known)) {
    let update = |all: &mut Vec<Known>| {
        change(&mut all[0]);
        Ok(())
    };
    peers(sandbox).update(update).unwrap();
}

#[test]
fn whoever_is_unpaired_is_not_listened_to_any_more() {
    type Ends = fn(&Sandbox);
    let unpaired: Ends = |sandbox| {
        sandbox.me().run(&["unpair", "judas"]).assert_code(0);
    };
    let not_granted: Ends = |sandbox| change(sandbox, |known| known.may_send = false);
    let replaced: Ends = |sandbox| {
        let other = Identity::generate().unwrap().fingerprint();
        change(sandbox, |known| known.fingerprint = other);
    };
    for ends in [unpaired, not_granted, replaced] {
        let sandbox = Sandbox::new();
        let recv = sandbox.recv();
        let who = Who::paired(&sandbox);
        let mut session = Session::begin(&who, recv.addr());
        let first = bytes(1, CHUNK_BYTES);
        session.announce(&[file(0, "half", 2 * CHUNK), file(1, "late", 3)]);
        session.wanted(0);
        session.wanted(1);
        let mut lane = session.lane();
        lane.raw(&chunk_bytes(&part(0, 0, &first), &first));
        // Those who are let in otherwise are let be.
        let me = Who::let_in(&sandbox);
        let mut other = Session::begin(&me, recv.addr());
        let begun = Instant::now();
        ends(&sandbox);
        let told = session.control.hear_abort();
        assert!(told.contains("may not send there any more"), "{told}");
        assert!(begun.elapsed() < NOTICED, "{:?}", begun.elapsed());
        recv.process()
            .wait_for_text("judas may no longer send here");
        session.put(&mut lane, 1, b"abc");
        lane.hear_hang_up();
        // Nothing of it has a name; what came of it stays what it was.
        assert!(!sandbox.dst().join("half").exists());
        assert!(!sandbox.dst().join("late").exists());
        other.announce(&[file(0, "mine", 3)]);
        other.wanted(0);
        let mut lane = other.lane();
        other.put(&mut lane, 0, b"abc");
        assert_eq!(other.end(vec![lane]).stored, 1);
    }
}

#[test]
fn no_lane_joins_for_one_that_was_unpaired() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::paired(&sandbox);
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[file(0, "late", 3)]);
    session.wanted(0);
    change(&sandbox, |known| known.may_send = false);
    let mut lane = who.dial(recv.addr());
    lane.say(&join(&lane, session.accept.secret));
    lane.hear_abort();
    session.control.hear_abort();
}

/// The same command, with so many descriptors.
fn with_descriptors(count: usize, command: &Command) -> Command {
    let limit = format!("ulimit -n {count}; exec \"$@\"");
    run_by("sh", &["-c", &limit, "sh"].map(AsRef::as_ref), command)
}

fn ask(who: &Who, host: u8, addr: std::net::SocketAddr) -> Result<Session<'_>, Decline> {
    let from = std::net::Ipv4Addr::new(127, 0, 7, host).into();
    match Session::try_begin_from(from, who, addr, 64) {
        Ok(session) => Ok(session),
        Err(Message::Declined(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn strangers_leave_places_to_those_who_are_known() {
    let sandbox = Sandbox::new();
    let open = Who::open_stranger();
    // Too few places, or too few descriptors for all lanes that are asked for.
    for (descriptors, args) in [
        (4000, &["--open", "--max-sessions", "4"][..]),
        (1000, &["--open"][..]),
    ] {
        let command = sandbox.me().recv_command(&sandbox.dst(), args);
        let recv = Recv::start(with_descriptors(descriptors, &command));
        let mut strangers = Vec::new();
        for host in 1..=100 {
            match ask(&open, host, recv.addr()) {
                Ok(session) => strangers.push(session),
                Err(reason) => assert_eq!(reason, Decline::TooManySessions),
            }
        }
        assert!(strangers.len() >= 3, "{}", strangers.len());
        let paired = Who::paired(&Sandbox::new());
        let known = Who::paired(&sandbox);
        // Who is paired with somebody else is a stranger here.
        assert!(ask(&paired, 200, recv.addr()).is_err());
        let session = ask(&known, 200, recv.addr()).unwrap();
        assert!(session.accept.lanes >= 1);
        session.end(vec![]);
        peers(&sandbox)
            .update(|all| {
                all.clear();
                Ok(())
            })
            .unwrap();
    }
}

/// A receiver in this process.
struct Receiving {
    addr: std::net::SocketAddr,
    cancel: Cancel,
    thread: Option<thread::JoinHandle<()>>,
}

impl Receiving {
    /// One with few places, where one that stands still may lose its own after `idle`.
    fn new(sandbox: &Sandbox, max_sessions: usize, idle: Duration) -> Self {
        let options = ReceiveOptions {
            max_sessions,
            idle,
            ..ReceiveOptions::default()
        };
        Self::with(sandbox, options)
    }

    fn with(sandbox: &Sandbox, options: ReceiveOptions) -> Self {
        let device = Device {
            identity: Identity::generate().unwrap(),
            peers: peers(sandbox),
            own: xfer::sys::own::OwnFolders::default(),
        };
        let options = ReceiveOptions {
            dir: sandbox.dst(),
            listen: ([127, 0, 0, 1], 0).into(),
            open: true,
            ..options
        };
        let receiver = Receiver::bind(&device, options, Arc::new(Nobody)).unwrap();
        let (addr, cancel) = (receiver.local_addr(), Cancel::new());
        let thread = thread::spawn({
            let cancel = cancel.clone();
            let silent: Arc<dyn Progress> = Arc::new(Silent);
            move || drop(receiver.run(&silent, &cancel))
        });
        let thread = Some(thread);
        Self {
            addr,
            cancel,
            thread,
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Asks for a session until it gets one.
fn get_in<'a>(who: &'a Who, host: u8, receiving: &Receiving) -> Session<'a> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask(who, host, receiving.addr) {
            Ok(session) => return session,
            Err(reason) => assert_eq!(reason, Decline::TooManySessions),
        }
        assert!(Instant::now() < end, "it is never let in");
    }
}

/// Has a folder made.
fn folder(session: &mut Session<'_>, entry: u64) {
    session.announce(&[dir(entry, format!("{entry:06}"))]);
    session.control.say(&dir_end(entry));
    session.outcome(entry);
}

/// What whoever loses its place is told.
const IDLE: &str = "others needed the place";

#[test]
fn a_session_that_only_pings_makes_room() {
    let sandbox = Sandbox::new();
    let open = Who::open_stranger();
    let known = Who::paired(&sandbox);
    // Two places, one of them for strangers. These lose theirs after a second, others after five.
    let receiving = Receiving::new(&sandbox, 2, Duration::from_secs(5));
    let mut first = get_in(&open, 1, &receiving);
    let begun = Instant::now();
    let mut second = get_in(&open, 2, &receiving);
    assert!(begun.elapsed() >= Duration::from_millis(900), "too soon");
    assert!(first.control.hear_abort().contains(IDLE));
    // The stranger's goes before that of somebody known, however long that has stood still.
    let mut third = get_in(&known, 3, &receiving);
    let begun = Instant::now();
    let mut fourth = get_in(&known, 4, &receiving);
    assert!(second.control.hear_abort().contains(IDLE));
    assert!(begun.elapsed() < Duration::from_secs(4), "{begun:?}");
    // Strangers take nothing from those who are known.
    assert!(ask(&open, 5, receiving.addr).is_err());
    let fifth = get_in(&known, 5, &receiving);
    assert!(third.control.hear_abort().contains(IDLE));
    folder(&mut fourth, 0);
    fifth.end(vec![]);
    fourth.end(vec![]);
}

#[test]
fn a_session_that_gets_on_keeps_its_place() {
    let sandbox = Sandbox::new();
    let known = Who::paired(&sandbox);
    let receiving = Receiving::new(&sandbox, 1, Duration::from_secs(1));
    let mut session = get_in(&known, 1, &receiving);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut entry = 0;
            while !over.load(Ordering::Acquire) {
                folder(&mut session, entry);
                entry += 1;
                thread::sleep(Duration::from_millis(200));
            }
            session.end(vec![])
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            assert!(ask(&known, 2, receiving.addr).is_err());
        }
        over.store(true, Ordering::Release);
    });
}

#[test]
fn the_one_session_that_is_waited_for_keeps_its_place() {
    let sandbox = Sandbox::new();
    let (known, open) = (Who::paired(&sandbox), Who::open_stranger());
    let options = ReceiveOptions {
        once: true,
        idle: Duration::from_millis(100),
        ..ReceiveOptions::default()
    };
    let receiving = Receiving::with(&sandbox, options);
    let mut session = get_in(&open, 1, &receiving);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert!(ask(&known, 2, receiving.addr).is_err());
    }
    folder(&mut session, 0);
    session.end(vec![]);
}

#[test]
fn a_sender_that_never_answers_a_question_makes_room() {
    let sandbox = Sandbox::new();
    let mut known = Who::paired(&sandbox);
    known.wish = Wish {
        update: true,
        mirror: true,
        ..Wish::default()
    };
    make_file(sandbox.dst().join("folder/surplus"), 1, 10);
    let options = ReceiveOptions {
        mirror: true,
        max_sessions: 1,
        idle: Duration::from_secs(1),
        ..ReceiveOptions::default()
    };
    let receiving = Receiving::with(&sandbox, options);
    let mut first = get_in(&known, 1, &receiving);
    assert_eq!(crate::mirror::asked(&mut first).len(), 1);
    let begun = Instant::now();
    let second = get_in(&known, 2, &receiving);
    assert!(first.control.hear_abort().contains(IDLE));
    assert!(begun.elapsed() >= Duration::from_millis(900), "too soon");
    second.end(vec![]);
    assert!(sandbox.dst().join("folder/surplus").exists());
}
