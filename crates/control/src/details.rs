//! What a call says about itself beside number and name: for the desktop around the page.
//!
//! All of it was written by somebody at the other side. It is text to show, never markup, and it is bounded where it is read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an INVITE said beside its parties. What was not said is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallDetails {
    /// Whom the caller had called at first, when the call was diverted on its way (`Diversion`, `History-Info`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverted_from: Option<DivertedFrom>,
    /// The first `User-to-User` (RFC 7433).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_to_user: Option<UserToUser>,
    /// Those behind the first one, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_user_to_user: Vec<UserToUser>,
    /// How it wants to ring (`Alert-Info`, `Priority`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Ring>,
    /// Attached data: the headers `X-Genesys-<key>` by their key, `X-Genesys-CallUUID` excepted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attached: BTreeMap<String, String>,
    /// Further headers that the configuration lets through (`pass_headers`), by their configured name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The party that was called first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DivertedFrom {
    /// Number or user name.
    pub number: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it was diverted, in the words of RFC 5806: `unconditional`, `user-busy`, `no-answer`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// User-to-user information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserToUser {
    /// As it was sent: hexadecimal digits, or text.
    pub data: String,
    /// What `data` is.
    pub encoding: UserToUserEncoding,
    /// The text that hexadecimal digits stand for, where they stand for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Which application it is for: the parameter `purpose`, as `isdn-uui`. It tells several of them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What kind of data it is: the parameter `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What the data of [`UserToUser`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserToUserEncoding {
    /// Two digits for each octet.
    Hex,
    /// Text.
    Text,
}

/// How a call wants to ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ring {
    /// As a call from a colleague.
    Internal,
    /// As a call from outside.
    External,
    /// As one that must not wait.
    Priority,
}
