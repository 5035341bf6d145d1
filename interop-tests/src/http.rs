//! The few lines of HTTP/1.1 that the tests need: one request, one connection.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

/// How long a failed test waits for a word from a process that may have failed as well.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head as it came, status line included.
    pub head: String,
    /// The body, chunks joined.
    pub body: String,
}

impl Answer {
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// `GET http://at/path`.
///
/// # Errors
/// When nobody listens or the answer is no HTTP.
pub async fn get(at: SocketAddr, path: &str) -> Result<Answer> {
    request(at, "GET", path, &[], None).await
}

/// `POST http://at/path` with a JSON body.
///
/// # Errors
/// As [`get`].
pub async fn post(at: SocketAddr, path: &str, body: &Value) -> Result<Answer> {
    request(at, "POST", path, &[], Some(body.to_string())).await
}

/// One request with headers of its own.
///
/// # Errors
/// As [`get`].
pub async fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Result<Answer> {
    let mut stream = TcpStream::connect(at).await?;
    let words = words(at, method, path, headers, body);
    stream.write_all(words.as_bytes()).await?;
    let mut raw = Vec::new();
    while !is_whole(&raw) && stream.read_buf(&mut raw).await? > 0 {}
    read(&raw).ok_or_else(|| format!("{method} {path}: no HTTP answer").into())
}

/// The body of `GET http://at/path`, or why there is none: for a test that has failed, and has nobody any more who waits.
pub fn last_look(at: SocketAddr, path: &str) -> String {
    let look = || -> Result<Answer> {
        let mut stream = std::net::TcpStream::connect_timeout(&at, LAST_LOOK)?;
        stream.set_read_timeout(Some(LAST_LOOK))?;
        std::io::Write::write_all(&mut stream, words(at, "GET", path, &[], None).as_bytes())?;
        let mut raw = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut raw)?;
        Ok(read(&raw).ok_or("no HTTP answer")?)
    };
    look().map_or_else(|error| error.to_string(), |answer| answer.body)
}

fn words(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> String {
    let mut words = format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    for (name, value) in headers {
        words += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = &body {
        words += &format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
    }
    words + "\r\n" + body.as_deref().unwrap_or_default()
}

fn read(raw: &[u8]) -> Option<Answer> {
    let end = end_of_head(raw)?;
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = match field(&head, "transfer-encoding").as_deref() {
        Some("chunked") => unchunk(&raw[end + 4..]),
        _ => raw[end + 4..].to_vec(),
    };
    Some(Answer {
        status,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn end_of_head(raw: &[u8]) -> Option<usize> {
    raw.windows(4).position(|window| window == b"\r\n\r\n")
}

/// A field of the head, in small letters.
fn field(head: &str, name: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    found
        .next()
        .map(|(_, value)| value.trim().to_ascii_lowercase())
}

/// An answer that says how long it is has come. The others end with the connection, which not everybody closes who says so.
fn is_whole(raw: &[u8]) -> bool {
    let Some(end) = end_of_head(raw) else {
        return false;
    };
    let head = String::from_utf8_lossy(&raw[..end]);
    let length = field(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| raw.len() >= end + 4 + length)
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .unwrap_or(0);
        let Some(chunk) = rest.get(end + 2..end + 2 + size).filter(|_| size > 0) else {
            break;
        };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    body
}
