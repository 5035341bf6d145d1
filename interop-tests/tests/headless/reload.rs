//! The configuration is read again while agents work (SIGHUP).

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use interop_tests::attack::SipPeer;
use interop_tests::wait::eventually_some;
use interop_tests::{Desk, Gateway, Site};
use serde_json::json;
use tokio::process::Command;

/// Of `open` on Linux.
const O_NONBLOCK: i32 = 0o4000;

/// The file with these DNs in place of its own.
fn rewrite(desk: &Desk, dns: impl Iterator<Item = u32>) {
    let file = desk.gateway.config_file();
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let (rest, _) = text.split_once("[[agents]]").expect("agents come first");
    let rest = rest.to_owned();
    let after = text.rsplit_once("[[agents]]").expect("one at least").1;
    let tail = after.find("\n[").map_or("", |at| &after[at..]);
    let mut agents = String::new();
    for dn in dns {
        writeln!(agents, "[[agents]]\ndn = \"{dn}\"").expect("a string takes it");
    }
    std::fs::write(&file, format!("{rest}{agents}{tail}")).expect("the file is ours");
}

/// A file that was cut short is not believed, and who is taken out of it ends her call in peace.
#[tokio::test]
async fn an_agent_who_is_taken_out_of_the_file_ends_her_call_first() {
    let agents: Vec<_> = (1002..1022)
        .map(|dn| json!({"dn": dn.to_string()}))
        .collect();
    let desk = Desk::start_with(|config| config["agents"] = json!(agents)).await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;

    rewrite(&desk, 1012..1015);
    desk.gateway.reload_comes_to("failed").await;
    desk.gateway.logs(&["17 of 20 agents are missing"]).await;
    desk.both_hear().await;

    rewrite(&desk, 1003..1022);
    desk.gateway.reload().await;
    desk.both_hear().await;
    let refused = server.tries("1002", "", desk.customer.address()).await;
    assert_eq!(refused.err(), Some(404));
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    assert_eq!(desk.page.closed().await, 4403);
}

/// The disk with the configuration hangs while it is read again: everybody is served as ever, and the end that the operator asks for is not kept waiting.
#[tokio::test]
async fn a_disk_that_hangs_in_a_reload_keeps_no_end() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site).await;
    let file = gateway.config_file();
    std::fs::remove_file(&file).expect("the file is ours");
    let made = Command::new("mkfifo").arg(&file).status().await;
    assert!(made.is_ok_and(|status| status.success()));
    let asked = gateway.process().signal("HUP").await;
    asked.expect("kill is a program of every system");
    // A pipe has a writer only when somebody reads, and who reads waits for the writer's first word.
    let _disk = eventually_some("the configuration is being read", || {
        let mut writer = File::options();
        writer.write(true).custom_flags(O_NONBLOCK).open(&file).ok()
    })
    .await;
    assert_eq!(gateway.get("/api/v1/agents").await.status, 200);
    gateway.ends().await;
}
