//! The JSON schema of everything in this crate.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::admin::{
    Accepted, AgentStatus, ApiError, CallRecord, DialRequest, DrainStatus, DtmfRequest,
    EventRecord, ReadyReport, RecordRequest, TapMessage, TransferRequest,
};
use crate::{EndRecord, GatewayMessage, PageRequest};

/// The JSON schema (draft 2020-12). A message of the agent protocol validates against the root; the types
/// of the administration interface are under `$defs`.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let page = generator.subschema_for::<PageRequest>();
    let gateway = generator.subschema_for::<GatewayMessage>();
    // Named for their definitions only.
    let _ = [
        generator.subschema_for::<AgentStatus>(),
        generator.subschema_for::<CallRecord>(),
        generator.subschema_for::<EndRecord>(),
        generator.subschema_for::<EventRecord>(),
        generator.subschema_for::<ApiError>(),
        generator.subschema_for::<ReadyReport>(),
        generator.subschema_for::<DrainStatus>(),
        generator.subschema_for::<DialRequest>(),
        generator.subschema_for::<DtmfRequest>(),
        generator.subschema_for::<TransferRequest>(),
        generator.subschema_for::<RecordRequest>(),
        generator.subschema_for::<TapMessage>(),
        generator.subschema_for::<Accepted>(),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "talkbridge agent protocol, version 1",
        "description": "Messages of the WebSocket /agent/v1; the administration interface under $defs.",
        "anyOf": [page, gateway],
        "$defs": generator.take_definitions(true),
    })
}
