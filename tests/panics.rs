//! A thread that panics: its session ends with an error, on both sides and at once, and a receiver
//! goes on serving others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::*;

/// When a session has ended at the latest. One whose peer says nothing ends after 30 s.
const AT_ONCE: Duration = Duration::from_secs(20);

/// What is sent: many small files, a large one, and one of which an old version is there.
fn fill(sandbox: &Sandbox) {
    let src = sandbox.src();
    for n in 0..200 {
        make_file(src.join(format!("small/{n}")), n, 2_000);
    }
    make_file(src.join("large"), 1_000, 9 * CHUNK);
    make_file(src.join("changed"), 2_000, 5 * CHUNK);
    make_file(sandbox.dst().join("changed"), 3_000, 5 * CHUNK);
    set_mtime(sandbox.dst().join("changed"), 1, 0);
}

fn send(sandbox: &Sandbox, target: &str) -> Command {
    let mut args: Vec<PathBuf> = vec!["send".into(), "--update".into()];
    args.extend(["small", "large", "changed"].map(|name| sandbox.src().join(name)));
    args.push(target.into());
    sandbox.me().command(&args)
}

/// A worker, and at which of its steps it panics: at the first, or in the middle.
fn steps(workers: &[&str]) -> Vec<String> {
    let steps = |worker: &&str| [1, 2, 5].map(|step| format!("{worker}@{step}"));
    let all = workers.iter().flat_map(steps);
    // One file is hashed, two are finished, and few times something is written.
    let rare = ["hasher@2", "hasher@5", "finisher@5", "writer@5"];
    let comes_to = |step: &String| !rare.contains(&&**step);
    all.filter(comes_to).collect()
}

#[test]
fn a_receiver_whose_worker_panics_ends_that_session_and_serves_the_next() {
    let workers = ["control", "writer", "planner", "hasher", "lane", "finisher"];
    for step in &steps(&workers) {
        let sandbox = Sandbox::in_memory();
        fill(&sandbox);
        let mut command = sandbox.me().recv_command(&sandbox.dst(), &[]);
        command.env("XFER_TEST_PANIC", step);
        let recv = Recv::start(command);

        let began = Instant::now();
        let output = Process::spawn(send(&sandbox, &recv.target())).wait();
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
        output.assert_code(1).assert_harmless();
        output.assert_says("panicked");
        recv.process().wait_for_text("thread panicked");

        let output = Process::spawn(send(&sandbox, &recv.target())).wait();
        output.assert_code(0);
        assert_same_tree(sandbox.src(), sandbox.dst());
        recv.interrupt().assert_code(0).assert_harmless();
    }
}

#[test]
fn a_receiver_of_one_session_fails_when_a_worker_panics() {
    for step in ["planner@2", "lane@2", "writer@2"] {
        let sandbox = Sandbox::in_memory();
        fill(&sandbox);
        let args = ["--once"];
        let mut command = sandbox.me().recv_command(&sandbox.dst(), &args);
        command.env("XFER_TEST_PANIC", step);
        let recv = Recv::start(command);

        let began = Instant::now();
        let output = Process::spawn(send(&sandbox, &recv.target())).wait();
        output.assert_code(1);
        recv.wait().assert_code(1);
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
    }
}

#[test]
fn a_connection_that_panics_ends_alone() {
    for step in ["connection@1", "connection@2"] {
        let sandbox = Sandbox::in_memory();
        fill(&sandbox);
        let mut command = sandbox.me().recv_command(&sandbox.dst(), &[]);
        command.env("XFER_TEST_PANIC", step);
        let recv = Recv::start(command);
        let output = Process::spawn(send(&sandbox, &recv.target())).wait();
        output.assert_code(1);
        recv.process().wait_for_text("thread panicked");
        let output = Process::spawn(send(&sandbox, &recv.target())).wait();
        output.assert_code(0);
        assert_same_tree(sandbox.src(), sandbox.dst());
    }
}

#[test]
fn a_sender_whose_worker_panics_fails_and_its_receiver_hears_why() {
    let workers = ["control", "writer", "walk", "announcer", "lane"];
    for step in steps(&workers) {
        let sandbox = Sandbox::in_memory();
        fill(&sandbox);
        let recv = sandbox.recv_with(&[]);
        let mut command = send(&sandbox, &recv.target());
        command.env("XFER_TEST_PANIC", &step);

        let began = Instant::now();
        let output = Process::spawn(command).wait();
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
        output.assert_code(1).assert_harmless();
        output.assert_says("thread panicked");
        recv.process().wait_for_text("thread panicked");

        let output = Process::spawn(send(&sandbox, &recv.target())).wait();
        output.assert_code(0);
        assert_same_tree(sandbox.src(), sandbox.dst());
    }
}
