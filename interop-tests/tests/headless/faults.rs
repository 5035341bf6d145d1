//! What goes wrong on talkbridge's own machine while agents talk: it is killed, stands still, cannot write its log, or has no descriptor left.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use interop_tests::attack::{Dialog, SipPeer, answer, description};
use interop_tests::process::binary;
use interop_tests::{Desk, Gateway, Page, Registrar, Site, eventually, eventually_async};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::referred::agreed;

/// talkbridge behind a line of shell: `before` comes first, and where standard error goes behind the program.
fn wrapped(dir: &TempDir, before: &str, errors: &str) -> PathBuf {
    let program = binary("talkbridge").expect("talkbridge is built");
    let script = dir.path().join("talkbridge.sh");
    let text = format!(
        "#!/bin/sh\n{before}\nexec {} \"$@\" {errors}\n",
        program.display()
    );
    std::fs::write(&script, text).expect("the folder is ours");
    let executable = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&script, executable).expect("the file is ours");
    script
}

/// The desk with another program for talkbridge.
async fn desk(
    program: &std::path::Path,
    level: &str,
    change: impl FnOnce(&mut Value),
) -> (Desk, SipPeer) {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let gateway = Gateway::start_program(program, &site, |config| {
        config["log"]["level"] = level.into();
        change(config);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let customer = interop_tests::Customer::start(site.media()).await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    let desk = Desk {
        page,
        customer,
        gateway,
        registrar,
        site,
    };
    (desk, server)
}

/// A call that is handed to somebody else: SIP Server has agreed (202), and has told no outcome yet.
async fn transferring(server: &SipPeer, page: &Page, call: &Dialog, media: SocketAddr) {
    let away = json!({"type": "transfer", "call": page.call()["id"], "to": "1005"});
    let reply = page.request(away).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    let of_call = |method: &'static str| {
        let call_id = call.call_id.clone();
        move |message: &str| message.starts_with(method) && message.contains(&call_id)
    };
    let hold = server.hears("the hold", of_call("INVITE ")).await;
    let contact = format!("Contact: <sip:1003@{}>\n", server.local());
    let held = agreed(&hold, &contact, &description(media));
    server.say(&held).await;
    let refer = server.hears("REFER", of_call("REFER ")).await;
    server.say(&answer(&refer, "202 Accepted", "")).await;
    eventually("the transfer is under way", || {
        page.call()["transfer"]["state"] == "trying"
    })
    .await;
}

/// The process dies while a call rings, is answered and not acknowledged yet, talks, is held or handed on. The next one knows none of it and says so, so that
/// SIP Server lets the call go; the agent signs in again and takes the next call.
#[tokio::test]
async fn a_process_that_was_killed_leaves_no_zombie() {
    let Desk {
        page,
        customer,
        mut gateway,
        registrar: _registrar,
        site,
    } = Desk::start().await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    let mut page = page;
    for state in ["ringing", "answered", "talking", "held", "transferring"] {
        let media = customer.address();
        let mut call = match state {
            "ringing" | "answered" => server.rings("1002", "", media).await,
            _ => server.talks("1002", media).await,
        };
        let event = match state {
            "answered" => Some("Event: talk\n"),
            "held" => Some("Event: hold\n"),
            _ => None,
        };
        if let Some(event) = event {
            let notify = call.request("NOTIFY", event, "");
            assert_eq!(server.asks(&notify).await, 200);
        }
        let shown = match state {
            "ringing" | "held" => state,
            _ => "talking",
        };
        page.call_in(shown).await;
        if state == "transferring" {
            transferring(&server, &page, &call, media).await;
        }
        gateway
            .process()
            .signal("KILL")
            .await
            .expect("kill is there");
        gateway.process().wait().await.expect("it ends");
        drop(page);
        gateway = Gateway::start(&site).await;
        for (method, lines) in [
            ("NOTIFY", "Event: talk\n"),
            ("INVITE", "Content-Type: application/sdp\n"),
            ("BYE", ""),
        ] {
            assert_eq!(
                server.asks(&call.request(method, lines, "")).await,
                481,
                "{method}, {state}"
            );
        }
        page = Page::sign_in(&gateway, "1002").await;
    }
    let fresh = interop_tests::Customer::start(site.media()).await;
    let mut call = server.talks("1002", fresh.address()).await;
    fresh.hears(interop_tests::gateway::PAGE_HZ).await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    gateway.metric_is("talkbridge_calls_active", "", 0.0).await;
}

/// The machine stands still for a while in mid-call: what came meanwhile is obeyed when it goes on, and both sides hear each other again.
#[tokio::test]
async fn a_machine_that_stood_still_goes_on() {
    let mut desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    desk.gateway
        .process()
        .signal("STOP")
        .await
        .expect("kill is there");
    desk.neither_hears().await;
    let beep = call.request("NOTIFY", "Event: beep\n", "");
    server.say(&beep).await;
    desk.gateway
        .process()
        .signal("CONT")
        .await
        .expect("kill is there");
    assert_eq!(server.asks(&beep).await, 200);
    desk.both_hear().await;
    assert_eq!(desk.page.call()["state"], "talking");
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// Whoever should read the log has stopped, or its disk is full: lines are lost and counted, calls are not.
#[tokio::test]
async fn a_log_that_is_not_taken_holds_no_call_up() {
    for target in ["a pipe that nobody reads", "a full disk"] {
        let dir = TempDir::new().expect("a folder");
        let pipe = dir.path().join("log");
        let (errors, reader) = match target {
            "a full disk" => ("2>/dev/full".to_owned(), None),
            _ => {
                let made = Command::new("mkfifo").arg(&pipe).status().await;
                assert!(made.is_ok_and(|status| status.success()));
                // Opened for both, so that nobody waits for the other end.
                let reader = std::fs::File::options().read(true).write(true).open(&pipe);
                (
                    format!("2>{}", pipe.display()),
                    Some(reader.expect("the pipe is ours")),
                )
            }
        };
        let program = wrapped(&dir, "", &errors);
        let (desk, server) = desk(&program, "debug", |_| {}).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        if reader.is_some() {
            eventually_async("the log is full", || async {
                for _ in 0..100 {
                    // Each leaves a line or two.
                    drop(Page::start(desk.gateway.page("nobody")).await);
                }
                let lost = desk
                    .gateway
                    .metric("talkbridge_log_lines_dropped_total", "")
                    .await;
                (lost > 0.0).then_some(())
            })
            .await;
        }
        desk.both_hear().await;
        assert_eq!(
            server
                .asks(&call.request("NOTIFY", "Event: hold\n", ""))
                .await,
            200,
            "{target}"
        );
        desk.page.call_in("held").await;
        assert_eq!(
            server.asks(&call.request("BYE", "", "")).await,
            200,
            "{target}"
        );
        desk.ended("remote_hangup").await;
    }
}

/// No descriptor is left: who comes new waits outside, who talks goes on, and when there is room again everybody is served.
#[tokio::test]
async fn calls_go_on_without_a_free_descriptor() {
    const DESCRIPTORS: usize = 64;
    let dir = TempDir::new().expect("a folder");
    let program = wrapped(&dir, &format!("ulimit -n {DESCRIPTORS}"), "");
    let (desk, server) = desk(&program, "info", |_| {}).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    let mut open = Vec::new();
    for _ in 0..DESCRIPTORS * 2 {
        // The kernel takes them before anybody accepts them.
        open.extend(TcpStream::connect(desk.gateway.agents()).await.ok());
    }
    assert!(open.len() > DESCRIPTORS);
    desk.both_hear().await;
    assert_eq!(
        server
            .asks(&call.request("NOTIFY", "Event: beep\n", ""))
            .await,
        200
    );
    drop(open);
    let another = Page::start(desk.gateway.page("1003"))
        .await
        .expect("there is room again");
    another.ready().await;
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// The operator bounds the size of files, which ends a process that knows nothing of it (SIGXFSZ): here it ends the recording that has grown too large,
/// and the call goes on.
#[tokio::test]
async fn a_file_that_may_not_grow_costs_the_recording_and_not_the_call() {
    let dir = TempDir::new().expect("a folder");
    let folder = dir.path().join("recordings");
    let program = wrapped(&dir, "ulimit -f 128", "");
    let always = json!({"folder": folder, "when": "always"});
    let (desk, server) = desk(&program, "info", |config| config["recording"] = always).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    eventually("the file has grown too large", || {
        desk.page.call()["recording"] == "failed"
    })
    .await;
    desk.both_hear().await;
    let line = desk.gateway.logs(&["recording failed", "ERROR"]).await;
    assert!(line.contains("File too large"), "{line}");
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    assert!(names.len() == 1 && names[0].ends_with(".wav"), "{names:?}");
}
