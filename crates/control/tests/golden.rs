//! Every message as a file. A change of the wire shows as a change of a file, and is then a decision.
//!
//! `UPDATE_GOLDEN=1 cargo test -p control` writes the files anew, the schema included.
#![allow(clippy::unwrap_used)]

mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use control::{ErrorCode, GatewayMessage, PageMessage, decode, encode, schema};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Compares the values with their files, and sees that no file is left over.
fn compare(kind: &str, samples: &[(&str, Value)]) {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let folder = folder(kind);
    for (name, value) in samples {
        let path = folder.join(format!("{name}.json"));
        if update {
            let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap());
            fs::write(&path, text).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}", path.display()));
        let golden: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(*value, golden, "{}", path.display());
    }
    let named: BTreeSet<String> = samples
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    let found: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, named, "files in {}", folder.display());
}

#[test]
fn messages_of_a_page() {
    let samples = samples::page();
    let values: Vec<(&str, Value)> = samples
        .iter()
        .map(|(name, request)| (*name, serde_json::to_value(request).unwrap()))
        .collect();
    compare("page", &values);
    for (name, request) in &samples {
        let text = fs::read(folder("page").join(format!("{name}.json"))).unwrap();
        assert_eq!(&decode(&text).unwrap(), request, "{name}");
    }
    let types: BTreeSet<&str> = values
        .iter()
        .map(|(_, value)| value["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        BTreeSet::from(PageMessage::TYPES),
        "every type has a file"
    );
}

#[test]
fn messages_of_the_gateway() {
    let samples = samples::gateway();
    let values: Vec<(&str, Value)> = samples
        .iter()
        .map(|(name, message)| (*name, serde_json::from_str(&encode(message)).unwrap()))
        .collect();
    compare("gateway", &values);
    for (name, message) in &samples {
        let text = fs::read_to_string(folder("gateway").join(format!("{name}.json"))).unwrap();
        assert_eq!(
            &serde_json::from_str::<GatewayMessage>(&text).unwrap(),
            message,
            "{name}"
        );
    }
}

#[test]
fn types_of_the_administration_interface() {
    compare("admin", &samples::admin());
}

#[test]
fn the_schema_is_the_one_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agent-protocol.schema.json");
    let printed = schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = format!("{}\n", serde_json::to_string_pretty(&printed).unwrap());
        fs::write(&path, text).unwrap();
    }
    let golden: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(
        printed, golden,
        "docs/agent-protocol.schema.json; write it with UPDATE_GOLDEN=1"
    );
}

/// Every type, error code and close code is explained in the protocol's page.
#[test]
fn the_documentation_names_everything() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agent-protocol.md");
    let page = fs::read_to_string(path).unwrap();
    let gateway: BTreeSet<String> = samples::gateway()
        .iter()
        .map(|(_, message)| {
            let value: Value = serde_json::from_str(&encode(message)).unwrap();
            value["type"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut names: Vec<String> = gateway.into_iter().collect();
    names.extend(PageMessage::TYPES.map(str::to_owned));
    names.extend(ErrorCode::ALL.map(|code| code.as_str().to_owned()));
    for name in names {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/agent-protocol.md does not name {name}"
        );
    }
    for code in control::CloseCode::ALL {
        let row = format!("| {} |", code.as_u16());
        assert!(
            page.contains(&row),
            "docs/agent-protocol.md has no row for close code {}",
            code.as_u16()
        );
    }
}

/// The example conversation is one: every line reads as what its arrow says.
#[test]
fn the_documented_conversation_is_real() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agent-protocol.md");
    let page = fs::read_to_string(path).unwrap();
    let (mut said, mut heard) = (0, 0);
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("> {") {
            decode(format!("{{{text}").as_bytes())
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            said += 1;
        } else if let Some(text) = line.strip_prefix("< {") {
            let message: Result<GatewayMessage, _> = serde_json::from_str(&format!("{{{text}"));
            message.unwrap_or_else(|error| panic!("{error}: {line}"));
            heard += 1;
        }
    }
    assert!(said >= 6 && heard >= 15, "{said} said, {heard} heard");
}

#[test]
fn names_in_code_are_the_names_on_the_wire() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
    for state in control::CallState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for code in control::CloseCode::ALL {
        assert!(code.reason().len() < 123);
    }
}
