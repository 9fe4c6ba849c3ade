//! A proxy between us and Postgres that can cut connections and swallow replies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What a reply to a statement ends with.
const TAGS: [&[u8; 7]; 4] = [b"SELECT ", b"INSERT ", b"UPDATE ", b"DELETE "];

/// A socket directory that leads to another one.
pub(crate) struct Proxy {
    directory: tempfile::TempDir,
    database: String,
    control: Arc<Control>,
}

#[derive(Default)]
struct Control {
    /// The next reply that answers a statement with this comment is dropped, with its connection.
    swallow: AtomicBool,
    swallowed: AtomicU32,
    /// Every so-manieth reply to any statement is dropped, with its connection; 0: none.
    every: AtomicU32,
    replies: AtomicU32,
}

impl Control {
    /// Whether a reply to a statement is to be dropped.
    fn takes(&self, is_append: bool) -> bool {
        let every = self.every.load(Ordering::SeqCst);
        let is_due =
            every > 0 && (self.replies.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(every);
        is_due || is_append && self.swallow.swap(false, Ordering::SeqCst)
    }
}

/// Replies are only swallowed when the statement that they answer holds this.
const MARK: &[u8] = b"/* append */";

impl Proxy {
    /// Starts one in front of the database of `url`.
    pub(crate) fn before(url: &str) -> Proxy {
        let socket = socket(url);
        let directory = tempfile::tempdir().expect("a directory");
        let listener =
            UnixListener::bind(directory.path().join(".s.PGSQL.5432")).expect("a socket");
        let control = Arc::new(Control::default());
        let shared = Arc::clone(&control);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.expect("the real socket");
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Proxy { directory, database: url.to_owned(), control }
    }

    /// The way through it.
    pub(crate) fn url(&self) -> String {
        let host = self.directory.path().to_string_lossy().replace('/', "%2F");
        let (start, query) = self.database.split_once('?').expect("a query");
        let kept = query.split('&').filter(|p| !p.starts_with("host=") && !p.starts_with("port="));
        let kept = kept.collect::<Vec<_>>().join("&");
        format!("{start}?{kept}&host={host}&port=5432")
    }

    /// Lets the next append commit and drops the answer together with the connection.
    pub(crate) fn swallow_next_append(&self) {
        self.control.swallow.store(true, Ordering::SeqCst);
    }

    /// From now on drops every so-manieth reply to a statement, whatever it was; 0: none any more.
    pub(crate) fn swallow_every(&self, count: u32) {
        self.control.every.store(count, Ordering::SeqCst);
    }

    /// How many replies were swallowed.
    pub(crate) fn swallowed(&self) -> u32 {
        self.control.swallowed.load(Ordering::SeqCst)
    }
}

/// The socket that `postgres://...?host=...&port=...` means.
pub(super) fn socket(url: &str) -> std::path::PathBuf {
    let (_, query) = url.split_once('?').expect("a URL with a socket");
    let of = |name: &str| {
        let pair = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        pair.map(|v| v.replace("%2F", "/").replace("%2f", "/"))
    };
    let port = of("port").unwrap_or_else(|| "5432".to_owned());
    let host = of("host").expect("a socket directory");
    Path::new(&host).join(format!(".s.PGSQL.{port}"))
}

/// Carries bytes both ways. The statement text is sent once per connection (it is prepared), so
/// that a connection that has seen an append before counts as appending with its next message too.
async fn carry(client: UnixStream, server: UnixStream, control: Arc<Control>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let appends = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&appends);
    let up = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
            if buffer[..n].windows(MARK.len()).any(|w| w == MARK) {
                seen.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
        // A reply to Bind and Execute ends with CommandComplete ("C") and ReadyForQuery ("Z").
        let is_result = TAGS.iter().any(|tag| buffer[..n].windows(7).any(|w| w == *tag));
        if is_result && control.takes(appends.load(Ordering::SeqCst)) {
            control.swallowed.fetch_add(1, Ordering::SeqCst);
            up.abort();
            return;
        }
        if to_client.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
