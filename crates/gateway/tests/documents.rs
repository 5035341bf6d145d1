//! Pages that are printed from the code, so that they cannot say anything else. `UPDATE_DOCS=1` writes them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;

use gateway::config::Config;
use gateway::metrics::CATALOGUE;
use serde_json::Value;

const CONFIGURATION_HEAD: &str = "\
# Configuration

`talkbridge` reads one TOML file (`--config FILE`). This page is printed from the types that read it.

* `talkbridge check --config FILE` checks a file and binds nothing: exit code 0, or 1 and a line `file:line: what was
  expected` for everything that is wrong. Unknown keys are errors.
* Relative paths count from the folder of the file.
* A secret is written into the file, or into a file of its own (`*_file`), or into an environment variable named below. It is
  never printed.
* `SIGHUP` reads the file again: agents, token keys, log level and certificates change while calls go on, and the file of `[cdr]` is opened
  anew; the log says which other sections changed and need a restart. A file with an error changes nothing.
* Examples with comments: `conf/talkbridge.minimal.toml`, `conf/talkbridge.toml`.

| environment variable | sets |
|---|---|
| `TALKBRIDGE_PASSWORD_<DN>` | `password` of that agent; characters other than letters and digits are written as `_` |
| `TALKBRIDGE_TOKEN_SECRET` | `secret` of `HS256` token keys |
| `TALKBRIDGE_ADMIN_TOKEN` | `token` of `[admin]` |
";

const METRICS_HEAD: &str = "\
# Metrics

`GET /metrics` on the administrators' listener, in the OpenMetrics text format. This page is printed from the code. Times are
in seconds; counters end in `_total`; every label has a closed set of values, so nothing that a peer says can become one. What was
never measured is absent, not 0: a call without RTCP from the other side has no opinion score.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// Sections in the order of the page, each with the type that reads it.
const SECTIONS: [(&str, &str); 20] = [
    ("[sip]", "Sip"),
    ("[[sip.sites]]", "SipSite"),
    ("[sip.register]", "Register"),
    ("[sip.timers]", "Timers"),
    ("[sip.keep_alive]", "KeepAlive"),
    ("[sip.tls]", "SipTls"),
    ("[webrtc]", "WebRtc"),
    ("[[webrtc.ice_servers]]", "IceServer"),
    ("[webrtc.turn]", "Turn"),
    ("[media]", "Media"),
    ("[http]", "Http"),
    ("[admin]", "Admin"),
    ("[auth]", "Auth"),
    ("[[auth.token_keys]]", "TokenKey"),
    ("[limits]", "Limits"),
    ("[cdr]", "Cdr"),
    ("[recording]", "Recording"),
    ("[log]", "Log"),
    ("[[agents]]", "Agent"),
    ("", "Config"),
];

#[test]
fn the_configuration_page_is_what_the_types_say() {
    let schema = schemars::schema_for!(Config).to_value();
    let mut page = CONFIGURATION_HEAD.to_owned();
    let mut types: Vec<&str> = Vec::new();
    for (section, name) in SECTIONS {
        types.push(name);
        if section.is_empty() {
            continue;
        }
        let table = &schema["$defs"][name];
        assert!(table.is_object(), "{name} is a type of the configuration");
        let meaning = line(&table["description"]);
        write!(page, "\n## `{section}`\n\n{meaning}\n\n| key | value | default | meaning |\n|---|---|---|---|\n").unwrap();
        for key in keys(name, table) {
            let property = &table["properties"][&key];
            let default = default_of(table, property, &key);
            let (value, meaning) = (value_of(&schema, property), line(&property["description"]));
            writeln!(page, "| `{key}` | {value} | {default} | {meaning} |").unwrap();
        }
    }
    // A section that nobody put into the list above would be missing from the page.
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        let is_table = definition["properties"].is_object();
        assert!(
            !is_table || types.contains(&name.as_str()),
            "{name} is on the page"
        );
    }
    check("configuration.md", &page);
}

#[test]
fn the_metrics_page_is_what_is_scraped() {
    let mut page = METRICS_HEAD.to_owned();
    for entry in CATALOGUE {
        let labels: Vec<String> = entry
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind) = (entry.name, entry.kind.as_str());
        writeln!(
            page,
            "| `{name}` | {kind} | {} | {} |",
            labels.join(", "),
            entry.meaning
        )
        .unwrap();
    }
    check("metrics.md", &page);
}

fn check(name: &str, page: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, page).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == page,
        "docs/{name} is not what the code says; UPDATE_DOCS=1 writes it"
    );
}

/// The keys of a table in the order of the source: a schema sorts them by name.
fn keys(name: &str, table: &Value) -> Vec<String> {
    let source = concat!(
        include_str!("../src/config/sections.rs"),
        include_str!("../src/config/sites.rs"),
        include_str!("../src/config/records.rs"),
        include_str!("../src/config/web_rtc.rs")
    );
    let start = source.find(&format!("pub struct {name} {{")).unwrap();
    let body = &source[start..];
    let place = |key: &String| body.find(&format!("pub {key}:")).unwrap();
    let mut keys: Vec<String> = table["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    keys.sort_by_key(place);
    keys
}

fn line(text: &Value) -> String {
    text.as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn default_of(table: &Value, property: &Value, key: &str) -> String {
    let required = table["required"].as_array();
    if required.is_some_and(|required| required.iter().any(|name| name == key)) {
        return "required".to_owned();
    }
    match &property["default"] {
        Value::Null => String::new(),
        Value::Array(empty) if empty.is_empty() => String::new(),
        Value::Object(_) => String::new(),
        value => format!("`{value}`"),
    }
}

/// What may be written, in words.
fn value_of(schema: &Value, property: &Value) -> String {
    if let Some(name) = property["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return value_of(schema, &schema["$defs"][name]);
    }
    if let Some(choices) = property["oneOf"]
        .as_array()
        .or_else(|| property["anyOf"].as_array())
    {
        let values: Vec<String> = choices
            .iter()
            .filter(|choice| choice["type"] != "null")
            .map(|choice| match &choice["const"] {
                Value::Null => value_of(schema, choice),
                value => format!("`{value}`"),
            })
            .collect();
        return values.join(", ");
    }
    if let Some(names) = property["enum"].as_array() {
        return names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let kind = match &property["type"] {
        Value::Array(kinds) => kinds
            .iter()
            .find_map(|kind| kind.as_str().filter(|k| *k != "null")),
        kind => kind.as_str(),
    };
    match kind {
        Some("array") => format!("list of {}", value_of(schema, &property["items"])),
        Some("object") => "table".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => "number".to_owned(),
        Some(other) => other.to_owned(),
        None => String::new(),
    }
}
