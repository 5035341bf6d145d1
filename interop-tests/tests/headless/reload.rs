//! The configuration is read again while agents work (SIGHUP).

use std::fmt::Write as _;

use interop_tests::Desk;
use interop_tests::attack::SipPeer;
use serde_json::json;

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
