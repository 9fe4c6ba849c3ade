//! Just enough of the Postgres protocol to ask one question over a Unix socket.
//!
//! Both sides need it before any pool exists: "is it ready" means that a backend has authenticated
//! us and answered. Knows neither TLS nor passwords, since the socket authenticates by peer.
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", version 3.0.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{EmbeddedError, Result};

const PROTOCOL_VERSION: i32 = 196_608;
/// Longer messages than this are not answers to our questions.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Asks one question and returns the first column of each row.
pub(super) fn ask(
    socket_dir: &Path,
    port: u16,
    user: &str,
    database: &str,
    sql: &str,
    patience: Duration,
) -> Result<Vec<String>> {
    let socket = socket_dir.join(format!(".s.PGSQL.{port}"));
    let stream = UnixStream::connect(&socket).map_err(EmbeddedError::io("connect to", &socket))?;
    let limit = Some(patience);
    stream
        .set_read_timeout(limit)
        .and_then(|()| stream.set_write_timeout(limit))
        .map_err(EmbeddedError::io("connect to", &socket))?;
    let mut dialogue = Dialogue { stream, socket };
    dialogue.start(user, database)?;
    dialogue.query(sql)
}

struct Dialogue {
    stream: UnixStream,
    socket: PathBuf,
}

impl Dialogue {
    fn start(&mut self, user: &str, database: &str) -> Result<()> {
        let mut body = PROTOCOL_VERSION.to_be_bytes().to_vec();
        let parameters = ["user", user, "database", database];
        for text in parameters.into_iter().chain(["application_name", "longhaul"]) {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        self.send(None, &body)?;
        self.until_ready().map(drop)
    }

    fn query(&mut self, sql: &str) -> Result<Vec<String>> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        let rows = self.until_ready()?;
        // A polite end; without it Postgres would log a lost connection.
        self.send(Some(b'X'), &[])?;
        Ok(rows)
    }

    /// Reads up to "ready for query" and keeps what matters on the way.
    fn until_ready(&mut self) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'Z' => return Ok(rows),
                b'D' => rows.extend(first_column(&body)),
                b'E' => return Err(self.answered(error_text(&body))),
                // Zero means "authenticated"; anything else asks for a password.
                b'R' if body != [0, 0, 0, 0] => {
                    return Err(self.answered("it asks for a password".to_owned()));
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<()> {
        let length = i32::try_from(body.len() + 4).unwrap_or(i32::MAX);
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).map_err(EmbeddedError::io("write to", &self.socket))
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        let read = |stream: &mut UnixStream| -> io::Result<(u8, Vec<u8>)> {
            let mut head = [0; 5];
            stream.read_exact(&mut head)?;
            let [kind, length @ ..] = head;
            let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
            if !(4..MESSAGE_BYTES_MAX).contains(&length) {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let mut body = vec![0; length - 4];
            stream.read_exact(&mut body)?;
            Ok((kind, body))
        };
        read(&mut self.stream).map_err(EmbeddedError::io("read from", &self.socket))
    }

    fn answered(&self, message: String) -> EmbeddedError {
        let socket = self.socket.clone();
        EmbeddedError::Answer { socket, message }
    }
}

/// A row is: number of columns, then for each its length (-1 is null) and its bytes.
fn first_column(body: &[u8]) -> Option<String> {
    let (length, rest) = body.get(2..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let text = rest.get(..length)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// An error is a list of fields, each a letter and a text that ends in zero: S severity, C code, M
/// message, D detail.
fn error_text(body: &[u8]) -> String {
    let field = |letter: u8| {
        body.split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&letter))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
            .unwrap_or_default()
    };
    format!("{}: {} ({})", field(b'S'), field(b'M'), field(b'C'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_in_its_own_words() {
        let body = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0";
        let text = error_text(body);
        assert_eq!(text, "FATAL: the database system is starting up (57P03)");
    }

    #[test]
    fn a_row_gives_its_first_column_and_a_null_gives_nothing() {
        assert_eq!(first_column(b"\0\x01\0\0\0\x02ab"), Some("ab".to_owned()));
        assert_eq!(first_column(b"\0\x01\xff\xff\xff\xff"), None);
        assert_eq!(first_column(b"\0\x01\0\0\0\x09ab"), None, "cut short");
    }
}
