//! rtpengine's control protocol (NG): a cookie, a space and a bencoded dictionary in a UDP datagram.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::Result;

/// Time for an answer before the request is repeated; rtpengine recognises the cookie.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Requests sent before rtpengine counts as absent.
const TRIES: u32 = 6;

/// A dictionary to be sent: strings, and lists of strings.
#[derive(Debug, Default)]
pub(super) struct Dictionary(Vec<(&'static str, Entry)>);

#[derive(Debug)]
enum Entry {
    Text(String),
    List(&'static [&'static str]),
}

impl Dictionary {
    /// One with its command.
    pub(super) fn command(name: &str) -> Self {
        Self(Vec::new()).text("command", name)
    }

    /// Adds a string.
    #[must_use]
    pub(super) fn text(mut self, key: &'static str, value: &str) -> Self {
        self.0.push((key, Entry::Text(value.to_owned())));
        self
    }

    /// Adds a list of strings.
    #[must_use]
    pub(super) fn list(mut self, key: &'static str, value: &'static [&'static str]) -> Self {
        self.0.push((key, Entry::List(value)));
        self
    }

    fn bencoded(&self) -> String {
        let text = |text: &str| format!("{}:{text}", text.len());
        let mut encoded = String::from("d");
        for (key, entry) in &self.0 {
            encoded += &text(key);
            match entry {
                Entry::Text(value) => encoded += &text(value),
                Entry::List(values) => {
                    encoded.push('l');
                    for value in *values {
                        encoded += &text(value);
                    }
                    encoded.push('e');
                }
            }
        }
        encoded + "e"
    }
}

/// The string under `key` at the top of a bencoded dictionary.
fn string_of(bencoded: &str, key: &str) -> Option<String> {
    let mut rest = bencoded.strip_prefix('d')?;
    while !rest.starts_with('e') {
        let (name, after) = string(rest)?;
        if name == key {
            return string(after).map(|(value, _)| value.to_owned());
        }
        rest = skip(after)?;
    }
    None
}

fn string(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

/// What comes after the first value of `text`.
fn skip(text: &str) -> Option<&str> {
    if text.starts_with('i') {
        return text.split_once('e').map(|(_, rest)| rest);
    }
    let Some(mut rest) = text.strip_prefix(['d', 'l']) else {
        return string(text).map(|(_, rest)| rest);
    };
    while !rest.starts_with('e') {
        rest = skip(rest)?;
    }
    rest.strip_prefix('e')
}

/// A client of one rtpengine.
#[derive(Debug)]
pub(super) struct Ng {
    socket: UdpSocket,
    cookies: u64,
}

impl Ng {
    /// A client of the rtpengine that listens at `at`.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) async fn new(at: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((at.ip(), 0)).await?;
        socket.connect(at).await?;
        Ok(Self { socket, cookies: 0 })
    }

    /// Sends a command and yields its answer, bencoded.
    ///
    /// # Errors
    /// When there is none, or it is an error.
    async fn request(&mut self, command: &Dictionary) -> Result<String> {
        self.cookies += 1;
        let cookie = format!("load{} ", self.cookies);
        let datagram = format!("{cookie}{}", command.bencoded());
        let mut buffer = vec![0; 65_536];
        for _ in 0..TRIES {
            let again_at = tokio::time::Instant::now() + ANSWER_WITHIN;
            // Refused while rtpengine starts, and then so is the receive.
            drop(self.socket.send(datagram.as_bytes()).await);
            let received = tokio::time::timeout_at(again_at, self.socket.recv(&mut buffer)).await;
            let Ok(Ok(len)) = received else {
                tokio::time::sleep_until(again_at).await;
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..len]);
            let Some(answer) = text.strip_prefix(&cookie) else {
                continue;
            };
            return match string_of(answer, "result").as_deref() {
                Some("ok" | "pong") => Ok(answer.to_owned()),
                _ => Err(format!("rtpengine refuses {datagram}: {answer}").into()),
            };
        }
        Err("rtpengine does not answer".into())
    }

    /// Waits until rtpengine answers.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn ping(&mut self) -> Result<()> {
        self.request(&Dictionary::command("ping")).await.map(drop)
    }

    /// A command whose answer is a session description.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn describe(&mut self, command: &Dictionary) -> Result<String> {
        let answer = self.request(command).await?;
        string_of(&answer, "sdp").ok_or_else(|| format!("rtpengine sent no SDP: {answer}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_is_written_as_bencode_and_an_answer_is_read() {
        let command = Dictionary::command("offer").list("replace", &["origin", "x"]);
        assert_eq!(
            command.bencoded(),
            "d7:command5:offer7:replacel6:origin1:xee"
        );
        let answer = "d4:infod1:ai7e1:bl1:cee3:sdp5:v=0\r\n6:result2:oke";
        assert_eq!(string_of(answer, "sdp").as_deref(), Some("v=0\r\n"));
        assert_eq!(string_of(answer, "result").as_deref(), Some("ok"));
        assert_eq!(string_of(answer, "b"), None);
        assert_eq!(string_of("d3:sdp900:v", "sdp"), None);
    }
}
